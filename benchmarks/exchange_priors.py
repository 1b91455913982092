"""What ladders let expect of the law of another ladder's best losses: `python -m benchmarks.exchange_priors`.

The best losses of each ladder in tests/data/ladders, with the errors of their curves and what seeds do to single sizes,
are level - drop * h along log2 compute (hptransfer/statistics/exchange.py). Printed is the marginal likelihood of the
exponent, ladder by ladder; then, over all ladders, of centre and spread of the exponents, of the scatter about the law
and of how far gains wander off it; then, with published exponents as further ladders, what is to be expected of another
one: every distribution weighted by how likely the ladders are under it.

The likelihood is written out here: nothing of the law in hptransfer/statistics/exchange.py is used.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.every_ladder import Stored, stored_ladders
from hptransfer.transfer.cost import what_grows
from hptransfer.transfer.evidence import MeasuredLadder

Array = npt.NDArray[np.float64]

EXPONENTS = np.arange(-4, 61) / 20
SCATTERS = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
WANDERS = (0.0, 0.1, 0.2, 0.4, 0.8)
#: of compute or of what compute is in proportion to: Kaplan et al. (2001.08361) for compute, parameters and data;
#: Hoffmann et al. (2203.15556) for parameters and data as fitted anew by Besiroglu et al. (2404.10102)
PUBLISHED = (0.050, 0.076, 0.095, 0.348, 0.366)
#: of the spreads that are tried
CENTRES, SPREADS = np.arange(-0.1, 1.01, 0.05), np.geomspace(0.03, 0.8, 14)
#: the same runs under another name
_TWICE = ("command-plain",)


class Ladder(NamedTuple):
    """Best losses along log2 of what grows, with their errors.

    Attributes:
        name: of its file, and its axis.
        at: (K,) log2 of what grows, the first 0.
        best: (K,) best losses over their range.
        error: (levels, K, K) their covariances, by level of what seeds do to single sizes.
    """

    name: str
    at: Array
    best: Array
    error: Array


def measured(stored: Stored) -> Ladder | None:
    """What the judge knows of a ladder's best losses; None where fewer than three sizes have a curve."""
    ladder = MeasuredLadder.of(stored.groups, stored.axis, math.log2(stored.transferred))
    drawn = [each.loss for each in ladder.drawn if each is not None]
    at, _ = what_grows(stored.groups, stored.axis, None)
    if len(drawn) < max(3, len(at)) or ladder.effects is None:
        return None
    losses = np.stack(drawn)
    best = np.median(losses, axis=1)
    size = float(np.ptp(best))
    own = np.array([np.diag(spread**2) for spread in ladder.effects.spread])
    return Ladder(f"{stored.name}, {stored.axis}", at - at[0], best / size, (np.cov(losses) + own) / size**2)


def risen(at: Array, exponent: float) -> Array:
    """Share of the drop at each place, from 0 to 1."""
    h = at if abs(exponent) < 1e-9 else -np.expm1(-exponent * math.log(2) * at) / exponent
    return np.asarray(h / h[-1])


def log_likelihood(ladder: Ladder, exponent: float, scatter: float, wander: float) -> float:
    """Restricted likelihood of the best losses, level and drop being free; effects of seeds are averaged over."""
    rise = risen(ladder.at, exponent)
    early, late = np.minimum(rise[:, None], rise), np.maximum(rise[:, None], rise)
    wandering = early**2 * (3 * late - early) / 6
    total = ladder.error + scatter**2 * np.eye(len(rise)) + wander**2 * wandering
    design = np.stack([np.ones_like(rise), -rise], axis=1)
    inverse = np.linalg.inv(total)
    gram = design.T @ inverse @ design
    fit = np.linalg.solve(gram, (design.T @ inverse @ ladder.best)[..., None])
    left = ladder.best - (design @ fit)[..., 0]
    misfit = np.einsum("li,lij,lj->l", left, inverse, left)
    each = -0.5 * (np.linalg.slogdet(total)[1] + np.linalg.slogdet(gram)[1] + misfit)
    return float(np.logaddexp.reduce(each) - math.log(len(each)))


def normal(centre: float, spread: float) -> Array:
    """Log probabilities of the `EXPONENTS`."""
    score = -0.5 * ((EXPONENTS - centre) / spread) ** 2
    return np.asarray(score - np.logaddexp.reduce(score))


