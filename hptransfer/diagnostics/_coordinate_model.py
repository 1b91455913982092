"""What a coordinate check measures of a model: its layers and parameters, and what a correct rule gives for each.

It follows from the parameters that are read of the model at each size of the ladder; nothing is trained, and nothing is
taken from the document that is held to it but the inits of branches, which are measurements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from hptransfer.diagnostics._coordinate_rows import Measurement, comparable
from hptransfer.diagnostics._update_scaling import Axis, ParameterMeasurement, ParameterRow, parameter_rows, row_name
from hptransfer.diagnostics.base import Facts
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.sizes import Size

#: seeds that a fit needs; what is read of a model is the same with each
_SEEDS = (0, 1)
_BLOCK = re.compile(r"(blocks\.(\d+))\.")
#: a rule's power is a fraction; fits of lengths that double end within this of it
_ROUNDING = 1e-6


def held_to_model(written: Mapping[str, Any], axis: Axis, facts: Facts) -> None:
    """Hold the report of one axis to the model: every layer and parameter once, with what the rule says of it.

    Layers, and what a rule says, are those of the built-in models: which layers of a model of the recipe's own a pass
    runs through, and by what its `forward` multiplies, is measured.

    Args:
        written: the report, as `transfer.json` has it.
        axis: along which it compares sizes.
        facts: of the recipe's check; nothing is held where the model was not read at each size.

    Raises:
        ValueError: a row is left out, is there twice, is none of the model's, or says another rule.
    """
    read = _read(axis, facts)
    if read is None:
        return
    own = facts.recipe.model.kind not in ("mlp", "gpt")
    stated = {row["name"]: row for row in written["parameters"]}
    wanted = {row.name: row for row in _parameters(read, axis, stated)}
    _require("parameter", axis, [row["name"] for row in written["parameters"]], list(wanted))
    if own:
        return
    layers = dict.fromkeys((row["layer"], row["kind"]) for row in written["rows"])
    _require("layer", axis, [_layer(*each) for each in layers], [_layer(*each) for each in _layers(read, axis)])
    for name, row in wanted.items():
        _require_rule(stated[name], row, axis)


def _read(axis: Axis, facts: Facts) -> Mapping[int, Sequence[Parameter]] | None:
    """The model's trained parameters by the size along the axis; None where it was not read at one of them."""
    found = {}
    for size in facts.ladders[axis]:
        parameters = facts.parameters.get((size.width, size.depth))
        if not parameters:
            return None
        found[_along(size, axis)] = [each for each in parameters if each.role is not Role.FROZEN]
    return found


def _along(size: Size, axis: Axis) -> int:
    return int(getattr(size, axis))


def _parameters(
    read: Mapping[int, Sequence[Parameter]], axis: Axis, stated: Mapping[str, Mapping[str, Any]]
) -> tuple[ParameterRow, ...]:
    """The rows of a check that measures every parameter alike, but for the inits of branches and whether eps is there.

    Those two are measured, so they are the document's.
    """

    def measured(size: int, seed: int, each: Parameter) -> ParameterMeasurement:
        row = stated.get(row_name(each.name, axis, in_block=each.in_block), {})
        power = row.get("initial", {}).get("estimate")
        tied = each.role is Role.TIED_EMBEDDING
        width = each.lookup_width if tied else each.forward_width
        return ParameterMeasurement(
            size=size,
            seed=seed,
            step=1,
            name=each.name,
            kind=_kind(each),
            fan_in=each.fan_in,
            fan_out=each.fan_out,
            update=1.0,
            initial=None if power is None else float(size) ** power,
            decay=0.0,
            kept=None if row.get("kept") is None else 1.0,
            in_block=each.in_block,
            writes_residual=each.writes_residual,
            forward=each.forward_depth if axis == "depth" else width,
        )

    sizes = product(read.items(), _SEEDS)
    return parameter_rows([measured(at, seed, each) for (at, of), seed in sizes for each in of], axis)


def _kind(parameter: Parameter) -> str:
    if len(parameter.shape) < 2:
        return "vector"
    looked_up = parameter.role is Role.TIED_EMBEDDING or parameter.role is Role.EMBEDDING
    return "table" if looked_up and parameter.fan_in == 1 else "matrix"


def _layers(read: Mapping[int, Sequence[Parameter]], axis: Axis) -> list[tuple[str, str]]:
    """Name and kind of every layer that all sizes have, in depth the first and the last of those that repeat."""
    found = [
        Measurement(at, 0, 1, layer, kind, None) for at, parameters in read.items() for layer, kind in _of(parameters)
    ]
    there: dict[tuple[str, str], set[int]] = {}
    for each in comparable(found) if axis == "depth" else found:
        there.setdefault((each.layer, each.kind), set()).add(each.size)
    return sorted(key for key, sizes in there.items() if sizes == set(read))


def _of(parameters: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    from hptransfer.training.coordinates import layer_kind

    names = dict.fromkeys(each.name.rpartition(".")[0] for each in parameters)
    blocks = {found[2]: found[1] for name in names if (found := _BLOCK.match(name))}
    for name in (*names, *blocks.values()):
        kind = layer_kind(name)
        if kind is not None:
            yield name, kind
    for number in blocks:  # each attends once
        yield f"attention.{number}", "attention"


def _layer(name: str, kind: str) -> str:
    return f"{name} ({kind})"


def _require(what: str, axis: Axis, there: Sequence[str], wanted: Sequence[str]) -> None:
    lacking = [each for each in wanted if each not in there]
    if lacking:
        raise ValueError(f"`diagnostics.coordinate` must have each {what} along {axis}; {_some(lacking)} left out")
    further = [each for each in there if each not in wanted]
    if further:
        raise ValueError(f"`diagnostics.coordinate` must have the model's {what}s; {_some(further)} none of them")
    twice = [each for each in wanted if there.count(each) > 1]
    if twice:
        raise ValueError(
            f"`diagnostics.coordinate` must have each {what} once along {axis}; {_some(twice)} there twice"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more} {'is' if len(names) == 1 else 'are'}"


def _require_rule(stated: Mapping[str, Any], wanted: ParameterRow, axis: Axis) -> None:
    """What no measurement says: a place in the model, and the powers that a rule gives for it."""
    for field in ("place", "in_block", "writes_residual", "expected_update", "expected_initial"):
        said, again = stated[field], getattr(wanted, field)
        if not _same(said, again):
            raise ValueError(
                f"`diagnostics.coordinate` must say of {wanted.name} along {axis} what its rule does; "
                f"{field} {said}, computed again {again}"
            )


def _same(said: Any, again: Any) -> bool:
    if not isinstance(again, float):
        return type(said) is type(again) and bool(said == again)
    if math.isnan(again):
        return said is None
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    return is_number and abs(said - again) <= _ROUNDING
