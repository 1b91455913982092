"""Do hyperparameters interact? The cross-curvature of a quadratic fitted to a joint search around its optimum.

Slices of one hyperparameter each, through one tuned point, see whether the point is the optimum along every axis, and
so whether it is stationary. How far the joint optimum can then be is another matter: with curvatures H, slices that
miss by d octaves leave it H^-1 diag(H) d away, for two hyperparameters up to d / (1 - |r|) with
r = H_ij / sqrt(H_ii H_jj). And the slice of one moves by -H_ij / H_ii octaves per octave of the other, wherever the
other's own optimum moves. Beyond |r| = 1/2 the joint optimum may be more than twice as far as the slices say.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from hptransfer.artifacts.json_data import to_document
from hptransfer.diagnostics.base import Diagnostic, Facts, Line, Stage
from hptransfer.hyperparameters import log_name
from hptransfer.search.space import Space
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.slices import on_slice

#: |correlation| from which a slice alone can mislead: the joint optimum is then up to twice as far away
STRONG_FROM = 0.5
#: the quadratic is trusted to this share of a run's loss above the best: curvature changes with the distance
_MISFIT = 0.3
#: and never to less than this share of the best loss
_FLOOR = 1e-3
#: octaves^2; a product of two displacements below it tells nothing of their interaction
_SMALL_PRODUCT = 0.25
#: runs with larger products that a cross term needs
_FEWEST_CROSSED = 3
_DRAWS = 4000
_OPEN = Interval(0.0, -math.inf, math.inf)


class Strength(StrEnum):
    """What is known of an interaction; each member is the word users see."""

    WEAK = "weak"
    STRONG = "strong"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two hyperparameters around the tuned point.

    Attributes:
        first, second: names of the two, as octaves are counted of them.
        correlation: cross-curvature over the root of the product of the curvatures, in [-1, 1]; open where no run
            varies both.
        first_per_second: octaves by which the optimum of `first` moves per octave of `second`.
        second_per_first: the other way round.
        strength: of |correlation| against `STRONG_FROM`, with its whole interval.
        runs: finite runs behind it.
    """

    first: str
    second: str
    correlation: Interval
    first_per_second: Interval
    second_per_first: Interval
    strength: Strength
    runs: int

    @property
    def sentence(self) -> str:
        """What a reader of slices must know."""
        pair = f"{self.first} and {self.second}"
        if not self.correlation.bounded:
            return f"whether {pair} interact is not known: too few of {self.runs} runs vary both"
        moves = (
            f"the optimum of {self.first} moves by {_signed(self.first_per_second)} octaves per octave of "
            f"{self.second}, that of {self.second} by {_signed(self.second_per_first)} per octave of {self.first}"
        )
        match self.strength:
            case Strength.STRONG:
                return f"{pair} interact: {moves}; slices of one alone can mislead"
            case Strength.WEAK:
                return f"{pair} interact weakly: {moves}"
        return f"whether {pair} interact is undecided: {moves}"


def find_interactions(
    names: Sequence[str],
    points: Array,
    losses: Array,
    centre: Array,
    *,
    seeds: Sequence[int] | None = None,
    reported: Collection[str] | None = None,
) -> tuple[Interaction, ...]:
    """Every pair of hyperparameters, in the order of `names`; the order of the runs does not matter.

    Args:
        names: of the d hyperparameters, in the order of the columns.
        points: (n, d) coordinates of the n runs, octaves.
        losses: (n,) final loss of each run, nats; infinite where diverged, which is left out.
        centre: (d,) the tuned point, octaves; runs far above its loss count less.
        seeds: of the runs; offsets of a seed that are common to all its runs are removed. None: one seed.
        reported: names to report pairs of; the others are accounted for only. Default: all.
    """
    finite = np.isfinite(losses)
    order = np.lexsort((*np.asarray(points)[finite].T, losses[finite]))
    z, y = (points[finite] - centre)[order], losses[finite][order]
    of = np.zeros(len(y), dtype=int) if seeds is None else np.asarray(seeds)[finite][order]
    pairs = list(combinations(range(len(names)), 2))
    crossed = [pair for pair in pairs if _crossings(z, pair) >= _FEWEST_CROSSED]
    draws = _curvature_draws(z, y, of, crossed) if crossed else None
    wanted = set(names if reported is None else reported)
    return tuple(
        _interaction(names, pair, draws, len(y)) for pair in pairs if {names[pair[0]], names[pair[1]]} <= wanted
    )


def _crossings(z: Array, pair: tuple[int, int]) -> int:
    return int((np.abs(z[:, pair[0]] * z[:, pair[1]]) > _SMALL_PRODUCT).sum())


@dataclass(frozen=True, slots=True)
class _Draws:
    """Draws of the curvatures; the first is the estimate."""

    own: Array  # (draws, d)
    cross: dict[tuple[int, int], Array]  # (draws,) each


