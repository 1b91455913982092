"""Faults of docs/faults.md that no narrower test reproduces: of disks, memory, onlookers, strangers and results."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest

from hptransfer.artifacts.recipe_snapshot import read_snapshot
from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.cli.boundary import guarded
from hptransfer.engine.budget import Limits, Meter
from hptransfer.engine.failure_policy import FailurePolicy
from hptransfer.engine.flops import Costs
from hptransfer.engine.scheduler import _Attempt, _Run
from hptransfer.engine.session import Session
from hptransfer.errors import UsageError
from hptransfer.execution.outcome import Failure, Success, classify_exception
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.trial import Phase
from tests.support.landscape import recipe_text, work
from tests.support.pool_tasks import worker_pids
from tests.support.sessions import grid, in_database, recipe_session, trainings, tune_and_write
from tests.support.transfer_files import transfer_text

ROOT = Path(__file__).parents[2]


def in_a_namespace(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script that may mount file systems nobody else sees; skips where that is not permitted."""
    allowed = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if allowed.returncode != 0:
        pytest.skip("mounting file systems is not permitted here")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces of Linux")
def test_a_disk_that_fills_up_stops_the_search_and_loses_nothing(tmp_path: Path) -> None:
    """F5. Exit status 4 with advice on a full disk; with space again the same command reaches its total."""
    text = recipe_text({"log": str(tmp_path / "log"), "noise": 0.01}, trials=24)
    work = f'"{sys.executable}" -m tests.support.sessions tune "$1/disk/runs" "$2"'
    done = in_a_namespace(
        'mkdir "$1/disk"; mount -t tmpfs -o size=600k none "$1/disk" || exit 90\n'
        # an empty study has 115 kB, the whole one 164 kB: 144 kB are left
        'head -c 456000 /dev/zero > "$1/disk/filler"\n'
        f'{work}; echo "first $?"\n'
        'rm "$1/disk/filler"\n'
        f'{work}; echo "second $?"\n'
        'cp "$1/disk/runs/landscape/study.db" "$1/"',
        str(tmp_path),
        text,
    )

    assert done.stdout == "first 4\nsecond 0\n", done.stderr
    assert "free some space" in done.stderr
    studies = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/study.db")
    finished = [trial.user_attrs["key"] for trial in studies.trials if trial.state.name == "COMPLETE"]
    assert len(finished) == len(set(finished)) == 26
    assert len(trainings(tmp_path)) <= 26 + 2  # at most the trials under way when the disk was full are trained twice


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces of Linux")
def test_a_read_only_file_system_is_told_before_the_first_trial(tmp_path: Path) -> None:
    """F7. Exit status 2, the place, and another place to go; nothing is trained."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "recipe.yaml").write_text(recipe_text({}))
    done = in_a_namespace(
        'mount -t tmpfs none "$1/disk" || exit 90; mkdir "$1/disk/runs"; mount -o remount,ro "$1/disk" || exit 90\n'
        f'"{sys.executable}" -m hptransfer tune "$1/recipe.yaml" --runs "$1/disk/runs"; echo "$?"',
        str(tmp_path),
    )

    assert done.stdout == "2\n", done.stderr
    assert "Read-only file system" in done.stderr
    assert "choose another place with --runs" in done.stderr


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group that may hold 250 MB; skips where none can be made."""
    for hierarchy, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup", hierarchy, f"hptransfer-test-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text("250000000")
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("control groups cannot be made here")


def test_the_kernels_oom_killer_costs_one_trial(small_memory: Path) -> None:
    """F15. A worker that the kernel kills for memory is "out of memory", not "killed"; the next task runs."""
    script = (
        "import os, sys\n"
        "open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "from hptransfer.execution.pool import WorkerPool\n"
        "with WorkerPool('tests.support.pool_tasks:run', 1) as pool:\n"
        "    for payload in ({'do': 'hold', 'megabytes': 600, 'seconds': 1}, {'do': 'square', 'x': 3}):\n"
        "        pool.submit('task', payload)\n"
        "        result = pool.next_result(60)\n"
        "        print(getattr(result, 'cause', 'success'), getattr(result, 'message', ''))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(small_memory)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines() == [
        "out of memory the kernel killed the worker process because memory ran out",
        "success ",
    ], done.stderr


