"""Pull workers on a real PostgreSQL: whatever happens to them, each trial is recorded once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hptransfer.cluster.queue import TaskQueue
from hptransfer.cluster.study import join
from hptransfer.commands.study_status import study_status_command
from tests.support.fleet import Fleet, signal_with, trials_of, until
from tests.support.landscape import FINGERPRINT
from tests.support.postgres import PASSWORD, Server

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def fleet(tmp_path: Path, database: str) -> Iterator[Fleet]:
    """A shared study whose trials take a moment."""
    with Fleet(tmp_path, database, {"seconds": 0.05}) as fleet:
        fleet.init()
        yield fleet


def recorded(fleet: Fleet) -> Counter[str]:
    """How often Optuna's study holds each finished trial."""
    return Counter(trial.user_attrs["key"] for trial in trials_of(fleet.url))


def slow(fleet: Fleet, seconds: float) -> None:
    """Lets each trial take so long; the description, where that stands, is no part of a recipe's terms."""
    fleet.recipe.write_text(fleet.recipe.read_text().replace('"seconds": 0.05', f'"seconds": {seconds}'))


def leased(fleet: Fleet) -> int:
    """How many trials workers hold at the moment."""
    study = join(fleet.url, fleet.loaded, FINGERPRINT)
    queue = TaskQueue(study.address, study.study_id)
    try:
        return queue.count().leased
    finally:
        queue.close()


def test_workers_train_what_a_coordinator_asks_for(fleet: Fleet) -> None:
    """Three workers, twenty trials, each recorded once; a second coordinator finds them all and needs no worker."""
    workers = [fleet.start("worker") for _ in range(3)]
    out = fleet.finish(fleet.start("coordinator", count=20, workers=6))
    fleet.stop(*workers)
    again = fleet.finish(fleet.start("coordinator", count=20, workers=6))

    assert (out, again) == ("20\n", "20\n")
    assert list(recorded(fleet).values()) == [1] * 20
    assert fleet.trained == 20


def test_an_idle_worker_stops_when_told_so(fleet: Fleet) -> None:
    """`--idle-exit`: status 0."""
    fleet.finish(fleet.start("worker", idle=0.5))


def test_workers_refuse_to_create_a_study(tmp_path: Path, database: str) -> None:
    """A worker that was started first says what to do, with status 2."""
    with Fleet(tmp_path, database, {}) as fleet:
        worker = fleet.start("worker")
        fleet.finish(worker, 2)

        assert "hptransfer study init" in fleet.said(worker)
        assert PASSWORD not in fleet.said(worker)


def test_a_killed_workers_trial_goes_to_another(fleet: Fleet) -> None:
    """SIGKILL in the middle of a trial costs a lease, nothing else."""
    slow(fleet, 1.0)
    coordinator = fleet.start("coordinator", count=2, workers=2)
    victim = fleet.start("worker", lease=2.0)
    until(lambda: leased(fleet) == 1)
    signal_with(victim, signal.SIGKILL)
    fleet.start("worker", lease=60.0)

    assert fleet.finish(coordinator) == "2\n"
    assert list(recorded(fleet).values()) == [1, 1]


def test_a_paused_workers_late_result_is_refused(fleet: Fleet) -> None:
    """It says "lease lost" and goes on with other trials."""
    slow(fleet, 0.5)
    coordinator = fleet.start("coordinator", count=6, workers=6)
    paused = fleet.start("worker", lease=1.5)
    until(lambda: leased(fleet) == 1)
    signal_with(paused, signal.SIGSTOP)
    other = fleet.start("worker", lease=60.0)
    out = fleet.finish(coordinator)
    signal_with(paused, signal.SIGCONT)
    until(lambda: "lease lost" in fleet.said(paused))
    fleet.stop(paused, other)

    assert out == "6\n"
    assert fleet.said(paused).count("lease lost") == 1
    assert list(recorded(fleet).values()) == [1] * 6


def test_sigterm_gives_the_trial_back_at_once(fleet: Fleet) -> None:
    """A preempted worker leaves its trial waiting, not leased for another hour, and exits with status 143."""
    slow(fleet, 60.0)
    fleet.start("coordinator", count=2, workers=2)
    worker = fleet.start("worker", lease=3600.0)
    until(lambda: leased(fleet) == 1)
    fleet.stop(worker)

    assert leased(fleet) == 0


