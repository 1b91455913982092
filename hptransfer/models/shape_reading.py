"""Reading a model: which axes grow with width, which layers repeat with depth, and hence each parameter's role.

Nothing is guessed from one size. The model is built on the meta device at the base size, at twice its depth and twice
its width; a layer repeats when the deeper one has more of it, an axis grows when it differs in the wider one. Shapes
are compared with microsoft/mup's InfShape arithmetic. What cannot be decided is an error that names the parameter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from mup.infshape import InfShape, zip_infshape
from mup.shape import get_shapes
from torch import nn

from hptransfer.errors import Finding, HptransferError, UsageError
from hptransfer.models.build import model_builder
from hptransfer.models.huggingface import family_of, head_dims
from hptransfer.models.own_init_reading import ModelInits, with_own_inits
from hptransfer.models.role_inference import RoleInference, undecided
from hptransfer.parameterization.groups import name_template
from hptransfer.parameterization.role_presets import PRESETS, GivenRole, Preset, parse_role
from hptransfer.parameterization.roles import InitSource, Parameter, Role
from hptransfer.probe.own_init import own_inits
from hptransfer.recipe.model_sections import MODEL, ExternalModel, GptModel, HuggingFaceModel, MlpModel, Model
from hptransfer.sizes import Size
from hptransfer.trials.identity import READING, ParameterReading
from hptransfer.user_code import described_error

#: (width, depth) -> module; called under the meta device, and on the CPU where an own init must be measured
Builder = Callable[[int, int], nn.Module]


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """What was read of a model.

    Attributes:
        parameters: one per name, in `named_parameters()` order, with shapes at the size read.
        multiplied: names of weights whose module divides by the width's growth in `forward` by itself (mup's
            MuReadout and MuSharedReadout).
        notes: what a plan must say of this family of models.
        head_dims: size of an attention head at the base and at this size, where a configuration says it.
        probed: whether the model was run, so that its parameters say which factors `forward` has, and that it has no
            others.
    """

    parameters: tuple[Parameter, ...]
    multiplied: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    head_dims: tuple[int, int] | None = None
    probed: bool = False


def read_recipe_model(model: Model, base: Size, size: Size, init: InitSource = "rule") -> ModelParameters:
    """Read a recipe's model at a size, without allocating any parameter of that size.

    Args:
        model: the recipe's `model` section.
        base: size at which every factor of a rule is 1.
        size: size to read, any.
        init: whose init is planned, the recipe's `init_source`.

    Returns:
        One parameter per name in `named_parameters()` order, with what else a plan must know of the model.

    Raises:
        UsageError: the model cannot be built at one of the sizes, or the role of a parameter cannot be decided.
    """
    if isinstance(model, MlpModel | GptModel):
        return read_model(model_builder(model), base, size, preset=model.kind, init=init)
    if isinstance(model, ExternalModel):
        raise UsageError("a model must be named to be read", received="a recipe without `model`: its trainer builds it")
    family = model.config if isinstance(model, HuggingFaceModel) and model.config in PRESETS else None
    reading = read_model(
        model_builder(model),
        base,
        size,
        preset=model.preset or family,
        residual_writers=model.residual_writers or None,
        roles=dict(model.roles),
        queries=model.queries or None,
        init=init,
    )
    if isinstance(model, HuggingFaceModel):
        return replace(reading, head_dims=head_dims(model.settings, family_of(model), base.width, size.width))
    return reading


@lru_cache(maxsize=64)
def reading_of(model: str, base: Size, size: Size, init: InitSource) -> ModelParameters:
    """What `read_recipe_model` reads, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: the size at which every factor of a rule is 1.
        size: width, depth, batch and tokens of the model that is read.
        init: whose init is planned.
    """
    return read_recipe_model(MODEL.validate_json(model), base, size, init)


def read_model(
    build: Builder,
    base: Size,
    size: Size,
    *,
    preset: str | None = None,
    residual_writers: Sequence[str] | None = None,
    roles: Mapping[str, Role | str] | None = None,
    base_shapes: Mapping[str, InfShape] | None = None,
    queries: Sequence[str] | None = None,
    init: InitSource = "rule",
) -> ModelParameters:
    """The parameters of any module at a size, without allocating any of that size.

    Args:
        build: makes the module at a width and a depth.
        base: the size at which every factor of a rule is 1.
        size: the size to read.
        preset: a family in `PRESETS`, for residual writers and for what shapes cannot tell.
        residual_writers: regular expressions that match full names of parameters whose output is added to a residual
            stream; replaces the preset's; empty for a network without one.
        roles: regular expressions that match full names -> role, where shapes do not decide it; see `parse_role`.
        base_shapes: growing axes from a mup base-shape file, instead of comparing two widths.
        queries: regular expressions that match full names of parameters of query projections, for
            `attention_multiplier`; replaces the preset's.
        init: whose init is planned: "own" reads how the model itself starts, "rule" takes the tables'.

    Returns:
        The reading.

    Raises:
        UsageError: the model cannot be built, does not change with the width or depth that is asked for, or has
            parameters whose role the shapes and module types do not decide.
    """
    known = _preset(preset)
    with torch.device("meta"):
        at_base, base_laws = own_inits(lambda: _built(build, base.width, base.depth))
        shallow = get_shapes(at_base)
        deep = get_shapes(_built(build, base.width, 2 * base.depth))
        wide = get_shapes(_built(build, 2 * base.width, 2 * base.depth)) if base_shapes is None else None
        module, size_laws = own_inits(lambda: _built(build, size.width, size.depth))
    multiplied = _multiplied(module)
    tied = _tied(module)
    infshapes = _with_templates(base_shapes or _grown(deep, wide or deep))
    repeated = _repeated(shallow, deep)
    _require_growth(base, size, infshapes, repeated, get_shapes(module))
    writers = known.residual_writers if residual_writers is None else residual_writers
    decider = RoleInference(
        infshapes=infshapes,
        repeated=repeated,
        writers=tuple(map(_pattern, writers)),
        roles=tuple((_pattern(pattern), _given(role)) for pattern, role in (roles or {}).items()),
        tied=tied,
        preset=tuple((_pattern(pattern), parse_role(role), why) for pattern, (role, why) in known.roles.items()),
        queries=tuple(map(_pattern, known.queries if queries is None else queries)),
        own_init=init == "own",
    )
    parameters, notes = _decide(module, decider), known.notes
    if init == "own":
        named = frozenset(each.name for each in parameters if decider.names_init(each.name))
        inits = ModelInits(build, base, size, _decide(at_base, decider), base_laws, size_laws, named)
        parameters, more = with_own_inits(parameters, inits)
        notes += more
    _check_patterns(parameters, [*(residual_writers or ()), *(queries or ())], roles or {})
    if residual_writers is None and writers and not any(parameter.writes_residual for parameter in parameters):
        raise UsageError(
            f"the preset `{preset}` must name the parameters that write the residual stream",
            received="no parameter has such a name",
            hint="name them: `residual_writers`, regular expressions over full names",
        )
    return ModelParameters(parameters, multiplied, notes)


def _preset(name: str | None) -> Preset:
    if name is None:
        return Preset()
    if name not in PRESETS:
        raise UsageError(f"the preset must be one of {', '.join(PRESETS)}", received=name)
    return PRESETS[name]


def _given(role: Role | str) -> GivenRole:
    return GivenRole(role) if isinstance(role, Role) else parse_role(role)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError("a pattern must be a regular expression", received=f"{text}: {error}") from None


def _built(build: Builder, width: int, depth: int) -> nn.Module:
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
    return module


def _multiplied(module: nn.Module) -> frozenset[str]:
    """Weights of mup's readouts, by class name: the class may come from mup, its forks or a vendored copy."""
    readouts = [
        layer
        for layer in module.modules()
        if {"MuReadout", "MuSharedReadout"} & {kind.__name__ for kind in type(layer).__mro__}
    ]
    weights = {id(layer.weight) for layer in readouts}
    return frozenset(name for name, tensor in module.named_parameters() if id(tensor) in weights)


