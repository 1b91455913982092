"""The queue on a real server: leases with fencing tokens, and a study's terms."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hptransfer.cluster.postgres import Address, ServerAwayError, find_address
from hptransfer.cluster.queue import MOST_LEASES, Claim, QueueCount, TaskQueue
from hptransfer.cluster.study import (
    SharedStudy,
    StudyTerms,
    coordinating_connection,
    create_study,
    join_study,
    open_store,
    study_state,
)
from hptransfer.errors import MachineError, UsageError
from hptransfer.execution.limits import TaskLimits
from hptransfer.execution.outcome import Failure, Success
from hptransfer.storage.base import Experiment, TrialStore
from hptransfer.testing.stores import TrialStoreConformance
from tests.support.postgres import Server

TERMS = StudyTerms(hptransfer="0.2.0", recipe="r1", data="d1", optuna="5.0.0", torch="2.13.0")


def make(address: Address, terms: StudyTerms = TERMS, *, update: bool = False) -> bool:
    """What `study init` does."""
    return create_study(address, "mine", terms, update=update)


@pytest.fixture
def study(database: str) -> SharedStudy:
    """A new study."""
    address = find_address(database)
    make(address)
    return join_study(address, "mine", TERMS)


@pytest.fixture
def queue(study: SharedStudy) -> Iterator[TaskQueue]:
    """Its queue, with one task."""
    queue = TaskQueue(study.address, study.study_id)
    queue.submit("k1", {"size": 64})
    yield queue
    queue.close()


def claim(queue: TaskQueue, study: SharedStudy, lease: float = 60.0, worker: str = "w1") -> Claim:
    """A claim that must succeed."""
    claimed = queue.claim(worker, lease, study.terms)
    assert claimed is not None
    return claimed


def lapse(queue: TaskQueue, study: SharedStudy) -> Claim:
    """A claim whose lease ran out and was reaped."""
    claimed = claim(queue, study, lease=0.01)
    time.sleep(0.05)
    assert queue.reap() == 1
    return claimed


def test_a_task_is_claimed_once(queue: TaskQueue, study: SharedStudy) -> None:
    """The payload arrives as it was, and the next worker finds nothing."""
    first = claim(queue, study)

    assert (first.key, first.payload) == ("k1", {"size": 64})
    assert queue.claim("w2", 60.0, study.terms) is None


def test_claims_of_many_threads_do_not_meet(queue: TaskQueue, study: SharedStudy) -> None:
    """Eight claim at the same moment; every task goes to exactly one."""
    for number in range(2, 41):
        queue.submit(f"k{number}", {})
    claimed: list[str] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        own = TaskQueue(study.address, study.study_id)
        barrier.wait()
        while (found := own.claim("w", 60.0, study.terms)) is not None:
            claimed.append(found.key)
        own.close()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == sorted(f"k{number}" for number in range(1, 41))


def test_a_result_settles_a_task(queue: TaskQueue, study: SharedStudy) -> None:
    """Floats come back bit for bit, and settled tasks are not handed out."""
    held = claim(queue, study)
    assert queue.take_finished(["k1"]) is None
    assert queue.record(held.task_id, held.token, Success("k1", 0.1 + 0.2, 1e-300))

    assert queue.take_finished(["k1", "k2"]) == Success("k1", 0.1 + 0.2, 1e-300)
    assert queue.count() == QueueCount(0, 0, 1, 0)


def test_delivering_twice_counts_once(queue: TaskQueue, study: SharedStudy) -> None:
    """A worker whose confirmation was lost delivers again; that is no lost lease."""
    held = claim(queue, study)

    assert queue.record(held.task_id, held.token, Success("k1", 1, 0.5))
    assert queue.record(held.task_id, held.token, Success("k1", 1, 0.5))


def test_a_late_result_is_refused_once_another_worker_claimed(queue: TaskQueue, study: SharedStudy) -> None:
    """Fencing: the newest token wins, whatever the clocks of the workers say."""
    late = lapse(queue, study)
    newer = claim(queue, study, worker="w2")

    assert not queue.record(late.task_id, late.token, Success("k1", "late", 0.5))
    assert not queue.renew(late, 60.0)
    assert queue.record(newer.task_id, newer.token, Success("k1", "new", 0.5))
    assert not queue.record(late.task_id, late.token, Success("k1", "late", 0.5))
    assert queue.take_finished(["k1"]) == Success("k1", "new", 0.5)


def test_a_late_result_counts_while_nobody_else_claimed(queue: TaskQueue, study: SharedStudy) -> None:
    """After an outage longer than every lease, work that is done is not thrown away."""
    late = lapse(queue, study)

    assert queue.record(late.task_id, late.token, Success("k1", 1, 0.5))
    assert queue.claim("w2", 60.0, study.terms) is None


def test_a_renewed_lease_is_not_reaped(queue: TaskQueue, study: SharedStudy) -> None:
    """A worker that shows signs of life keeps its task."""
    held = claim(queue, study, lease=0.05)
    assert queue.renew(held, 60.0)
    time.sleep(0.1)

    assert queue.reap() == 0


def test_a_task_whose_workers_keep_vanishing_fails(queue: TaskQueue, study: SharedStudy) -> None:
    """It may be what kills them; asked for again, it gets as many chances again."""
    for _ in range(MOST_LEASES):
        lapse(queue, study)
    settled = queue.take_finished(["k1"])

    assert isinstance(settled, Failure)
    assert settled.cause == "killed"
    assert queue.claim("w1", 60.0, study.terms) is None
    queue.submit("k1", {})
    assert queue.take_finished(["k1"]) is None
    assert claim(queue, study).key == "k1"


def test_a_released_task_is_free_at_once_and_not_blamed(queue: TaskQueue, study: SharedStudy) -> None:
    """Preemptions do not use up a task's chances."""
    for _ in range(MOST_LEASES + 2):
        queue.release(claim(queue, study))

    assert claim(queue, study).key == "k1"


