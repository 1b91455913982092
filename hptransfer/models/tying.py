"""Weights in more than one place: tables that also read out, and mup's readouts."""

from __future__ import annotations

from torch import nn

from hptransfer.errors import UsageError


def divided_readouts(module: nn.Module) -> frozenset[str]:
    """Weights of mup's readouts, by class name: the class may come from mup, its forks or a vendored copy."""
    readouts = [layer for layer in module.modules() if {"MuReadout", "MuSharedReadout"} & _class_names(layer)]
    weights = {id(layer.weight) for layer in readouts}
    return frozenset(name for name, tensor in module.named_parameters() if id(tensor) in weights)


def tied_readouts(module: nn.Module) -> dict[str, str]:
    """Tables whose tensor also reads out -> the name under which it does.

    mup's MuSharedReadout is none, it multiplies by itself; one table for several lookups, as of an encoder and a
    decoder, is one table; and a module that is used in several places is one module.

    Raises:
        UsageError: weights of another kind are tied.
    """
    places: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        owner = module.get_submodule(name.rpartition(".")[0])
        known = places.setdefault(id(tensor), [])
        if "MuSharedReadout" not in _class_names(owner) and all(owner is not other for _, other in known):
            known.append((name, owner))
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    tied = {}
    for tensor_id, found in places.items():
        if len(found) < 2:
            continue
        first = names[tensor_id]
        tables = [name for name, owner in found if isinstance(owner, nn.Embedding)]
        readouts = [name for name, owner in found if isinstance(owner, nn.Linear)]
        if _is_bias(module, found):
            continue
        if not tables or len(tables) + len(readouts) < len(found):
            raise UsageError(
                "weights must not be tied, except a table of embeddings with the readout",
                received=f"{found[0][0]} and {found[1][0]} are one tensor",
                hint="untie them: no published rule covers a weight in two places",
            )
        if readouts:
            tied[first] = readouts[0] if readouts[0] != first else tables[0]
    return tied


def _is_bias(module: nn.Module, found: list[tuple[str, nn.Module]]) -> bool:
    """A bias that the module around a layer holds too, as heads of transformers do: it is added once."""
    vectors = all(module.get_parameter(name).dim() == 1 for name, _ in found)
    paths = [name.rpartition(".")[0] for name, _ in found]
    nested = all(path.startswith(f"{paths[0]}.") or not paths[0] for path in paths[1:])
    return vectors and nested and all(name.rpartition(".")[2] == "bias" for name, _ in found)


def _class_names(module: nn.Module) -> set[str]:
    return {kind.__name__ for kind in type(module).__mro__}
