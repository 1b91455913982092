"""What a rule says about itself: its number, why it holds, a recipe that breaks it and one that does not, the repair.

A rule carries its `Explanation` where it is defined; `hptransfer.linting.catalogue` collects them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType

from hptransfer.errors import Finding

_MLP = """\
name: small
model: {kind: mlp}
data: {kind: stdlib-text}
training:
  steps: 100
parameterization: {name: mup}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128, 256, 512]
  target: {width: 1024, depth: 4}
tune:
  space:
    learning_rate: {low: 1e-4, high: 1e-1}
"""
_COMMAND = """\
name: program
trainer:
  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]
  results: {stdout: "loss (.*)"}
training: {steps: 100}
parameterization: {name: measured}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128, 256, 512]
  target: {width: 1024, depth: 2}
tune:
  space:
    learning_rate: {low: 1e-4, high: 1e-1}
"""
#: name of a base -> a small valid recipe over which examples are laid; "" lays them over nothing
BASES = MappingProxyType({"mlp": _MLP, "command": _COMMAND, "": ""})


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is told of a rule besides its code and its sentence.

    Attributes:
        id: stable number of the rule, "HPT101".
        why: what goes wrong where the rule does not hold, a sentence with a full stop.
        repair: what to do about it, without a full stop; it cannot make anything wrong. The hint of every finding that
            has none of its own.
        wrong: sections of a recipe that break the rule; they take the places of the base's.
        right: sections that do not.
        at: the finding's place is where this text first stands in `wrong`; after a "^", where there is one.
        base: what the sections are laid over, a key of `BASES`; None where the example is no recipe but told.
        also: codes of other rules that `wrong` cannot but break too.
    """

    id: str
    why: str
    repair: str
    wrong: str
    right: str
    at: str = ""
    base: str | None = "mlp"
    also: tuple[str, ...] = ()

    def whole(self, sections: str) -> str:
        """A complete recipe: the base with sections of an example in it.

        Args:
            sections: those of `wrong` or of `right`.
        """
        return laid(BASES[self.base or ""], sections)

    @property
    def position(self) -> tuple[int, int]:
        """Line and column, both from 1, of the finding in the whole recipe of `wrong`."""
        before, _, marked = self.at.rpartition("^")
        start = self.whole(self.wrong).index(before + marked) + len(before)
        lines = self.whole(self.wrong)[:start].split("\n")
        return len(lines), len(lines[-1]) + 1


def laid(base: str, sections: str) -> str:
    """A recipe with some of its sections replaced, and new ones at the end.

    Args:
        base: text of a recipe.
        sections: text of sections, each with the comments above it.
    """
    parts = _sections(base)
    parts |= _sections(sections)
    return "".join(parts.values())


def _sections(text: str) -> dict[str, str]:
    """First word of each section -> its lines, comments above it among them."""
    found: dict[str, str] = {}
    above = name = ""
    for line in text.removesuffix("\n").split("\n") if text else ():
        whole = f"{line}\n"
        if line.startswith("#"):
            above += whole
        elif not line or line[0] == " ":
            found[name] = found.get(name, "") + above + whole
            above = ""
        else:
            name = re.split(r"[:\s]", line, maxsplit=1)[0]
            name = name if name not in found else f"{name} "  # a key given twice is an example too
            found[name] = above + whole
            above = ""
    return found


def explained(findings: Iterable[Finding], known: dict[str, Explanation]) -> list[Finding]:
    """Findings with the number of their rule, and its repair where they have no hint.

    Args:
        findings: each with its code.
        known: code -> what its rule says about itself.
    """

    def told(finding: Finding) -> Finding:
        text = known.get(finding.code)
        return finding if text is None else replace(finding, id=text.id, hint=finding.hint or text.repair)

    return [told(finding) for finding in findings]
