"""What grows: which axes with the width, which layers with the depth. Compared by structure, on the meta device.

Axes come from models of one depth, so that no name is ever looked up in a model of another. A module repeats when the
deeper model has more of its kind: its place, its type, and the names, lengths and growing axes of its own parameters.
Its place is its path without the numbers of which a deeper model has more, wherever they stand: `layers.3`, `layer_3`,
`0` in nn.Sequential; numbers that stay (`stages.2`, `mlp.0`, `w1`) belong to the place.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mup.infshape import InfDim, InfShape, zip_infshape

from hptransfer.errors import UsageError
from hptransfer.models.fans import lengths
from hptransfer.parameterization.groups import name_template

if TYPE_CHECKING:
    from torch import nn

_NUMBER = re.compile(r"\d+")
#: module path, names of its parameters that belong together
Unit = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Owner:
    """The module that holds a parameter itself.

    Attributes:
        path: full name of the module, "" for the model.
        module: the module itself, at the size that was built.
        local: the parameter's name in it.
    """

    path: str
    module: nn.Module
    local: str


def owners_of(model: nn.Module) -> dict[str, Owner]:
    """Full name -> owner of every parameter, in `named_parameters()` order."""
    found = {
        f"{path}.{local}" if path else local: Owner(path, module, local)
        for path, module in model.named_modules()
        for local, _ in module.named_parameters(recurse=False)
    }
    return {name: found[name] for name, _ in model.named_parameters()}


def lengths_of(owners: Mapping[str, Owner]) -> dict[str, tuple[int, ...]]:
    """Full name -> lengths of the parameter's axes, as fans count them."""
    return {
        name: lengths(owner.module, owner.local, tuple(owner.module.get_parameter(owner.local).shape))
        for name, owner in owners.items()
    }


@dataclass(frozen=True, slots=True)
class DepthView:
    """Models of one depth: the owners at the base width, and which axes grow.

    Attributes:
        depth: the depth of all of them.
        owners: by full name, at the base width.
        infshapes: by full name, base length and growth of each axis; what a base-shape file lacks is missing.
    """

    depth: int
    owners: Mapping[str, Owner]
    infshapes: Mapping[str, InfShape]


def depth_view(depth: int, narrow: nn.Module, wide: nn.Module) -> DepthView:
    """Compare two widths of one depth.

    Args:
        depth: depth of both models.
        narrow: the model at the base width.
        wide: the model at a larger width.

    Raises:
        UsageError: one of them has a parameter, or an axis, that the other lacks.
    """
    owners = owners_of(narrow)
    base, wider = lengths_of(owners), lengths_of(owners_of(wide))
    differing = sorted(base.keys() ^ wider.keys())
    changed = [name for name in base.keys() & wider.keys() if len(base[name]) != len(wider[name])]
    if differing or changed:
        raise UsageError(
            "width must change the lengths of axes, not the parameters there are",
            received=f"only at one of two widths: {', '.join((differing or sorted(changed))[:5])}",
        )
    return DepthView(depth, owners, {name: zip_infshape(shape, wider[name]) for name, shape in base.items()})


def view_from_file(depth: int, narrow: nn.Module, file: Mapping[str, InfShape]) -> DepthView:
    """Growing axes from a base-shape file, under the exact name or, where all its layers agree, under the template.

    Args:
        depth: depth of the model.
        narrow: the model at the base width.
        file: name -> base length of each axis that grows, as the file has it.
    """
    by_template: dict[str, list[InfShape]] = {}
    for name, infshape in file.items():
        by_template.setdefault(name_template(name), []).append(infshape)
    agreed = {
        template: infshapes[0]
        for template, infshapes in by_template.items()
        if all(infshape.base_shape() == infshapes[0].base_shape() for infshape in infshapes)
    }
    owners = owners_of(narrow)
    found = {
        name: (length, file.get(name, agreed.get(name_template(name)))) for name, length in lengths_of(owners).items()
    }
    return DepthView(
        depth,
        owners,
        {
            name: InfShape(
                InfDim(here if base is not None else None, here)
                for base, here in zip(known.base_shape(), length, strict=False)
            )
            for name, (length, known) in found.items()
            if known is not None and len(known) == len(length)
        },
    )


def repeats_in(views: Sequence[DepthView]) -> Repetition:
    """What repeats, from the base and deeper models.

    Args:
        views: the base first; then deeper ones, in any order.
    """
    base, *deeper = views
    growing = _growing_numbers([list(view.infshapes) for view in views])
    empty = Repetition(growing, frozenset())
    counts = Counter(empty.kind(unit, base) for unit in empty.units(base))
    kinds = {
        kind
        for view in deeper
        for kind, count in Counter(empty.kind(unit, view) for unit in empty.units(view)).items()
        if count > counts[kind]
    }
    return Repetition(growing, frozenset(kinds))


