"""What nothing decides becomes a question with a line that answers it; answers must agree with the axes that grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hptransfer.errors import Finding, UsageError
from hptransfer.models.growth import Repetition
from hptransfer.models.weights import Weight
from hptransfer.parameterization.role_presets import GivenRole
from hptransfer.parameterization.roles import Role

RULE = "every parameter's role must follow from its module and from the axes that grow"
VECTORS = (Role.HIDDEN_VECTOR, Role.OUTER_VECTOR, Role.READOUT_BIAS)
_OUTPUTS = (Role.READOUT, Role.ROUTER)
#: what a hint offers
_OFFERED = re.compile(
    r"add to `model` of the recipe: `roles: \{(?P<roles>.+?)\}` \((?P<alternative>.*?)\); from Python: "
)


@dataclass(frozen=True, slots=True)
class Question:
    """A parameter whose role nothing decides.

    Attributes:
        name: full name of the parameter.
        shape: length of every axis of the tensor.
        why: what is not known, one clause.
        role: role to suggest, as `parse_role` reads it; "" where no role would help.
        alternative: when another role is right, one clause.
        hint: what to do where no role would help.
    """

    name: str
    shape: tuple[int, ...]
    why: str
    role: str = ""
    alternative: str = ""
    hint: str = ""


class QuestionError(UsageError):
    """Raised for one parameter, caught where all questions of a model are collected."""

    def __init__(self, question: Question) -> None:
        super().__init__(RULE, received=f"{question.name} {question.shape}: {question.why}")
        self.question = question


def question_about(weight: Weight, others: Mapping[str, Weight], *, reads_out: bool, keeps_init: bool) -> Question:
    """Why nothing decides the role of a parameter, and the role to suggest with the alternative.

    Args:
        weight: the parameter in question.
        others: every parameter of the model, by name.
        reads_out: whether a readout is known of the model.
        keeps_init: whether raw parameters start as the model has them.
    """
    if weight.fans is not None:
        why = "it repeats with depth, but only one of its axes grows with width"
        if weight.sums == (True, False):
            alternative = "for scores of experts and gates; `hidden weight` for keys and values of fixed heads"
            return Question(weight.name, weight.shape, why, str(Role.ROUTER), alternative)
        return Question(
            weight.name, weight.shape, why, str(Role.HIDDEN_WEIGHT), "or let its inner size follow the width"
        )
    kind = type(weight.owner.module).__name__
    why = f"`{kind}.{weight.owner.local}` is not known to be a weight, a bias or a norm's gain"
    return Question(weight.name, weight.shape, why, *_suggested(weight, others, reads_out, keeps_init))


def _suggested(weight: Weight, others: Mapping[str, Weight], reads_out: bool, keeps_init: bool) -> tuple[str, str]:
    """Role and alternative for a raw parameter."""
    growing = weight.growing
    if weight.is_vector:
        vector = Role.HIDDEN_VECTOR if weight.repeats else Role.OUTER_VECTOR
        reading = f"; `{Role.READOUT}, fan-in {growing[0]}` where it is summed over" if growing else ""
        role, why = (str(vector), "for a gain or a bias") if keeps_init else (f"{vector}, ones", "zeros for a bias")
        return role, why + ("" if weight.repeats or reads_out else reading)
    if len(growing) >= 2:
        summed = _summed_axes(weight, others)
        rest = [axis for axis in growing if axis not in summed]
        return f"{Role.HIDDEN_WEIGHT}, fan-in {_axes(summed)}", f"fan-in {_axes(rest)} where these axes are summed over"
    fixed = [axis for axis in range(len(weight.infshape)) if axis not in growing]
    return _one_axis(weight, max(fixed, key=lambda axis: weight.infshape[axis].dim), reads_out)


def _one_axis(weight: Weight, fixed: int, reads_out: bool) -> tuple[str, str]:
    """Of a raw matrix of which at most one axis grows."""
    other = str(Role.EMBEDDING) if not weight.repeats else f"{Role.HIDDEN_WEIGHT}, fan-in {fixed}"
    if not weight.growing:
        return other, "no axis grows with width"
    (axis,) = weight.growing
    reading = f"{Role.ROUTER if weight.repeats else Role.READOUT}, fan-in {axis}"
    stacked = [each.shape[0] for each in weight.owner.module.parameters(recurse=False) if len(each.shape) >= 3]
    if weight.infshape[fixed].dim in stacked and "bias" not in weight.owner.local:
        return reading, f"`{other}` for biases of experts"
    if weight.repeats or reads_out:
        return other, f"`{reading}` where axis {axis} is summed over"
    return reading, f"`{other}` where rows are looked up or added"


def _summed_axes(weight: Weight, others: Mapping[str, Weight]) -> tuple[int, ...]:
    """The likely axes of a tensor of which two or more grow.

    Inputs come first, unless the module's first tensor of which one such axis has the stream's width has it elsewhere:
    that one reads the stream, and the module's other tensors are laid out as it is.
    """
    growing = weight.growing
    if len(weight.infshape) == 3 and growing == (0, 1):
        return (0,)
    if len(weight.infshape) == 3 and growing == (0, 2):
        return (0, 1)
    stream = _stream(others)
    for other in others.values():
        alike = other.owner.path == weight.owner.path and other.fans is None and other.growing == growing
        reads = [axis for axis in growing if other.infshape[axis] == stream] if alike else []
        if len(reads) == 1 and len(growing) == 2:
            return (reads[0],)
    return growing[:1]


def _stream(weights: Mapping[str, Weight]) -> object:
    """The residual stream's width: what tables and input layers give; None where they differ."""
    found = [
        weight.fans.fan_out
        for weight in weights.values()
        if weight.fans is not None
        and (weight.fans.kind == "lookup" or (weight.fans.kind == "norm gain" and weight.repeats))
        and weight.fans.fan_out.isinf()
    ]
    return found[0] if found and all(dim == found[0] for dim in found) else None


