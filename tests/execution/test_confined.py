from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hptransfer.execution.confined import Ended, Limits, run

TASKS = "tests.support.confined_tasks"
#: short, so that tests are
TIGHT = Limits(seconds=6.0, processor=6, memory=2**30, file=2**20, processes=24, flood=2**20, answer=2**20)


def test_an_answer_comes_back_without_what_was_printed(tmp_path: Path) -> None:
    """JSON in, JSON out, though the function prints; it works where it is told to."""
    said = run(f"{TASKS}:echo", {"say": ["ä", 1.5, None]}, folder=tmp_path)

    assert said["said"] == ["ä", 1.5, None]
    assert said["here"] == str(tmp_path)


def test_secrets_of_the_environment_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of a CI job are not handed on; what Python and torch need is."""
    for name in ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HF_TOKEN", "LD_PRELOAD_SECRET"):
        monkeypatch.setenv(name, "secret")

    names = run(f"{TASKS}:echo", {"say": 0})["names"]

    assert not {"GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HF_TOKEN", "LD_PRELOAD_SECRET"} & set(names)
    assert {"PATH", "OMP_NUM_THREADS", "PYTHONPATH"} <= set(names)


@pytest.mark.parametrize(
    ("task", "why", "received"),
    [
        ("leaves", "process", "exit status 3"),
        ("leaves_quietly", "process", "no answer, exit status 0"),
        ("crashes", "process", "signal 11"),
        ("raises", "process", "exit status 1: ValueError: [2Jowned"),
        ("hangs", "time", "still running after 2 s"),
        ("takes_memory", "memory", "memory"),
        ("floods", "output", "more than 1,048,576 bytes of output"),
        ("answers_much", "answer", "an answer of more than 1,048,576 bytes"),
        ("forks", "processes", "processes"),
        ("answers_and_stays", "time", "it gave its answer and went on"),
        ("missing", "process", "exit status 1"),
    ],
)
def test_what_code_does_to_its_process_is_told(task: str, why: str, received: str) -> None:
    """An exit, a crash, a hang, a bomb or a flood is an outcome in words, soon, and takes nothing else with it."""
    limits = replace(TIGHT, seconds=2.0) if task == "hangs" else TIGHT
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    said = run(f"{TASKS}:{task}", {}, limits)

    assert isinstance(said, Ended)
    assert said.why == why
    assert received in said.received
    assert len(said.received) < 400
    assert "\x1b" not in said.received
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB: nothing was kept here


def test_processor_time_is_limited() -> None:
    """A loop is ended by the system too, where the wall would allow more."""
    said = run(f"{TASKS}:spins", {}, Limits(seconds=30.0, processor=1))

    assert isinstance(said, Ended)
    assert said.received in ("signal 24", "signal 9")  # SIGXCPU, or SIGKILL at the hard limit


def test_files_are_limited(tmp_path: Path) -> None:
    """A file without an end fills no disk."""
    said = run(f"{TASKS}:writes_much", {"file": str(tmp_path / "big")}, TIGHT)

    assert isinstance(said, Ended)
    assert (tmp_path / "big").stat().st_size <= TIGHT.file


def test_what_left_its_group_is_ended_too(tmp_path: Path) -> None:
    """A process in a session of its own does not outlive the one that started it."""
    note = tmp_path / "pid"

    said = run(f"{TASKS}:leaves_a_stray", {"note": str(note)}, Limits(seconds=3.0))

    assert isinstance(said, Ended)
    with pytest.raises(ProcessLookupError):
        _alive(int(note.read_text()))


def _alive(pid: int) -> None:
    for _ in range(50):
        os.kill(pid, 0)
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
            raise ProcessLookupError
        time.sleep(0.02)
