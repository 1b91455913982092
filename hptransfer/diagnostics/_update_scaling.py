"""Sizes of parameters and of their updates as powers of the model's size, against what a correct rule gives.

Width: an update that changes outputs by an amount of order one has operator size of order one, whatever the width
(Yang, Simon, Bernstein, arXiv 2310.17813, condition 1), and so has a weight at init. Depth: the L blocks of a residual
network add up, so each may change the stream by 1/L: the update of a weight that writes the stream falls as 1/L, and
that of the others in the block as 1/L over the branch's own power (CompleteP, arXiv 2505.01618, table 1). What
`forward` itself multiplies a weight's output by counts as the weight's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np

from hptransfer.statistics.slope import RowVerdict, Slope, fit_slope

Axis = Literal["width", "depth"]
#: updates after one step of Adam follow a power of width to 0.08 (measured on correct plans, widths 64 to 512);
#: source of the band: reference 1.2, +-0.1 for every matrix
UPDATE_TOLERANCE = 0.1
_LAYER = re.compile(r"\.\d+(?=\.)")
#: a part of a name that is a number
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True, slots=True)
class ParameterMeasurement:
    """One parameter in one run.

    Attributes:
        size: width or depth of the model.
        seed: of init and data.
        step: number of optimizer steps that were taken.
        name: as `named_parameters()` gives it.
        kind: "matrix", "table" (rows are looked up) or "vector".
        fan_in: inputs that are summed; 1 for tables and vectors.
        fan_out: number of outputs of the map.
        update: size of W(step) - W(0) as a map; None when not finite.
        initial: RMS of an entry at init; 0 for zeros.
        decay: learning rate times weight decay.
        kept: share of Adam's first step that eps leaves; None for other optimizers.
        in_block: lies in a residual block.
        writes_residual: its output is added to the residual stream.
        shared: other names of the same tensor.
        forward: power of the size by which `forward` multiplies what it gives.
    """

    size: int
    seed: int
    step: int
    name: str
    kind: str
    fan_in: int
    fan_out: int
    update: float | None
    initial: float | None
    decay: float
    kept: float | None
    in_block: bool = False
    writes_residual: bool = False
    shared: tuple[str, ...] = ()
    forward: float = 0.0


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """How one parameter, or in depth one kind of parameter in all blocks, scales.

    Attributes:
        name: of the parameter; in depth with `*` for the block.
        place: what grows along the axis: "hidden weight" (fan-in and fan-out), "readout" (fan-in), "input weight"
            (fan-out), "embedding" (the width of what is looked up), "fixed" (nothing) or "vector".
        in_block: lies in a residual block.
        writes_residual: its output is added to the residual stream.
        step: optimizer steps before the update was measured, the fewest of the check.
        update: power of size of the update.
        expected_update: what a correct rule gives; nan where nothing is expected.
        initial: power of size of an entry's RMS at init; nan for zeros.
        expected_initial: what a correct rule gives; smaller is right too for a readout. nan where nothing is expected.
        decay: power of size of learning rate times weight decay; 0 without weight decay.
        kept: share of the first step that eps leaves, at the smallest and at the largest size; None without eps.
        shared: other names of the same tensor.
        verdict: whether the update's power is the expected one.
    """

    name: str
    place: str
    in_block: bool
    writes_residual: bool
    step: int
    update: Slope
    expected_update: float
    initial: Slope
    expected_initial: float
    decay: float
    kept: tuple[float, float] | None
    shared: tuple[str, ...]
    verdict: RowVerdict


def read_parameters(
    run: Mapping[str, Any], axis: Axis, beside: Mapping[str, float] | None = None
) -> Iterator[ParameterMeasurement]:
    """The parameters of one run as a worker returned it; none where it did not measure them.

    Args:
        run: with "size", "seed" and, where they were measured, "parameters".
        axis: along which sizes are compared.
        beside: name, with `*` for numbers, -> power by which `forward` multiplies beside what the plan knows.
    """
    fields = ("step", "name", "kind", "fan_in", "fan_out", "update", "initial", "decay", "kept", "in_block")
    for row in run.get("parameters", ()):
        yield ParameterMeasurement(
            size=run["size"][axis],
            seed=run["seed"],
            writes_residual=row["writes_residual"],
            shared=tuple(row["shared"]),
            forward=row.get("forward", (0.0, 0.0))[axis == "depth"] + (beside or {}).get(kind_of(row["name"]), 0.0),
            **{name: row[name] for name in fields},
        )


def kind_of(name: str) -> str:
    """A name with `*` for its parts that are numbers.

    Args:
        name: full name of a parameter or a module.
    """
    return _NUMBER.sub("*", name)


def row_name(name: str, axis: Axis, *, in_block: bool) -> str:
    """The name of a parameter's row: in depth those of all blocks share one.

    Args:
        name: of the parameter, as `named_parameters()` gives it.
        axis: along which sizes are compared.
        in_block: whether it lies in a residual block.
    """
    return _LAYER.sub(".*", name) if axis == "depth" and in_block else name


def parameter_rows(measurements: Sequence[ParameterMeasurement], axis: Axis) -> tuple[ParameterRow, ...]:
    """Fit every parameter's powers of size, at the fewest measured steps after which it has moved.

    Args:
        measurements: every (size, seed, step, parameter) once, in any order; at least two sizes and seeds.
        axis: what `size` is; in depth parameters of all blocks are averaged, and only weights are looked at.
    """
    if not measurements:
        return ()
    sizes = sorted({m.size for m in measurements})
    seeds = sorted({m.seed for m in measurements})

    def name(m: ParameterMeasurement) -> str:
        return row_name(m.name, axis, in_block=m.in_block)

    first = min(m.step for m in measurements)
    moved: dict[str, int] = {}  # behind a readout that starts at zero, the first step moves nothing
    for m in measurements:
        if m.update != 0:
            moved[name(m)] = min(m.step, moved.get(name(m), m.step))
    ordered = sorted(
        (m for m in measurements if m.step == moved.get(name(m), first)), key=lambda m: (name(m), m.seed, m.size)
    )
    groups = {key: list(group) for key, group in groupby(ordered, key=name)}
    complete = {
        key: group for key, group in groups.items() if {(m.seed, m.size) for m in group} == {*_pairs(seeds, sizes)}
    }
    rows = tuple(_Group(key, group, sizes, seeds) for key, group in complete.items())
    branch = _branch_power(rows) if axis == "depth" else 0.0
    return tuple(row.judged(axis, branch) for row in rows if axis == "width" or row.first.kind != "vector")


def _pairs(seeds: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((seed, size) for seed in seeds for size in sizes)


@dataclass(frozen=True)
class _Group:
    """All measurements of one row."""

    name: str
    members: Sequence[ParameterMeasurement]
    sizes: Sequence[int]
    seeds: Sequence[int]

    @property
    def first(self) -> ParameterMeasurement:
        """Any of them, for what they share."""
        return self.members[0]

    def slope(self, field: str) -> Slope:
        """Power of size of one field, averaged over the blocks."""
        table = [
            [
                np.mean([_number(getattr(m, field)) for m in self.members if (m.seed, m.size) == (seed, size)])
                for size in self.sizes
            ]
            for seed in self.seeds
        ]
        return fit_slope(np.array(table), np.log2(np.array(self.sizes, dtype=float)))

    def at(self, size: int, field: str) -> float | None:
        """Mean of a field at one size; None where it is not measured."""
        values = [getattr(m, field) for m in self.members if m.size == size]
        return None if None in values else float(np.mean(values))

    def judged(self, axis: Axis, branch: float) -> ParameterRow:
        """The row, against what is expected along the axis."""
        place, initial = self._place()
        update = self.slope("update")
        expected = 0.0
        if place == "fixed" and self.first.kept is None:
            # its gradient comes through random weights at first, as width^-1/2, and through aligned ones later; Adam
            # does not follow the gradient's size
            expected = math.nan
        if axis == "depth":
            initial = math.nan
            if self.first.in_block:
                expected = -1.0 if self.first.writes_residual else -1.0 - branch
        forward = float(np.mean([m.forward for m in self.members]))
        smallest, largest = self.at(self.sizes[0], "kept"), self.at(self.sizes[-1], "kept")
        decays = all(m.decay > 0 for m in self.members)
        return ParameterRow(
            name=self.name,
            place=place,
            in_block=self.first.in_block,
            writes_residual=self.first.writes_residual,
            step=self.first.step,
            update=update,
            expected_update=expected - forward,
            initial=self.slope("initial"),
            expected_initial=initial - forward,
            decay=self.slope("decay").estimate if decays else 0.0,
            kept=None if smallest is None or largest is None else (smallest, largest),
            shared=self.first.shared,
            verdict=update.against(expected - forward, UPDATE_TOLERANCE),
        )

    def _place(self) -> tuple[str, float]:
        """What grows along the ladder, and the power that an entry at init must have for it.

        The spectral norm of a matrix of independent entries of size s is s * (sqrt(fan_in) + sqrt(fan_out)), and must
        be of order sqrt(fan_out / fan_in).
        """
        if self.first.kind == "table":
            return ("embedding" if self.slope("fan_out").estimate > 0 else "fixed"), 0.0
        if self.first.kind == "vector":
            return "vector", math.nan
        fan_in, fan_out = (self.slope(field).estimate for field in ("fan_in", "fan_out"))
        places = {(True, True): "hidden weight", (True, False): "readout", (False, True): "input weight"}
        return places.get((fan_in > 0, fan_out > 0), "fixed"), min(fan_in, fan_out) / 2 - fan_in


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _branch_power(rows: Sequence[_Group]) -> float:
    """The power of depth by which branches shrink at init, within the -1 to -1/2 that rules use; -1 for zeros."""
    writers = [row for row in rows if row.first.writes_residual and row.first.kind == "matrix"]
    powers = [row.slope("initial").estimate + row.first.forward for row in writers]
    known = [power for power in powers if math.isfinite(power)]
    return min(-0.5, max(-1.0, float(np.mean(known)))) if known else -1.0