def _tied(module: nn.Module) -> dict[str, str]:
    """Tables whose tensor also reads out -> the other name; mup's MuSharedReadout is none, it multiplies by itself.

    Raises:
        UsageError: weights of another kind are tied.
    """
    first: dict[int, str] = {}
    tied = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(tensor), name)
        if known == name:
            continue
        owner, other = (module.get_submodule(path.rpartition(".")[0]) for path in (name, known))
        if "MuSharedReadout" in {kind.__name__ for kind in type(owner).__mro__}:
            continue
        if not (isinstance(other, nn.Embedding) and isinstance(owner, nn.Linear)):
            raise UsageError(
                "weights must not be tied, except a table of embeddings with the readout",
                received=f"{known} and {name} are one tensor",
                hint="untie them: no published rule covers a weight in two places",
            )
        tied[known] = name
    return tied


def _grown(base: Mapping[str, Sequence[int]], wide: Mapping[str, Sequence[int]]) -> dict[str, InfShape]:
    """Base shape and growing axes of every parameter of the base model."""
    differing = sorted(base.keys() ^ wide.keys())
    changed = [name for name in base.keys() & wide.keys() if len(base[name]) != len(wide[name])]
    if differing or changed:
        raise UsageError(
            "width must change the lengths of axes, not the parameters there are",
            received=f"only at one of two widths: {', '.join((differing or sorted(changed))[:5])}",
        )
    return {name: zip_infshape(tuple(shape), tuple(wide[name])) for name, shape in base.items()}


def _with_templates(exact: Mapping[str, InfShape]) -> dict[str, InfShape]:
    """Under the exact name and, where all layers agree, under the name's template."""
    by_template: dict[str, list[InfShape]] = {}
    for name, infshape in exact.items():
        by_template.setdefault(name_template(name), []).append(infshape)
    agreed = {
        pattern: infshapes[0]
        for pattern, infshapes in by_template.items()
        if all(infshape.base_shape() == infshapes[0].base_shape() for infshape in infshapes)
    }
    return {**agreed, **exact}


