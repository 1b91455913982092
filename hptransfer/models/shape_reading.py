"""Reading a model: which axes grow with width, which layers repeat with depth, and hence each parameter's role.

Nothing is guessed from one size. The model is built on the meta device at the base width and at twice that, each at
the base depth, at twice that and at the depth that is read; a layer repeats when a deeper one has more of it, an axis
grows when it differs in the wider one of the same depth. Shapes are compared with microsoft/mup's InfShape arithmetic.
What cannot be decided is an error that names the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from hptransfer.errors import Finding, UsageError
from hptransfer.models.comparison import Builder, Comparison, built, compare
from hptransfer.models.found import Found, found_of
from hptransfer.models.own_init_reading import ModelInits, built_on_meta, with_own_inits
from hptransfer.models.probing import with_probe
from hptransfer.models.questions import Question, QuestionError, findings_of
from hptransfer.models.role_inference import Known, RoleInference
from hptransfer.models.tying import divided_readouts, tied_readouts
from hptransfer.models.writers import matched, of_places, require_all
from hptransfer.parameterization.role_presets import PRESETS, GivenRole, Preset, parse_role
from hptransfer.parameterization.roles import InitSource, Parameter, Role
from hptransfer.sizes import Size

if TYPE_CHECKING:
    from mup.infshape import InfShape

    from hptransfer.models.growth import Repetition
    from hptransfer.probe.findings import Probe

__all__ = ["Builder", "ModelParameters", "layer_kinds", "read_model"]


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
    found: Found | None = None,
    probe: Probe | None = None,
    covers: Collection[str] = (),
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
        found: what running the model told; None: what `probe` says of it.
        probe: what running the model told, for factors in `forward` and norms; None: it was not run.
        covers: axes ("width", "depth") for which the rules that will be applied have a power: what `forward` does along
            others is no fault.

    Returns:
        The reading.

    Raises:
        SharedDepthError: no parameter changes with the depth, and another depth than the base's is asked for.
        UsageError: the model cannot be built, does not change with the width that is asked for, has parameters whose
            role the shapes and module types do not decide, or is given roles or residual writers that do not fit.
    """
    found = found or found_of(probe)
    known = _preset(preset)
    patterns = tuple(map(_pattern, known.residual_writers if residual_writers is None else residual_writers))
    with torch.device("meta"):
        models = compare(build, base, size, base_shapes, found)
    module, laws = built_on_meta(lambda: built(build, size.width, size.depth))
    repeats = models.repetition
    besides = replace(
        _named(repeats, known, roles or {}, queries),
        readouts=frozenset(map(repeats.place, found.readouts)),
        looked_up=frozenset(map(repeats.place, found.looked_up)),
        keeps_init=init == "own",
    )
    weights = models.weights_at(module)
    by_run = None if found.writers is None else of_places(weights, repeats, found.writers)
    named = preset is not None or residual_writers is not None
    writers = matched(weights, patterns) if named or by_run is None else by_run
    tied = tied_readouts(module)
    inference = RoleInference.of(weights, besides, writers, tied)
    parameters, notes = _decide(inference, models), known.notes
    if init == "own" or probe is not None:
        at_base, base_laws = built_on_meta(lambda: built(build, base.width, base.depth))
        first = _decide(RoleInference.of(models.weights_at(at_base, base=True), besides, writers, tied), models)
        if init == "own":
            given = frozenset(each.name for each in parameters if inference.names_init(each.name))
            inits = ModelInits(build, base, size, first, base_laws, laws, repeats.place, given)
            parameters, more = with_own_inits(parameters, inits)
            notes += more
        if probe is not None:
            parameters, more = with_probe(parameters, first, probe, base, size, covers=covers, repetition=repeats)
            notes += more
    _check_patterns(parameters, [*(residual_writers or ()), *(queries or ())], roles or {})
    if patterns:
        given_by = _required(preset, residual_writers, writers)
        require_all(weights, writers, repeats, models.names(weights), given_by=given_by, found=by_run)
    return ModelParameters(parameters, divided_readouts(module), notes, probed=bool(probe and not probe.unknown))


def _named(
    repetition: Repetition, known: Preset, roles: Mapping[str, Role | str], queries: Sequence[str] | None
) -> Known:
    """What the user and the family name."""
    return Known(
        repetition=repetition,
        roles=tuple((_pattern(pattern), _given(role)) for pattern, role in roles.items()),
        preset=tuple((_pattern(pattern), parse_role(role), why) for pattern, (role, why) in known.roles.items()),
        queries=tuple(map(_pattern, known.queries if queries is None else queries)),
    )


def _required(preset: str | None, patterns: Sequence[str] | None, writers: Collection[str]) -> str:
    """What named the residual writers; a preset must name some."""
    if patterns is not None:
        return "`residual_writers`"
    if not writers:
        raise UsageError(
            f"the preset `{preset}` must name the parameters that write the residual stream",
            received="no parameter has such a name",
            hint="name them: `residual_writers`, regular expressions over full names",
        )
    return f"the preset `{preset}`"


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


def _decide(inference: RoleInference, models: Comparison) -> tuple[Parameter, ...]:
    """Every parameter; what cannot be decided is collected, one finding for all layers that repeat."""
    parameters: list[Parameter] = []
    questions: list[Question] = []
    answers: dict[str | None, Finding] = {}
    for name in inference.weights:
        try:
            parameters.append(inference.decide(name))
        except QuestionError as error:
            questions.append(error.question)
        except UsageError as error:
            answers.setdefault(error.findings[0].hint, error.findings[0])
    if answers:
        raise UsageError.of(answers.values())
    if not questions:
        return tuple(parameters)

    def elsewhere() -> list[tuple[Mapping[str, str], Iterable[str]]]:
        """The questions of the models that other sizes are read from, and of this one."""
        depths = [inference.weights, *(models.weights_of(view) for view in (models.base, models.deep))]
        return [(_asked(RoleInference.of(weights, inference.known, frozenset(), {})), weights) for weights in depths]

    raise UsageError.of(findings_of(questions, elsewhere, models.repetition))


def _asked(inference: RoleInference) -> dict[str, str]:
    """Name -> role to suggest, of what nothing decides in a model."""
    found = {}
    for name in inference.weights:
        try:
            inference.decide(name)
        except QuestionError as error:
            found[name] = error.question.role
        except UsageError:  # an answer that does not fit there is said when that size is read
            continue
    return found


def _check_patterns(parameters: Sequence[Parameter], writers: Sequence[str], roles: Mapping[str, Role | str]) -> None:
    """A pattern that matches nothing is a typing error, and silence would leave a rule unapplied."""
    for pattern in (*writers, *roles):
        if not any(re.fullmatch(pattern, parameter.name) for parameter in parameters):
            raise UsageError("a pattern must match the full name of a parameter", received=pattern)


#: up to the first index in a name, `3` or `layer_3`: the block that repeats
_BLOCK = re.compile(r"((?:.*?\.)?(?:[^.]*_)?\d+)(?:\..*)?$")


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
            kinds.setdefault(block[1], "residual")
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