def test_a_result_survives_a_server_that_does_not_come_back_in_time(fleet: Fleet, postgres_server: Server) -> None:
    """The worker gives up with status 4, its result on the disk; the next start delivers it without training again."""
    slow(fleet, 2.0)
    coordinator = fleet.start("coordinator", count=2, workers=1)
    worker = fleet.start("worker", lease=600.0, patience=1.0)
    until(lambda: leased(fleet) == 1)
    postgres_server.stop()
    try:
        fleet.finish(worker, 4)
        spooled = list((fleet.folder / "runs" / "spool").glob("*.json"))
    finally:
        postgres_server.start()
    assert len(spooled) == 1
    assert json.loads(spooled[0].read_text())["done"] is True
    fleet.start("worker")

    assert fleet.finish(coordinator) == "2\n"
    assert fleet.trained == 2
    assert list(recorded(fleet).values()) == [1, 1]


def test_a_worker_that_only_fails_takes_no_more(tmp_path: Path, database: str) -> None:
    """Three failures in a row may be this host's fault: status 4, the rest is left to others."""
    with Fleet(tmp_path, database, {"error": "all"}) as fleet:
        fleet.init()
        fleet.start("coordinator", count=40, workers=20)
        worker = fleet.start("worker")
        fleet.finish(worker, 4)

        assert "no luck" in fleet.said(worker)


def test_a_trials_time_limit_reaches_the_worker(fleet: Fleet) -> None:
    """What the coordinator's budget says holds where the trial runs; three alike end the run."""
    slow(fleet, 60.0)
    coordinator = fleet.start("coordinator", count=6, workers=3, trial_time="1s")
    fleet.start("worker", "a")
    fleet.finish(coordinator, 4)

    assert "timeout" in fleet.said(coordinator)


def test_the_status_of_a_study_names_who_works(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Tasks by state, the lease with its worker, and whether somebody coordinates; nothing is changed by asking."""
    slow(fleet, 60.0)
    fleet.start("coordinator", count=4, workers=3)
    worker = fleet.start("worker")
    until(lambda: leased(fleet) == 1)
    study_status_command(str(fleet.recipe), fleet.url, as_json=True)
    told = json.loads(capsys.readouterr().out)

    assert told["coordinated"] is True
    assert told["tasks"] == {"waiting": 2, "leased": 1, "done": 0, "failed": 0}
    (lease,) = told["leases"]
    assert lease["worker"].endswith(f":{worker.pid}")
    assert 0 < lease["seconds"] <= 60


@pytest.mark.slow
def test_sixteen_workers_lose_and_duplicate_nothing(fleet: Fleet, postgres_server: Server) -> None:
    """One is killed, one paused for longer than its lease, the server restarted: 160 trials, each recorded once."""
    workers = [fleet.start("worker", str(number % 4), lease=3.0) for number in range(16)]
    coordinator = fleet.start("coordinator", count=160, workers=48)
    fleet.await_trained(20)
    killed, paused, *others = workers
    signal_with(paused, signal.SIGSTOP)
    signal_with(killed, signal.SIGKILL)
    fleet.await_trained(60)
    postgres_server.stop()
    postgres_server.start()
    out = fleet.finish(coordinator, seconds=300)
    signal_with(paused, signal.SIGCONT)
    fleet.stop(paused, *others)

    assert out == "160\n"
    assert list(recorded(fleet).values()) == [1] * 160
    assert "trying again" in fleet.said(coordinator)


TINY = """\
name: tiny
model: {kind: mlp}
data: {kind: text, files: ["*.txt"]}
training: {steps: 5, batch_size: 8, evaluation_batches: 1}
parameterization: {name: mup}
sizes: {base: {width: 64, depth: 2}, widths: [64, 128], target: {width: 256, depth: 2}}
tune: {space: {learning_rate: {low: 0.001, high: 0.1}}, trials: 4, confirm_seeds: 1}
"""


@pytest.mark.slow
def test_the_commands_tune_with_a_worker_that_leads(tmp_path: Path, database: str) -> None:
    """`study init`, then one worker: it starts `tune`, trains for it, and ends with it."""
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
    (tmp_path / "b.txt").write_text("pack my box with five dozen liquor jugs! " * 200)
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    hptransfer = [sys.executable, "-m", "hptransfer"]
    place = [str(recipe), "--storage", database]
    subprocess.run([*hptransfer, "study", "init", *place], check=True, stdout=subprocess.DEVNULL)
    lead = ["--lead", "tune", "--runs", str(tmp_path / "runs")]
    worker = subprocess.run(
        [*hptransfer, "worker", *place, *lead], check=False, capture_output=True, text=True, timeout=200
    )

    assert worker.returncode == 0, worker.stderr
    assert worker.stderr.count("done") == 5
    assert (tmp_path / "runs/tiny/tuned.yaml").exists()
    assert len(trials_of(database)) == 5
