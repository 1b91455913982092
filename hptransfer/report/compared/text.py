"""For people at a terminal: recipes that changed, each with its keys, its plan and its evidence."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import printable
from hptransfer.linting.compared.recipes import RecipeComparison
from hptransfer.report.columns import folded, terminal_width
from hptransfer.report.compared.base import (
    HEADINGS,
    Compared,
    counted,
    evidence_steps,
    loss,
    step,
    told,
    tuned_steps,
    unasked,
)


def render(found: Compared) -> Iterator[str]:
    """Yields the lines of the report, folded at words where they go to a terminal.

    Args:
        found: all recipes of two versions.
    """
    width = terminal_width()
    for line in _lines(found):
        yield from folded(line, width, " " * (len(line) - len(line.lstrip()) + 4))


def _lines(found: Compared) -> Iterator[str]:
    yield printable(f"{found.base} -> {found.head}")
    for each in found.recipes:
        if each.status != "unchanged":
            yield from map(printable, _recipe(each))
    for each in found.regressed:
        yield from (printable(f"regressed: {each.path}: {clause}") for clause in each.regressions)
    yield from (f"note: {said}" for said in unasked(found))
    yield counted(found)


def _recipe(each: RecipeComparison) -> Iterator[str]:
    moved = f" (was {each.base.path})" if each.status == "moved" and each.base else ""
    yield f"{each.status}: {each.path}{moved}"
    yield f"  verdict: {told(each.base)} -> {told(each.head)}"
    yield from (f"  {change}" for change in each.changes)
    yield from (f"  comment {how}: {comment}" for how, comment in each.comments)
    yield from (f"  {clause}" for clause in evidence_steps(each))
    if each.base and each.head:
        before, after = each.base.evidence, each.head.evidence
        yield from (f"  tuned {name}: {said}" for name, said in tuned_steps(before, after))
        if loss(before) != loss(after):
            yield f"  predicted loss: {loss(before)} -> {loss(after)}"
    if each.plan is not None:
        old, new = each.plan.size
        where = new if old == new else f"{old} -> {new}"
        values = " -> ".join(dict.fromkeys(each.plan.planned_with))
        yield f"  plan at the target ({where}; values: {values}): {each.plan.unchanged} groups unchanged"
        for group in each.plan.groups:
            said = "; ".join(f"{HEADINGS[name]} {step(*pair)}" for name, pair in group.values.items())
            only = f", only in {group.only}" if group.only else ""
            role = " -> ".join(dict.fromkeys(part for part in group.role if part))
            yield f"    {group.name} ({role}{only}): {said or 'another init or role'}"
    yield from (f"  not decided: {reason}" for reason in each.undecided)
    if each.head is not None:
        yield from (f"  error: {finding.rule}" for finding in each.head.errors[:10])
        yield from (f"  evidence: {fault}" for fault in each.head.evidence.faults)
