"""Sharpness: known spectra, the thresholds of torch's own optimizers, and muP against the standard parameterization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hptransfer.diagnostics.base import Facts
from hptransfer.diagnostics.sharpness import Sharpness, SharpnessReport, judge_sharpness
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, build_optimizer
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.training.sharpness import effective_rates, hessian_product, measure_sharpness, top_eigenvalue
from tests.support.mistakes import CONTEXT, VALUES, gpt, mlp
from tests.support.reading import read_module
from tests.support.tiny import recipe


@pytest.mark.parametrize(
    "spectrum",
    [
        [1.0] * 50 + [3.0],
        [k**-1.5 for k in range(1, 400)],
        [float(k) for k in range(-300, 200)],  # indefinite, and most negative further out than most positive
    ],
    ids=["outlier", "power law", "indefinite"],
)
def test_the_largest_eigenvalue_of_a_known_spectrum(spectrum: list[float]) -> None:
    """A diagonal matrix turned by a random rotation, in two tensors; the largest, not the largest by size."""
    generator = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64))[0]
    matrix = turn @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ turn.T

    def product(vectors: Sequence[Tensor]) -> Sequence[Tensor]:
        whole = matrix @ torch.cat([v.flatten() for v in vectors])
        return [whole[:10].reshape(2, 5), whole[10:]]

    like = [torch.zeros(2, 5, dtype=torch.float64), torch.zeros(len(spectrum) - 10, dtype=torch.float64)]
    value, products, converged = top_eigenvalue(product, like)

    assert converged
    assert products < 60
    assert value == pytest.approx(max(spectrum), rel=0.01)


def test_too_few_products_are_said() -> None:
    """Two products cannot find the top of a dense spectrum, and do not claim to."""
    diagonal = torch.linspace(1, 2, 500, dtype=torch.float64)

    assert not top_eigenvalue(lambda v: [diagonal * v[0]], [diagonal], products=2)[2]


def test_products_with_the_hessian_of_a_quadratic() -> None:
    """Of x'Ax/2 + (sum y)^2 it is Ax in x and 2 sum y in y; a parameter that is not used has none."""
    a = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    x, y, unused = (torch.ones(size, requires_grad=True) for size in (2, 3, 1))

    found = hessian_product(
        lambda: x @ a @ x / 2 + y.sum() ** 2, [x, y, unused], [torch.tensor([1.0, 0.0]), torch.ones(3), unused]
    )

    assert [part.tolist() for part in found] == [[2.0, 1.0], [6.0, 6.0, 6.0], [0.0]]


def test_the_effective_rate_of_adam_by_hand() -> None:
    """After one step v / (1 - beta2) is the gradient's square: rate / (|g| + eps) = 0.1 / (3 + 1)."""
    x = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([x], lr=0.1, eps=1.0, weight_decay=0.0)
    (3 * x).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()

    _, (rate,) = effective_rates(optimizer, "adamw")

    assert rate.item() == pytest.approx(0.025, rel=1e-5)


def settles(optimizer_of: Callable[[list[Tensor]], torch.optim.Optimizer], curvature: float) -> bool:
    """Whether torch's optimizer converges on curvature * x^2 / 2: whether steps 600 to 900 are smaller."""
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_of([x])
    sizes = []
    for _ in range(900):
        optimizer.zero_grad()
        (curvature * x**2 / 2).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        sizes.append(abs(x.item()))
    return max(sizes[600:]) < max(sizes[300:600])


