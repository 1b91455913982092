"""Which parameters write the residual stream; every layer that repeats must have its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hptransfer.errors import UsageError
from hptransfer.models.growth import Repetition
from hptransfer.models.questions import patterns_for
from hptransfer.models.weights import Weight

Models = Sequence[tuple[Mapping[str, str], Iterable[str]]]


def matched(weights: Mapping[str, Weight], patterns: Sequence[re.Pattern[str]]) -> frozenset[str]:
    """Names that a pattern matches whole."""
    return frozenset(name for name in weights if any(pattern.fullmatch(name) for pattern in patterns))


def of_places(weights: Mapping[str, Weight], repetition: Repetition, found: Sequence[str]) -> frozenset[str]:
    """Names at the places of writers that were found in a model of another depth.

    Args:
        weights: every parameter of this model, by name.
        repetition: what repeats with depth.
        found: names in the other model; of experts in a list one stands for all, since a run need not use every one.
    """
    experts = _experts(weights, repetition)
    places = {experts.get(place, place) for place in map(repetition.place, found)}
    own = {name: repetition.place(name) for name in weights}
    return frozenset(name for name, place in own.items() if experts.get(place, place) in places)


def _experts(weights: Mapping[str, Weight], repetition: Repetition) -> dict[str, str]:
    """Place of a parameter of a listed expert -> the same with `*` for its number.

    Experts are lists as long as the outputs of a router in the layer.
    """
    scored: dict[str, set[int]] = {}
    lists: dict[str, set[str]] = {}
    for weight in weights.values():
        if weight.layers and weight.is_matrix and weight.sums == (True, False):
            scored.setdefault(weight.layers[-1], set()).add(int(weight.fan_out.dim))
        for above, number, _ in _numbered(weight):
            lists.setdefault(above, set()).add(number)
    return {
        repetition.place(weight.name): repetition.place(f"{above}.*.{rest}")
        for weight in weights.values()
        for above, _, rest in _numbered(weight)
        if len(lists[above]) in scored.get(weight.layers[-1], ())
    }


def _numbered(weight: Weight) -> Iterable[tuple[str, str, str]]:
    """(path of a list in the layer, number in it, what follows) for every list that the parameter lies in."""
    if not weight.layers:
        return
    parts = weight.name.split(".")
    for position in range(weight.layers[-1].count(".") + 1, len(parts)):
        if parts[position].isdigit():
            yield ".".join(parts[:position]), parts[position], ".".join(parts[position + 1 :])


def require_all(
    weights: Mapping[str, Weight],
    writers: frozenset[str],
    repetition: Repetition,
    models: Models,
    *,
    given_by: str,
    found: frozenset[str] | None,
) -> None:
    """Refuse writers that are named in some layers and not in others.

    Args:
        weights: every parameter of the model, by name.
        writers: names that a preset or patterns match.
        repetition: what repeats with depth.
        models: all names of other depths, so that the pattern to add fits them too.
        given_by: what names the writers, as a message says it.
        found: names of writers that a run found; None where nothing was run, and what is known of names must do.

    Raises:
        UsageError: a writer is missing; it says which, with the patterns that add it.
    """
    missing = sorted(found - writers) if found is not None else _missing(weights, writers, repetition)
    if missing:
        answers = [(dict.fromkeys(names, ""), names) for _, names in models]  # any name of the same place will do
        quoted = [f"'{pattern}'" for pattern in patterns_for(missing, "", answers, repetition)]
        raise UsageError(
            "every layer must have its residual writers: without them the rules for depth miss a branch",
            received=f"{given_by} leaves out {', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}",
            hint=f"add to `residual_writers`: {', '.join(quoted)}",
        )
    empty = [] if found is not None else _layers_without(weights, writers)
    if empty:
        raise UsageError(
            "every layer must have its residual writers: without them the rules for depth miss a branch",
            received=f"{given_by} matches nothing in {', '.join(empty[:4])}{', ...' if len(empty) > 4 else ''}",
            hint="add to `residual_writers` what writes the stream there, of "
            + ", ".join(_candidates(weights, empty[0])),
        )


def _missing(weights: Mapping[str, Weight], writers: frozenset[str], repetition: Repetition) -> list[str]:
    """Biases of writers, and matrices of a writer's own name and outputs that are none.

    In the same place of another layer (dense layers among sparse ones, a second stack) the name decides; within a layer
    (shared experts) only for matrices that do not read the stream, whose length the writers' outputs have.
    """
    known = [weights[name] for name in sorted(writers) if weights[name].is_matrix]
    open_ones = {name: weight for name, weight in weights.items() if weight.repeats and name not in writers}
    alike = {
        name
        for name, weight in open_ones.items()
        if weight.is_matrix and any(_alike(weight, writer, repetition) for writer in _same_leaf(weight, known))
    }
    biased = {
        name
        for name, weight in open_ones.items()
        if weight.owner.local == "bias" and f"{weight.owner.path}.weight" in alike | writers
    }
    return [name for name in weights if name in alike | biased]


def _same_leaf(weight: Weight, writers: Sequence[Weight]) -> Iterable[Weight]:
    leaf = _leaf(weight)
    return [] if leaf is None else [writer for writer in writers if _leaf(writer) == leaf]


def _leaf(weight: Weight) -> str | None:
    """Name of the module or of the raw parameter; None where it is a number."""
    path = weight.owner.path if weight.owner.local == "weight" else weight.name
    leaf = path.rpartition(".")[2]
    return None if leaf.isdigit() else leaf


def _alike(weight: Weight, writer: Weight, repetition: Repetition) -> bool:
    if weight.fan_out != writer.fan_out:
        return False
    if weight.fan_in != weight.fan_out:
        return True
    # it may read the stream: then only the same place in another stack is the same thing
    ours, theirs = (_in_layer(repetition.place(each.name)) for each in (weight, writer))
    return ours == theirs


def _in_layer(place: str) -> str:
    """What follows the layer's number."""
    return place.rpartition("#")[2]


def _layers_without(weights: Mapping[str, Weight], writers: frozenset[str]) -> list[str]:
    """Layers with two matrices or more, as blocks have, and no writer; lists of single modules are parts of layers."""
    matrices: dict[str, int] = {}
    written = {layer for name in writers for layer in weights[name].layers}
    for weight in weights.values():
        if weight.repeats and weight.layers and len(weight.growing) >= 2:
            matrices[weight.layers[-1]] = matrices.get(weight.layers[-1], 0) + 1
    return [layer for layer, count in matrices.items() if count >= 2 and layer not in written]


def _candidates(weights: Mapping[str, Weight], layer: str) -> list[str]:
    return [name for name, weight in weights.items() if layer in weight.layers and len(weight.growing) >= 2]
