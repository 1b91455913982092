"""Does a framework train what the plan says? An exported file, read back through the framework's own code."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.artifacts.plan_file import read_planned
from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import HptransferError, Terminated, UsageError
from hptransfer.export.base import EXPORTERS
from hptransfer.handover.causes import Growth
from hptransfer.handover.header import plan_digest
from hptransfer.handover.manifest import read_manifest, require_regular
from hptransfer.handover.planned_values import model_facts, not_compared, run_values
from hptransfer.handover.trained import Difference, Reading, differences, value_differences
from hptransfer.parameterization.groups import collapsed_names
from hptransfer.roundtrip.base import READERS
from hptransfer.scaling.groups import in_gauge
from hptransfer.user_code import described_error, ending_raises


@dataclass(frozen=True, slots=True)
class ExportVerification:
    """An exported file against its plan.

    Attributes:
        exporter: name of the format.
        folder: that its files lie in.
        plan: the target's file that it is compared with.
        files: names of what was written, relative to the folder.
        parameters: how many parameters were compared.
        differences: what the framework would train otherwise; empty where it trains the plan.
        through: whose code said what the framework does.
        unread: what could not be read back, a sentence each.
        not_compared: names of what the plan says and the reading does not.
        changed: files that were edited since they were written.
        schedule: where the schedule of the file leaves that of the plan, in words; None: nowhere, or there is none.
        standing: what speaks against training the target, in one line; None: nothing does.
        plan_changed: whether the target's file plans otherwise than when it was exported.
        plan_sha256: digest of what the target's file plans, see `handover.header.plan_digest`.
        counted: how the framework counts steps, in words, where that is not as the plan does.
    """

    exporter: str
    folder: Path
    plan: Path
    files: tuple[str, ...]
    parameters: int
    differences: tuple[Difference, ...]
    through: str
    unread: tuple[str, ...]
    not_compared: tuple[str, ...]
    changed: tuple[str, ...]
    schedule: str | None
    standing: str | None = None
    plan_changed: bool = False
    plan_sha256: str = ""
    counted: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the framework trains what the plan says."""
        return not self.differences and self.schedule is None

    @property
    def document(self) -> dict[str, Any]:
        """The comparison as JSON-able data."""
        return {
            "holds": self.holds,
            "format": self.exporter,
            "folder": str(self.folder),
            "plan": str(self.plan),
            "files": list(self.files),
            "parameters": self.parameters,
            "differences": [
                {
                    "parameters": list(each.names),
                    "quantity": each.quantity,
                    "planned": each.planned,
                    "used": each.used,
                    "cause": each.cause,
                }
                for each in self.differences
            ],
            "schedule": self.schedule,
            "through": self.through,
            "unread": list(self.unread),
            "not_compared": list(self.not_compared),
            "standing": self.standing,
            "plan_changed": self.plan_changed,
            "plan_sha256": self.plan_sha256,
            "counted": self.counted,
            "changed": list(self.changed),
        }


def verify_export(path: Path, plan: Path | None = None) -> ExportVerification:
    """Compare what a framework makes of an exported file with the plan.

    Args:
        path: of an exported file, or of the folder that it lies in.
        plan: the target's file; None for the one that the folder names.

    Raises:
        UsageError: the folder or the plan cannot be read, the format has no reader, or the framework refuses the file.
        MachineError: the framework is not installed, and no record of it is kept.
    """
    manifest = read_manifest(path, plan)
    where = plan or manifest.plan
    target = read_planned(where)
    exporter: Any = EXPORTERS.look_up(manifest.exporter)
    if not hasattr(exporter, "trained") or not READERS.accepts(manifest.exporter):
        raise UsageError(
            "a format must have a reader to be compared with its plan",
            received=manifest.exporter,
            hint=f"formats that have one: {', '.join(READERS.names)}",
        )
    planned_for = in_gauge(target, None, exporter.gauge)
    planned = tuple(exporter.trained(planned_for))
    require_regular(manifest)
    reading = _read(manifest.exporter, manifest.folder, planned_for)
    values = target.hyperparameters
    growth = Growth(
        target.size.width / target.base.width,
        target.size.depth / target.base.depth,
        {name: values[name] for name in ("learning_rate", "weight_decay", "eps") if name in values},
    )
    with _files_code(manifest.folder):
        schedule = _ratios(target, reading) or _schedule(target, reading)
    return ExportVerification(
        manifest.exporter,
        manifest.folder,
        where,
        tuple(manifest.files),
        len(planned),
        differences(planned, reading, growth)
        + value_differences(run_values(target) | model_facts(target), reading)
        + reading.others,
        reading.through,
        reading.unread,
        not_compared(target, frozenset(reading.values)),
        manifest.changed,
        schedule,
        standing(target),
        bool(manifest.plan_sha256) and manifest.plan_sha256 != plan_digest(target),
        plan_digest(target),
        None if reading.schedule is None or reading.counted is None else reading.counted.sentence,
    )


