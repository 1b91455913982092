"""What a model's `forward` does that its plan does not take into account: for a check that fails to name its cause."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hptransfer.models.forward_words import at, heads_off, movement_off, powers_of, product_off, some, values_of
from hptransfer.parameterization.groups import layer_template
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.probe.findings import Attention, Factor, Probe, Writer

Axis = Literal["width", "depth"]


@dataclass(frozen=True, slots=True)
class Unplanned:
    """One thing that a plan leaves out.

    Attributes:
        axis: along which sizes suffer: "width" or "depth".
        kind: a number in `forward`, a norm behind what writes the stream, attention's scale, or a size that moves.
        parameters: names of those concerned, layers collapsed to `*`; empty where none is.
        power: power of the axis by which it is off.
        said: what `forward` does, and where.
        repair: what to do about it.
    """

    axis: Axis
    kind: Literal["factor", "norm", "attention", "size"]
    parameters: tuple[str, ...]
    power: float
    said: str
    repair: str


def unplanned(
    probe: Probe, parameters: Sequence[Parameter], base: tuple[int, int], covers: Collection[str]
) -> tuple[Unplanned, ...]:
    """What a run of the model told and a plan leaves out.

    Args:
        probe: what the run told.
        parameters: of the plan, at any size.
        base: width and depth at which every factor of a rule is 1.
        covers: axes ("width", "depth") for which the plan's rules have a power.
    """
    known: dict[str, Parameter] = {}
    for parameter in parameters:
        known.setdefault(layer_template(parameter.name), parameter)
    return tuple(
        dict.fromkeys(
            [
                *(found for factor in probe.factors for found in _of_factor(factor, known, base, covers)),
                *(found for writer in probe.writers for found in _of_writer(writer, known, covers)),
                *(found for site in probe.attention for found in _of_attention(site, probe)),
                *_of_sizes(probe, base),
            ]
        )
    )


def behind_modules(probe: Probe, parameters: Sequence[Parameter]) -> dict[str, tuple[float, float]]:
    """Powers of width and depth by which `forward` multiplies what a module returned; by its path, `*` for numbers.

    Args:
        probe: what a run of the model told.
        parameters: of the plan, at any size.
    """
    tied = {layer_template(each.name) for each in parameters if each.role is Role.TIED_EMBEDDING}
    found: dict[str, tuple[float, float]] = {}
    for factor in probe.factors:
        place = layer_template(factor.where.module)
        names = dict.fromkeys(map(layer_template, factor.parameters)) if factor.purpose == "output" else {}
        for name in names:
            module, _, local = name.rpartition(".")
            inside = place == module or place.startswith(f"{module}.")
            if local == "weight" and not inside and (name not in tied or factor.use == "lookup"):
                width, depth = found.get(module, (0.0, 0.0))
                found[module] = (width + (factor.width_power or 0.0), depth + (factor.depth_power or 0.0))
    return found


def _of_factor(
    factor: Factor, known: Mapping[str, Parameter], base: tuple[int, int], covers: Collection[str]
) -> Iterator[Unplanned]:
    """A number that neither a plan's weights take nor a readout's product needs."""
    if factor.purpose in ("normalizer", "attention"):
        return
    names = tuple(dict.fromkeys(map(layer_template, factor.parameters)))
    weights = [known[name] for name in names if name in known]
    taken: dict[Axis, bool] = {
        "width": any(each.forward_width or each.lookup_width for each in weights),
        "depth": any(each.forward_depth for each in weights),
    }
    powers: dict[Axis, float | None] = {"width": factor.width_power, "depth": factor.depth_power}
    for axis, power in powers.items():
        if power == 0 or taken[axis] or axis not in covers:
            continue
        side = f"the {factor.purpose} of {some(names)} " if names else ""
        said = f"`forward` multiplies {side}by {powers_of(factor)} {at(factor.where)}, {values_of(factor)}"
        value = base[0] if axis == "width" else base[1]
        replaced = (
            f"replace it by its value at the base, {factor.values[0]:.6g}" if factor.values[0] else "leave it out"
        )
        repair = f"divide by ({axis}/{value})^{power:.4g} there" if power is not None else f"{replaced}, at every size"
        if weights:
            repair = f"leave `probe` on, so that the plan takes it into account, or {repair}"
        yield Unplanned(axis, "factor", names, math.nan if power is None else power, said, repair)


def _of_writer(writer: Writer, known: Mapping[str, Parameter], covers: Collection[str]) -> Iterator[Unplanned]:
    names = tuple(dict.fromkeys(map(layer_template, writer.parameters)))
    if not writer.normed or "depth" not in covers or not any(n in known and known[n].writes_residual for n in names):
        return
    said = f"a norm stands between {some(names)} and the residual stream and removes the factor that is put there"
    repair = (
        f"leave `probe` on, so that the plan puts it into {some(writer.norm)}, or name these in `residual_writers`"
        if writer.norm
        else "give the norm a gain, and leave `probe` on, so that the plan puts the factor there"
    )
    yield Unplanned("depth", "norm", names, 1.0, said, repair)


def _of_attention(site: Attention, probe: Probe) -> Iterator[Unplanned]:
    if (off := heads_off(site, probe)) is not None:
        yield Unplanned("width", "attention", tuple(map(layer_template, site.queries)), off.power, off.said, off.repair)


def _of_sizes(probe: Probe, base: tuple[int, int]) -> Iterator[Unplanned]:
    product = product_off(probe, base[0], beside=bool(probe.readouts))
    for off in (*([product] if product else ()), *map(movement_off, probe.movements)):
        yield Unplanned("width", "size", (), off.power, off.said, off.repair)
