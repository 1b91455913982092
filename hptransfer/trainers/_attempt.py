"""One attempt at one run of a program: its folder is made, it is started, heard, and judged by how it ended."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from hptransfer.errors import UsageError, printable
from hptransfer.execution.limits import kernel_oom_kills
from hptransfer.execution.outcome import Cause, TaskError, signal_name, speaks_of_memory
from hptransfer.parameterization.plan_parameter import Plan
from hptransfer.recipe.command_sections import CommandTrainer, Resources
from hptransfer.recipe.quantities import seconds
from hptransfer.trainers._kept_process import Ended, KeptProcess
from hptransfer.trainers._launch import Lease, all_gpus, leased, local_gpus
from hptransfer.trainers._logs import BoundedLog
from hptransfer.trainers._measured_run import MeasuredRun
from hptransfer.trainers._prepared_command import prepare
from hptransfer.trainers._stream import DivergedError
from hptransfer.trainers.results.base import Source, reader_of
from hptransfer.trials.spec import TrialSpec

#: seconds between two looks at files of results: at first, and at most; in between this share of the time so far
_FIRST, _MOST, _SHARE = 0.1, 2.0, 0.02
#: seconds that srun gets to end what it started on other nodes
_GRACE = 5.0
#: exit statuses by which a shell or a container tells of a signal
_TOLD = 128
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ExitError(TaskError):
    """The program ended with an error.

    Args:
        message: one line for a person.
        cause: which of the four it was.
        details: its last lines, and where its logs are.
        code: exit status, negative for a signal.
    """

    def __init__(self, message: str, cause: Cause, details: str, code: int) -> None:
        super().__init__(message, cause, details)
        self.code = code


class Attempt:
    """One attempt at a run.

    Args:
        spec: the run, with its recipe, size, hyperparameters and seed.
        command: the `trainer` section of its recipe.
        plan: of the run's size; None where the recipe has no model.
        resources: what the run takes.
        folder: of the attempt, new and empty.
        key: of the trial, hexadecimal, of which the first 8 digits are shown.
    """

    def __init__(
        self,
        spec: TrialSpec,
        command: CommandTrainer,
        plan: Plan | None,
        resources: Resources,
        folder: Path,
        key: str,
    ) -> None:
        self._spec, self._command, self._plan = spec, command, plan
        self._resources, self._folder, self._key = resources, folder, key
        self._oom_kills = kernel_oom_kills()
        self._results, self._reader = command.results, reader_of(command.results)

    def run(self, measured: MeasuredRun) -> Ended:
        """Runs the program to its end, or until what it reports ends it.

        Args:
            measured: takes what it reports.

        Raises:
            TaskError: it ended with an error, was killed, hung, or reported what cannot be a result.
            DivergedError: it reported a value that is not finite.
        """
        logs = BoundedLog(self._folder / "stdout.txt"), BoundedLog(self._folder / "stderr.txt")
        try:
            return self._judged(self._followed(measured, logs), measured, logs)
        except UsageError as error:
            finding = error.findings[0]
            received = "" if finding.received is None else f"; received: {finding.received}"
            said = f"{finding.hint}\n" if finding.hint else ""
            raise TaskError(printable(f"{finding.rule}{received}"), "error", said + self._last(*logs)) from error
        finally:
            for log in logs:
                log.close()

    def _followed(self, measured: MeasuredRun, logs: tuple[BoundedLog, BoundedLog]) -> Ended:
        with ExitStack() as held:
            gpus = held.enter_context(leased(local_gpus(self._resources), all_gpus()))
            lease = Lease(self._resources, gpus, self._key)
            prepared = prepare(self._spec, self._command, self._plan, lease, self._folder)
            tail = self._reader.open(self._results, Source(self._folder, self._spec.recipe.objective.name))
            process = KeptProcess(prepared.line, prepared.cwd, prepared.environment, logs)
            begun, limit = time.monotonic(), self._silence
            reported = begun
            diverged: list[DivergedError] = []
            hung: list[float] = []

            def on_output(output: bytes) -> bool:
                nonlocal reported
                before = measured.reports
                try:
                    measured.take(tail.heard(output))
                    if self._reader.polls:
                        measured.take(tail.poll(False))
                except DivergedError as error:
                    diverged.append(error)
                    return True
                now = time.monotonic()
                reported = now if measured.reports > before else reported
                if limit is not None and now - max(reported, process.heard) > limit:
                    hung.append(limit)
                return bool(hung) or measured.stream.stopped

            def interval() -> float | None:
                now = time.monotonic()
                due = [min(_MOST, max(_FIRST, _SHARE * (now - begun)))] if self._reader.polls else []
                if limit is not None:
                    due.append(max(0.01, max(reported, process.heard) + limit - now))
                return min(due, default=None)

            # what cannot be a result is raised from in there, and ends the program too
            ended = process.follow(on_output, interval, _GRACE if prepared.line[0] == "srun" else 0.0)
            if diverged:
                raise diverged[0]
            if hung:
                message = f"the command printed and reported nothing for {hung[0]:g} s and was killed"
                raise TaskError(message, "timeout", self._last(*logs))
            if not measured.stream.stopped:
                measured.take(tail.poll(True))
            return ended

    @property
    def _silence(self) -> float | None:
        return None if self._command.no_output_for is None else seconds(self._command.no_output_for)

    def _judged(self, ended: Ended, measured: MeasuredRun, logs: tuple[BoundedLog, BoundedLog]) -> Ended:
        """What a program's end means, where it did not diverge."""
        if measured.stream.stopped:
            return ended
        if ended.code == 0:
            if measured.final is None:
                name = self._spec.recipe.objective.name
                place = self._reader.path(self._results, Path()).as_posix()
                message = f"the command ended without a value of `{name}` (looked for in {place})"
                raise TaskError(message, "error", self._last(*logs))
            return ended
        raise self._failure(ended.code, logs)

    def _failure(self, code: int, logs: tuple[BoundedLog, BoundedLog]) -> TaskError:
        number = -code if code < 0 else code - _TOLD
        said = logs[1].last_lines() or logs[0].last_lines()
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it printed nothing")
        message = (
            f"the command ended with {f'status {code}' if code > 0 else signal_name(-code)}: {printable(last)[:200]}"
        )
        cause: Cause = "killed" if number in _FROM_OUTSIDE else "error"
        if speaks_of_memory(said) or (number == signal.SIGKILL and kernel_oom_kills() > self._oom_kills):
            cause = "out of memory"
        return ExitError(message, cause, self._last(*logs), code)

    def _last(self, out: BoundedLog, err: BoundedLog) -> str:
        """The program's last words, and where all of them are."""
        said = err.last_lines() or out.last_lines()
        return f"{said}\nlogs: {self._folder}"
