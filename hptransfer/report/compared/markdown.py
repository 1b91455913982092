"""For the comment on a pull request: what a reviewer has to know first, details folded; texts of strangers escaped."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.linting.compared.plans import GroupChange, PlanChange
from hptransfer.linting.compared.recipes import RecipeComparison
from hptransfer.report.compared.base import (
    HEADINGS,
    Compared,
    as_plain,
    counted,
    evidence_steps,
    loss,
    step,
    told,
    tuned_steps,
    unasked,
)
from hptransfer.report.markdown import code, prose, sentence, table

#: characters of one comment that GitHub takes, less what the last line needs
_MOST = 65_536 - 1_000
#: rows of one table
_MOST_ROWS = 40


def render(found: Compared) -> Iterator[str]:
    """Yields the lines of the comment; what has no room is counted.

    Args:
        found: all recipes of two versions.
    """
    changed = [each for each in found.recipes if each.status != "unchanged"]
    head = [f"### Recipes: {prose(found.base)} → {prose(found.head)}", "", f"{counted(found)}.", ""]
    for each in found.regressed:
        head += [f"- **regressed** {code(each.path)}: {_arrow('; '.join(each.regressions))}"]
    if changed:
        rows = [[code(each.path), each.status, *_evidence(each)] for each in changed[:_MOST_ROWS]]
        head += [*([""] if found.regressed else []), *table(["recipe", "", "verdict", "tuned", "predicted loss"], rows)]
    if len(changed) > _MOST_ROWS:
        head += ["", f"{len(changed) - _MOST_ROWS} recipes more."]
    head += [f"\n{sentence(said)}." for said in unasked(found)]
    yield from head
    left = _MOST - sum(len(line) + 1 for line in head)
    for place, each in enumerate(changed):
        lines = list(_details(each))
        left -= sum(len(line) + 1 for line in lines)
        if left < 0:
            yield f"\nThe details of {len(changed) - place} recipes have no room here: `hptransfer diff` prints them."
            return
        yield from lines


def _evidence(each: RecipeComparison) -> list[str]:
    before, after = told(each.base), told(each.head)
    verdict = prose(after if before in (after, "-") else f"{before} → {after}")
    if each.base is None or each.head is None:
        return [verdict, "", ""]
    first, second = each.base.evidence, each.head.evidence
    tuned = "<br>".join(f"{code(name)} {_arrow(said)}" for name, said in tuned_steps(first, second))
    lost = "" if loss(first) == loss(second) else prose(f"{loss(first)} → {loss(second)}")
    return [verdict, tuned, lost]


def _arrow(text: str) -> str:
    return prose(text.replace("->", "→"))


def _details(each: RecipeComparison) -> Iterator[str]:
    body = list(_body(each))
    if body:
        yield from ("", f"<details><summary>{code_html(each.path)}</summary>", "", *body, "", "</details>")


def code_html(path: str) -> str:
    """A path inside an HTML element, where Markdown's code spans are not read.

    Args:
        path: of a recipe, with any characters.
    """
    return prose(path).replace("`", "&#96;")


def _body(each: RecipeComparison) -> Iterator[str]:
    if each.changes:
        rows = [
            [code(change.key), code(as_plain(change.old)), code(as_plain(change.new)), prose(change.effect)]
            for change in each.changes[:_MOST_ROWS]
        ]
        yield from table(["key", "base", "head", "finished trials"], rows)
        yield from _more(len(each.changes), "keys")
    yield from (f"\nComment {how}: {code(comment)}" for how, comment in each.comments[:_MOST_ROWS])
    yield from _more(len(each.comments), "comments")
    yield from (f"\n{sentence(clause.replace('->', '→'))}." for clause in evidence_steps(each))
    if each.plan is not None and each.plan.groups:
        yield from ("", *_plan(each.plan))
    elif each.plan is not None:
        yield from ("", "The plan at the target does not change.")
    yield from (f"\nNot decided: {sentence(reason)}." for reason in each.undecided)
    if each.head is not None:
        yield from (f"\nError: {sentence(finding.rule)}." for finding in each.head.errors[:10])
        yield from (f"\nEvidence: {sentence(fault)}." for fault in each.head.evidence.faults)


def _plan(plan: PlanChange) -> Iterator[str]:
    sizes, values = (" → ".join(dict.fromkeys(pair)) for pair in (plan.size, plan.planned_with))
    yield f"Plan at the target ({prose(sizes)}; values: {prose(values)}); {plan.unchanged} groups do not change."
    yield ""
    used = [name for name in HEADINGS if any(name in group.values for group in plan.groups)]
    rows = [[code(group.name), _role(group), *_steps(group, used)] for group in plan.groups[:_MOST_ROWS]]
    yield from table(["parameters", "role", *(HEADINGS[name] for name in used)], rows)
    yield from _more(len(plan.groups), "groups")


def _role(group: GroupChange) -> str:
    role = " → ".join(dict.fromkeys(part for part in group.role if part))
    return prose(role + (f" (only in {group.only})" if group.only else ""))


def _steps(group: GroupChange, used: list[str]) -> Iterator[str]:
    for name in used:
        pair = group.values.get(name)
        yield "" if pair is None else step(*pair).replace("->", "→")


def _more(count: int, what: str) -> Iterator[str]:
    if count > _MOST_ROWS:
        yield f"\n{count - _MOST_ROWS} {what} more."
