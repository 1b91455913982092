"""The judgement of a table of finished runs: what was understood, and all of it as JSON.

A terminal's tables and figures are drawn by `results_terminal`: JSON needs none of what draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.json_data import to_document
from hptransfer.checking.judge_mechanics import table_mechanics
from hptransfer.checking.judge_table import JudgedSlice, TableJudgement
from hptransfer.checking.table_group import JudgedGroup
from hptransfer.errors import printable
from hptransfer.results_table.slices import TableSlice
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.mechanics import fixed_values_documents
from hptransfer.transfer.prediction import prediction_document

#: raised when a key of the document changes its meaning or goes away
FORMAT = 1


def describe_table(judgement: TableJudgement) -> Iterator[str]:
    """What was inferred, decided and left out, one line each, safe to print."""
    for note in judgement.notes:
        yield printable(note)
    for index, each in enumerate(judgement.slices):
        part = each.part
        if part.free:
            yield printable(f"{part.value} is judged with {at_their_best(part)}, by a fit of all rows")
            if index:
                continue  # the rows are the same
        if part.held:
            held = " and ".join(f"{name} {value}" for name, value in part.held.items())
            yield printable(f"slice of {part.value}: rows with {held}; {part.left_out} others left out")
        for sentence in each.roles.inferred:
            yield f"inferred {printable(sentence)}"
        for reason, count in each.results.dropped.items():
            yield f"left out: {count} row{'' if count == 1 else 's'} {printable(reason)}"
        for note in each.results.notes:
            yield printable(note)
        yield f"{each.results.used} runs count, {each.results.diverged} of them diverged"


def at_their_best(part: TableSlice) -> str:
    """The columns of a slice that are not held at a value, for a title."""
    return f"{' and '.join(part.free)} at {'its' if len(part.free) == 1 else 'their'} best"


def table_document(judgement: TableJudgement) -> dict[str, Any]:
    """The judgement as JSON-able data; docs/results.md documents the keys.

    Args:
        judgement: of the table; with several hyperparameters there is a document for each, and the worst verdict.
    """
    source, documents = _source(judgement), [_document(each, judgement) for each in judgement.slices]
    if len(documents) == 1:
        return documents[0]
    verdict = judgement.verdict.value
    together = [each.judgement for each in judgement.together.values() if each.verdict.value == verdict]
    sentence = " ".join([*(each["sentence"] for each in documents if each["verdict"] == verdict), *together])
    document = {"format": FORMAT, "source": source, "verdict": verdict, "sentence": sentence, "slices": documents}
    if not judgement.together:
        return document
    groups = [{"group": name, **to_document(each)} for name, each in judgement.together.items()]
    return document | {"together": groups}


def _source(judgement: TableJudgement) -> str:
    return ", ".join(map(str, judgement.sources))


def _document(each: JudgedSlice, judgement: TableJudgement) -> dict[str, Any]:
    results = each.results
    document = {
        "format": FORMAT,
        "source": _source(judgement),
        "reading": list(judgement.notes),
        "columns": to_document(each.roles),
        "rows": {
            "read": results.rows,
            "used": results.used,
            "diverged": results.diverged,
            "left_out": dict(results.dropped),
        },
        "notes": list(results.notes),
        "verdict": each.verdict.value,
        "sentence": each.sentence,
        "groups": [_group_document(group) for group in each.groups],
    }
    document |= _mechanics_document(each)
    others = {"held": dict(each.part.held), "free": list(each.part.free)}
    return document | {key: value for key, value in others.items() if value}


def _mechanics_document(each: JudgedSlice) -> dict[str, Any]:
    """Groups against each other, and batch sizes that reach one loss, where the slice has either."""
    found = table_mechanics(each)
    listed = {
        "penalties": [to_document(one) | {"sentence": one.sentence} for one in found.penalties],
        "tradeoffs": [to_document(one) | {"sentence": one.sentence} for one in found.tradeoffs],
    }
    return {name: items for name, items in listed.items() if items}


def _group_document(group: JudgedGroup) -> dict[str, Any]:
    document = {"group": group.name, **_brief(group.report)}
    for fixed in fixed_values_documents([group.report]):
        document["fixed_values"] = to_document(fixed)
    if group.target is not None:
        document["prediction"] = prediction_document(group.target.prediction)
        scope = group.target.scope
        document["target"] = to_document(scope) | scope.standings
    if group.exponents is not None:
        document["exponents"] = to_document(group.exponents)
    return document


def _brief(report: AxisReport) -> dict[str, Any]:
    """One report without its runs: those are in the table."""
    document: dict[str, Any] = to_document(
        replace(report, sizes=tuple(replace(size, points=()) for size in report.sizes))
    )
    for size in document["sizes"]:
        del size["points"]
    return document
