"""From measured powers of size to the parameter group that is wrong and the multiplier that would repair it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hptransfer.diagnostics._coordinate_rows import CoordinateRow
from hptransfer.diagnostics._update_scaling import Axis, ParameterRow
from hptransfer.statistics.slope import RowVerdict

#: rules are powers of 1/2 and 1: a deviation below half of the smaller one is no missing rule
_LEAST = 0.25
#: eps matters where it takes this share of Adam's first step, and the more the larger the model
_LEAST_KEPT = 0.9
_LAYER = re.compile(r"\.\d+(?=\.)")
_MOST_NAMES = 4


class Cause(StrEnum):
    """What is scaled wrongly."""

    LEARNING_RATE = "learning rate"
    INIT = "init"
    MULTIPLIER = "multiplier"
    FAN_IN = "fan-in axis"
    EPS = "eps"
    WEIGHT_DECAY = "weight decay"
    RESIDUAL = "residual multiplier"
    ATTENTION = "attention scale"
    TIED = "tied weights"
    FORWARD = "number in forward"
    NORM = "norm behind a residual writer"
    SIZE = "size that moves"


@dataclass(frozen=True, slots=True)
class Fault:
    """One group of parameters that scales wrongly.

    Attributes:
        group: what users call it: a whole kind ("hidden weights") or the names of its parameters.
        parameters: names, layers collapsed to `*` where all of them are meant.
        cause: what is scaled wrongly.
        power: measured power of size minus the right one.
        repair: what to multiply what with.
        sentence: the fault and its repair in words.
    """

    group: str
    parameters: tuple[str, ...]
    cause: Cause
    power: float
    repair: str
    sentence: str


def diagnose(parameters: Sequence[ParameterRow], layers: Sequence[CoordinateRow], axis: Axis) -> tuple[Fault, ...]:
    """Name what is wrong; nothing where every parameter follows its rule.

    Only clear deviations count: the row fails its band and is off by a quarter or more, half of the smallest power that
    rules use. Sizes of updates decide, because they show a parameter's own mistake; activations inherit those of all
    layers before. Attention logits and tied weights are the two mistakes that no update shows.

    Args:
        parameters: powers of size of every parameter, as `parameter_rows` fits them.
        layers: judged rows of the same check, for attention and logits.
        axis: along which sizes differ.
    """
    tied = list(_tied(parameters, layers, axis))
    # a saturated softmax leaves tiny gradients on a tied table: that is the tie's doing, not eps's
    faults = [*_eps([row for row in parameters if not (tied and row.shared)], axis)]
    starved = {name for fault in faults for name in fault.parameters}
    healthy = [row for row in parameters if _pattern(row.name) not in starved]
    residual = _residual(healthy) if axis == "depth" else None
    faults += [residual] if residual else _scaled(healthy, axis)
    faults += _decay(parameters, axis)
    hidden_at_fault = any(row.verdict is RowVerdict.FAILS and _off(row) for row in parameters)
    if not hidden_at_fault and axis == "width":
        faults += _attention(layers)
    return (*tied, *faults)


def _off(row: ParameterRow) -> bool:
    """Whether the update misses its power by that of a rule."""
    return row.verdict is RowVerdict.FAILS and abs(row.update.estimate - row.expected_update) >= _LEAST


def _init_off(row: ParameterRow) -> bool:
    excess = row.initial.estimate - row.expected_initial
    if math.isnan(excess) or row.initial.against(row.expected_initial, _LEAST / 2) is not RowVerdict.FAILS:
        return False
    return excess >= _LEAST or (excess <= -_LEAST and row.place != "readout")  # a readout may start smaller, or at zero


def _scaled(rows: Sequence[ParameterRow], axis: Axis) -> list[Fault]:
    """Learning rates, inits, or both where one multiplier or a wrong axis explains both."""
    found: dict[tuple[str, Cause, float, float], list[ParameterRow]] = {}
    for row in rows:
        rate = _halves(row.update.estimate - row.expected_update) if _off(row) else 0.0
        init = _halves(row.initial.estimate - row.expected_initial) if _init_off(row) else 0.0
        if rate or init:
            found.setdefault((row.place, _cause(row.place, rate, init), rate, init), []).append(row)
    return [_scale_fault(key, wrong, rows, axis) for key, wrong in found.items()]


def _cause(place: str, rate: float, init: float) -> Cause:
    if place == "input weight" and rate <= -0.5 and init <= -0.5:
        return Cause.FAN_IN  # scaled as if its fan-in grew
    if place == "readout" and rate >= 0.5 and init >= 1.0:
        return Cause.FAN_IN  # scaled as if its fan-in did not grow
    if rate and init:
        return Cause.MULTIPLIER
    return Cause.LEARNING_RATE if rate else Cause.INIT


def _scale_fault(
    key: tuple[str, Cause, float, float], wrong: Sequence[ParameterRow], rows: Sequence[ParameterRow], axis: Axis
) -> Fault:
    place, cause, rate, init = key
    group, names = _named(place, wrong, rows)
    mult = f"{axis}_mult"
    parts, repairs = [], []
    if rate:
        measured = _mean(row.update.estimate for row in wrong)
        parts.append(f"update grows as {axis}^{measured:+.2f}, should be {axis}^{wrong[0].expected_update:+.2g}")
        repairs.append(f"learning rate by {_factor(-rate, mult)}")
    if init:
        measured = _mean(row.initial.estimate for row in wrong)
        parts.append(f"init std grows as {axis}^{measured:+.2f}, should be {axis}^{wrong[0].expected_initial:+.2g}")
        repairs.append(f"init std by {_factor(-init, mult)}")
    why = ""
    if cause is Cause.FAN_IN:
        constant = place == "input weight"
        why = f"its fan-in {'does not grow' if constant else 'grows'} with {axis}, and it is scaled as if it did"
        why += "; " if constant else " not; "
    repair = "multiply its " + " and its ".join(repairs)
    return Fault(group, names, cause, rate or init, repair, f"{group}: {why}{'; '.join(parts)}: {repair}")


def _eps(rows: Sequence[ParameterRow], axis: Axis) -> Iterator[Fault]:
    """Groups whose Adam steps eps takes away, the more the larger the model."""
    wrong = [
        row
        for row in rows
        if row.kept is not None and row.kept[1] < _LEAST_KEPT and row.kept[1] < _LEAST_KEPT * row.kept[0]
    ]
    if not wrong:
        return
    worst = min(wrong, key=lambda row: row.kept[1] if row.kept else 1.0)
    assert worst.kept is not None  # noqa: S101  # filtered above; for the type checker
    names = _patterns(wrong)
    group = f"most parameters ({_some(names)})" if 2 * len(wrong) > len(rows) else _some(names)
    repair = f"multiply eps by 1/{axis}_mult, or lower it"
    sentence = (
        f"{group}: eps is not small against the gradients and takes {1 - worst.kept[1]:.0%} of Adam's first step at "
        f"the largest {axis}, {1 - worst.kept[0]:.0%} at the smallest ({_pattern(worst.name)}): {repair}"
    )
    yield Fault(group, names, Cause.EPS, worst.update.estimate, repair, sentence)


def _decay(rows: Sequence[ParameterRow], axis: Axis) -> Iterator[Fault]:
    """Groups whose decay per step changes with width; depth rules with alpha below 1 do so by design."""
    if axis == "depth":
        return
    alike: dict[tuple[str, float], list[ParameterRow]] = {}
    for row in rows:
        if abs(row.decay) >= _LEAST:
            alike.setdefault((row.place, _halves(row.decay)), []).append(row)
    for (place, power), wrong in alike.items():
        group, names = _named(place, wrong, rows)
        repair = f"multiply its weight decay by {_factor(-power, f'{axis}_mult')}"
        sentence = (
            f"{group}: the decay per step, learning_rate * weight_decay, goes as "
            f"{axis}^{_mean(row.decay for row in wrong):+.2f} because it is coupled to a scaled learning rate: {repair}"
        )
        yield Fault(group, names, Cause.WEIGHT_DECAY, power, repair, sentence)


def _residual(rows: Sequence[ParameterRow]) -> Fault | None:
    """Branches that neither start nor move the smaller the more of them there are."""
    writers = [row for row in rows if row.writes_residual]
    wrong = [row for row in writers if _off(row) and not row.initial.estimate <= -_LEAST]
    if not wrong:
        return None
    measured = _mean(row.update.estimate for row in wrong)
    repair = "multiply each residual branch by 1/depth_mult (in the gauge `plain`: init std and learning rate of these)"
    names = _patterns(wrong)
    sentence = (
        f"{_some(names)}: what they add to the residual stream goes as depth^{measured:+.2f} per block and the blocks "
        f"add up, should be depth^-1: {repair}"
    )
    return Fault(_some(names), names, Cause.RESIDUAL, measured + 1, repair, sentence)


def _attention(layers: Sequence[CoordinateRow]) -> Iterator[Fault]:
    """Heads that grow and are divided by too little.

    Queries and keys align in training, so their product grows as the head; while heads are small, the product of
    random vectors hides that in the logits' change, but not in the scale that was used.
    """
    growing = [row for row in layers if row.kind == "attention" and row.summed >= _LEAST]
    if not growing:
        return
    worst = max(growing, key=lambda row: row.summed)
    names = tuple(dict.fromkeys(row.layer for row in growing))
    repair = (
        "divide attention logits by head_dim instead of sqrt(head_dim): multiply them by sqrt(base_head_dim / head_dim)"
    )
    sentence = (
        f"attention logits: heads grow, and scale x head_dim, what aligned queries and keys add up to, grows as "
        f"width^{worst.summed:+.2f} although they move as they should: {repair}"
    )
    yield Fault("attention logits", names, Cause.ATTENTION, worst.summed, repair, sentence)


def _tied(rows: Sequence[ParameterRow], layers: Sequence[CoordinateRow], axis: Axis) -> Iterator[Fault]:
    shared = [row for row in rows if row.shared]
    growing = [r for r in layers if r.kind == "logits" and r.verdict is RowVerdict.FAILS and r.slope > 0]
    if not shared or not growing:
        return
    worst = max(growing, key=lambda row: row.slope)
    names = (shared[0].name, *shared[0].shared)
    group = " = ".join(names)
    repair = f"multiply the logits by 1/{axis}_mult in `forward`, or untie the weights"
    sentence = (
        f"{group}: one tensor embeds and reads out, and the logits' change grows as {axis}^{worst.slope:+.2f}: {repair}"
    )
    yield Fault(group, names, Cause.TIED, worst.slope, repair, sentence)


def _named(place: str, wrong: Sequence[ParameterRow], rows: Iterable[ParameterRow]) -> tuple[str, tuple[str, ...]]:
    """The kind's name where all of its kind are meant, otherwise the parameters' own."""
    whole = place != "fixed" and {row.name for row in rows if row.place == place} == {row.name for row in wrong}
    if not whole:
        exact = tuple(row.name for row in wrong)
        # a layer among equals keeps its index, so that it can be found
        names = exact if len(exact) <= _MOST_NAMES else _patterns(wrong)
        return _some(names), names
    names = _patterns(wrong)
    plural = place if place in ("readout", "embedding") else f"{place}s"
    return f"{plural} ({_some(names)})", names


def _patterns(rows: Iterable[ParameterRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_pattern(row.name) for row in rows))


def _pattern(name: str) -> str:
    return _LAYER.sub(".*", name)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _halves(power: float) -> float:
    """The nearest power that rules use."""
    return round(2 * power) / 2


def _factor(power: float, mult: str) -> str:
    """A power of a multiplier as users write it."""
    known = {1.0: mult, -1.0: f"1/{mult}", 0.5: f"sqrt({mult})", -0.5: f"1/sqrt({mult})"}
    return known.get(power, f"{mult}^{power:g}")
