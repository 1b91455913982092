"""Synthetic tables of finished runs with known optima, for the tests of evidence and reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hptransfer.sizes import Size
from hptransfer.statistics.seed_means import Point
from hptransfer.trials.trial import Trial, TrialState

#: curvature of measured loss curves, nats per octave squared: 0.018 nats per squared natural log unit
BEND = 0.018 * math.log(2) ** 2
#: half-octave grid over two octaves to each side of 2^-8
GRID = tuple(-8 + 0.5 * step for step in range(-4, 5))


def parabola(x: float) -> float:
    """Loss 3 at its minimum, x = -8."""
    return 3 + BEND * (x + 8) ** 2


def moved(octaves: float, base: Callable[[float], float] = parabola) -> Callable[[float], float]:
    """The loss curve moved to larger values."""
    return lambda x: base(x - octaves)


def raised(nats: float, base: Callable[[float], float] = parabola) -> Callable[[float], float]:
    """The loss curve moved up."""
    return lambda x: base(x) + nats


def sweep(
    loss: Callable[[float], float],
    xs: Iterable[float] = GRID,
    *,
    seeds: int = 2,
    noise: float = 0.0,
    rng: int | np.random.Generator = 0,
) -> list[Point]:
    """Runs of one size; each seed has its own luck common to all values, and `noise` (a fraction) on top."""
    generator = np.random.default_rng(rng)
    luck = 0.003 * generator.standard_normal(seeds)
    points = []
    for x in xs:
        for seed in range(seeds):
            value = loss(x) * (1 + luck[seed] + noise * generator.standard_normal())
            points.append(Point(x, seed, value if math.isfinite(value) else math.inf, not math.isfinite(value)))
    return points


def ladder(
    losses: Sequence[Callable[[float], float]],
    widths: Sequence[int] = (64, 128, 256, 512),
    xs: Iterable[float] = GRID,
    *,
    seeds: int = 2,
    noise: float = 0.0,
    rng: int = 0,
    name: str = "learning_rate",
    gain: float = 0.1,
) -> list[Trial]:
    """Trials over widths; each larger width trains to a loss lower by `gain` nats."""
    generator, grid = np.random.default_rng(rng), tuple(xs)
    return [
        trial(2.0**p.x, p.loss - gain * step if not p.diverged else math.inf, width=width, seed=p.seed, name=name)
        for step, (loss, width) in enumerate(zip(losses, widths, strict=True))
        for p in sweep(loss, grid, seeds=seeds, noise=noise, rng=generator)
    ]


def trial(
    value: float, loss: float, *, width: int = 64, depth: int = 2, seed: int = 0, name: str = "learning_rate"
) -> Trial:
    """One finished run; an infinite loss is a divergence."""
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    key = f"{width}-{depth}-{value!r}-{seed}"
    return Trial(key, Size(width, depth, 64, 64_000), {name: value}, seed, state, loss)
