"""What every exported file says first: rules, the framework's own part, the evidence, the versions that were read."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import printable
from hptransfer.handover.counting import Counting, as_planned
from hptransfer.parameterization.decay_timescale import share_text
from hptransfer.parameterization.groups import ParameterGroup, collapsed_names, readable
from hptransfer.parameterization.notes import is_of_plain_form
from hptransfer.parameterization.rules import Quantity

#: columns of a line of the header
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class About:
    """What an exporter knows of its framework.

    Attributes:
        framework: its name, for people.
        read_at: version or commit whose code was read.
        itself: what the framework does by itself, and what is written for it, one sentence.
        executed: the framework's code that the project's tests run on what is written, with its version; None: none
            was ever executed, and the file says `unverified`.
        by_hand: what is left to do, a sentence each.
        counted: how the framework counts the steps of this target's schedule, see `handover.counting`; None: as a plan.
        plain: whether the files hold the plan in the form without multipliers in `forward`, with an `init_` of their
            own; else they are in the framework's own form.
    """

    framework: str
    read_at: str
    itself: str
    executed: str | None
    by_hand: tuple[str, ...] = ()
    counted: Callable[[TargetFile], Counting | None] = as_planned
    plain: bool = True


def header(target: TargetFile, name: str, about: About, by_hand: Iterable[str] = ()) -> list[str]:
    """Lines without comment signs, at most 110 columns but for words that are longer.

    Args:
        target: as the exporter writes it.
        name: of the exporter, as users type it.
        about: what is known of the framework.
        by_hand: what this target leaves to do besides, a sentence each.
    """
    lines = []
    for given in _sentences(target, name, about, tuple(by_hand)):
        sentence = printable(given)  # a note may hold anything, and a control character ends a comment
        text = sentence.lstrip()
        indent = " " * (len(sentence) - len(text))
        lines += textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ") or [""]
    return lines


def commented(lines: Iterable[str], sign: str = "#") -> str:
    """The lines as comments, with a newline at the end.

    Args:
        lines: of the header, without comment signs.
        sign: what begins a comment.
    """
    return "".join(f"{sign} {printable(line)}".rstrip() + "\n" for line in lines)


def _sentences(target: TargetFile, name: str, about: About, by_hand: tuple[str, ...]) -> Iterator[str]:
    yield f"Written by hptransfer for {about.framework} (format {name}; read at {about.read_at})."
    yield (
        f"hptransfer verify --export THIS_FILE compares it with the plan, and prints the plan's sha256, which was "
        f"{plan_digest(target)[:16]}: of rows, hyperparameters, sizes and schedule, not of dates and evidence."
    )
    yield ""
    yield from _evidence(target)
    yield ""
    yield f"By itself {about.framework}: {about.itself}"
    if (counted := about.counted(target)) is not None:
        yield f"Steps as {about.framework} counts them: {counted.sentence}."
    yield (
        f"Executed: {about.executed}."
        if about.executed
        else f"UNVERIFIED: no code of {about.framework} was ever executed on what this format writes."
    )
    yield from (f"By hand: {each}" for each in (*about.by_hand, *by_hand))
    yield ""
    yield from _run(target)
    yield f"Rules: {target.parameterization} with {target.optimizer}; {_grown(target)}."
    scaled = list(_scaled(target))
    if scaled:
        yield (
            "  In the plain form, where forward multiplies nothing (m_in, m_out: growth of a weight's inputs and "
            "outputs; m_L: of the depth)"
            + (":" if about.plain else "; this file trains the same in the framework's own form:")
        )
    yield from scaled
    yield from (f"Note: {note}" for note in target.notes if about.plain or not is_of_plain_form(note))
    if not about.plain and target.training is not None and target.training.clip is not None:
        yield (
            "Note: clipping by the global norm sees the gradients of this form, so a threshold that was tuned in "
            "another form does not carry over exactly"
        )
    versions = ", ".join(f"{package} {version}" for package, version in target.provenance.versions.items())
    yield f"Versions of the plan: {versions or 'not said'}."


def _evidence(target: TargetFile) -> Iterator[str]:
    """Verdict, scope and prediction, nothing twice."""
    verdict, scope = target.verdict, target.scope
    said = [" ".join(objection.split()) for objection in verdict.objections] if verdict.forced else []
    if said:
        yield "FORCED: this was written although the evidence does not support it."
        yield from (f"  FORCED: {objection}" for objection in said)

    def unless_said(sentence: str) -> str:
        plain = " ".join(sentence.split())
        return "" if any(plain in objection for objection in said) else f" {plain}"

    yield f"Verdict: {verdict.verdict or 'NOT CHECKED'}.{unless_said(verdict.sentence)}"
    if scope is not None:
        word = "covered" if scope.covered else "ACCEPTED" if scope.accepted else "NOT COVERED"
        yield f"Scope: {word}.{unless_said(scope.sentence)}"
    if target.use is not None and target.use.use == "predicted":
        yield f"Values: predicted, not tuned: {', '.join(target.use.predicted)}."
    yield from _prediction(target)


def _run(target: TargetFile) -> Iterator[str]:
    """Sizes and hyperparameters: what a reader compares by hand."""
    base, size, training = target.base, target.size, target.training
    yield f"Base: width {base.width}, depth {base.depth}, batch size {base.batch_size}, tokens {base.tokens:,}."
    steps = "" if training is None else f", {training.steps:,} steps"
    sizes = f"width {size.width}, depth {size.depth}, batch size {size.batch_size}, tokens {size.tokens:,}"
    yield f"This run: {sizes}{steps}."
    intervals = target.provenance.intervals or {}
    values = (
        f"{name} {value:.6g}" + (f" ({_interval(intervals[name])})" if any(intervals.get(name, ())) else "")
        for name, value in target.hyperparameters.items()
    )
    yield f"At the base (95% interval of what was tuned): {', '.join(values)}."
    yield from (f"  {' '.join(each.sentence.split())}" for each in target.extrapolation)
    yield from (
        f"  weight decay of {', '.join(each.parameters)} averages over {share_text(each.share)}"
        for each in target.decay_timescale
    )


def _interval(ends: tuple[float | None, float | None]) -> str:
    low, high = ("open" if end is None or not math.isfinite(end) else f"{end:.4g}" for end in ends)
    return f"{low} to {high}"


def _grown(target: TargetFile) -> str:
    base, size = target.base, target.size
    pairs = ((axis, getattr(size, axis) / getattr(base, axis)) for axis in ("width", "depth", "batch_size", "tokens"))
    grown = [f"{axis.replace('_', ' ')} x{ratio:g}" for axis, ratio in pairs if ratio != 1]
    return f"grown since the base: {', '.join(grown)}" if grown else "this size is the base"


def _scaled(target: TargetFile) -> Iterator[str]:
    """Per quantity the rules by role, where one scales."""
    for quantity in Quantity:
        by_rule: dict[str, list[ParameterGroup]] = {}
        rules: dict[str, set[str]] = {}
        for group in target.parameters:
            rule = group.rules.get(quantity.value, "")
            by_rule.setdefault(rule, []).append(group)
            rules.setdefault(group.role, set()).add(rule)
        # a role that follows several rules is told by names
        said = (
            f"{rule} for "
            + collapsed_names(
                (group.role if len(rules[group.role]) == 1 else _short(group) for group in groups), len(groups)
            )
            for rule, groups in by_rule.items()
            if rule
        )
        if text := "; ".join(said):
            yield f"  {quantity.value}: {text}"


def _short(group: ParameterGroup) -> str:
    """The name inside its block: "self_attn.q_proj"."""
    return readable(group.pattern).rpartition("*.")[2].removesuffix(".weight")


def _prediction(target: TargetFile) -> Iterator[str]:
    prediction = target.prediction
    if prediction is None:
        yield "Prediction: none is registered."
        return
    objective = prediction.get("objective", {})
    evaluation = objective.get("evaluation") or "an evaluation that was not named"
    loss = prediction.get("loss")
    if loss is None:
        yield f"Prediction: {' '.join(prediction.get('basis', ()))}"
        return
    low, high = ("open" if loss[end] is None else f"{loss[end]:.5g}" for end in ("low", "high"))
    yield (
        f"Prediction, registered {prediction.get('written')}: the run ends with a loss of {loss['estimate']:.5g} "
        f"({low} to {high}) on {evaluation}; `hptransfer verify` compares."
    )


def plan_digest(target: TargetFile) -> str:
    """sha256 (hex) of what is trained: rows, hyperparameters, sizes and schedule; not of dates and evidence.

    Args:
        target: in any gauge; the digest is of what its file says, so that all formats have the same.
    """
    target = target.as_written
    content = {
        "parameters": [group.as_mapping() for group in target.parameters],
        "hyperparameters": dict(target.hyperparameters),
        "optimizer": target.optimizer,
        "optimizer_values": dict(target.optimizer_values),
        "training": None if target.training is None else target.training.model_dump(mode="json"),
        "base": asdict(target.base),
        "size": asdict(target.size),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
