"""Reading a model: which axes grow with width, which layers repeat with depth, and hence each parameter's role.

Nothing is guessed from one size. The model is built on the meta device at the base width and at twice that, each at
the base depth, at twice that and at the depth that is read; a layer repeats when a deeper one has more of it, an axis
grows when it differs in the wider one of the same depth. Shapes are compared with microsoft/mup's InfShape arithmetic.
What cannot be decided is an error that names the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hptransfer.errors import UsageError
from hptransfer.models.comparison import Builder, Comparison, built, compare
from hptransfer.models.deciding import decide_all
from hptransfer.models.found import NOTHING, Found
from hptransfer.models.own_init_reading import ModelInits, with_own_inits
from hptransfer.models.role_inference import Known, RoleInference
from hptransfer.models.tying import divided_readouts, tied_readouts
from hptransfer.models.writers import matched, of_places, require_all
from hptransfer.parameterization.role_presets import PRESETS, GivenRole, Preset, parse_role
from hptransfer.parameterization.roles import InitSource, Parameter, Role
from hptransfer.probe.own_init import own_inits
from hptransfer.sizes import Size

if TYPE_CHECKING:
    from mup.infshape import InfShape

    from hptransfer.models.weights import Weight


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """What was read of a model.

    Attributes:
        parameters: one per name, in `named_parameters()` order, with shapes at the size read.
        multiplied: names of weights whose module divides by the width's growth in `forward` by itself (mup's
            MuReadout and MuSharedReadout).
        notes: what a plan must say of this family of models.
        head_dims: size of an attention head at the base and at this size, where a configuration says it.
    """

    parameters: tuple[Parameter, ...]
    multiplied: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    head_dims: tuple[int, int] | None = None


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
    found: Found = NOTHING,
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
        found: what running the model told.

    Returns:
        The reading.

    Raises:
        SharedDepthError: no parameter changes with the depth, and another depth than the base's is asked for.
        UsageError: the model cannot be built, does not change with the width that is asked for, has parameters whose
            role the shapes and module types do not decide, or is given roles or residual writers that do not fit.
    """
    known = _preset(preset)
    given_roles = tuple((_pattern(pattern), _given(role)) for pattern, role in (roles or {}).items())
    with torch.device("meta"):
        models = compare(build, base, size, base_shapes, found)
        module, size_laws = own_inits(lambda: built(build, size.width, size.depth))
    besides = Known(
        repetition=models.repetition,
        roles=given_roles,
        preset=tuple((_pattern(pattern), parse_role(role), why) for pattern, (role, why) in known.roles.items()),
        queries=tuple(map(_pattern, known.queries if queries is None else queries)),
        readouts=frozenset(map(models.repetition.place, found.readouts)),
        keeps_init=init == "own",
    )
    weights = models.weights_in(models.own, module)
    writers = _writers(weights, models, known, (preset, residual_writers), found)
    parameters = decide_all(RoleInference.of(weights, besides, writers, tied_readouts(module)), models)
    _check_patterns(parameters, [*(residual_writers or ()), *(queries or ())], roles or {})
    notes = known.notes
    if init == "own":
        with torch.device("meta"):
            start, base_laws = own_inits(lambda: built(build, base.width, base.depth))
        at_base = RoleInference.of(models.weights_in(models.base, start), besides, frozenset(), tied_readouts(start))
        named = frozenset(name for name in weights if besides.names_init(name))
        laws = ModelInits(
            build, base, size, decide_all(at_base, models), base_laws, size_laws, named, models.repetition.place
        )
        parameters, more = with_own_inits(parameters, laws)
        notes += more
    return ModelParameters(parameters, divided_readouts(module), notes)


def _writers(
    weights: Mapping[str, Weight],
    models: Comparison,
    known: Preset,
    given: tuple[str | None, Sequence[str] | None],
    found: Found,
) -> frozenset[str]:
    """Names of what writes the residual stream: as a preset or patterns say, else as a run found it."""
    preset, residual_writers = given
    patterns = tuple(map(_pattern, known.residual_writers if residual_writers is None else residual_writers))
    by_run = None if found.writers is None else of_places(weights, models.repetition, found.writers)
    named = preset is not None or residual_writers is not None
    writers = matched(weights, patterns) if named or by_run is None else by_run
    if residual_writers is None and patterns and not writers:
        raise UsageError(
            f"the preset `{preset}` must name the parameters that write the residual stream",
            received="no parameter has such a name",
            hint="name them: `residual_writers`, regular expressions over full names",
        )
    if patterns and writers:
        given_by = f"the preset `{preset}`" if residual_writers is None else "`residual_writers`"
        require_all(weights, writers, models.repetition, models.names(weights), given_by=given_by, found=by_run)
    return writers


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


def _check_patterns(parameters: Sequence[Parameter], writers: Sequence[str], roles: Mapping[str, Role | str]) -> None:
    """A pattern that matches nothing is a typing error, and silence would leave a rule unapplied."""
    for pattern in (*writers, *roles):
        if not any(re.fullmatch(pattern, parameter.name) for parameter in parameters):
            raise UsageError("a pattern must match the full name of a parameter", received=pattern)