def _growing_numbers(models: Sequence[Sequence[str]]) -> frozenset[tuple[str, str]]:
    """(place of the parent, part of a name) where a deeper model has more numbers than the first."""
    places: list[dict[str, str]] = [dict.fromkeys(names, "") for names in models]
    found: set[tuple[str, str]] = set()
    for level in range(max((name.count(".") + 1 for names in models for name in names), default=0)):
        numbers: list[dict[tuple[str, str], set[str]]] = []
        for model in places:
            seen: dict[tuple[str, str], set[str]] = defaultdict(set)
            for name, place in model.items():
                part = _part(name, level)
                if part is not None and _NUMBER.search(part):
                    seen[place, _NUMBER.sub("#", part)].add(part)
            numbers.append(seen)
        base, *deeper = numbers
        found |= {key for seen in deeper for key, parts in seen.items() if len(parts) > len(base.get(key, ()))}
        for model in places:
            for name, place in model.items():
                part = _part(name, level)
                if part is not None:
                    model[name] = _joined(place, _place_of(place, part, found))
    return frozenset(found)


def _part(name: str, level: int) -> str | None:
    parts = name.split(".")
    return parts[level] if level < len(parts) else None


def _joined(place: str, part: str) -> str:
    return f"{place}.{part}" if place else part


def _place_of(place: str, part: str, growing: Iterable[tuple[str, str]]) -> str:
    template = _NUMBER.sub("#", part)
    return template if (place, template) in growing else part


@dataclass(frozen=True, slots=True)
class Repetition:
    """Which numbers in names count layers, and which kinds of modules a deeper model has more of.

    Attributes:
        growing: (place of the parent, part of a name with `#` for its numbers) where depth adds numbers.
        kinds: kinds of modules of which a deeper model has more.
        walked: what is known of names already, so that each is taken apart once.
    """

    growing: frozenset[tuple[str, str]]
    kinds: frozenset[object]
    walked: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict, repr=False, compare=False)

    def place(self, name: str) -> str:
        """The name with `#` for every number that depth adds to: "layers.#.mlp.0.weight"."""
        return self._walk(name)[0]

    def layers(self, name: str) -> tuple[str, ...]:
        """The layers that a parameter or module lies in, outermost first: "encoder.layers.3"."""
        return self._walk(name)[1]

    def pattern(self, name: str) -> str:
        """A regular expression for the name in every layer."""
        place, parts = "", []
        for part in name.split("."):
            own = _place_of(place, part, self.growing)
            parts.append(re.escape(part) if own == part else re.escape(own).replace(r"\#", r"\d+"))
            place = _joined(place, own)
        return r"\.".join(parts)

    def _walk(self, name: str) -> tuple[str, tuple[str, ...]]:
        known = self.walked.get(name)
        if known is not None:
            return known
        place, literal, layers = "", "", []
        for part in name.split("."):
            own = _place_of(place, part, self.growing)
            place, literal = _joined(place, own), _joined(literal, part)
            if own != part:
                layers.append(literal)
        self.walked[name] = found = (place, tuple(layers))
        return found

    def units(self, view: DepthView) -> Iterator[Unit]:
        """Modules with their own parameters; an LSTM's layers, which are numbers in its parameters' names, each."""
        found: dict[tuple[str, str], list[str]] = {}
        for name in view.infshapes:
            owner = view.owners.get(name)
            if owner is not None:
                last = self.place(name).rpartition(".")[2]
                layer = ".".join(_NUMBER.findall(owner.local)) if "#" in last else ""
                found.setdefault((owner.path, layer), []).append(name)
        for (path, _), names in found.items():
            yield path, tuple(names)

    def kind(self, unit: Unit, view: DepthView) -> object:
        """What makes two modules layers of one kind."""
        path, names = unit
        own = tuple(
            (
                self.place(name).rpartition(".")[2],
                tuple((None if dim.isinf() else dim.dim, dim.base_dim) for dim in view.infshapes[name]),
            )
            for name in names
        )
        module = type(view.owners[names[0]].module)
        return self.place(path), f"{module.__module__}.{module.__qualname__}", own

    def repeated(self, view: DepthView) -> frozenset[str]:
        """Names of the parameters that repeat with depth, in a model of any depth.

        What stands once in a layer of which there are more, as the dense layers that come first in a mixture of
        experts, lies in the layers as well, unless it leads into them or out of them: a layer is known by a matrix
        that repeats, and what has one growing axis only may be the model's first or last matrix.
        """
        units = [(unit, self.kind(unit, view) in self.kinds) for unit in self.units(view)]
        names = {name for (_, own), repeats in units if repeats for name in own}
        layers = {layer for name in names if view.infshapes[name].ninf() >= 2 for layer in self.layers(name)}
        for (_, own), repeats in units:
            if not repeats and layers.intersection(self.layers(own[0])) and not _one_sided(own, view):
                names.update(own)
        return frozenset(names)

    def missing_places(self, base: DepthView, other: DepthView) -> tuple[str, ...]:
        """Names in another model of a kind that the base model has none of."""
        known = {self.place(name) for name in base.infshapes}
        first: dict[str, str] = {}
        for name in other.infshapes:
            place = self.place(name)
            if place not in known:
                first.setdefault(place, name)
        return tuple(first.values())


def _one_sided(names: Iterable[str], view: DepthView) -> bool:
    return any(len(view.infshapes[name]) >= 2 and view.infshapes[name].ninf() == 1 for name in names)