def _curvature_draws(z: Array, y: Array, seeds: npt.NDArray[np.int_], crossed: list[tuple[int, int]]) -> _Draws | None:
    """Draws of second derivatives by weighted least squares; None with too few runs for the quadratic."""
    d = z.shape[1]
    offsets = [(seeds == seed).astype(float) for seed in np.unique(seeds)]
    columns = [*offsets, *z.T, *(0.5 * z.T**2), *(z[:, i] * z[:, j] for i, j in crossed)]
    design = np.stack(columns, axis=1)
    n, p = design.shape
    if n < p + 2:
        return None
    best = float(y.min())
    weight = 1.0 / np.hypot(_FLOOR * abs(best), _MISFIT * (y - best))
    scaled, target = design * weight[:, None], y * weight
    if np.linalg.matrix_rank(scaled) < p:
        return None
    inverse = np.linalg.inv(scaled.T @ scaled)
    fit = inverse @ scaled.T @ target
    # weights are not variances, and misfit differs from run to run: the sandwich HC3 (MacKinnon and White, 1985)
    leverage = np.einsum("ni,ij,nj->n", scaled, inverse, scaled)
    residual = (target - scaled @ fit) / np.maximum(1.0 - leverage, 1e-3)
    root = inverse @ scaled.T * residual
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((_DRAWS, n)) @ root.T
    spread *= np.sqrt((n - p) / rng.chisquare(n - p, _DRAWS))[:, None]
    drawn = np.concatenate([fit[None], fit + spread])
    own = len(offsets) + d
    return _Draws(
        own=drawn[:, own : own + d],
        cross={pair: drawn[:, own + d + index] for index, pair in enumerate(crossed)},
    )


def _interaction(names: Sequence[str], pair: tuple[int, int], draws: _Draws | None, runs: int) -> Interaction:
    first, second = (names[index] for index in pair)
    if draws is None or pair not in draws.cross:
        return Interaction(first, second, _OPEN, _OPEN, _OPEN, Strength.UNKNOWN, runs)
    one, other, cross = draws.own[:, pair[0]], draws.own[:, pair[1]], draws.cross[pair]
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.where((one > 0) & (other > 0), one * other, np.nan))
        correlation = _interval(np.clip(cross / root, -1, 1), limit=1.0)
        first_per_second = _interval(np.where(one > 0, -cross / one, np.nan), limit=math.inf)
        second_per_first = _interval(np.where(other > 0, -cross / other, np.nan), limit=math.inf)
    return Interaction(first, second, correlation, first_per_second, second_per_first, _strength(correlation), runs)


def _interval(draws: Array, *, limit: float) -> Interval:
    """The estimate with its 95% interval; draws without a minimum could lie anywhere, and open both ends."""
    undefined = np.isnan(draws)
    if undefined[0]:
        return Interval(0.0, -limit, limit)
    rest = draws[~undefined]
    estimate = float(draws[0])
    if undefined.mean() > 0.025:
        return Interval(estimate, -limit, limit)
    low, high = (float(end) for end in np.quantile(rest, (0.025, 0.975)))
    return Interval(estimate, min(low, estimate), max(high, estimate))


def _strength(correlation: Interval) -> Strength:
    if correlation.inside(STRONG_FROM):
        return Strength.WEAK
    return Strength.STRONG if correlation.outside(STRONG_FROM) else Strength.UNKNOWN


def _signed(value: Interval) -> str:
    if not value.bounded:
        return f"{value.estimate:+.2f} (open)"
    return f"{value.estimate:+.2f} ({value.low:+.2f} to {value.high:+.2f})"


class Interactions(Diagnostic[tuple[Interaction, ...]]):
    """Every pair of searched hyperparameters on a log scale, from the search at the proxy, around the tuned point."""

    always = True
    stage = Stage.WITH_VERDICT

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> tuple[Interaction, ...]:
        """The pairs; none with one searched hyperparameter."""
        recipe = facts.recipe
        space = Space.of(dict(recipe.tune.space.items()), recipe.check.spacing)
        held = {name: value for name, value in facts.values.items() if name not in space.names}
        trials = on_slice(facts.searched, held)
        if len(space) < 2 or not trials:
            return ()
        return find_interactions(
            [log_name(name) if axis.log else name for name, axis in zip(space.names, space, strict=True)],
            np.array([space.point(trial.hyperparameters) for trial in trials]),
            np.array([trial.loss for trial in trials]),
            np.array(space.point(facts.values)),
            seeds=[trial.seed for trial in trials],
            reported=[log_name(axis.name) for axis in space if axis.log],
        )

    def show(self, report: tuple[Interaction, ...]) -> Iterator[Line]:
        """One sentence per pair; nothing where one hyperparameter was searched."""
        if not report:
            return
        yield Line("interactions at the proxy, from the search", "bold")
        for pair in report:
            yield Line(pair.sentence, "yellow" if pair.strength is Strength.STRONG else "", wraps=False)
        yield Line("")

    def document(self, report: tuple[Interaction, ...]) -> list[dict[str, Any]]:
        """The pairs, each with its sentence."""
        return [to_document(pair) | {"sentence": pair.sentence} for pair in report]

    def limits(self, report: tuple[Interaction, ...], axis: AxisReport, facts: Facts) -> tuple[str, ...]:
        """Strong interactions of the axis's hyperparameter with one that was tuned and not checked."""
        checked = {log_name(name) for name in facts.checked}
        return tuple(
            f"{other} was tuned too but not checked; {pair.sentence}."
            for pair in report
            for name, other in ((pair.first, pair.second), (pair.second, pair.first))
            if name == axis.hyperparameter and other not in checked and pair.strength is Strength.STRONG
        )


DIAGNOSTIC = Interactions()