def test_submitting_what_is_known_changes_nothing(queue: TaskQueue, study: SharedStudy) -> None:
    """Two tasks with one key are one task, running or done."""
    held = claim(queue, study)
    queue.submit("k1", {})
    assert queue.count() == QueueCount(0, 1, 0, 0)
    queue.record(held.task_id, held.token, Success("k1", 1, 0.5))
    queue.submit("k1", {})

    assert queue.count() == QueueCount(0, 0, 1, 0)


def test_a_withdrawn_task_is_gone_unless_it_began(queue: TaskQueue, study: SharedStudy) -> None:
    """Stopping a search stops what no worker has begun."""
    queue.submit("k2", {})
    claim(queue, study)

    assert queue.withdraw(["k1", "k2"]) == ["k2"]
    assert queue.count() == QueueCount(0, 1, 0, 0)


def test_a_worker_with_old_terms_gets_no_task(queue: TaskQueue, study: SharedStudy) -> None:
    """A study that was updated gives tasks to those who joined afterwards."""
    make(study.address, replace(TERMS, recipe="r2"), update=True)
    queue.submit("k3", {})

    assert queue.claim("w1", 60.0, study.terms) is None
    assert study_state(study).terms != study.terms


def test_sixteen_first_starts_at_the_same_moment_all_succeed(database: str) -> None:
    """Exactly one makes the study (ux.md 4a: 7 of 8 plain Optuna workers crash here)."""
    address = find_address(database)
    results: list[bool] = []
    barrier = threading.Barrier(16)

    def start() -> None:
        barrier.wait()
        results.append(make(address))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [False] * 15 + [True]


def test_joining_creates_nothing(database: str) -> None:
    """Without `study init` there is no study, and the hint says the command."""
    with pytest.raises(UsageError, match="must exist") as caught:
        join_study(find_address(database), "mine", TERMS)

    assert "hptransfer study init" in str(caught.value.findings[0].hint)


def test_other_terms_are_refused_with_what_differs(study: SharedStudy) -> None:
    """Both sides of the difference, and nothing that is equal."""
    with pytest.raises(UsageError) as caught:
        join_study(study.address, "mine", replace(TERMS, torch="2.12.1"))

    assert caught.value.findings[0].received == "torch: 2.13.0 there, 2.12.1 here"


def test_init_with_other_terms_needs_to_be_told(study: SharedStudy) -> None:
    """An edited recipe does not change a study by accident."""
    with pytest.raises(UsageError, match="recipe: r1 there, r2 here"):
        make(study.address, replace(TERMS, recipe="r2"))
    assert make(study.address, replace(TERMS, recipe="r2"), update=True)
    assert not make(study.address, replace(TERMS, recipe="r2"))


def test_one_process_coordinates(study: SharedStudy) -> None:
    """The second is refused as long as the first lives, and the lock is visible."""
    first = coordinating_connection(study)()
    assert study_state(study).coordinated
    with pytest.raises(MachineError, match="another coordinates"):
        coordinating_connection(study)()
    first.close()

    assert not study_state(study).coordinated
    coordinating_connection(study)().close()


def test_a_lost_lock_is_not_taken_again_silently(study: SharedStudy) -> None:
    """With the connection the lock went; somebody else may have written since, so everything is read anew."""
    reopen = coordinating_connection(study)
    reopen().close()

    with pytest.raises(ServerAwayError):
        reopen()


def test_a_queue_finds_a_restarted_server_again(postgres_server: Server, queue: TaskQueue, study: SharedStudy) -> None:
    """The call that met the restart fails, the next one connects anew; nothing is lost."""
    held = claim(queue, study)
    postgres_server.stop()
    with pytest.raises(ServerAwayError):
        queue.renew(held, 60.0)
    postgres_server.start()

    assert queue.renew(held, 60.0)


@pytest.mark.parametrize("failed", [True, False], ids=["failed", "waiting"])
def test_a_task_submitted_again_has_the_newest_payload(queue: TaskQueue, study: SharedStudy, failed: bool) -> None:
    """A time limit that was raised since must not make it fail again."""
    if failed:
        held = claim(queue, study)
        assert queue.record(held.task_id, held.token, Failure("k1", "timeout", "too long"))
    queue.submit("k1", {"size": 128}, TaskLimits(seconds=60.0))

    newest = claim(queue, study)
    assert (newest.payload, newest.limits) == ({"size": 128}, TaskLimits(seconds=60.0))


def test_a_task_that_runs_keeps_its_payload(queue: TaskQueue, study: SharedStudy) -> None:
    """Its worker has begun with it, and nobody else may begin."""
    held = claim(queue, study)
    queue.submit("k1", {"size": 128}, TaskLimits(seconds=60.0))

    assert queue.claim("w2", 60.0, study.terms) is None
    assert queue.record(held.task_id, held.token, Success("k1", 1, 0.5))


class TestOptunaStoreOnAServer(TrialStoreConformance):
    """The built-in store where many machines meet."""

    @pytest.fixture
    def place(self, database: str) -> str:
        """A database in which the study was made."""
        address = find_address(database)
        create_study(address, "conformance", TERMS, update=False)
        return database

    def open_store(self, place: str, experiment: Experiment) -> TrialStore:
        """As a session does."""
        return open_store(place, experiment)