def half(at: tuple[float, ...], spread: float) -> Array:
    """Log probabilities of standard deviations at least 0, normal about 0."""
    score = -0.5 * (np.array(at) / spread) ** 2 + np.log(np.gradient(np.array(at)))
    return np.asarray(score - np.logaddexp.reduce(score))


def total(scores: Array, exponent: Array, scatter: Array, wander: Array) -> float:
    """Log likelihood of all ladders under log probabilities of what their laws are like.

    Args:
        scores: (ladders, EXPONENTS, SCATTERS, WANDERS) log likelihood of each.
        exponent: log weights of the exponents, one per node.
        scatter: log weights of the scatters, one per node.
        wander: log weights of the wanders, one per node.
    """
    joint = scores + exponent[:, None, None] + scatter[:, None] + wander
    return float(np.logaddexp.reduce(joint.reshape(len(scores), -1), axis=1).sum())


def print_exponents(name: str, table: Array) -> None:
    """What is most likely, and what is to be expected of another ladder.

    Args:
        name: of what the table comes from.
        table: (CENTRES, SPREADS) log likelihood.
    """
    i, j = np.unravel_index(table.argmax(), table.shape)
    density = np.zeros(len(EXPONENTS))
    for (a, centre), (b, spread) in product(enumerate(CENTRES.tolist()), enumerate(SPREADS.tolist())):
        density += np.exp(table[a, b] - table.max() + normal(centre, spread))
    below = np.cumsum(density) / density.sum()
    ends = ", ".join(f"{float(np.interp(q, below, EXPONENTS)):.2f}" for q in (0.025, 0.16, 0.5, 0.84, 0.975))
    print(
        f"exponents, {name}: most likely {CENTRES[i]:.2f} within {SPREADS[j]:.2f}; "
        f"of another ladder, quantiles 2.5, 16, 50, 84 and 97.5%: {ends}"
    )


def main() -> None:
    """Print the tables."""
    stored = [each for each in stored_ladders() if each.name not in _TWICE]
    ladders = [found for each in stored if (found := measured(each)) is not None]
    scores = np.array(
        [
            [[[log_likelihood(each, e, s, w) for w in WANDERS] for s in SCATTERS] for e in EXPONENTS.tolist()]
            for each in ladders
        ]
    )
    shown = [int(np.abs(EXPONENTS - e).argmin()) for e in (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)]
    print("Log likelihood of the exponent, against the best:\n")
    print("| ladder | " + " | ".join(f"{EXPONENTS[i]:.1f}" for i in shown) + " |")
    print("|---|" + "--:|" * len(shown))
    for ladder, score in zip(ladders, scores, strict=True):
        alone = np.logaddexp.reduce(score.reshape(len(EXPONENTS), -1), axis=1)
        print(f"| {ladder.name} | " + " | ".join(f"{alone[i] - alone.max():.1f}" for i in shown) + " |")

    usual, scatter, wander = normal(0.4, 0.2), half(SCATTERS, 0.02), half(WANDERS, 0.2)
    print("\nOver all ladders, against the best of the row: the spread of the scatter, of the wandering")
    spreads = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08)
    print_spreads("scatter", spreads, [total(scores, usual, half(SCATTERS, each), wander) for each in spreads])
    spreads = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8)
    print_spreads("wander", spreads, [total(scores, usual, scatter, half(WANDERS, each)) for each in spreads])
    table = np.array(
        [[total(scores, normal(c, s), scatter, wander) for s in SPREADS.tolist()] for c in CENTRES.tolist()]
    )
    print_exponents("ladders alone", table)
    step = float(EXPONENTS[1] - EXPONENTS[0])
    for at in PUBLISHED:
        away = (at - CENTRES[:, None]) / SPREADS
        table += -0.5 * away**2 - np.log(SPREADS * math.sqrt(2 * math.pi) / step)
    print_exponents("with published ones", table)


def print_spreads(name: str, spreads: tuple[float, ...], scores: list[float]) -> None:
    """One row.

    Args:
        name: what the table calls the quantity that is spread.
        spreads: standard deviations that were tried, positive.
        scores: log likelihood of all ladders under each.
    """
    each = zip(spreads, scores, strict=True)
    print(f"{name}: " + ", ".join(f"{spread:g}: {score - max(scores):.1f}" for spread, score in each))


if __name__ == "__main__":
    main()
