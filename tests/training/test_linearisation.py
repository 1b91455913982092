"""Distance from linearisation: a block whose non-linearity is known, and CompleteP against its lazy neighbour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hptransfer.diagnostics.linearization import LazinessReport, judge_laziness
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.data import Corpus
from hptransfer.training.linearisation import measure_linearisation
from hptransfer.training.loop import TrainingSettings
from tests.support.mistakes import CONTEXT, VALUES, gpt
from tests.support.reading import read_module


class Product(nn.Module):
    """x + a * b * x with two numbers that are trained: da db x is all that is not linear in them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([0.5]))
        self.b = nn.Parameter(torch.tensor([0.25]))

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the block."""
        return x + self.a * self.b * x


class Net(nn.Module):
    """One block between a fixed table and a fixed readout."""

    table: Tensor
    out: Tensor

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("table", torch.randn(256, 4, generator=generator))
        self.register_buffer("out", torch.randn(4, 256, generator=generator))
        self.block = block

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte at every position."""
        logits: Tensor = self.block(self.table[tokens]) @ self.out
        return logits


def test_a_product_of_two_numbers_by_hand(corpus: Corpus) -> None:
    """Adam's first step moves a and b by lr, up or down alike: D = lr^2 / (lr (a + b)) = lr / 0.75."""
    module = Net(Product())
    groups = [{"params": list(module.parameters()), "lr": 1e-3, "weight_decay": 0.0, "eps": 1e-30}]

    found = measure_linearisation(module, groups, corpus, TrainingSettings(5, 4, 4), 0, ["block"])

    assert found["block"] == pytest.approx(1e-3 / 0.75, rel=1e-6)


def test_a_linear_block_is_linear(corpus: Corpus) -> None:
    """Negative control: one matrix has no second order; float64 leaves nothing above 1e-12."""
    module = Net(nn.Linear(4, 4))
    groups = [{"params": list(module.parameters()), "lr": 1e-2, "weight_decay": 0.0}]

    found = measure_linearisation(module, groups, corpus, TrainingSettings(5, 4, 4), 0, ["block"])

    assert found["block"] is not None
    assert found["block"] < 1e-12


def test_a_block_that_does_not_move_has_no_distance(corpus: Corpus) -> None:
    """0 / 0 is None, not 0."""
    module = Net(Product())
    groups = [{"params": list(module.parameters()), "lr": 0.0, "weight_decay": 0.0}]

    assert measure_linearisation(module, groups, corpus, TrainingSettings(5, 4, 4), 0, ["block"]) == {"block": None}


class _NoDerivative(torch.autograd.Function):
    """An operation whose author wrote a backward only."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class Custom(nn.Module):
    """A block with such an operation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the block."""
        y: Tensor = _NoDerivative.apply(self.a * x)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return x + y


def test_a_block_without_forward_derivatives_is_refused(corpus: Corpus) -> None:
    """With the reason and what to leave out, not with a traceback from torch."""
    module = Net(Custom())
    groups = [{"params": list(module.parameters()), "lr": 1e-3, "weight_decay": 0.0}]

    with pytest.raises(UsageError, match="forward derivative"):
        measure_linearisation(module, groups, corpus, TrainingSettings(5, 4, 4), 0, ["block"])


class Residual(nn.Module):
    """x + down(gelu(up(x))), as in the paper's theory: two weights, nothing else within a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, width, bias=False)
        self.down = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the block."""
        y: Tensor = x + self.down(nn.functional.gelu(self.up(x)))
        return y


class ResidualNet(nn.Module):
    """Embed bytes, residual blocks, read out."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))
        self.readout = nn.Linear(width, 256, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte at every position."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.readout(x)
        return logits


def distances(
    build: Callable[[int, int], nn.Module],
    writers: str,
    alpha: float,
    corpus: Corpus,
    depths: tuple[int, ...],
    seeds: int,
) -> LazinessReport:
    """The judgement of small networks under CompleteP with this alpha; width 32, base 64 x 2."""
    base = Size(64, 2, 16, 1600)
    found = np.zeros((seeds, len(depths)))
    for column, depth in enumerate(depths):
        size = Size(32, depth, 16, 1600)
        parameters = read_module(build, base, size, residual_writers=(writers,))
        rows = plan(Parameterization("completep", alpha=alpha), base, size, parameters, VALUES, optimizer="adamw").rows
        applied = AppliedPlan(rows)
        for seed in range(seeds):
            module = build(32, depth)
            applied.init_(module, seed)
            settings = TrainingSettings(steps=100, batch_size=16, context=CONTEXT)
            blocks = [f"blocks.{block}" for block in range(depth)]
            by_block = measure_linearisation(module, applied.param_groups(module), corpus, settings, seed, blocks)
            found[seed, column] = np.mean([value for value in by_block.values() if value is not None])
    return judge_laziness(found, depths)


@pytest.mark.parametrize(("alpha", "verdict"), [(1.0, RowVerdict.HOLDS), (0.5, RowVerdict.FAILS)])
def test_completep_learns_features_at_any_depth(alpha: float, verdict: RowVerdict, corpus: Corpus) -> None:
    """Decoders: alpha 1 does, alpha 1/2 is lazy (2505.01618, complete feature learning) and passes all else."""
    writers = r"blocks\.\d+\.(attention_out|down)\.weight"

    assert distances(gpt, writers, alpha, corpus, (4, 8, 16), 2).verdict is verdict


@pytest.mark.parametrize(("alpha", "power"), [(1.0, 0.0), (0.5, -0.5)])
def test_the_distance_goes_as_its_power_of_depth(alpha: float, power: float, corpus: Corpus) -> None:
    """Depth^(alpha - 1) in a network of plain residual blocks, 16 to 64 of them."""
    report = distances(ResidualNet, r"blocks\.\d+\.down\.weight", alpha, corpus, (16, 32, 64), 2)

    assert report.slope.estimate == pytest.approx(power, abs=0.1)