def _axes(axes: Iterable[int]) -> str:
    return "+".join(map(str, axes))


def findings_of(
    questions: Sequence[Question],
    asked_elsewhere: Callable[[], Sequence[tuple[Mapping[str, str], Iterable[str]]]],
    repetition: Repetition,
) -> tuple[Finding, ...]:
    """One finding for all layers that repeat, with a line that answers for these parameters alone.

    Args:
        questions: of one model, in the order of its parameters.
        asked_elsewhere: gives, per other model, its questions (name -> suggested role) and the names of all its
            parameters; called only where there is a question.
        repetition: what repeats with depth.
    """
    models = list(asked_elsewhere())
    groups: dict[tuple[str, str, str, str], list[Question]] = {}
    for question in questions:
        # experts that are listed, and layers, are asked about once
        place = re.sub(r"(?<![^.])\d+(?![^.])", "#", repetition.place(question.name))
        why = re.sub(r"\d+", "#", question.why)
        groups.setdefault((place, question.role, why, question.hint), []).append(question)
    found = []
    for group in groups.values():
        first = group[0]
        patterns = patterns_for([question.name for question in group], first.role, models, repetition)
        hint = first.hint or (_line(patterns, first.role, first.alternative) if patterns else _NO_PATTERN)
        found.append(Finding(RULE, f"{first.name} {first.shape}: {first.why}", hint))
    return tuple(found)


def patterns_for(
    names: Sequence[str],
    answer: str,
    models: Sequence[tuple[Mapping[str, str], Iterable[str]]],
    repetition: Repetition,
) -> list[str]:
    """Regular expressions that match these names, and of every model nothing but names with the same answer.

    Args:
        names: full names that need one answer.
        answer: the answer, in any form that models know.
        models: per model, name -> answer where there is one, and all of its names.
        repetition: what repeats with depth.

    Returns:
        One or several; none where no pattern tells these names from others at every depth.
    """
    by_layer = list(dict.fromkeys(map(repetition.pattern, names)))
    coarser = list(dict.fromkeys(re.sub(r"(?<![^.\\])\d+(?![^.\\])", r"\\d+", pattern) for pattern in by_layer))
    for patterns in (coarser, by_layer):
        if all(_exact(pattern, answer, models) for pattern in patterns):
            return patterns
    return []


def _exact(pattern: str, answer: str, models: Sequence[tuple[Mapping[str, str], Iterable[str]]]) -> bool:
    compiled = re.compile(pattern)
    return all(answers.get(name) == answer for answers, names in models for name in names if compiled.fullmatch(name))


_NO_PATTERN = (
    "numbers in the names move with the depth, so no pattern is right at every depth: give these modules names of "
    "their own, as attributes or with nn.ModuleDict"
)


