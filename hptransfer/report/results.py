"""The judgement of a table of finished runs: what was understood, the verdict per group, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hptransfer.errors import printable
from hptransfer.report.json_documents import FORMAT, to_document
from hptransfer.report.terminal import print_transfer
from hptransfer.results_table.columns import TableColumns
from hptransfer.results_table.results import Results
from hptransfer.results_table.table_slices import TableSlice
from hptransfer.transfer.exponents import AxisExponents
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.prediction import Prediction, prediction_document
from hptransfer.transfer.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console

Judged = Sequence[tuple[str | None, AxisReport]]
Predictions = Mapping[str | None, Prediction]
Moves = Mapping[str | None, AxisExponents]


def describe_columns(roles: TableColumns, results: Results) -> Iterator[str]:
    """What was inferred and decided about the table, one line each, safe to print."""
    for sentence in roles.inferred:
        yield f"inferred {printable(sentence)}"
    for reason, count in results.dropped.items():
        yield f"left out: {count} row{'' if count == 1 else 's'} {printable(reason)}"
    for note in results.notes:
        yield printable(note)
    yield f"{results.used} runs count, {results.diverged} of them diverged"


def describe_slice(part: TableSlice) -> Iterator[str]:
    """What was held still for one of several hyperparameters; nothing for a table with one."""
    if part.held:
        held = " and ".join(f"{name} {value}" for name, value in part.held.items())
        yield printable(f"slice of {part.value}: rows with {held}; {part.left_out} others left out")


def slices_document(source: str, verdict: Verdict, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several hyperparameters: one document each, and the worst verdict overall."""
    sentence = " ".join(each["sentence"] for each in documents if each["verdict"] == verdict.value)
    return {
        "format": FORMAT,
        "source": source,
        "verdict": verdict.value,
        "sentence": sentence,
        "slices": list(documents),
    }


def overall(judged: Judged) -> tuple[Verdict, str]:
    """One verdict over all groups, with the sentences that decided it."""
    verdict = Verdict.combine(report.verdict for _, report in judged)
    decided = [(name, report.sentence) for name, report in judged if report.verdict is verdict]
    return verdict, " ".join(sentence if name is None else f"{name}: {sentence}" for name, sentence in decided)


def print_results(judged: Judged, roles: TableColumns, console: Console) -> None:
    """Print each group's tables and verdict, then the overall verdict where there are several groups."""
    for name, report in judged:
        if name is not None:
            console.print(Text(printable(f"{roles.group} {name}"), "bold underline"))
        print_transfer(TransferReport((report,), report.verdict, report.sentence), console)
    if len(judged) > 1:
        for name, report in judged:
            console.print(Text(printable(f"{name}: {report.verdict}")))
        console.print(Text(printable(f"overall: {overall(judged)[0]}"), "bold"))


def results_document(
    source: str, roles: TableColumns, results: Results, judged: Judged, predictions: Predictions, moves: Moves
) -> dict[str, Any]:
    """The judgement as JSON-able data; docs/results.md documents the keys.

    Args:
        source: the file.
        roles: which column meant what.
        results: what was counted.
        judged: (group, report) pairs.
        predictions: by group, where a target was given.
        moves: local exponents by group, where the size is batch or tokens.
    """
    verdict, sentence = overall(judged)
    return {
        "format": FORMAT,
        "source": source,
        "columns": to_document(roles),
        "rows": {
            "read": results.rows,
            "used": results.used,
            "diverged": results.diverged,
            "left_out": dict(results.dropped),
        },
        "notes": list(results.notes),
        "verdict": verdict.value,
        "sentence": sentence,
        "groups": [
            {"group": name, **_brief(report)}
            | ({"prediction": prediction_document(predictions[name])} if name in predictions else {})
            | ({"exponents": to_document(moves[name])} if name in moves else {})
            for name, report in judged
        ],
    }


def _brief(report: AxisReport) -> dict[str, Any]:
    """One report without its runs: those are in the table."""
    document: dict[str, Any] = to_document(
        replace(report, sizes=tuple(replace(size, points=()) for size in report.sizes))
    )
    for size in document["sizes"]:
        del size["points"]
    return document