def test_a_gpus_lack_of_memory_is_told_by_its_type() -> None:
    """F15. torch.OutOfMemoryError, whatever its text says in the next version."""
    assert classify_exception("OutOfMemoryError", "CUDA: nothing left") == "out of memory"
    assert classify_exception("RuntimeError", "CUDA error: device-side assert triggered") == "error"


def status_of(read: Callable[[], object]) -> int:
    """What a command that only reads a file exits with."""
    return 0 if read() is not None else 1


def a_result(session: Session, **changes: Any) -> tuple[_Run, Success]:
    """A run with one trial under way, and what its worker says."""
    (request, *_) = grid(session)
    key = session.key(request)
    run = _Run(
        session.store,
        session.pool,
        session.identity,
        Phase.CHECK,
        lambda event: None,
        deque(),
        Meter(Limits()),
        FailurePolicy(None, "landscape"),
        None,
    )
    run.running[key] = _Attempt(
        request, session.store.start(key, request.size, request.hyperparameters, request.seed, Phase.CHECK)
    )
    answer = work(TrialMessage.of(request, key).payload())
    answer["trial"] |= changes
    return run, Success(key, answer, 0.1)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, "2.5", [2.5]], ids=str)
def test_a_loss_that_is_no_finite_number_is_never_a_result(tmp_path: Path, loss: Any) -> None:
    """F12. A worker that calls it complete all the same costs its trial; Optuna alone would make -inf the best."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        run, answer = a_result(session, loss=loss, state="complete")
        run._record(answer)

        assert session.store.trials() == []
        assert [failed.cause for failed in session.store.failures()] == ["error"]
        assert "no finished trial" in session.store.failures()[0].message


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, None], ids=str)
def test_a_diverged_loss_is_finished_and_worse_than_all(tmp_path: Path, loss: float | None) -> None:
    """F12. Whichever infinity it was: told to Optuna as a finite number above every other, and never the best."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        session.run(grid(session)[2:4], Phase.CHECK, lambda event: None)
        run, answer = a_result(session, loss=loss, state="diverged")
        run._record(answer)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/runs/landscape/study.db")

    told = {trial.user_attrs.get("diverged", False): trial.value for trial in study.trials}
    diverged, finished = told[True], told[False]
    assert diverged is not None
    assert finished is not None
    assert math.isfinite(diverged)
    assert diverged > finished
    assert not study.best_trial.user_attrs.get("diverged", False)


def test_points_that_a_stranger_enqueued_are_not_trained(tmp_path: Path) -> None:
    """F21. `optuna` lets anybody enqueue a learning rate of 5 in a range up to 0.25; the search takes no notice."""
    text = recipe_text({"log": str(tmp_path / "log")}, trials=8)
    with recipe_session(tmp_path / "runs", text) as session:
        session.run(grid(session)[:1], Phase.CHECK, lambda event: None)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/runs/landscape/study.db")
    study.enqueue_trial({"learning_rate": 5.0})
    with recipe_session(tmp_path / "runs", text) as session:
        result = tune_and_write(session)
        rates = {trial.hyperparameters["learning_rate"] for trial in session.store.trials()}

    assert result.trials.finished == 8
    assert max(rates) <= 0.25