def _line(patterns: Sequence[str], role: str, alternative: str) -> str:
    """What `_OFFERED` takes apart."""
    recipe = ", ".join(f"'{pattern}': '{role}'" for pattern in patterns)
    python = ", ".join(f'r"{pattern}": "{role}"' for pattern in patterns)
    return f"add to `model` of the recipe: `roles: {{{recipe}}}` ({alternative}); from Python: roles={{{python}}}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a question.

    Attributes:
        roles: regular expression over full names -> role, as a recipe's `roles` takes them.
        why: when it is right, one clause; "" where nothing is known.
    """

    roles: Mapping[str, str]
    why: str


def choices(finding: Finding) -> tuple[Choice, ...]:
    """The answers that a finding offers, the likeliest first; none where no role would help.

    Args:
        finding: as `findings_of` gives it.
    """
    offered = _OFFERED.match(finding.hint or "") if finding.rule == RULE else None
    if offered is None:
        return ()
    likeliest = dict(re.findall(r"'([^']+)': '([^']+)'", offered["roles"]))
    others, reasons = [], []
    for clause in offered["alternative"].split("; "):
        other = re.match(r"`(?P<role>[^`]+)` (?P<why>.+)", clause)
        part = re.match(r"(?P<part>fan-in [\d+]+|zeros|ones) (?P<why>.+)", clause)
        if other is not None:
            others.append(Choice(dict.fromkeys(likeliest, other["role"]), other["why"]))
        elif part is not None:
            roles = {pattern: f"{role.partition(',')[0]}, {part['part']}" for pattern, role in likeliest.items()}
            others.append(Choice(roles, part["why"]))
        else:
            reasons.append(clause)
    return (Choice(likeliest, "; ".join(reasons)), *others)


# Answers.


def check_answer(
    weight: Weight, given: GivenRole, patterns: tuple[str, str], right: str | None, *, in_block: bool
) -> None:
    """Refuse a role that the axes that grow contradict.

    Args:
        weight: the parameter that was named.
        given: the role it was given.
        patterns: the one under which it was named, and one that matches it in every layer.
        right: what it is read as without an answer; None where that is a question.
        in_block: whether rules for depth apply to it.

    Raises:
        UsageError: the role would give it a rule that does not hold for it.
    """
    fault = _fault(weight, given, in_block)
    if fault is None:
        return
    why, role = fault
    pattern, exact = patterns
    hint = (
        f"leave it out of the pattern: it is read as `{right}`"
        if right is not None
        else f"name it `{role}`: roles: {{'{exact}': '{role}'}}"
    )
    raise UsageError(
        "a role that is named must agree with the axes that grow",
        received=f"'{pattern}' makes {weight.name} {weight.shape} `{given.role}`, but {why}",
        hint=hint,
    )


def _fault(weight: Weight, given: GivenRole, in_block: bool) -> tuple[str, str] | None:
    """What contradicts the role, and the right one."""
    axes, growing = given.fan_in_axes, weight.growing
    if axes is not None and max(axes) >= len(weight.infshape):
        return f"it has no axis {max(axes)}", f"{given.role}, fan-in {_axes(growing[:1] or (0,))}"
    if weight.is_matrix:
        return _matrix_fault(weight, given, in_block)
    if weight.fans is None:
        return None if weight.is_vector else _raw_fault(weight, given)
    if weight.fans.kind == "lookup" and given.role is not Role.EMBEDDING:
        return "its rows are looked up", str(Role.EMBEDDING)
    return None


def _raw_fault(weight: Weight, given: GivenRole) -> tuple[str, str] | None:
    """Of a tensor of several axes whose module says nothing."""
    role, axes, growing = given.role, given.fan_in_axes, weight.growing
    likely = _summed_axes(weight, {})
    fixed = [axis for axis in range(len(weight.infshape)) if axis not in growing]
    output = Role.ROUTER if weight.repeats else Role.READOUT
    summed = None if axes is None else bool(set(axes) & set(growing))
    fault = None
    if role in VECTORS:
        right = likely if len(growing) > 1 or not fixed else fixed[-1:]
        fault = "it has several axes, so it is no vector", f"{Role.HIDDEN_WEIGHT}, fan-in {_axes(right)}"
    elif len(growing) >= 2 and role in (Role.EMBEDDING, Role.READOUT):
        fault = "two of its axes grow", f"{Role.HIDDEN_WEIGHT}, fan-in {_axes(likely)}"
    elif len(growing) >= 2 and summed is False:
        fault = f"axis {_axes(axes or ())} is fixed while axes {_axes(growing)} grow", f"{role}, fan-in {_axes(likely)}"
    elif growing and summed is False and role in _OUTPUTS:
        fault = f"axis {_axes(axes or ())}, its inputs, is fixed", f"{role}, fan-in {growing[0]}"
    elif summed and role is Role.EMBEDDING:
        fault = f"axis {_axes(axes or ())}, its inputs, grows", f"{output}, fan-in {_axes(axes or ())}"
    return fault


def _matrix_fault(weight: Weight, given: GivenRole, in_block: bool) -> tuple[str, str] | None:
    """Of a matrix whose fans are known."""
    role, sums = given.role, weight.sums
    outside = Role.READOUT if sums == (True, False) else Role.EMBEDDING
    right = str(Role.HIDDEN_WEIGHT if weight.repeats or sums == (True, True) else outside)
    said = f"its fan-in {'grows' if sums[0] else 'is fixed'} and its fan-out {'grows' if sums[1] else 'is fixed'}"
    fault = None
    if role in VECTORS:
        fault = "it is a matrix", right
    elif given.fan_in_axes is not None and not _agrees(weight, given.fan_in_axes):
        fault = f"its module sums over other axes than {_axes(given.fan_in_axes)}", str(role)
    elif (sums[0] and role is Role.EMBEDDING) or (sums == (True, True) and role is Role.READOUT):
        fault = said, right
    elif sums == (True, False) and not weight.repeats and role not in _OUTPUTS:
        fault = f"{said}, outside the layers: it reads out", right
    elif role is Role.EMBEDDING and in_block:
        fault = "it lies in a layer, whose rules for depth an embedding does not have", right
    return fault


def _agrees(weight: Weight, axes: Sequence[int]) -> bool:
    """Whether the axes named are those that the module sums over, but for axes of a kernel."""
    growing = set(axes) & set(weight.growing)
    named = [weight.infshape[axis] for axis in axes]
    grows = any(dim.isinf() for dim in named)
    if grows != weight.fan_in.isinf():
        return False
    return not growing or any(dim == weight.fan_in for dim in named) or len(weight.infshape) > 2