@pytest.mark.parametrize(
    ("name", "momentum", "published"), [("sgd", 0.0, 2.0), ("sgd", 0.5, 3.0), ("sgd", 0.9, 3.8), ("adamw", 0.9, 38.0)]
)
def test_thresholds_are_where_torch_diverges(name: str, momentum: float, published: float) -> None:
    """O7: heavy ball 2 + 2 beta, averaged momentum 38 (Cohen et al. 2207.14484): torch converges 1% below, not above.

    Adam's preconditioner is frozen by an eps that dwarfs every gradient, also after the first steps, which bias
    correction makes larger (they reach 1e15 before they settle).
    """

    def optimizer(parameters: list[Tensor]) -> torch.optim.Optimizer:
        if name == "sgd":
            return torch.optim.SGD(parameters, lr=1.0, momentum=momentum)
        return torch.optim.AdamW(parameters, lr=1e60, betas=(momentum, 0.999), eps=1e60, weight_decay=0.0)

    limit = OPTIMIZERS.look_up(name).threshold({"beta1": momentum, "momentum": momentum})

    assert limit == pytest.approx(published)
    assert settles(optimizer, 0.99 * limit)
    assert not settles(optimizer, 1.01 * limit)


@pytest.mark.parametrize("steps", [0, 500, 1000, 2000, 4000])
def test_sharpness_along_modes_of_a_two_layer_net(steps: int) -> None:
    """O11: modes s = ab of 1/2 (ab - l)^2 learn as s(t) = l / (1 + (l / s0 - 1) e^(-2lt)) (Saxe et al. 1312.6120).

    The Hessian of a balanced mode has the eigenvalues s +- |2s - l|, so the largest is known at every time: 2.0 at
    first, where the strongest mode has learned nothing, half that or less on the way, and 4.0 at the end. Gradient
    descent at a rate of 0.001 follows the flow to 1.4e-3 (the same comparison, done elsewhere).
    """
    strengths, start, rate = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64), 0.01, 1e-3
    a, b = (torch.full((3,), math.sqrt(start), dtype=torch.float64, requires_grad=True) for _ in range(2))

    def loss() -> Tensor:
        return ((a * b - strengths) ** 2).sum() / 2

    groups = [{"params": [a, b], "lr": rate, "weight_decay": 0.0}]
    optimizer = build_optimizer(groups, TrainingSettings(1, 1, 1, optimizer="sgd", momentum=0.0))
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    learned = strengths / (1 + (strengths / start - 1) * torch.exp(-2 * strengths * rate * steps))

    found, _, converged = top_eigenvalue(lambda v: hessian_product(loss, [a, b], v), [a, b])

    assert (a * b).tolist() == pytest.approx(learned.tolist(), rel=3e-3)
    assert converged
    assert found == pytest.approx((learned + (2 * learned - strengths).abs()).max().item(), rel=0.01)


class Bowl(nn.Module):
    """Logits (w0, w1, 0, 0, ...) whatever the input: the Hessian of cross-entropy is diag(p) - pp' of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte."""
        logits = torch.cat([self.w, torch.zeros(254)])
        return logits.expand(len(tokens), -1)


def test_measured_sharpness_by_hand(corpus: Corpus) -> None:
    """At p = 1/256 the block of two logits has top eigenvalue 1/256 (direction (1, -1)); the rate is 2^-20."""
    module = Bowl()
    groups = [{"params": [module.w], "lr": 2.0**-20, "weight_decay": 0.0}]
    settings = TrainingSettings(steps=2, batch_size=4, context=4, optimizer="sgd", momentum=0.0, warmup=0.0)

    found = measure_sharpness(module, groups, corpus, settings, 0)

    assert found["converged"]
    assert found["sharpness"] == pytest.approx(2.0**-20 / 256, rel=0.01)


def test_attention_has_second_derivatives(corpus: Corpus) -> None:
    """Torch's fused attention has none on a CPU; the measurement writes it out."""
    module = gpt(32, 1)
    groups = [{"params": list(module.parameters()), "lr": 1e-3, "weight_decay": 0.0}]

    found = measure_sharpness(module, groups, corpus, TrainingSettings(3, 4, CONTEXT), 0)

    assert found["sharpness"] > 0


