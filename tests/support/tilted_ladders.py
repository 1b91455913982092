"""Ladders of runs whose seeds tilt their curves and whose noise is alike at neighbouring values; truth is exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.calibration_laws import BEND, LAWS
from hptransfer.statistics.seed_means import Point

Array = npt.NDArray[np.float64]
BY_NAME = {law.name: law for law in LAWS}
#: every size trains to a loss this fraction lower than the one before; seeds differ by this fraction
_GAIN, _OFFSET = 0.03, 0.003


@dataclass(frozen=True)
class Scene:
    """What ladders are drawn at random from.

    Attributes:
        law: name of a law of `calibration_laws`.
        seeds: number of runs for each value.
        noise: of one run, a fraction of its loss.
        tilt: standard deviation in octaves of what a seed displaces a parabola's optimum by.
        rho: correlation of a seed's noise from value to value (a first-order autoregression).
        rungs: sizes, each twice the one before.
        values: per size, half an octave apart.
        common: share of the tilt's variance that a seed's sizes have in common.
        drifts: one is drawn per ladder, octaves per doubling.
        tuned: standard deviation in octaves of the grid's middle about the smallest size's optimum; None: the grid
            lies at random about the middle of all optima.
    """

    law: str
    seeds: int
    noise: float = 0.003
    tilt: float = 0.0
    rho: float = 0.0
    rungs: int = 4
    values: int = 9
    common: float = 0.5
    drifts: Sequence[float] = (0.0, 0.1, -0.3)
    tuned: float | None = None


class Drawn(NamedTuple):
    """One ladder: runs per size, the value in the middle of the grid (log2), and the exact optima and drift."""

    groups: Mapping[int, Sequence[Point]]
    middle: float
    optima: tuple[float, ...]
    drift: float


def draw(scene: Scene, number: int) -> Drawn:
    """The ladder with this number; widths begin at 64."""
    law = BY_NAME[scene.law]
    rng = np.random.default_rng([number, 29])
    drift = float(scene.drifts[int(rng.integers(len(scene.drifts)))])
    centre = 0.0 if scene.tuned is not None else (scene.rungs - 1) / 2
    shifts = [drift * (rung - centre) for rung in range(scene.rungs)]
    # the law's shapes are given for four rungs
    rungs = [min(rung, 3) for rung in range(scene.rungs)]
    optima = tuple(law.optimum(rung) + shift for rung, shift in zip(rungs, shifts, strict=True))
    middle = optima[0] if scene.tuned is not None else (min(optima) + max(optima)) / 2
    middle += rng.uniform(-0.25, 0.25) if scene.tuned is None else scene.tuned * rng.standard_normal()
    x: Array = np.asarray(middle + 0.5 * (np.arange(scene.values) - (scene.values - 1) / 2), dtype=np.float64)
    together = rng.standard_normal(scene.seeds)
    groups = {}
    for level, (rung, shift) in enumerate(zip(rungs, shifts, strict=True)):
        points = []
        for seed in range(scene.seeds):
            expected = law.losses(x - shift, rung, 1_000 * number + seed)
            own = math.sqrt(scene.common) * together[seed] + math.sqrt(1 - scene.common) * rng.standard_normal()
            tilted = -2 * BEND * scene.tilt * own * (x - optima[level])
            rough = _OFFSET * rng.standard_normal() + scene.noise * _wandering(rng, scene.values, scene.rho)
            loss = (np.where(np.isfinite(expected), expected, 0.0) + tilted) * (1 - _GAIN * level) * (1 + rough)
            points += [
                Point(float(at), seed, float(value), diverged=not math.isfinite(planned))
                for at, value, planned in zip(x, loss, expected, strict=True)
            ]
        groups[64 * 2**level] = points
    return Drawn(groups, float(middle), optima, drift)


def _wandering(rng: np.random.Generator, n: int, rho: float) -> Array:
    """(n,) a stationary first-order autoregression of variance 1."""
    steps = rng.standard_normal(n)
    path = [float(steps[0])]
    for step in steps[1:]:
        path.append(rho * path[-1] + math.sqrt(1 - rho**2) * float(step))
    return np.array(path)
