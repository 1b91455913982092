"""status, stop and retry: onlookers that change nothing, requests that are heard, causes that are removed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hptransfer.checking.forecast import first_trials
from hptransfer.cli.boundary import guarded
from hptransfer.commands.retry import retry_command
from hptransfer.commands.status import status_command
from hptransfer.commands.stop import stop_command
from hptransfer.engine.run_lookup import locate
from hptransfer.engine.status import read_status
from hptransfer.errors import MachineError, UsageError
from hptransfer.storage.run_folder import RunFolder, read_owner
from hptransfer.trials.trial import Phase
from tests.support.landscape import recipe_text
from tests.support.processes import until
from tests.support.sessions import grid, in_database, recipe_session, start, trainings, tune_and_write


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_status_of_a_finished_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps, counts, failures and results, as people and as programs read them; not a byte of the folder changes."""
    text = recipe_text({"wall": -4.0, "error": [-8.0]})
    with recipe_session(tmp_path / "runs", text) as session:
        tune_and_write(session)
    before = content(tmp_path / "runs")

    assert status_command(str(tmp_path / "recipe.yaml"), tmp_path / "runs", watch=True, as_json=False) == 0
    said = capsys.readouterr().out
    status_command("landscape", tmp_path / "runs", watch=False, as_json=True)
    found = json.loads(capsys.readouterr().out)

    assert "nothing runs in" in said
    assert "search 12/12, confirm 2/2, check " in said
    assert "failed: w64-d2 learning_rate=0.003906 seed=0 (search): error: ValueError: no luck" in said
    assert "tuned: learning_rate" in said
    assert found["owner"] is None
    assert found["sizes"]["w64-d2"]["finished"] == 14
    assert found["sizes"]["w64-d2"]["diverged"] > 0
    assert [each["cause"] for each in found["failed"]] == ["error"]
    assert found["results"]["verdict"] is None
    assert content(tmp_path / "runs") == before


