"""`full`: tuned and checked again in a folder that is thrown away, and compared with what is expected and committed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptransfer.artifacts.pasted import command
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.checking.check import check
from hptransfer.checking.expected import Expected
from hptransfer.engine.open_session import open_session
from hptransfer.engine.options import PROCESSORS, BudgetOptions
from hptransfer.errors import BudgetError, Finding, HptransferError, Place, printable
from hptransfer.evidence.files import folder_of, read_evidence
from hptransfer.linting.levels._answers import outcome_of, refused, untrusted
from hptransfer.linting.levels._trusted import UNTIMED, run_trusted
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.trials.messages import ENTRY
from hptransfer.tuning.tune import tune


class Full:
    """`tune` and `check` once more, within the recipe's budget."""

    claim = "tuned and checked again it gives what it expects, and the verdict and optimum of its committed evidence"

    def run(self, subject: Subject) -> LevelOutcome:
        """Trains the whole recipe.

        Args:
            subject: a recipe without errors at the levels before.
        """
        asked = "whether it gives what it expects when it is run again"
        if (distrusted := untrusted(subject, asked)) is not None:
            return distrusted
        if subject.loaded.recipe.trainer.name == "command" and not subject.options.trust:
            return LevelOutcome(undecided=(f"{asked}: its command runs with `--trust` only",), decided=False)
        if not Path(subject.loaded.path).is_file():
            return LevelOutcome(
                undecided=(f"{asked}: the process that trains reads a file, not standard input",), decided=False
            )
        options = subject.options
        payload = {
            "path": str(Path(subject.loaded.path).resolve()),
            "max_trials": options.max_trials,
            "max_flops": options.max_flops,
            "entry": ENTRY,
        }
        # the process that trains may be ended at any time, so what it leaves is removed here; and by itself, should
        # this one be killed
        with tempfile.TemporaryDirectory(prefix="hptransfer-full-", ignore_cleanup_errors=True) as runs:
            # the recipe's budget limits it: no time is right for every recipe
            answer = run_trusted(f"{__name__}:confined", {**payload, "runs": runs}, UNTIMED)
        return outcome_of(answer, subject, "full/no-answer", lambda said: _read(said, subject))


LEVEL = Full()


def confined(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe tuned and checked in a folder that does not stay.

    Args:
        payload: "path" of the recipe, "max_trials" and "max_flops" or null, "entry", what workers run, and "runs", an
            empty folder that is removed.

    Returns:
        "tuned" values, "verdict", "sentence", "status" as `check` ends, "expected" entries of `Expectation`, "spent".
    """
    options = BudgetOptions(max_trials=payload["max_trials"], max_flops=payload["max_flops"])
    try:
        with open_session(
            payload["path"], Path(payload["runs"]), PROCESSORS, options=options, entry=payload["entry"]
        ) as session:
            tuned = tune(session)
            tuned.write(session.folder.tuned)
            result = check(session, payload["path"])
    except BudgetError as error:
        return refused(error) | {"hint": _ANEW}
    except HptransferError as error:
        return refused(error)
    finally:
        shutil.rmtree(payload["runs"], ignore_errors=True)
    expected = next((part.each for part in result.parts if isinstance(part, Expected)), ())
    evidence = result.evidence
    return {
        "tuned": tuned.hyperparameters,
        "verdict": evidence.verdict.value,
        "sentence": evidence.sentence,
        "status": result.exit_status,
        "expected": [asdict(each) | {"sentence": each.sentence} for each in expected],
        "spent": evidence.spent.sentence,
    }


def _read(said: Mapping[str, Any], subject: Subject) -> LevelOutcome:
    expected = said["expected"]
    errors, open_ = [], []
    for each in expected:
        rule, place = "what the recipe expects must be found when it is run again", subject.loaded.place(("expect",))
        finding = Finding(rule, printable(str(each["sentence"])), _LOOK, place, "expect/not-met")
        if each["met"] is None:
            open_.append(finding)
        elif not each["met"]:
            errors.append(finding)
    status = int(said["status"])
    if status and not errors and not open_:
        rule = "a recipe that is run again must end as `check` ends where it holds"
        received = printable(f"{said['verdict']}: {said['sentence']}")
        hint = "write what it should give in `expect`" if not expected else "accept axes of the target, or check more"
        finding = Finding(rule, received, hint, Place(str(subject.loaded.path)), "full/verdict")
        (errors if status == 1 else open_).append(finding)
    committed, notes = _committed(subject)
    if committed is not None:
        errors += _against(said, *committed, subject)
    found = printable(f"run again it gives {said['verdict']}; {said['spent']}")
    lines = tuple(printable(str(each["sentence"])) for each in expected)
    return LevelOutcome(errors=tuple(errors), open=tuple(open_), notes=(found, *lines, *notes))


#: what a budget that ends advises elsewhere, to run the same command again, continues nothing here
_ANEW = (
    "raise the limit (`budget` in the recipe, or --max-trials, --max-flops), and all trials are trained anew: this "
    "level keeps none"
)
_LOOK = "look for what changed since it was written, or write what is found now"


def _committed(subject: Subject) -> tuple[tuple[Path, Tuned, TransferFile] | None, tuple[str, ...]]:
    """The evidence of this version of the recipe that lies beside it; None with the reason where there is none."""
    loaded, runs = subject.loaded, subject.options.runs
    folder = folder_of(loaded, runs)
    evidence = read_evidence(folder, named=runs is not None)
    if evidence.unreadable:
        return None, (f"nothing is compared with {folder}: {evidence.unreadable[0].received}",)
    tuned, transfer = evidence.tuned, evidence.transfer
    if tuned is None and transfer is None:
        return None, ()
    if tuned is None or transfer is None or loaded.hash not in (tuned.recipe_hash, transfer.recipe_hash):
        return None, (f"nothing is compared with {folder}: it holds no evidence of this version of the recipe",)
    return (folder, tuned, transfer), ()


def _against(
    said: Mapping[str, Any], folder: Path, tuned: Tuned, transfer: TransferFile, subject: Subject
) -> Iterator[Finding]:
    place, hint = (
        Place(str(subject.loaded.path)),
        f"run {command('run', subject.reference, folder.parent)} and commit what it writes",
    )
    if said["verdict"] != transfer.verdict:
        rule = "a recipe that is run again must give the verdict of its committed evidence"
        received = f"{printable(str(said['verdict']))}, where {transfer.verdict} is committed"
        yield Finding(rule, received, hint, place, "full/other-verdict")
    for name, (low, high) in tuned.intervals.items():
        value = float(said["tuned"][name])
        below, above = low is not None and value < low, high is not None and value > high
        if below or above:
            ends = f"{'open' if low is None else f'{low:.4g}'} to {'open' if high is None else f'{high:.4g}'}"
            rule = f"{name} tuned again must lie in the committed interval"
            yield Finding(rule, f"{value:.4g}, outside of {ends}", hint, place, "full/other-optimum")
