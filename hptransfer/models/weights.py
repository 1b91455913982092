"""One parameter as the decision about its role sees it: its axes, its module, its place in the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hptransfer.models.fans import ONE, Fans, fans_of, summed
from hptransfer.models.growth import DepthView, Owner, Repetition

if TYPE_CHECKING:
    from mup.infshape import InfDim, InfShape


@dataclass(frozen=True, slots=True)
class Weight:
    """One parameter.

    Attributes:
        name: full name of the parameter.
        shape: length of every axis of the tensor.
        infshape: base and actual length of each axis, as fans count them.
        owner: the module that holds it.
        fans: what the module's type says, or what was seen of the axes that are summed over; None: neither.
        repeats: whether it lies in layers of which a deeper model has more.
        layers: the layers it lies in, outermost first.
    """

    name: str
    shape: tuple[int, ...]
    infshape: InfShape
    owner: Owner
    fans: Fans | None
    repeats: bool
    layers: tuple[str, ...]

    @property
    def growing(self) -> tuple[int, ...]:
        """Axes that grow with the width."""
        return tuple(axis for axis, dim in enumerate(self.infshape) if dim.isinf())

    @property
    def is_vector(self) -> bool:
        """Whether it can only be a vector: of two axes, of which one has length one, it may be a matrix."""
        return len(self.infshape) != 2 and len([dim for dim in self.infshape if dim.dim > 1 or dim.isinf()]) <= 1

    @property
    def fan_in(self) -> InfDim:
        """Base and actual fan-in where fans are known; one elsewhere."""
        return ONE if self.fans is None else self.fans.fan_in

    @property
    def fan_out(self) -> InfDim:
        """Base and actual fan-out where fans are known; one elsewhere."""
        return ONE if self.fans is None else self.fans.fan_out

    @property
    def sums(self) -> tuple[bool, bool]:
        """Whether fan-in and fan-out grow."""
        return bool(self.fan_in.isinf()), bool(self.fan_out.isinf())

    @property
    def is_matrix(self) -> bool:
        """Whether it is known to sum over an axis."""
        return self.fans is not None and self.fans.kind == "matrix"


def weights_of(
    view: DepthView,
    infshapes: Mapping[str, InfShape],
    owners: Mapping[str, Owner],
    repetition: Repetition,
    summed_axes: Mapping[str, Sequence[int]],
) -> dict[str, Weight]:
    """Every parameter of a model, by name.

    Args:
        view: models of the same depth.
        infshapes: base and actual length of each axis, by name.
        owners: by name, at the size that is read.
        repetition: what repeats with depth.
        summed_axes: place of a parameter whose module says nothing -> axes that are summed over.
    """
    repeated = repetition.repeated(view)
    found = {}
    for name, infshape in infshapes.items():
        owner = owners[name]
        fans = fans_of(owner.module, owner.local, infshape)
        axes = summed_axes.get(repetition.place(name))
        if fans is None and axes is not None:
            fans = summed(infshape, axes)
        shape = tuple(owner.module.get_parameter(owner.local).shape)
        found[name] = Weight(name, shape, infshape, owner, fans, name in repeated, repetition.layers(name))
    return found
