"""Signals while trials run: noted where they arrive, obeyed where it is safe; through the real command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hptransfer.errors import Terminated
from hptransfer.execution.signals import signals_noted
from hptransfer.storage.snapshot import SeenTrial, read_trials
from hptransfer.trials.trial import Phase
from tests.support.command_line import RECIPE, ROOT, hptransfer
from tests.support.landscape import recipe_text
from tests.support.processes import until
from tests.support.sessions import grid, in_database, recipe_session, start

SLOW = RECIPE.replace("steps: 6,", "steps: 700,")


@pytest.fixture
def _handled() -> Iterator[None]:
    """SIGTERM has a handler, as behind the command line's boundary; one that must not be called."""

    def unexpected(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, unexpected)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_handled")
def test_sigterm_is_noted_and_raised_at_the_next_look() -> None:
    """Not where it arrives, which may be a destructor that swallows it; a second one would end the process."""
    before = signal.getsignal(signal.SIGTERM)
    with signals_noted() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert signals.terminated
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with pytest.raises(Terminated):
            signals.raise_if_signalled()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_handled")
def test_handlers_are_put_back() -> None:
    """Afterwards both signals do what they did before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals_noted() as signals:
        signals.raise_if_signalled()

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("_handled")
def test_sigterm_while_the_last_trial_ends_is_not_forgotten(tmp_path: Path) -> None:
    """Ctrl-C when the only trial starts, SIGTERM when it has ended and nothing is left to wait for."""
    sent = {"started": signal.SIGINT, "finished": signal.SIGTERM}

    with recipe_session(tmp_path / "runs", recipe_text({}), workers=1) as session:
        with pytest.raises(Terminated):
            session.run(grid(session)[:1], Phase.CHECK, lambda event: os.kill(os.getpid(), sent[event.kind]))
        assert len(session.store.trials()) == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_where_nobody_handles_sigterm_it_stays_as_it_is() -> None:
    """In a notebook it ends the process, as it does without hptransfer."""
    with signals_noted():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def seen(folder: Path) -> list[SeenTrial]:
    """Every attempt in the folder's database."""
    try:
        return read_trials(folder / "runs" / "tiny" / "study.db")
    except Exception:  # its tables are being made
        return []


def test_sigterm_stops_a_command_now_and_names_what_continues_it(tmp_path: Path) -> None:
    """Exit 143, running trials are interrupted, no finished one is lost; the command it names ends the search."""
    (tmp_path / "tiny.yaml").write_text(SLOW)
    (tmp_path / "a.txt").write_text("".join(f"{n * 3} bottles\n" for n in range(2000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "hptransfer", "tune", "tiny.yaml", "--workers", "1", "--runs", "runs", "--quiet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: {"finished", "running"} <= {trial.state for trial in seen(tmp_path)}, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    before = seen(tmp_path)
    again = hptransfer(tmp_path, "tune", "tiny.yaml", "--workers", "1", "--quiet")
    after = seen(tmp_path)

    assert process.returncode == 143
    assert said == (
        "error: stopped by SIGTERM\n\n"
        "hint: run `hptransfer tune tiny.yaml`, with its other options, again: it continues, finished trials are kept\n"
    )
    # the trial that was seen to run may have ended by the time the signal came, and another not yet begun
    assert {"finished"} <= {trial.state for trial in before} <= {"finished", "requeued"}
    assert {trial.cause for trial in before if trial.state == "requeued"} == {"interrupted"}
    assert again.returncode == 0, again.stderr
    finished = [trial.key for trial in after if trial.state == "finished"]
    assert len(finished) == len(set(finished)) == 6 + 1
    assert {trial.key for trial in before if trial.state == "finished"} <= set(finished)


def test_sigterm_does_not_wait_for_what_ctrl_c_waits_for(tmp_path: Path) -> None:
    """Trials of a minute run to their end after Ctrl-C; SIGTERM gives them up."""
    process = start(tmp_path, {"seconds": 60})
    until(lambda: len(in_database(tmp_path, "RUNNING")) == 2, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 143
    assert len(in_database(tmp_path, "FAIL")) == 2
