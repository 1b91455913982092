"""Models of several sizes on the meta device, compared: what grows, what repeats, and what must hold between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from mup.infshape import InfShape, zip_infshape
from torch import nn
from torch.nn.parameter import is_lazy

from hptransfer.errors import HptransferError, UsageError
from hptransfer.models.found import Found
from hptransfer.models.growth import (
    DepthView,
    Owner,
    Repetition,
    depth_view,
    lengths_of,
    owners_of,
    repeats_in,
    view_from_file,
)
from hptransfer.models.questions import Question, findings_of
from hptransfer.models.weights import Weight, weights_of
from hptransfer.sizes import Size
from hptransfer.user_code import described_error

#: (width, depth) -> module; called under the meta device
Builder = Callable[[int, int], nn.Module]
#: depths beyond the base's that are tried for a hint
_DEPTHS_TRIED = 24


class SharedDepthError(UsageError):
    """No parameter changes with the depth: the model ignores it, or its layers are shared and looped."""


def built(build: Builder, width: int, depth: int) -> nn.Module:
    """One model of a user's function.

    Args:
        build: makes the module at a width and a depth.
        width: width of the model, at least 1.
        depth: depth of the model, at least 1.

    Raises:
        UsageError: the function fails, or returns no module.
    """
    try:
        module = build(width, depth)
    except HptransferError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UsageError(
            "the model must exist at the base size, at twice its width and depth, and at the size planned",
            received=f"width {width}, depth {depth}: {described_error(error)}",
        ) from error
    if not isinstance(module, nn.Module):
        raise UsageError("a model's function must return a torch.nn.Module", received=type(module).__name__)
    _require_plain(module, width, depth)
    return module


def _require_plain(module: nn.Module, width: int, depth: int) -> None:
    """Refuse modules whose parameters cannot be read."""
    at = f"width {width}, depth {depth}: "
    if isinstance(module, torch.jit.ScriptModule):
        rule, hint = "a model must be a plain module to be planned", "return it before `torch.jit.script` or `trace`"
        raise UsageError(rule, received=f"{at}{type(module).__name__}", hint=hint)
    lazy = [name for name, each in module.named_parameters() if is_lazy(each)]
    if lazy:
        rule = "every parameter must have a shape when the model is built"
        hint = "give the layer its number of inputs, or run the model once in the function"
        raise UsageError(rule, received=f"{at}{lazy[0]} is lazy", hint=hint)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing models told.

    Attributes:
        base: models of the base depth.
        deep: models of twice the base depth.
        own: models of the depth that is read.
        repetition: what repeats with depth.
        summed_axes: place of a raw parameter -> axes that a run saw summed over.
    """

    base: DepthView
    deep: DepthView
    own: DepthView
    repetition: Repetition
    summed_axes: Mapping[str, tuple[int, ...]]

    def weights_at(self, module: nn.Module, *, base: bool = False) -> dict[str, Weight]:
        """The parameters of a model of the depth that is read, with base and actual lengths.

        Args:
            module: the model, of any width.
            base: whether it has the base's depth instead.

        Raises:
            UsageError: a parameter, or the length of an axis, does not follow from the other widths.
        """
        view = self.base if base else self.own
        owners, infshapes, faults = owners_of(module), {}, []
        for name, here in lengths_of(owners).items():
            fault = _fault(view, name, owners[name], here)
            if fault is None:
                infshapes[name] = zip_infshape(view.infshapes[name], here)
            else:
                faults.append(fault)
        if faults:
            raise UsageError.of(findings_of(faults, list, self.repetition))
        return weights_of(view, infshapes, owners, self.repetition, self.summed_axes)

    def weights_of(self, view: DepthView) -> dict[str, Weight]:
        """The parameters of another depth, at twice the base width."""
        return weights_of(view, view.infshapes, view.owners, self.repetition, self.summed_axes)

    def names(self, weights: Mapping[str, Weight]) -> list[tuple[Mapping[str, str], Iterable[str]]]:
        """All names there are, per depth."""
        return [({}, names) for names in (weights, self.base.infshapes, self.deep.infshapes)]


