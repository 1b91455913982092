"""Local exponents of batch size and tokens against exact SGD; distances from linearisation against published arrays."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hptransfer.diagnostics.linearization import judge_laziness, judge_linearisation
from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.statistics.slope import RowVerdict
from hptransfer.transfer.exponents import measure_exponents
from hptransfer.trials.trial import Trial, TrialState
from tests.support.oracles import IsotropicSgd
from tests.support.synthetic_ladders import ladder, moved

ARRAYS = Path(__file__).parents[1] / "data/completep_linearization"
DEPTHS = [2**k for k in range(1, 13)]


def sweep(batches: tuple[int, ...], noise: float = 0.001) -> list[Trial]:
    """O3 with d = 100 and 2 steps, on a grid of spacing 1/4 about each optimum, three seeds; loss 1 stays."""
    rng = np.random.default_rng(0)
    trials = []
    for batch in batches:
        oracle = IsotropicSgd(100, batch, 2)
        for k in range(-6, 4):
            rate = 2.0 ** (round(4 * math.log2(oracle.optimum)) / 4 + k / 4)
            loss = float(oracle.losses(np.array([rate]))[0])
            for seed in range(3):
                if loss < 2:
                    noisy = (1 + loss) * (1 + noise * rng.standard_normal())
                    trials.append(Trial(f"{batch}{k}{seed}", Size(1, 1, batch, 1), {"learning_rate": rate}, seed,
                                        TrialState.COMPLETE, float(noisy)))  # fmt: skip
    return trials


def exact(low: int, high: int) -> float:
    """The exponent between two batches from eta* = B / (B + d + 1) (O3)."""
    return math.log2((high / (high + 101)) / (low / (low + 101))) / math.log2(high / low)


def test_local_exponents_are_those_of_exact_sgd() -> None:
    """Between batches 32, 128 and 512 the exponents are 0.61 and 0.29: both intervals hold theirs."""
    found = measure_exponents(sweep((32, 128, 512)), axis="batch_size", hyperparameter="learning_rate")

    assert [(step.low, step.high) for step in found.local] == [(32, 128), (128, 512)]
    for step in found.local:
        assert step.exponent.contains(exact(step.low, step.high))
        assert step.exponent.high - step.exponent.low < 0.5


def test_no_rule_is_usable_where_the_exponent_changes() -> None:
    """From 0.95 (far below the noise scale) to 0.1 (far above): neither linear, square root nor constant."""
    found = measure_exponents(sweep((4, 64, 1024)), axis="batch_size", hyperparameter="learning_rate")

    assert found.constant is False
    assert found.usable == ()
    assert "no rule of thumb" in found.sentence


@pytest.mark.parametrize(("octaves", "rule"), [(0.0, "constant"), (0.5, "square root"), (1.0, "linear")])
def test_a_rule_is_usable_where_the_optimum_follows_it(octaves: float, rule: str) -> None:
    """Optima that move by 0, 1/2 or 1 octave per doubling of the batch: one rule each, and no other."""
    grid = [-12 + 0.5 * step for step in range(17)]
    trials = [
        replace(t, size=Size(64, 2, t.size.width, 64_000))
        for t in ladder([moved(octaves * k) for k in range(4)], xs=grid, noise=0.0005, seeds=3)
    ]
    found = measure_exponents(trials, axis="batch_size", hyperparameter="learning_rate")

    assert found.usable == (rule,)
    assert f"the {rule} rule is usable" in found.sentence


def test_the_exponent_of_the_horizon_is_that_of_a_noisy_quadratic() -> None:
    """O8: v <- (1 - rate)^2 v + rate^2 has its best constant rate at about ln(2T) / (2T): exponents -0.76 to -0.9.

    Neither constant, square root nor linear, and no rule is offered.
    """
    rng = np.random.default_rng(0)
    rates = np.exp2(np.arange(-56, 1) / 4)
    best, trials = {}, []
    for steps in (64, 512, 4096):

        def left(rate: np.ndarray, steps: int = steps) -> np.ndarray:
            keep = (1 - rate) ** 2
            return np.asarray(keep**steps + rate**2 * (1 - keep**steps) / (1 - keep))

        fine = np.exp2(np.arange(-14, 0, 0.001))
        best[steps] = float(np.log2(fine[left(fine).argmin()]))
        near = [k for k in range(len(rates)) if abs(math.log2(rates[k]) - best[steps]) <= 1.5 and rates[k] < 1]
        for k in near:
            # scaled so that the optimum of every horizon is as deep
            loss = 1 + float(left(rates[k : k + 1])[0] / left(fine).min())
            trials += [
                Trial(f"{steps}{k}{s}", Size(1, 1, 1, steps), {"learning_rate": float(rates[k])}, s,
                      TrialState.COMPLETE, loss * (1 + 0.001 * float(rng.standard_normal()))) for s in range(3)
            ]  # fmt: skip

    found = measure_exponents(trials, axis="tokens", hyperparameter="learning_rate")

    assert len(found.local) == len(best) - 1
    for step in found.local:
        exact = (best[int(step.high)] - best[int(step.low)]) / math.log2(step.high / step.low)
        assert -0.9 < exact < -0.76
        assert step.exponent.contains(exact)
    assert found.usable == ()


def test_the_linear_rule_is_usable_far_below_the_noise_scale() -> None:
    """Batches 1, 4, 16 with d = 10000: eta* is proportional to B to within 0.2%."""
    rng = np.random.default_rng(0)
    trials = []
    for batch in (1, 4, 16):
        oracle = IsotropicSgd(10_000, batch, 4000 // batch * 4)
        for k in range(-4, 3):
            rate = oracle.optimum * 2.0 ** (k / 2)
            loss = 1 + float(oracle.losses(np.array([rate]))[0])
            trials += [
                Trial(f"{batch}{k}{s}", Size(1, 1, batch, 1), {"learning_rate": rate}, s, TrialState.COMPLETE,
                      loss * (1 + 0.0005 * float(rng.standard_normal()))) for s in range(3) if loss < 3
            ]  # fmt: skip
    found = measure_exponents(trials, axis="batch_size", hyperparameter="learning_rate")

    assert found.usable == ("linear",)


def test_one_batch_size_has_no_exponent() -> None:
    """Two sizes at least."""
    with pytest.raises(UsageError):
        measure_exponents(sweep((64,)), axis="batch_size", hyperparameter="learning_rate")


@pytest.mark.parametrize(
    ("alpha", "slope", "verdict"), [("05", -0.454, RowVerdict.FAILS), ("1", -0.043, RowVerdict.HOLDS)]
)
def test_published_distances_from_linearisation(alpha: str, slope: float, verdict: RowVerdict) -> None:
    """CompleteP's arrays: alpha 1/2 is lazy (-0.454 +- 0.055), alpha 1 is not (-0.043 +- 0.042); science.md 1.3."""
    report = judge_laziness(np.load(ARRAYS / f"delta_hs_{alpha}.npy"), DEPTHS)

    assert report.slope.contains(slope)
    assert report.verdict is verdict


def test_training_that_blows_up_is_not_judged() -> None:
    """With alpha 0 deep networks are NaN: refused, not called lazy."""
    with pytest.raises(UsageError, match="must be finite"):
        judge_laziness(np.load(ARRAYS / "delta_hs_0.npy"), DEPTHS)


def test_two_seeds_settle_nothing_when_they_disagree() -> None:
    """One seed falls as L^-1/2, one stays: inconclusive."""
    depths = np.array([2, 4, 8, 16], dtype=float)

    assert judge_laziness(np.stack([depths**-0.5, depths**0.0]), [2, 4, 8, 16]).verdict is RowVerdict.INCONCLUSIVE


def test_a_depth_that_could_not_be_measured_is_named() -> None:
    """Blocks that blow up, or do not move, are no matter of laziness: open, and the depth is said."""
    runs = [
        {"size": {"depth": depth}, "seed": seed, "linearisation": {"a": 0.1, "b": None if depth == 8 else 0.1}}
        for depth in (2, 4, 8)
        for seed in (0, 1)
    ]

    report = judge_linearisation(runs)

    assert report.verdict is RowVerdict.INCONCLUSIVE
    assert "depth 8" in report.sentence
    assert not report.slope.bounded
