"""Sizes of activations, as mup's `get_coord_data` records them, as a power of width.

They show less than changes do: what grows is wrong, what learns less the wider it is stays hidden behind its random
start. Logits of a random readout fall as width^-1/2 under muP while what is learned stays, so everything between is
right for them (Yang et al., arXiv 2203.03466, appendix D.1).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hptransfer.diagnostics._coordinate_report import CoordinateReport
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, worst
from hptransfer.errors import UsageError
from hptransfer.statistics.slope import RowVerdict, fit_slope, unevenness_of

#: power of width by which the logits of a random readout fall under muP
_RANDOM_LOGITS = -0.5


@dataclass(frozen=True, slots=True)
class ActivationSize:
    """How large one layer's output is in one run.

    Attributes:
        width: the model's, at least 1.
        seed: of init and data.
        step: optimizer steps taken before, from 0.
        layer: name of the module.
        value: mean absolute value, or RMS, of the output's entries; nan where it is not finite.
    """

    width: int
    seed: int
    step: int
    layer: str
    value: float


def judge_values(values: Sequence[ActivationSize], logits: Collection[str], *, tolerance: float) -> CoordinateReport:
    """Fit the slope of every layer's size against width, per step, and hold it against the tolerance.

    Args:
        values: every (width, seed, step, layer) once, in any order; layers that are zero at all widths, as behind a
            readout that starts at zero, are left out at that step.
        logits: names of layers that are logits.
        tolerance: what |slope| + 1.96 standard errors may be beyond what theory gives, positive.

    Raises:
        UsageError: fewer than two widths, fewer than two seeds, or a missing combination.
    """
    sizes, seeds = (sorted({getattr(each, field) for each in values}) for field in ("width", "seed"))
    if len(sizes) < 2 or len(seeds) < 2:
        raise UsageError(
            "a coordinate check needs at least two sizes and two seeds",
            received=f"{len(sizes)} sizes, {len(seeds)} seeds",
        )
    order = {layer: place for place, layer in enumerate(dict.fromkeys(each.layer for each in values))}
    ordered = sorted(values, key=lambda each: (order[each.layer], each.step, each.seed, each.width))
    tables = {}
    for key, members in groupby(ordered, key=lambda each: (each.layer, each.step)):
        group = list(members)
        if [(each.seed, each.width) for each in group] != [(seed, size) for seed in seeds for size in sizes]:
            raise UsageError(
                "every layer must be measured once at every width and seed",
                received=f"{len(group)} rows of {key[0]} after {key[1]} steps, "
                f"expected {len(sizes)} widths x {len(seeds)} seeds",
            )
        table = np.array([each.value for each in group]).reshape(len(seeds), len(sizes))
        if table.any():
            tables[key] = table
    log_size = np.log2(np.array(sizes, dtype=float))
    uneven = unevenness_of(tables.values(), log_size)
    rows = []
    for (layer, step), table in tables.items():
        low = _RANDOM_LOGITS if layer in logits else 0.0
        slope = fit_slope(table, log_size, uneven)
        verdict = slope.within(low - tolerance, tolerance)
        kind = "logits" if layer in logits else "layer"
        rows.append(
            CoordinateRow(
                layer,
                kind,
                step,
                slope.estimate,
                slope.standard_error,
                slope.largest_pair,
                slope.asymptotic,
                judged=True,
                verdict=verdict,
                allowed=(low, 0.0),
            )
        )
    found = {row.verdict for row in rows}
    verdict = next((each for each in (RowVerdict.FAILS, RowVerdict.INCONCLUSIVE) if each in found), RowVerdict.HOLDS)
    verdict = verdict if rows else RowVerdict.INCONCLUSIVE
    sentence = _sentence(rows, verdict)
    return CoordinateReport(
        "width", tuple(sizes), len(seeds), tolerance, tuple(rows), verdict, sentence, quantity="value"
    )


def _sentence(rows: Sequence[CoordinateRow], verdict: RowVerdict) -> str:
    scope = "a layer that learns less the wider it is would look the same: `hptransfer.watch` measures changes"
    if verdict is RowVerdict.HOLDS:
        return f"HOLDS: no layer grows or falls with width beyond the tolerance, logits fall by 1/2 at most; {scope}."
    wrong = [row for row in rows if row.verdict is verdict]
    if verdict is RowVerdict.INCONCLUSIVE:
        named = worst(wrong) or "any layer"
        return f"INCONCLUSIVE: seeds or widths are too few to tell for {named}; more of them would tell."
    infinite = sorted({row.layer for row in wrong if math.isnan(row.slope)})
    if infinite:
        some = ", ".join(infinite[:4]) + (f" and {len(infinite) - 4} more" if len(infinite) > 4 else "")
        return f"FAILS: zero, or not finite, at some of the widths: {some}."
    early = [row for row in wrong if row.step == 0]
    if early:
        return f"FAILS: before the first step activations depend on width in {worst(early)}: the init is not scaled."
    return f"FAILS: with training activations depend on width in {worst(wrong)}: learning rates are not scaled."
