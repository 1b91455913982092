"""The registry of formats of `hptransfer diff`, and the words that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hptransfer.registry import Registry

if TYPE_CHECKING:
    from hptransfer.linting.compared.facts import Evidence
    from hptransfer.linting.compared.recipes import RecipeComparison, Version


@dataclass(frozen=True, slots=True)
class Compared:
    """All recipes of two versions.

    Attributes:
        base: how the earlier version is called.
        head: how the later version is called.
        recipes: one entry for each recipe that either has.
    """

    base: str
    head: str
    recipes: Sequence[RecipeComparison]

    @property
    def regressed(self) -> list[RecipeComparison]:
        """Recipes of which a verdict got worse."""
        return [each for each in self.recipes if each.regressions]


#: name of a format -> what turns a comparison into lines of output
FORMATS: Registry[Callable[[Compared], Iterator[str]]] = Registry("format", "hptransfer.report.compared", "render")

#: quantity of a plan -> how it is headed
HEADINGS = {
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "eps": "eps",
    "init_std": "init std",
    "multiplier": "forward",
}


def counted(found: Compared) -> str:
    """The line that says how many recipes changed: "3 recipes: 1 changed, 2 unchanged; 1 verdict regressed".

    Args:
        found: all recipes of two versions.
    """
    total = len(found.recipes)
    statuses = [each.status for each in found.recipes]
    parts = [
        f"{statuses.count(status)} {status}"
        for status in ("changed", "added", "removed", "moved", "unchanged")
        if status in statuses
    ]
    worse = sum(len(each.regressions) for each in found.recipes)
    regressed = f"{worse} verdict{'' if worse == 1 else 's'} regressed" if worse else "no verdict regressed"
    return f"{total} recipe{'' if total == 1 else 's'}: {', '.join(parts) or 'none in either'}; {regressed}"


def unasked(found: Compared) -> Iterator[str]:
    """Yields a sentence each on code and on data, which may change where recipes do not.

    Args:
        found: all recipes of two versions.
    """
    count = sum(each.status == "unchanged" and bool(each.undecided) for each in found.recipes)
    if count:
        named = "1 recipe that does not change names" if count == 1 else f"{count} recipes that do not change name"
        yield f"{named} code of its own, whose plan was not compared: it runs with `--trust` only"
    if any(each.not_compared for each in found.recipes):
        yield "contents of data are not compared: `hptransfer validate --level evidence` holds evidence to them"


def told(version: Version | None) -> str:
    """The verdict of a version with its standing at the target, in a few words.

    Args:
        version: of one recipe; None where it is not there.
    """
    if version is None:
        return "-"
    if version.loaded is None:
        return "errors"
    evidence = version.evidence
    if evidence.verdict is None:
        return "not checked"
    if not evidence.current:
        return f"stale ({evidence.verdict})"
    return evidence.verdict + (f", target {evidence.scope}" if evidence.scope else "")


def number(value: float | None) -> str:
    """A value as people read it, "-" where there is none.

    Args:
        value: in the quantity's own unit.
    """
    return "-" if value is None else f"{value:.4g}"


def step(before: float | None, after: float | None) -> str:
    """A value before and after: "0.01 -> 0.005 (x0.5)".

    Args:
        before: in the quantity's own unit; None where there is none.
        after: the same of the later version.
    """
    ratio = f" (x{after / before:.4g})" if before and after is not None else ""
    return f"{number(before)} -> {number(after)}{ratio}"


def tuned_steps(before: Evidence, after: Evidence) -> Iterator[tuple[str, str]]:
    """Yields name and step of each tuned value that differs.

    Args:
        before: evidence of the earlier version.
        after: evidence of the later version.
    """
    for name in dict.fromkeys((*before.tuned, *after.tuned)):
        old, new = before.tuned.get(name), after.tuned.get(name)
        if old != new:
            yield name, step(old, new)


def evidence_steps(each: RecipeComparison) -> Iterator[str]:
    """Yields which committed files are others, then what they state otherwise beside the verdict, a clause each.

    Args:
        each: one recipe of two versions.
    """
    if each.files:
        files = ", ".join(
            change.file if change.how == "edited" else f"{change.file} {change.how}" for change in each.files
        )
        same = "" if each.values else "; verdict, coordinate check and optima are as before"
        yield f"evidence changed: {files}{same}"
    for change in each.values:
        if change.name != "verdict":  # that is told of every recipe
            yield f"{change.name}: {_stated(change.base)} -> {_stated(change.head)}"


def _stated(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def loss(evidence: Evidence) -> str:
    """The loss that is predicted of the target, with its interval; "-" where none is registered.

    Args:
        evidence: of one version of a recipe.
    """
    if evidence.loss is None:
        return "-"
    estimate, low, high = evidence.loss
    return f"{number(estimate)} ({number(low)} to {number(high)})"


def as_plain(value: Any) -> str:
    """A recipe's value in a few characters.

    Args:
        value: JSON-able data; None where the key is left out.
    """
    text = "nothing" if value in (None, {}) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
