"""run_requests: reuse, record, retry by cause, stop."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hptransfer.engine.scheduler import TrialEvent, relative_cost, run_requests
from hptransfer.engine.session import Session
from hptransfer.errors import MachineError, UsageError
from hptransfer.sizes import Size
from hptransfer.storage.base import Experiment
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial
from tests.support.landscape import recipe_text
from tests.support.memory_store import Memory, MemoryStore
from tests.support.pool_tasks import worker_pids
from tests.support.sessions import recipe_session


class Bench:
    """A session with a log of trainings and of events."""

    def __init__(self, session: Session, log: Path) -> None:
        self.session, self.log = session, log
        self.events: list[TrialEvent] = []

    def request(self, x: float, seed: int = 0, width: int = 64) -> TrialSpec:
        """A trial at learning rate 2^x."""
        recipe = self.session.loaded.recipe
        return TrialSpec(recipe, self.session.root, recipe.size(width, 2), {"learning_rate": 2.0**x}, seed)

    def run(self, *requests: TrialSpec) -> list[Trial]:
        """Runs the requests in phase "check"."""
        return run_requests(
            requests,
            self.session.store,
            self.session.pool,
            identity=self.session.identity,
            phase=Phase.CHECK,
            on_event=self.events.append,
        )

    @property
    def kinds(self) -> list[str]:
        """What happened, starts left out."""
        return [event.kind for event in self.events if event.kind != "started"]

    @property
    def trained(self) -> int:
        """How many trainings ended."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench over the landscape given as the fixture's parameter."""
    landscape: dict[str, Any] = getattr(request, "param", {})
    if "kill_once" in landscape:
        landscape = landscape | {"kill_once": str(tmp_path)}
    with recipe_session(tmp_path / "runs", recipe_text(landscape | {"log": str(tmp_path / "log")})) as session:
        yield Bench(session, tmp_path / "log")


def test_results_come_in_the_order_of_the_requests(bench: Bench) -> None:
    """Wide trials run first, yet the list returned follows the requests."""
    trials = bench.run(bench.request(-6, width=64), bench.request(-6, width=512), bench.request(-7))

    assert [(trial.size.width, trial.loss) for trial in trials] == [(64, 2.0), (512, 2.0), (64, 2.05)]
    starts = [event.size.width for event in bench.events if event.kind == "started"]
    assert starts[0] == 512


def test_a_finished_trial_is_reused(bench: Bench) -> None:
    """The second run of the same requests trains nothing."""
    first = bench.run(bench.request(-6), bench.request(-7))
    second = bench.run(bench.request(-6), bench.request(-7))

    assert second == first
    assert bench.trained == 2
    assert bench.kinds == ["finished", "finished", "reused", "reused"]


def test_equal_requests_are_one_trial(bench: Bench) -> None:
    """Two requests with one key are trained once and both answered."""
    trials = bench.run(bench.request(-6), bench.request(-6))

    assert len(trials) == 2
    assert bench.trained == 1


def test_trials_can_be_kept_by_a_store_from_outside_the_package(bench: Bench) -> None:
    """`run_requests` asks a store for what the Protocol says, and for nothing else."""
    digest = bench.session.identity.experiment
    store = MemoryStore(Memory(), Experiment("landscape", digest, {}, bench.request(-6).size))
    requests = [bench.request(-6), bench.request(-7)]
    for _ in range(2):
        run_requests(requests, store, bench.session.pool, identity=bench.session.identity, phase=Phase.SEARCH)

    assert bench.trained == 2
    assert [trial.loss for trial in store.trials(phase=Phase.SEARCH)] == [2.0, 2.05]


def test_another_seed_is_another_trial(bench: Bench) -> None:
    """The seed belongs to the identity of a trial."""
    bench.run(bench.request(-6, seed=0), bench.request(-6, seed=1))

    assert bench.trained == 2


def test_nothing_to_run_starts_no_worker(tmp_path: Path) -> None:
    """An empty list costs nothing, and neither do keys once the model was read."""
    for started in (1, 0):
        with recipe_session(tmp_path / "runs", recipe_text({})) as session:
            bench = Bench(session, tmp_path / "log")

            assert bench.run() == []
            assert len(worker_pids(session.pool)) == started