def _repeated(shallow: Mapping[str, object], deep: Mapping[str, object]) -> frozenset[str]:
    """Templates of names of which a deeper model has more."""
    counts, deeper = Counter(map(name_template, shallow)), Counter(map(name_template, deep))
    return frozenset(pattern for pattern, count in deeper.items() if count > counts[pattern])


def _require_growth(
    base: Size,
    size: Size,
    infshapes: Mapping[str, InfShape],
    repeated: frozenset[str],
    shapes: Mapping[str, Sequence[int]],
) -> None:
    """A builder that ignores an argument would silently give the standard parameterization."""
    if size.width != base.width and not any(infshape.ninf() for infshape in infshapes.values()):
        raise UsageError(
            "width must change the shapes of a model",
            received=f"the same shapes at widths {base.width} and {2 * base.width}",
            hint="check that the function uses its width argument",
        )
    if size.depth != base.depth and not repeated:
        raise UsageError(
            "depth must change the number of layers of a model",
            received=f"the same {len(shapes)} parameters at depths {base.depth} and {2 * base.depth}",
            hint="check that the function uses its depth argument",
        )


def _decide(module: nn.Module, decider: RoleInference) -> tuple[Parameter, ...]:
    """Every parameter; what cannot be decided is collected, one finding for all layers that repeat."""
    owners = {
        f"{prefix}.{name}" if prefix else name: (owner, name)
        for prefix, owner in module.named_modules()
        for name, _ in owner.named_parameters(recurse=False)
    }
    parameters: list[Parameter] = []
    faults: dict[str, Finding] = {}
    for name, shape in get_shapes(module).items():
        owner, local = owners[name]
        try:
            decided = decider.decide_frozen if not getattr(owner, local).requires_grad else decider.decide
            parameters.append(decided(name, tuple(shape), owner, local))
        except UsageError as error:
            faults.setdefault(name_template(name), error.findings[0])
    if faults:
        findings = tuple(faults.values())
        every = undecided("", (), "")
        every.findings = findings
        raise every
    return tuple(parameters)


def _check_patterns(parameters: Sequence[Parameter], writers: Sequence[str], roles: Mapping[str, Role | str]) -> None:
    """A pattern that matches nothing is a typing error, and silence would leave a rule unapplied."""
    for pattern in (*writers, *roles):
        if not any(re.fullmatch(pattern, parameter.name) for parameter in parameters):
            raise UsageError("a pattern must match the full name of a parameter", received=pattern)


#: up to the first index in a name: the block that repeats
_BLOCK = re.compile(r"(.*?\.\d+)(?:\..*)?$|^(\d+)(?:\..*)?$")


def layer_kinds(parameters: Sequence[Parameter]) -> dict[str, str]:
    """Module name -> what its output is.

    Args:
        parameters: all parameters of one model, with their roles.

    Returns:
        Modules with a weight: "embedding", "hidden" (pre-activations), "branch" (added to the residual stream) or
        "logits"; and the blocks that repeat, "residual". Modules of norms and routers are left out.
    """
    kinds: dict[str, str] = {}
    for parameter in parameters:
        module, _, local = parameter.name.rpartition(".")
        block = _BLOCK.match(parameter.name)
        if parameter.in_block and block:
            kinds.setdefault(block[1] or block[2], "residual")
        if local != "weight":
            continue
        if parameter.writes_residual:
            kinds[module] = "branch"
        elif parameter.role is Role.HIDDEN_WEIGHT:
            kinds[module] = "hidden"
        elif parameter.role is Role.EMBEDDING:
            kinds[module] = "embedding"
        elif parameter.role is Role.READOUT and not parameter.in_block:
            kinds[module] = "logits"
    return kinds


# What a worker reads of a recipe's model, for keys that a coordinator computes without torch.


def read_sizes(
    model: Model, base: tuple[int, int], sizes: Sequence[tuple[int, int]], init: InitSource
) -> list[dict[str, Any]]:
    """Read a model's parameters and their roles at several sizes, on the meta device.

    Args:
        model: the recipe's `model` section.
        base: width and depth at which every factor of a rule is 1.
        sizes: width and depth of each model to read.
        init: whose init is planned.

    Returns:
        Per size {"reading": a `ParameterReading` as plain data}, or {"faults": findings as mappings of rule, received
        and hint} where the model cannot be built or read there.
    """
    return [_read(model, base, size, init) for size in sizes]


def _read(model: Model, base: tuple[int, int], size: tuple[int, int], init: InitSource) -> dict[str, Any]:
    try:
        # batch and tokens do not change a model
        sizes = (Size(*base, batch_size=1, tokens=1), Size(*size, batch_size=1, tokens=1))
        reading = read_recipe_model(model, *sizes, init)
    except UsageError as error:
        return {"faults": [{"rule": f.rule, "received": f.received, "hint": f.hint} for f in error.findings]}
    found = ParameterReading(reading.parameters, reading.multiplied, reading.probed)
    return {"reading": READING.dump_python(found, mode="json")}