def test_training_that_blows_up_has_no_sharpness(corpus: Corpus) -> None:
    """None, and no products."""
    module = mlp(16, 2)
    groups = [{"params": list(module.parameters()), "lr": 1e30, "weight_decay": 0.0}]
    settings = TrainingSettings(5, 4, CONTEXT, optimizer="sgd")

    assert measure_sharpness(module, groups, corpus, settings, 0)["sharpness"] is None


def over_widths(name: str, corpus: Corpus, widths: tuple[int, ...] = (64, 128, 256, 512)) -> SharpnessReport:
    """MLPs after 40 steps of Adam at one base rate, three seeds."""
    runs = []
    base = Size(64, 2, 16, 1600)
    for width in widths:
        size = Size(width, 2, 16, 1600)
        table = Parameterization(name)
        rows = plan(table, base, size, read_module(mlp, base, size), VALUES, optimizer="adamw").rows
        for seed in range(3):
            module = mlp(width, 2)
            applied = AppliedPlan(rows)
            applied.init_(module, seed)
            settings = TrainingSettings(steps=40, batch_size=16, context=CONTEXT)
            found = measure_sharpness(module, applied.param_groups(module), corpus, settings, seed)
            runs.append({"size": {"width": width}, "seed": seed, **found})
    return judge_sharpness(runs, OPTIMIZERS.look_up("adamw").threshold({"beta1": 0.9}))


@pytest.mark.slow
def test_the_standard_parameterization_loses_its_room(corpus: Corpus) -> None:
    """Negative control, widths 128 to 1024: at one rate the standard one nears instability, muP does not."""
    standard, mup = (over_widths(name, corpus, (128, 512, 1024)) for name in ("standard", "mup"))

    assert standard.slope.estimate > 0.5
    assert abs(mup.slope.estimate) < 0.15
    assert [row.ratio < 1 for row in mup.rows] == [True, True, True]


def measured(values: list[list[float | None]]) -> list[dict[str, object]]:
    """Runs of seeds x widths 64, 128, ..."""
    return [
        {"size": {"width": 64 * 2**column}, "seed": seed, "sharpness": value, "converged": True}
        for seed, row in enumerate(values)
        for column, value in enumerate(row)
    ]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([[1.0, 1.01, 1.0], [1.02, 1.02, 1.021]], "HOLDS"),
        ([[1.0, 1.4, 2.0], [1.0, 1.41, 2.01]], "FAILS"),
        ([[1.0, 2.0, 1.0], [3.0, 1.0, 1.0]], "INCONCLUSIVE"),
    ],
)
def test_verdicts_on_sharpness(values: list[list[float | None]], verdict: str) -> None:
    """Band +-0.05 with the whole interval (super consistency, science.md section 3)."""
    report = judge_sharpness(measured(values), 2.0)

    assert report.verdict is RowVerdict(verdict)
    assert report.rows[-1].ratio == pytest.approx(report.rows[-1].sharpness / 2)


def test_a_width_that_diverged_is_named() -> None:
    """Nothing is judged, and the width is said."""
    report = judge_sharpness(measured([[1.0, None], [1.0, 1.0]]), 2.0)

    assert report.verdict is RowVerdict.INCONCLUSIVE
    assert "width 128" in report.sentence
    assert math.isnan(report.rows[1].sharpness)


@pytest.mark.parametrize("optimizer", ["lion", "muon", "adafactor", "adamh", "muonh"])
def test_an_optimizer_without_a_threshold_is_refused_before_anything_is_trained(optimizer: str) -> None:
    """Their steps are not a rate times an averaged gradient; the refusal names the optimizer and what to do."""
    of = recipe(training={"optimizer": optimizer})
    size = of.size(16, 2)
    facts = Facts(of, Path(), {}, "learning_rate", ("learning_rate",), size, {"width": (size,)}, (size,))

    with pytest.raises(UsageError, match=f"must have a source; received: {optimizer}") as caught:
        Sharpness().requests(facts)

    assert "check.diagnostics" in str(caught.value.findings[0].hint)
