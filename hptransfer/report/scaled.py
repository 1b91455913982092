"""What `scale` wrote, in a few lines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.artifacts.target import TargetFile
from hptransfer.checking.expectations import OPEN
from hptransfer.export.base import EXPORTERS
from hptransfer.report.horizon import describe_horizon, describe_timescales
from hptransfer.report.prediction import describe_prediction
from hptransfer.report.terminal import print_long

if TYPE_CHECKING:
    from rich.console import Console

    from hptransfer.checking.result import CheckResult
    from hptransfer.transfer.scope import Outlook


def describe_scaled(
    path: Path, target: TargetFile, exported: Mapping[str, Sequence[Path]] | None = None, *, checked: bool = False
) -> str:
    """The summary for a person: what was written where, the verdict, how far it extrapolates, what it cost.

    Args:
        path: where target.yaml was written.
        target: the content of that file.
        exported: name of a further exporter -> paths of its files.
        checked: whether a check that was just printed has said the verdict, the target's and what was spent.
    """
    verdict, size = target.verdict, target.size
    predicted = list((target.use.predicted if target.use else {}).values())
    unused = "of the tuned value, which is not used, the check says " if predicted else ""
    lines = [
        f"{path}: width {size.width}, depth {size.depth}, {len(target.parameters)} groups of parameters",
        *(describe_exported(name, files) for name, files in (exported or {}).items()),
        *(f"use: predicted: {each.basis}" for each in predicted),
        *([] if checked else [f"{unused}{verdict.verdict or 'NOT CHECKED'}: {verdict.sentence}"]),
        *([target.scope.sentence] if target.scope and not checked else []),
        *(entry.sentence for entry in target.extrapolation),
        *describe_horizon(target.horizon),
        *describe_timescales(target.decay_timescale),
        *([describe_prediction(target.prediction)] if target.prediction else []),
        *([target.spent.sentence] if target.spent and not checked else []),
        *(f"FORCED: {objection}" for objection in verdict.objections),
    ]
    return "\n".join(lines)


def print_scaled(
    path: Path,
    target: TargetFile,
    console: Console,
    exported: Mapping[str, Sequence[Path]] | None = None,
    *,
    checked: bool = False,
) -> None:
    """Print the summary, wrapped between words in a terminal.

    Args:
        path: where target.yaml was written.
        target: the content of that file.
        console: where the summary is printed.
        exported: name of a further exporter -> paths of its files.
        checked: whether a check that was just printed has said the verdict, the target's and what was spent.
    """
    print_long(describe_scaled(path, target, exported, checked=checked), console)


def print_open(checked: CheckResult, console: Console) -> None:
    """Print what to do about an exit status of 3 that the target alone causes; nothing elsewhere.

    Args:
        checked: what the check found, the target among it.
        console: where it is printed.
    """
    said = describe_open(checked.outlook)
    if said is not None and checked.exit_status == OPEN:
        print_long(said, console)


def describe_open(outlook: Outlook) -> str | None:
    """What to do about a supported target that the check does not reach; None where there is none.

    Args:
        outlook: what the check says of the target that was written.
    """
    if outlook.settled or outlook.scope is None:
        return None
    listed = ", ".join(each.axis for each in outlook.scope.axes if each.standing == "not covered")
    return (
        "exit status 3: the check supports the values along its ladder; that they hold at the target is not shown "
        f"({listed}: NOT COVERED above). Make the ladder longer or the target smaller, or accept it: "
        f"`accept: [{listed}]` in `sizes.target` (docs/verdicts.md)"
    )


def describe_kept(path: Path, kept: Path) -> str:
    """What became of a file whose registered prediction was another one.

    Args:
        path: of the file that was written.
        kept: where the earlier one lies now.
    """
    command = shlex.join(["hptransfer", "verify", str(kept)])
    return (
        f"{path} held another registered prediction: that file is kept as {kept}, and `{command} LOSS` compares a "
        "run with it"
    )


def describe_exported(name: str, files: Sequence[Path]) -> str:
    """What was written for a framework, and what that scales by itself.

    Args:
        name: of the exporter, as users type it.
        files: paths of all that it wrote.
    """
    exporter = EXPORTERS.look_up(name)
    applied = ", ".join(sorted(quantity.value for quantity in exporter.applies))
    # what a framework with `about` does by itself depends on the plan, and stands in its files
    itself = f", which itself scales {applied}" if applied and not hasattr(exporter, "about") else ""
    return f"{', '.join(map(str, files))}: for {name}{itself}"
