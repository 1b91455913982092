"""Activation changes: a hand-worked linear model, which layers are measured, and the negative control."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hptransfer.models.gpt import Gpt
from hptransfer.training.coordinates import finite_rms, layer_kind, measure_coordinates, probe, random_share
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings


class Scores(nn.Module):
    """Logits are a fixed one-hot code of the last byte times `readout`."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Linear(256, 256, bias=False)
        nn.init.zeros_(self.readout.weight)

    def forward(self, context_BxC: Tensor) -> Tensor:
        """Logits of the next byte."""
        code_BxV = nn.functional.one_hot(context_BxC[:, -1], 256).to(self.readout.weight.dtype)
        logits_BxV: Tensor = self.readout(code_BxV)
        return logits_BxV


def one_group(module: nn.Module, **values: float) -> list[dict[str, Any]]:
    """All parameters in one group."""
    return [{"params": list(module.parameters()), "weight_decay": 0.0, **values}]


def test_linear_model_by_hand() -> None:
    """One SGD step on zero weights moves the logits by lr * (onehot - 1/256), for every example.

    The text is one byte repeated, so every window is the same. At zero weights p = 1/256 for every byte: the gradient
    of the logits is p - onehot(y), and with a one-hot input the logits move by exactly -lr times it. Its RMS over 256
    entries is lr * sqrt(((255/256)^2 + 255/256^2) / 256) = lr * sqrt(255) / 256 (255^2 + 255 = 255 * 256).
    """
    same = Corpus(np.full(100, 65, np.uint8), np.full(100, 65, np.uint8), "")
    settings = TrainingSettings(steps=50, batch_size=4, context=2, optimizer="sgd", momentum=0.0)

    (row,) = measure_coordinates(module := Scores().double(), one_group(module, lr=0.3), same, settings, 0, steps=(1,))[
        "layers"
    ]

    assert row["layer"] == "readout"
    assert row["kind"] == "logits"
    assert row["step"] == 1
    assert row["initial"] == 0.0
    assert row["change"] == pytest.approx(0.3 * math.sqrt(255) / 256, rel=1e-12)


def test_first_adam_step_moves_every_reached_weight_by_the_learning_rate() -> None:
    """Adam's first step is lr * sign(gradient): all 256 logits of the one input move by lr, up or down."""
    same = Corpus(np.full(100, 65, np.uint8), np.full(100, 65, np.uint8), "")
    settings = TrainingSettings(steps=50, batch_size=4, context=2)
    module = Scores().double()

    (row,) = measure_coordinates(module, one_group(module, lr=0.01, eps=1e-30), same, settings, 0, steps=(1,))["layers"]

    assert row["change"] == pytest.approx(0.01, rel=1e-12)


def test_the_peak_rate_is_used_whatever_the_schedule(corpus: Corpus) -> None:
    """Warmup and decay would hide the first steps' change; the check replaces them."""
    changes = []
    for warmup, schedule, steps in ((1.0, "cosine", 500), (0.0, "constant", 1)):
        module = Scores()
        settings = TrainingSettings(steps=steps, batch_size=4, context=2, warmup=warmup, schedule=schedule)  # type: ignore[arg-type]  # literals in a tuple
        changes += [
            row["change"]
            for row in measure_coordinates(module, one_group(module, lr=0.01), corpus, settings, 0)["layers"]
        ]

    assert changes[:3] == changes[3:]
    assert changes[0] < changes[1] < changes[2]  # after 1, 3 and 10 steps


def test_measuring_at_more_steps_does_not_change_training(corpus: Corpus) -> None:
    """The probe is looked at without a trace: the change after 10 steps is the same whether or not 3 was measured."""
    settings = TrainingSettings(steps=50, batch_size=4, context=2)

    def last(steps: tuple[int, ...]) -> float:
        module = Scores()
        rows = measure_coordinates(module, one_group(module, lr=0.01), corpus, settings, 0, steps=steps)["layers"]
        return float(rows[-1]["change"])

    assert last((10,)) == last((1, 3, 10))


def test_a_change_that_is_not_finite_is_none(corpus: Corpus) -> None:
    """Divergence during the check is reported without NaN, which JSON lacks."""
    settings = TrainingSettings(steps=50, batch_size=4, context=2, optimizer="sgd", momentum=0.0)
    module = Scores()
    nn.init.constant_(module.readout.weight, math.inf)

    rows = measure_coordinates(module, one_group(module, lr=0.1), corpus, settings, 0, steps=(3,))["layers"]

    assert [row["change"] for row in rows] == [None]


def test_rms_by_hand() -> None:
    """The root of the mean of 9 and 16 is sqrt(12.5); overflow of float32 squares does not matter."""
    assert finite_rms(torch.tensor([3.0, -4.0])) == pytest.approx(3.5355339059327378, rel=1e-15)
    assert finite_rms(torch.tensor([1e30])) == pytest.approx(1e30, rel=1e-6)
    assert finite_rms(torch.tensor([math.inf])) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("embedding", "embedding"),
        ("input", "embedding"),
        ("hidden.3", "hidden"),
        ("readout", "logits"),
        ("blocks.11", "residual"),
        ("blocks.0.q", "hidden"),
        ("blocks.0.up", "hidden"),
        ("blocks.0.attention_out", "branch"),
        ("blocks.0.down", "branch"),
        ("blocks.0.mlp_norm", None),
        ("hidden_norms.0", None),
        ("input_norm", None),
        ("final_norm", None),
        ("", None),
    ],
)
def test_kinds_of_layers(name: str, kind: str | None) -> None:
    """Linear outputs, the stream and the logits are measured; norms, whose output has a fixed size, are not."""
    assert layer_kind(name) == kind


def test_hooks_are_removed(corpus: Corpus) -> None:
    """A measured model keeps no hooks and goes back to training mode."""
    module = Scores()

    outputs = probe(module, lambda: module(corpus.batch(0, 0, 3, 2)[:, :-1]), {"readout": "logits"}).outputs

    assert list(outputs) == ["readout"]
    assert outputs["readout"].shape == (3, 256)
    assert all(not layer._forward_hooks for layer in module.modules())
    assert module.training


def test_the_random_share_is_what_an_independent_readout_adds() -> None:
    """Oracle: many readouts drawn anew change their logits by it on average; 4000 logits tell it to a few percent."""
    generator = torch.Generator().manual_seed(0)
    moved_BxD = torch.randn(32, 64, generator=generator)
    weight_VxD = 0.3 * torch.randn(4000, 64, generator=generator)

    share = random_share(weight_VxD, moved_BxD)

    assert share == pytest.approx(finite_rms(moved_BxD @ weight_VxD.T), rel=0.02)
    assert share == pytest.approx(0.3 * 8, rel=0.05)  # 0.3 * sqrt(64)


def test_a_random_share_that_is_not_finite_is_none() -> None:
    """JSON has no inf."""
    assert random_share(torch.full((2, 2), math.inf), torch.ones(1, 2)) is None


def test_attention_tells_its_scale(corpus: Corpus) -> None:
    """Scale times head_dim: sqrt(16) = 4 where products are divided by sqrt(head_dim) as torch does by itself."""
    module = Gpt(32, 1, context=8, head_dim=16)
    settings = TrainingSettings(steps=1, batch_size=4, context=8)

    rows = measure_coordinates(module, one_group(module, lr=0.01), corpus, settings, 0, steps=(1,))["layers"]

    assert {row["layer"]: row["summed"] for row in rows if row["kind"] == "attention"} == {"attention.0": 4.0}
    assert {row["layer"] for row in rows if row["random"] is not None} == {"readout"}
