"""What a model's `forward` does, in words: for the notes of a plan, and for a check that names its causes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hptransfer.parameterization.groups import collapsed_names
from hptransfer.probe.findings import Attention, Factor, Movement, Probe, Where

#: a scale's power of head_dim is exact where it is a rule's
_EXACT = 1e-3
#: power of the width at init of a product of activations that is right: 1/width in front of a sum of as many terms
_RIGHT_PRODUCT = -0.5 + 1e-6
_MOST_NAMES = 4


class Off(NamedTuple):
    """Something that no plan takes back.

    Attributes:
        said: what `forward` does, and where.
        repair: what to do about it.
        power: power of the width by which it is off.
    """

    said: str
    repair: str
    power: float


def scale_that_moves(site: Attention, probe: Probe) -> str | None:
    """A scale of attention that changes though heads do not; None elsewhere.

    Args:
        site: where queries meet keys.
        probe: of whose runs it is one.
    """
    if len(set(site.head_dims)) > 1 or math.isclose(*site.scales, rel_tol=_EXACT):
        return None
    return (
        f"attention logits are multiplied by {site.scales[0]:.4g} at width {probe.base[0]} and by "
        f"{site.scales[1]:.4g} at width {probe.wide[0]} {at(site.where)}, although heads have {site.head_dims[0]} "
        "entries at both: a constant scale is right"
    )


def heads_off(site: Attention, probe: Probe) -> Off | None:
    """Heads that grow and are not divided by their size; None where nothing is off.

    Args:
        site: where queries meet keys.
        probe: of whose runs it is one.
    """
    small, large = site.head_dims
    if small == large:
        return None
    power = math.log(site.scales[1] / site.scales[0]) / math.log(large / small)
    if abs(power + 1) <= _EXACT:
        return None
    sizes = f"{small} entries at width {probe.base[0]}, {large} at {probe.wide[0]}"
    grow = f"{at(site.where)} heads grow with the width ({sizes})"
    if site.normed:
        said = f"{grow}, queries and keys are normalised, and attention logits are multiplied by head_dim^{power:.3g}"
        repair = (
            "where they are normalised by their root mean square, it must be head_dim^-1; where by their length "
            "(cosines), nothing is missing"
        )
        return Off(said, repair, power + 1)
    said = f"{grow} and attention logits are multiplied by head_dim^{power:.3g}, must be by head_dim^-1"
    repair = "multiply them by sqrt(base_head_dim)/head_dim there, or keep the size of a head and let their number grow"
    return Off(said, repair, power + 1)


def product_off(probe: Probe, base_width: int, *, beside: bool) -> Off | None:
    """An answer that is a product of activations, or a sum over the width, and grows; None where nothing is off.

    Args:
        probe: what the runs told.
        base_width: width at which the model is left as it is.
        beside: whether other outputs have a readout.
    """
    if probe.product is None or probe.product_power is None or probe.product_power <= _RIGHT_PRODUCT:
        return None
    power = round(12 * probe.product_power) / 12
    grows = f"grows as width^{power:g}" if power > 0 else "keeps its size" if power == 0 else f"goes as width^{power:g}"
    said = (
        f"{'' if beside else 'no readout: '}an output is a product of activations {at(probe.product)}; it {grows} at "
        f"init, and as width^{power + 0.5:g} once they align"
    )
    return Off(said, f"as a whole it must be divided by width/{base_width} in `forward`", power + 0.5)


def movement_off(movement: Movement) -> Off:
    """A size that moves with the width.

    Args:
        movement: where it begins, and its power.
    """
    said = (
        f"`{movement.operation}` {at(movement.where)} gives what moves as about width^{movement.power:g} at init "
        f"though every weight keeps sizes, and {movement.reaches} moves with it; no number of `forward` explains it, "
        "so no plan takes it back"
    )
    repair = "let the size stay there (a mean in place of a sum, a division by what grows, a norm)"
    return Off(said, repair, movement.power)


def powers_of(factor: Factor) -> str:
    """The powers that a number follows, as a message says them.

    Args:
        factor: of which a power of the width or of the depth is not zero.
    """
    parts = [
        f"{axis}^{power:.4g}" if power is not None else f"a function of {axis} that is no power"
        for axis, power in (("width", factor.width_power), ("depth", factor.depth_power))
        if power != 0
    ]
    return " ".join(parts)


def values_of(factor: Factor) -> str:
    """What a number is at the sizes that were run, as a message says it.

    Args:
        factor: a number that changes with the size.
    """
    return ", ".join(
        f"{value:.6g} {name}"
        for name, value in zip(("at the base", "wider", "deeper"), factor.values, strict=True)
        if value is not None
    )


def at(where: Where) -> str:
    """A place, as a message says it: "at model.py:41 (in layers.0)".

    Args:
        where: module, and the line where it is known.
    """
    named = f"in {where.module}" if where.module else "in `forward`"
    return f"at {where.code} ({named})" if where.code else named


def some(names: Sequence[str]) -> str:
    """The first few kinds of parameters, and how many more there are.

    Args:
        names: full names; numbers that count layers are left out.
    """
    return collapsed_names(names, _MOST_NAMES)
