"""What every exported file says first: rules, the framework's own part, the evidence, the versions that were read."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import printable
from hptransfer.parameterization.groups import ParameterGroup, collapsed_names, readable
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
    """

    framework: str
    read_at: str
    itself: str
    executed: str | None
    by_hand: tuple[str, ...] = ()


def header(target: TargetFile, name: str, about: About) -> list[str]:
    """Lines without comment signs, at most 110 columns but for words that are longer.

    Args:
        target: as the exporter writes it.
        name: of the exporter, as users type it.
        about: what is known of the framework.
    """
    lines = []
    for given in _sentences(target, name, about):
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


def _sentences(target: TargetFile, name: str, about: About) -> Iterator[str]:
    base, size = target.base, target.size
    yield f"Written by hptransfer for {about.framework} (format {name}; read at {about.read_at})."
    yield f"hptransfer verify --export THIS_FILE compares it with the plan, sha256 {plan_digest(target)[:16]}."
    yield ""
    if target.verdict.forced:
        yield "FORCED: this was written although the evidence does not support it."
        yield from (f"  FORCED: {' '.join(objection.split())}" for objection in target.verdict.objections)
    yield f"Verdict: {target.verdict.verdict or 'NOT CHECKED'}. {' '.join(target.verdict.sentence.split())}"
    if target.scope is not None:
        word = "covered" if target.scope.covered else "ACCEPTED" if target.scope.accepted else "NOT COVERED"
        yield f"Scope: {word}. {' '.join(target.scope.sentence.split())}"
    if target.use is not None and target.use.use == "predicted":
        yield f"Values: predicted, not tuned: {', '.join(target.use.predicted)}."
    yield from _prediction(target)
    yield f"Rules: {target.parameterization} with {target.optimizer}; {_grown(target)}."
    yield from _scaled(target)
    yield f"Base: width {base.width}, depth {base.depth}; this run: width {size.width}, depth {size.depth}."
    yield f"By itself {about.framework}: {about.itself}"
    yield (
        f"Executed: {about.executed}."
        if about.executed
        else f"UNVERIFIED: no code of {about.framework} was ever executed on what this format writes."
    )
    yield from (f"By hand: {each}" for each in about.by_hand)
    yield from (f"Note: {note}" for note in target.notes)
    versions = ", ".join(f"{package} {version}" for package, version in target.provenance.versions.items())
    yield f"Versions of the plan: {versions or 'not said'}."


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
            + collapsed_names(group.role if len(rules[group.role]) == 1 else _short(group) for group in groups)
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
        target: in any gauge; another gauge has another digest.
    """
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