def compare(
    build: Builder, base: Size, size: Size, base_shapes: Mapping[str, InfShape] | None, found: Found
) -> Comparison:
    """Models of three depths at the base width and twice that.

    Args:
        build: makes the module at a width and a depth.
        base: the size at which every factor of a rule is 1.
        size: the size that is read.
        base_shapes: growing axes from a file, instead of a second width.
        found: what running the model told.

    Raises:
        SharedDepthError: no parameter changes with the depth, and another depth than the base's is asked for.
        UsageError: the model cannot be built, or does not change with the width that is asked for.
    """
    views: dict[int, DepthView] = {}
    for depth in (base.depth, 2 * base.depth, size.depth):
        if depth not in views:
            narrow = built(build, base.width, depth)
            views[depth] = (
                depth_view(depth, narrow, built(build, 2 * base.width, depth))
                if base_shapes is None
                else view_from_file(depth, narrow, base_shapes)
            )
    first, deep, own = views[base.depth], views[2 * base.depth], views[size.depth]
    repetition = repeats_in([first, *(view for view in views.values() if view.depth > base.depth)])
    places = {repetition.place(name): tuple(axes) for name, axes in found.summed_axes.items()}
    models = Comparison(first, deep, own, repetition, places)
    _require_growth(base, size, models, found)
    _require_every_kind(build, base, models)
    return models


def _fault(view: DepthView, name: str, owner: Owner, lengths: tuple[int, ...]) -> Question | None:
    """What is wrong with the lengths of a parameter."""
    base = view.infshapes.get(name)
    shape = tuple(owner.module.get_parameter(owner.local).shape)
    if base is None:
        why = "it has no counterpart at the base width"
        return Question(name, shape, why, hint="the function must make the same layers at every width")
    fixed = zip(base.base_shape(), base.shape(), lengths, strict=False)
    if len(base) == len(lengths) and all(grows is not None or there == here for grows, there, here in fixed):
        return None
    return Question(
        name,
        shape,
        f"an axis changed that does not grow with width: {tuple(base.shape())} at twice the base width",
        hint="the function must give this axis the same length at every size, or make it grow with the width",
    )


def _require_growth(base: Size, size: Size, models: Comparison, found: Found) -> None:
    """A builder that ignores an argument would silently give the standard parameterization."""
    if size.width != base.width and not any(infshape.ninf() for infshape in models.own.infshapes.values()):
        raise UsageError(
            "width must change the shapes of a model",
            received=f"the same shapes at widths {base.width} and {2 * base.width}",
            hint="check that the function uses its width argument",
        )
    if size.depth != base.depth and not models.repetition.kinds and not found.shared_layers:
        raise SharedDepthError(
            "depth must change the number of layers of a model",
            received=f"the same {len(models.base.infshapes)} parameters at depths {base.depth} and {2 * base.depth}",
            hint="check that the function uses its depth argument",
        )


def _require_every_kind(build: Builder, base: Size, models: Comparison) -> None:
    """Hyperparameters of the base hold for kinds of layers that it has; a base without any layer may be the first."""
    missing = models.repetition.missing_places(models.base, models.own)
    if not missing or not models.repetition.repeated(models.base):
        return
    depths = range(base.depth + 1, min(base.depth + _DEPTHS_TRIED, models.own.depth) + 1)
    wanted = {models.repetition.place(name) for name in models.own.infshapes}
    deep_enough = next((depth for depth in depths if wanted <= _places(build, base, depth, models.repetition)), None)
    raise UsageError(
        "every kind of layer must occur at the base size, where hyperparameters are tuned",
        received=f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''} at depth {models.own.depth}, and "
        f"nothing of its kind at depth {base.depth}",
        hint="choose a base depth at which every kind of layer occurs"
        + (f": {deep_enough} is the smallest" if deep_enough else ", or place the layers by a share of the depth"),
    )


def _places(build: Builder, base: Size, depth: int, repetition: Repetition) -> set[str]:
    return {repetition.place(name) for name in owners_of(built(build, base.width, depth))}