def test_dashboards_beside_a_run_do_not_disturb_it(tmp_path: Path) -> None:
    """F28. Optuna itself reads the study all the time, and a viewer holds it for a second: every trial is recorded."""
    text = recipe_text({"log": str(tmp_path / "log"), "seconds": 0.05})
    database, ended, looks = tmp_path / "runs" / "landscape" / "study.db", threading.Event(), [0]

    def look() -> None:
        held = False
        while not ended.wait(0.02):
            viewer = sqlite3.connect(database, timeout=30, isolation_level=None)
            viewer.execute("BEGIN")
            looks[0] += viewer.execute("SELECT count(*) FROM trials").fetchone()[0] > 0
            if looks[0] and not held:
                held = ended.wait(1.0) or True
            viewer.close()

    with recipe_session(tmp_path / "runs", text) as session:
        session.run(grid(session)[:1], Phase.CHECK, lambda event: None)
        viewer = threading.Thread(target=look)
        viewer.start()
        result = tune_and_write(session)
        ended.set()
        viewer.join()

    assert result.trials.finished == 12
    assert looks[0] > 5


def test_two_commands_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F27. The second is refused with exit status 4, the owner's name, and how to end it."""
    text = recipe_text({})

    def second() -> int:
        with recipe_session(tmp_path / "runs", text):
            return 0

    with recipe_session(tmp_path / "runs", text):
        status = guarded(second)

    said = capsys.readouterr().err
    assert status == 4
    assert f"is in use by process {os.getpid()} on " in said
    assert "hptransfer stop landscape" in said


def test_files_cut_short_are_refused_or_made_anew(tmp_path: Path) -> None:
    """F24. Whatever part of a result is left, reading it ends in words; caches that are cut are made again."""
    answers: dict[str, set[int]] = defaultdict(set)
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        tune_and_write(session)
        folder, recipe = session.folder, session.loaded.recipe
        folder.transfer.write_text(transfer_text())
        readers: dict[Path, Callable[[], object]] = {
            folder.tuned: lambda: read_tuned(folder.tuned, "landscape"),
            folder.transfer: lambda: read_transfer(folder.transfer),
            folder.recipe: lambda: read_snapshot(folder.recipe),
            folder.costs: lambda: Costs(recipe, session.root, session.pool, folder.costs).of_target(),
        }
        for path, read in readers.items():
            whole = path.read_bytes()
            for cut in range(0, len(whole) - 2, max(1, len(whole) // 40)):
                path.write_bytes(whole[:cut])
                answers[path.name].add(guarded(partial(status_of, read)))
            path.write_bytes(whole)

    assert answers["tuned.yaml"] == {2}
    assert answers["transfer.json"] == {2}
    assert answers["recipe.json"] == {1}  # not remembered
    assert answers["costs.json"] == {0}  # counted again


def test_a_worker_that_is_paused_by_its_machine_goes_on(tmp_path: Path) -> None:
    """F11 has no lease on one machine: a worker stopped and continued (a laptop asleep) simply takes longer."""
    text = recipe_text({"seconds": 0.2, "log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", text) as session:
        requests = grid(session)[:6]
        paused: list[int] = []

        def pause(event: Any) -> None:
            if event.kind == "finished" and not paused:
                paused.extend(worker_pids(session.pool))
                os.kill(paused[0], signal.SIGSTOP)
                threading.Timer(1.0, os.kill, (paused[0], signal.SIGCONT)).start()

        assert len(session.run(requests, Phase.CHECK, pause)) == 6
    assert len(trainings(tmp_path)) == 6
    assert in_database(tmp_path, "FAIL") == []


def test_an_answer_that_is_no_trial_costs_the_trial(tmp_path: Path) -> None:
    """A worker that returns something else is an error of that trial, not of the command."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        run, answer = a_result(session)
        run._record(Success(answer.task_id, {"loss": 2.0}, 0.1))

        assert [failed.cause for failed in session.store.failures()] == ["error"]


def test_a_failure_without_details_still_stops_with_words(tmp_path: Path) -> None:
    """Three workers that vanish alike leave no traceback; the message says what is known."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        (request, *_) = grid(session)
        policy = FailurePolicy(None, "landscape")
        gone = Failure("0", "error", "the worker process exited with status 7")
        policy.record(gone, request)
        policy.record(gone, request)
        with pytest.raises(UsageError, match="exited with status 7"):
            policy.record(gone, request)