@pytest.mark.parametrize("command", ["status", "retry"])
def test_neither_status_nor_retry_loads_torch(tmp_path: Path, command: str) -> None:
    """Both answer from what is stored; importing torch takes longer than all the rest."""
    with recipe_session(tmp_path / "runs", recipe_text({"error": [-8.0]})) as session:
        tune_and_write(session)
    program = (
        "import sys\n"
        "from hptransfer.cli.app import app\n"
        f"arguments = [{command!r}, 'landscape', '--runs', {str(tmp_path / 'runs')!r}]\n"
        "try:\n    app(arguments)\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert 'torch' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_the_status_of_a_running_search(tmp_path: Path) -> None:
    """The owner is named, two trials run for a while, and looking hundreds of times disturbs nothing."""
    process = start(tmp_path, {"seconds": 0.15, "noise": 0.01})
    runs = tmp_path / "runs"
    until(lambda: in_database(tmp_path, "COMPLETE"), process)
    looks = []
    while process.poll() is None:
        looks.append(read_status(locate("landscape", runs), first_trials))
    found = max(looks, key=lambda look: len(look.running))  # between two rounds nothing runs
    _, stderr = process.communicate()

    assert process.returncode == 0, stderr
    assert len(looks) > 5
    assert found.owner is not None
    assert (found.owner.pid, found.owner.host, found.owner.alive) == (process.pid, socket.gethostname(), True)
    assert 0 < len(found.running) <= 2
    assert all(trial.seconds is not None and 0 <= trial.seconds < 60 for trial in found.running)
    assert len(trainings(tmp_path)) == 14
    assert read_owner(runs / "landscape") is None


def test_the_status_after_a_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An owner that was killed is not taken for a living one; its trials are called interrupted."""
    process = start(tmp_path, {"seconds": 30})
    until(lambda: len(in_database(tmp_path, "RUNNING")) == 2, process)
    process.kill()
    process.communicate()

    status_command("landscape", tmp_path / "runs", watch=False, as_json=False)
    said = capsys.readouterr().out

    assert f"process {process.pid} on {socket.gethostname()}" in said
    assert "ended without saying so" in said
    assert said.count("interrupted: w64-d2") == 2


def test_a_half_done_write_is_read_around(tmp_path: Path) -> None:
    """A journal that a killed owner left beside the database is honoured in a copy, and left where it is."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        tune_and_write(session)
    database = tmp_path / "runs" / "landscape" / "study.db"
    code = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"  # spill the half-done write into the file
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('DELETE FROM trial_user_attributes')\n"
        "connection.execute('DELETE FROM trials')\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(database)], check=False)
    before = content(tmp_path / "runs")

    assert "landscape/study.db-journal" in before
    assert read_status(locate("landscape", tmp_path / "runs"), first_trials).steps[0].finished == 12
    assert content(tmp_path / "runs") == before


def test_stop_lets_running_trials_end(tmp_path: Path) -> None:
    """The owner ends with 130 after its running trials; nothing is failed; the next run trains the rest."""
    process = start(tmp_path, {"seconds": 0.4})
    until(lambda: in_database(tmp_path, "COMPLETE"), process)
    status = stop_command("landscape", tmp_path / "runs", now=False, wait=True, quiet=True)
    _, stderr = process.communicate(timeout=30)

    assert status == 0
    assert process.returncode == 130
    assert "stopped by `hptransfer stop`" in stderr
    assert in_database(tmp_path, "FAIL") == in_database(tmp_path, "RUNNING") == []
    before = len(trainings(tmp_path))
    with recipe_session(tmp_path / "runs", recipe_text({"log": str(tmp_path / "log")})) as session:
        assert tune_and_write(session).trials.finished == 12
    assert before < len(trainings(tmp_path)) == 14


def test_stop_now_interrupts_running_trials(tmp_path: Path) -> None:
    """SIGTERM: exit status 143, trials are interrupted and free to run again."""
    process = start(tmp_path, {"seconds": 60})
    until(lambda: len(in_database(tmp_path, "RUNNING")) == 2, process)
    stop_command("landscape", tmp_path / "runs", now=True, wait=True, quiet=True)
    process.communicate(timeout=30)

    assert process.returncode == 143
    assert len(in_database(tmp_path, "FAIL")) == 2
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        assert {failed.cause for failed in session.store.failures()} == {"interrupted"}


def test_stop_where_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so and succeeds; a request is not left behind for the next owner."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        folder = session.folder.path

    assert stop_command("landscape", tmp_path / "runs", now=False, wait=True, quiet=False) == 0
    assert capsys.readouterr().err == f"nothing runs in {folder}\n"
    assert not (folder / "stop").exists()


def test_a_stale_request_does_not_stop_the_next_owner(tmp_path: Path) -> None:
    """A request that its owner never read is gone when another takes the lock."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        session.folder.request_stop()
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        assert not session.folder.stop_requested()
        assert len(session.run(grid(session)[:1], Phase.CHECK, lambda event: None)) == 1


def test_a_number_that_belongs_to_another_process_is_no_owner(tmp_path: Path) -> None:
    """After a reboot the recorded process id may be anybody's: only who holds the file open is the owner."""
    record = {"pid": os.getppid(), "host": socket.gethostname(), "started": "now", "command": ["x"]}
    (tmp_path / "lock").write_text(json.dumps(record))

    owner = read_owner(tmp_path)
    assert owner is not None
    assert owner.alive is False


def test_an_owner_on_another_machine(tmp_path: Path) -> None:
    """Its life cannot be seen from here: it may be asked through the folder, not by a signal."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        folder = session.folder.path
    record = {"pid": 1, "host": "another-machine", "started": "now", "command": ["hptransfer", "tune"]}
    (folder / "lock").write_text(json.dumps(record))

    owner = read_owner(folder)
    assert owner is not None
    assert owner.alive is None
    with pytest.raises(UsageError, match="this machine only"):
        stop_command("landscape", tmp_path / "runs", now=True, wait=False, quiet=True)
    assert stop_command("landscape", tmp_path / "runs", now=False, wait=False, quiet=True) == 0
    assert (folder / "stop").exists()


@pytest.mark.parametrize(
    ("causes", "requeued"),
    [([], ["error", "out of memory"]), (["out of memory"], ["out of memory"]), (["timeout"], [])],
)
def test_retry_requeues_by_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], causes: list[str], requeued: list[str]
) -> None:
    """Failures of the named causes run again; the others stay left out."""
    sick: dict[str, Any] = {"error": [-7.0], "memory": [-6.0]}
    with recipe_session(tmp_path / "runs", recipe_text(sick), workers=1) as session:
        session.run(grid(session)[:8:2], Phase.CHECK, lambda event: None)

    assert retry_command("landscape", tmp_path / "runs", causes, as_json=True) == 0

    assert [each["cause"] for each in json.loads(capsys.readouterr().out)["requeued"]] == requeued
    kinds: list[str] = []
    with recipe_session(tmp_path / "runs", recipe_text({}), workers=1) as session:
        session.run(grid(session)[:8:2], Phase.CHECK, lambda event: kinds.append(event.kind))
    assert kinds.count("finished") == len(requeued)
    assert kinds.count("left out") == 2 - len(requeued)


def test_retry_beside_a_running_command_is_refused(tmp_path: Path) -> None:
    """Only one process writes: the refusal names the owner, exit status 4."""
    with (
        recipe_session(tmp_path / "runs", recipe_text({})),
        pytest.raises(MachineError, match=f"process {os.getpid()}"),
    ):
        retry_command("landscape", tmp_path / "runs", [], as_json=False)


def test_what_was_never_run_has_no_status(tmp_path: Path) -> None:
    """A valid recipe without a run folder, and a name that is nothing, are told apart."""
    (tmp_path / "recipe.yaml").write_text(recipe_text({}))

    with pytest.raises(UsageError, match="must have been worked on"):
        locate(str(tmp_path / "recipe.yaml"), tmp_path / "runs")
    with pytest.raises(UsageError, match="no run folder"):
        locate("nothing", tmp_path / "runs")
    RunFolder.open(tmp_path / "runs", "other").close()
    with pytest.raises(UsageError) as refusal:
        locate("nothing", tmp_path / "runs")
    assert refusal.value.findings[0].hint == "run folders there: other"


def test_a_status_of_a_damaged_database_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 4 and a way out, no traceback."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        session.folder.study.write_bytes(b"this is no database, but long enough to be looked at" * 100)

    status = guarded(lambda: status_command("landscape", tmp_path / "runs", watch=False, as_json=False))

    assert status == 4
    assert "study.db: not a database" in capsys.readouterr().err


def test_watch_ends_with_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One JSON line per look; the last one has no owner."""
    monkeypatch.setattr("hptransfer.commands.status.INTERVAL", 0.1)
    process = start(tmp_path, {"seconds": 0.5})  # so long that the first look comes in time on a loaded machine
    until(lambda: in_database(tmp_path, "COMPLETE"), process)
    lines: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text, **options: lines.append(text))
    status_command("landscape", tmp_path / "runs", watch=True, as_json=True)
    process.communicate()

    looks = [json.loads(line) for line in lines]
    assert len(looks) > 1
    assert looks[0]["owner"]["pid"] == process.pid
    assert looks[-1]["owner"] is None
    assert process.returncode == 0


def test_ctrl_c_in_the_background_is_heard(tmp_path: Path) -> None:
    """A shell starts background commands with Ctrl-C ignored; while trials run it is heard all the same."""
    text = recipe_text({"seconds": 0.3, "log": str(tmp_path / "log")})
    work = [sys.executable, "-m", "tests.support.sessions", "tune", str(tmp_path / "runs"), text]
    process = subprocess.Popen(["sh", "-c", 'trap "" INT; exec "$@"', "sh", *work], stderr=subprocess.PIPE, text=True)
    until(lambda: in_database(tmp_path, "COMPLETE"), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert process.returncode == 130