def _read(name: str, folder: Path, planned_for: TargetFile) -> Reading:
    """What the reader says; whatever else the files' code, which may be anything, does is an error that names them."""
    reader = READERS.look_up(name)
    said = io.StringIO()
    try:
        # frameworks print and log what they miss on this machine, which is no finding about the files
        with _files_code(folder), redirect_stdout(said), redirect_stderr(said):
            return reader.read(folder, planned_for)
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


@contextmanager
def _files_code(folder: Path) -> Iterator[None]:
    """What the files' own functions raise, `SystemExit` and an end of the process too, is a user's error."""
    try:
        with ending_raises():
            yield
    except (HptransferError, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise UsageError(
            "exported files must run in their framework",
            received=f"{folder}: {described_error(error)}",
            hint="export again",
        ) from error


def standing(target: TargetFile) -> str | None:
    """What speaks against training this target, in one line; None where nothing does.

    Args:
        target: as `scale` wrote it.
    """
    words = []
    if target.verdict.forced:
        words.append("FORCED")
    if target.verdict.verdict != "TRANSFERS":
        words.append(f"the check says {target.verdict.verdict}" if target.verdict.verdict else "never checked")
    if target.scope is not None and not target.scope.covered:
        words.append("accepted, not covered" if target.scope.accepted else "NOT COVERED")
    return f"the target: {', '.join(words)}" if words else None


#: largest difference of a schedule's factor that is rounding
_SCHEDULE = 1e-6
#: steps that are compared one by one, at the beginning and about the end of the warmup
_ALL, _ABOUT = 200, 3


def _schedule(target: TargetFile, reading: Reading) -> str | None:
    """Where the schedules differ, at the step where they do most."""
    training = target.training
    if reading.schedule is None or training is None or training.schedule == "own":
        return None
    planned = training.factor if reading.counted is None else reading.counted.factor
    rising = round((training.warmup or 0.0) * training.steps)
    steps = {*range(_ALL), *range(rising - _ABOUT, rising + _ABOUT), *_sampled(training.steps)}
    worst, said = _SCHEDULE, None
    for step in sorted(step for step in steps if 0 <= step < training.steps):
        used, wanted = reading.schedule(step), planned(step)
        if abs(used - wanted) > worst or not math.isfinite(used):
            worst = abs(used - wanted)
            counts = "" if reading.counted is None else ", by the way the framework counts steps"
            at = f"at step {step} of {training.steps}"
            said = f"{at} the rates are {used:.4g} of their peaks, planned {wanted:.4g}{counts}"
    return said


def _sampled(steps: int) -> list[int]:
    """Some steps of a run, the first and the last among them."""
    return sorted({round(share * (steps - 1) / 64) for share in range(65)})


#: largest difference of two parameters' shares of their peaks that is rounding
_ROUNDING = 1e-9


def _ratios(target: TargetFile, reading: Reading) -> str | None:
    """Where a scheduler changes the ratios of the groups' rates, which the rules set."""
    if reading.rates is None or target.training is None:
        return None
    peaks = {each.name: each.learning_rate for each in reading.parameters if each.learning_rate}
    worst, said = _ROUNDING, None
    for step in _sampled(target.training.steps):
        rates = reading.rates(step)
        shares = {name: rates[name] / peak for name, peak in peaks.items()}
        low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        if shares[high] - shares[low] > worst:
            worst = shares[high] - shares[low]
            said = (
                f"the rates' ratios are not kept: at step {step} of {target.training.steps} {collapsed_names([high])} "
                f"is at {shares[high]:.4g} of its peak, {collapsed_names([low])} at {shares[low]:.4g}; that is what a "
                "minimum rate does that is absolute, or one rate for all groups"
            )
    return said