@pytest.mark.parametrize("bench", [{"kill_once": "yes"}], indirect=True)
def test_a_killed_trial_runs_once_more(bench: Bench) -> None:
    """Death from outside says nothing about the trial, so it is repeated."""
    (trial,) = bench.run(bench.request(-6))

    assert trial.loss == 2.0
    assert bench.kinds == ["retried", "finished"]
    assert [failed.cause for failed in bench.session.store.failures()] == ["killed"]


@pytest.mark.parametrize("bench", [{"kill": [-6.0]}], indirect=True)
def test_a_trial_killed_twice_is_given_up(bench: Bench) -> None:
    """The others go on."""
    trials = bench.run(bench.request(-6), bench.request(-7))

    assert [trial.hyperparameters["learning_rate"] for trial in trials] == [2.0**-7]
    assert [failed.cause for failed in bench.session.store.failures()] == ["killed", "killed"]


@pytest.mark.parametrize("bench", [{"error": [-6.0], "memory": [-5.0]}], indirect=True)
def test_errors_and_lack_of_memory_are_recorded_and_not_repeated(bench: Bench) -> None:
    """Each costs its trial and leaves its cause in the study."""
    trials = bench.run(bench.request(-6), bench.request(-5), bench.request(-7))

    assert len(trials) == 1
    assert sorted((failed.cause, failed.message[:10]) for failed in bench.session.store.failures()) == [
        ("error", "ValueError"),
        ("out of memory", "MemoryErro"),
    ]
    assert sorted(bench.kinds) == ["failed", "failed", "finished"]


@pytest.mark.parametrize("bench", [{"error": "all"}], indirect=True)
def test_three_equal_errors_in_a_row_stop_the_run(bench: Bench) -> None:
    """Ten trials that would fail alike are not tried to the last; addresses do not make errors different."""
    with pytest.raises(UsageError) as stop:
        bench.run(*(bench.request(float(-x)) for x in range(1, 11)))

    assert "ValueError: no luck" in (stop.value.findings[0].received or "")
    assert 3 <= len(bench.session.store.failures()) <= 5  # the third, and what ran beside it


@pytest.mark.parametrize("bench", [{"memory": [-1.0, -2.0, -3.0, -4.0]}], indirect=True)
def test_lack_of_memory_stops_as_the_machines_fault(bench: Bench) -> None:
    """Exit status 4, with the advice to use fewer workers."""
    with pytest.raises(MachineError) as stop:
        bench.run(*(bench.request(float(-x)) for x in range(1, 5)))

    assert "fewer workers" in (stop.value.findings[0].hint or "")


@pytest.mark.parametrize("bench", [{"wall": -7.0}], indirect=True)
def test_a_diverged_trial_is_a_result(bench: Bench) -> None:
    """Divergence is finished: it is neither a failure nor trained again."""
    bench.run(bench.request(-6))
    (again,) = bench.run(bench.request(-6))

    assert again.state.value == "diverged"
    assert bench.trained == 1
    assert bench.session.store.failures() == []


def test_a_result_of_other_data_is_refused(bench: Bench) -> None:
    """A worker whose data differ from the coordinator's cannot add to the study."""
    others = copy.copy(bench.session.identity)
    others.fingerprint = "other"

    with pytest.raises(MachineError, match="stay the same"):
        run_requests([bench.request(-6)], bench.session.store, bench.session.pool, identity=others, phase=Phase.CHECK)

    assert bench.session.store.trials() == []


def test_cost_grows_with_width_depth_and_tokens() -> None:
    """The order of trials and the time left follow it; widths far above the overhead cost their square."""
    small = relative_cost(Size(64, 2, 32, 1000))

    assert relative_cost(Size(64, 4, 32, 1000)) == 2 * small
    assert relative_cost(Size(64, 2, 64, 3000)) == 3 * small
    assert relative_cost(Size(64_000, 2, 32, 1000)) == pytest.approx(1e6 * small / 4, rel=0.01)
