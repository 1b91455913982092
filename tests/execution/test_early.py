"""Workers started before their pool: taken over once, not wasted, never left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.engine.process_launch import start_workers
from hptransfer.execution.outcome import Success
from hptransfer.execution.pool import WorkerPool, start_early, take_early
from tests.support.pool_tasks import worker_pids
from tests.support.processes import ENTRY, outcome_of, wait_until_dead
from tests.support.recipe_texts import MLP


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Whatever a test started and nobody took is ended."""
    yield
    for child in take_early(ENTRY, 9):
        child.close()


def test_a_pool_takes_over_what_was_started_early() -> None:
    """The tasks run in the processes that were there before the pool, and a second pool gets new ones."""
    start_early(ENTRY, 2)
    with WorkerPool(ENTRY, 2) as pool:
        early = worker_pids(pool)
        result = outcome_of(pool, do="square", x=3)
    with WorkerPool(ENTRY, 1) as again:
        assert worker_pids(again) == ()

    assert len(early) == 2
    assert isinstance(result, Success)
    assert result.value["pid"] in early
    wait_until_dead(*early)


def test_more_than_a_pool_wants_are_ended() -> None:
    """A pool of one takes one; a pool of another entry takes none."""
    start_early(ENTRY, 3)
    with WorkerPool("tests.support.slow_entry:run", 2) as other:
        assert worker_pids(other) == ()
    with WorkerPool(ENTRY, 1) as pool:
        assert len(worker_pids(pool)) == 1


def test_a_command_that_ends_without_a_pool_leaves_no_worker() -> None:
    """Whether it ends in good order or by an error, its early workers end with it."""
    script = (
        "import sys\n"
        "from hptransfer.execution import pool\n"
        f"pool.start_early({ENTRY!r}, 2)\n"
        "print(*(child.pid for child in pool._started[sys.argv[1]]), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, ENTRY], capture_output=True, text=True, check=True)

    assert len(done.stdout.split()) == 2
    wait_until_dead(*map(int, done.stdout.split()))


@pytest.mark.parametrize(
    ("command", "files", "started"),
    [
        ("tune", [], True),
        ("tune", ["tuned.yaml"], False),
        ("check", [], False),
        ("check", ["tuned.yaml"], True),
        ("check", ["tuned.yaml", "transfer.json"], False),
        ("run", ["tuned.yaml"], True),
        ("run", ["transfer.json"], False),
        ("scale", [], False),
    ],
)
def test_workers_start_early_only_where_they_will_be_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, files: list[str], started: bool
) -> None:
    """A result that is there will mostly be printed again; `check` before `tune` is refused."""
    calls: list[int] = []
    monkeypatch.setattr("hptransfer.engine.process_launch.start_early", lambda entry, workers, _: calls.append(workers))
    (tmp_path / "recipe.yaml").write_text(MLP)
    (tmp_path / "runs" / "small").mkdir(parents=True)
    for name in files:
        (tmp_path / "runs" / "small" / name).touch()

    start_workers(command, str(tmp_path / "recipe.yaml"), tmp_path / "runs", 3)

    assert calls == ([3] if started else [])


def test_a_faulty_recipe_starts_nothing_and_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself reports the fault."""
    calls: list[int] = []
    monkeypatch.setattr("hptransfer.engine.process_launch.start_early", lambda entry, workers, _: calls.append(workers))
    (tmp_path / "recipe.yaml").write_text("name: 3\n")

    ended = CliRunner().invoke(app, ["tune", str(tmp_path / "recipe.yaml"), "--runs", str(tmp_path / "runs")])

    assert ended.exit_code == 2
    assert calls == []
    assert ended.stderr.count("`name` must be text") == 1
