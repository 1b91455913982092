"""What every sampler must do, as tests: subclass `SamplerConformance` and give it a fixture `sampler`.

class TestMySampler(SamplerConformance):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return MySampler()
"""

from __future__ import annotations

import json
import math

from hptransfer.search.base import Point, Sampler
from hptransfer.search.space import Axis, Space
from hptransfer.search.space_filling import rounded
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

_RATE = Axis("learning_rate", 2.0**-10, 2.0**-2, log=True)
#: one and two hyperparameters, both scales, a value that is no power of two
SPACES = (Space((_RATE,)), Space((_RATE, Axis("init_scale", 0.1, 3.0, log=False))))
_TOTAL, _ROUND = 12, 2


class SamplerConformance:
    """Tests of one sampler."""

    def test_points_are_new_and_within_the_bounds(self, sampler: Sampler) -> None:
        """A search of 12 trials gets 12 different points, never more at a time than were wanted."""
        for space in SPACES:
            points = [space.point(trial.hyperparameters) for trial in search(sampler, space, _TOTAL)]
            assert len({rounded(point) for point in points}) == _TOTAL, points
            for point in points:
                inside = (low - 1e-9 <= x <= high + 1e-9 for x, (low, high) in zip(point, _ends(space), strict=True))
                assert all(inside), point

    def test_points_are_a_function_of_the_arguments(self, sampler: Sampler) -> None:
        """Asked again with the same results, wherever the search stands, the answer is the same."""
        for space in SPACES:
            finished = search(sampler, space, _TOTAL)
            for so_far in (0, 1, _TOTAL // 2, _TOTAL - 1):
                assert _next(sampler, space, finished[:so_far]) == _next(sampler, space, finished[:so_far])

    def test_points_that_failed_stay_taken(self, sampler: Sampler) -> None:
        """A point that was decided and has no result is not proposed again."""
        for space in SPACES:
            finished = search(sampler, space, _TOTAL // 2)
            failed = _next(sampler, space, finished)
            taken = [*(space.point(trial.hyperparameters) for trial in finished), *failed]
            later = sampler.propose(space, finished, taken, count=_ROUND, total=_TOTAL, seed=0)
            assert {rounded(point) for point in later}.isdisjoint(map(rounded, taken))

    def test_divergence_everywhere_ends_the_search(self, sampler: Sampler) -> None:
        """Where every trial diverges a sampler has nothing left to propose before a long search is over."""
        for space in SPACES:
            assert len(search(sampler, space, 100, cliff=-math.inf)) < 100

    def test_a_cliff_does_not_end_the_search(self, sampler: Sampler) -> None:
        """Where some trials diverge and others do not, it goes on."""
        for space in SPACES:
            trials = search(sampler, space, _TOTAL, cliff=-5.0)
            assert len(trials) >= _TOTAL - _ROUND
            assert any(trial.state is TrialState.COMPLETE for trial in trials)

    def test_settings_fit_into_json(self, sampler: Sampler) -> None:
        """They are recorded in the study and in tuned.yaml."""
        for space in SPACES:
            settings = sampler.settings(space, _TOTAL)
            assert json.loads(json.dumps(settings, allow_nan=False)) == settings


def search(sampler: Sampler, space: Space, total: int, *, cliff: float = math.inf) -> list[Trial]:
    """A search over a bowl, two trials at a time, until the total or until nothing new is proposed.

    Args:
        sampler: the sampler that is tested.
        space: the searched hyperparameters, the learning rate first.
        total: number of trials of the whole search.
        cliff: log2 of the learning rate above which runs diverge.
    """
    finished: list[Trial] = []
    while len(finished) < total:
        points = _next(sampler, space, finished, total)
        assert len(points) <= _ROUND, points
        if not points:
            break
        finished += [_run(space, point, cliff) for point in points]
    return finished


def _next(sampler: Sampler, space: Space, finished: list[Trial], total: int = _TOTAL) -> list[Point]:
    taken = [space.point(trial.hyperparameters) for trial in finished]
    return sampler.propose(space, finished, taken, count=min(_ROUND, total - len(finished)), total=total, seed=0)


def _run(space: Space, point: Point, cliff: float) -> Trial:
    values = space.values(point)
    loss = 2.0 + 0.1 * (point[0] + 6.3) ** 2 + sum(0.05 * (x - 4) ** 2 for x in point[1:])
    state = TrialState.DIVERGED if point[0] > cliff else TrialState.COMPLETE
    loss = loss if state is TrialState.COMPLETE else math.inf
    return Trial(f"{point}", Size(64, 2, 64, 1000), values, 0, state, loss)


def _ends(space: Space) -> list[tuple[float, float]]:
    return [axis.ends for axis in space]
