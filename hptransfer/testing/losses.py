"""What every loss must do; subclass `LossConformance` and name it.

Tensor names carry their shape: B batch, C context window, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from hptransfer.training.batches import Batch, equal, examples_in, map_tensors
from hptransfer.training.losses.base import Loss, find_loss


class _Window(nn.Module):
    """A small model from B x C bytes to B x V logits."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 4)
        self.readout = nn.Linear(4, 256)

    def forward(self, tokens_BxC: Tensor) -> Tensor:
        """Logits of the next byte."""
        logits_BxV: Tensor = self.readout(self.table(tokens_BxC).mean(1))
        return logits_BxV


class LossConformance:
    """Behaviour that the training loop and comparisons between trials count on."""

    #: the loss's name, or `module:function`
    name: ClassVar[str]
    #: its keyword arguments
    arguments: ClassVar[dict[str, Any]] = {}

    def model(self) -> nn.Module:
        """A small model that the loss can be computed of; override it where the default does not fit."""
        torch.manual_seed(0)
        return _Window()

    def batch(self) -> Batch:
        """B x (C + 1) bytes, at least four examples; override it where the loss takes something else."""
        return torch.randint(0, 256, (6, 9), generator=torch.Generator().manual_seed(1))

    @pytest.fixture
    def loss(self) -> Loss:
        """The entry."""
        return find_loss(self.name, self.arguments)

    def test_it_is_a_finite_positive_number(self, loss: Loss) -> None:
        """A scalar; divergence is measured against its value at init."""
        value = loss(self.model(), self.batch())

        assert value.shape == ()
        assert value.is_floating_point()
        assert 0 < value.item() < float("inf")

    def test_it_can_be_differentiated(self, loss: Loss) -> None:
        """At least one parameter gets a gradient that is not zero."""
        module = self.model()
        loss(module, self.batch()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())

    def test_it_is_the_mean_over_examples(self, loss: Loss) -> None:
        """Processes share a batch, and ladders compare batch sizes: a mean over each example counted once."""
        module, batch = self.model().eval(), self.batch()
        with torch.no_grad():
            whole = loss(module, batch).item()
            single = [
                loss(module, map_tensors(batch, lambda tensor, at=index: tensor[at : at + 1])).item()  # type: ignore[misc]  # the default binds it
                for index in range(examples_in(batch))
            ]

        assert whole == pytest.approx(sum(single) / len(single), rel=1e-5)

    def test_it_is_a_function_of_model_and_batch(self, loss: Loss) -> None:
        """Called twice it gives the same number, and the batch is left as it was."""
        module, batch = self.model().eval(), self.batch()
        before = map_tensors(batch, torch.clone)

        assert loss(module, batch).item() == loss(module, batch).item()
        assert equal(batch, before)

    def test_it_says_its_unit(self, loss: Loss) -> None:
        """In which its numbers are printed."""
        assert loss.unit.strip()
