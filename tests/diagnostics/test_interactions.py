"""Interactions: known cross-curvatures are recovered, their intervals cover, and silence stays silent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from hptransfer.diagnostics.interactions import Interaction, Strength, find_interactions
from hptransfer.statistics.arrays import Array


def joint_search(
    correlation: float, *, runs: int = 24, dimensions: int = 2, noise: float = 0.0, skew: float = 0.0, seed: int = 0
) -> tuple[Array, Array]:
    """Points of a search that closes in on its optimum, and losses with known curvatures of 0.1 nats per octave^2.

    Returns:
        (points, losses); the first two hyperparameters have this correlation, the others none.
    """
    rng = np.random.default_rng(seed)
    curvature = 0.1 * np.eye(dimensions)
    curvature[0, 1] = curvature[1, 0] = 0.1 * correlation
    z = (qmc.Sobol(dimensions, rng=rng).random(runs) - 0.5) * 8
    z[runs // 2 :] *= 0.3
    loss = 2 + 0.5 * np.einsum("ni,ij,nj->n", z, curvature, z) + skew * np.maximum(z[:, 0], 0) ** 3
    return z - 6.0, loss * (1 + noise * rng.standard_normal(runs))


def first_pair(points: Array, losses: Array, **options: object) -> Interaction:
    """The interaction of the first two."""
    names = ["a", "b", "c", "d"][: points.shape[1]]
    return find_interactions(names, points, losses, np.full(points.shape[1], -6.0), **options)[0]  # type: ignore[arg-type]  # options of one test


@pytest.mark.filterwarnings("ignore:The balance properties of Sobol")
class TestSyntheticSearches:
    """Searches of 24 runs."""

    def test_a_quadratic_is_recovered_exactly(self) -> None:
        """With H = 0.1 [[1, 0.6], [0.6, 1]] the optimum of one moves by -0.6 octaves per octave of the other."""
        found = first_pair(*joint_search(0.6))

        for interval, truth in (
            (found.correlation, 0.6),
            (found.first_per_second, -0.6),
            (found.second_per_first, -0.6),
        ):
            assert interval.estimate == pytest.approx(truth, abs=1e-9)
            assert interval.high - interval.low < 1e-6
        assert found.strength is Strength.STRONG
        assert "the optimum of a moves by -0.60 (-0.60 to -0.60) octaves per octave of b" in found.sentence

    def test_moves_follow_each_curvature(self) -> None:
        """With four times the curvature of b, a moves twice as far per octave of b as the correlation says."""
        points, _ = joint_search(0.0)
        z = points + 6.0
        losses = 2 + 0.05 * z[:, 0] ** 2 + 0.2 * z[:, 1] ** 2 + 0.08 * z[:, 0] * z[:, 1]
        found = first_pair(points, losses)

        assert found.first_per_second.estimate == pytest.approx(-0.08 / 0.1)
        assert found.second_per_first.estimate == pytest.approx(-0.08 / 0.4)
        assert found.correlation.estimate == pytest.approx(0.08 / (0.1 * 0.4) ** 0.5)

    @pytest.mark.parametrize("correlation", [0.0, 0.7])
    @pytest.mark.parametrize("skew", [0.0, 0.01])
    def test_intervals_cover(self, correlation: float, skew: float) -> None:
        """With 0.3% noise, also on a skewed basin, at least 90 of 100 intervals hold the truth."""
        covered = sum(
            first_pair(*joint_search(correlation, noise=0.003, skew=skew, seed=seed)).correlation.contains(correlation)
            for seed in range(100)
        )

        assert covered >= 90

    def test_independence_is_not_called_an_interaction(self) -> None:
        """Negative control: of 100 searches without interaction, none is called strong and most are called weak."""
        found = [first_pair(*joint_search(0.0, noise=0.003, seed=seed)).strength for seed in range(100)]

        assert found.count(Strength.STRONG) == 0
        assert found.count(Strength.WEAK) >= 90

    def test_divergences_and_order_change_nothing(self) -> None:
        """Diverged runs are left out, and a permuted list gives the same."""
        points, losses = joint_search(0.6, noise=0.003)
        found = first_pair(points, losses)
        shuffled = np.random.default_rng(1).permutation(len(losses) + 1)
        points, losses = np.vstack([points, [-2.0, -2.0]]), np.append(losses, np.inf)

        assert first_pair(points[shuffled], losses[shuffled]) == found

    def test_common_offsets_of_seeds_are_removed(self) -> None:
        """A seed that lies 0.05 nats higher throughout tells nothing of curvature."""
        points, losses = joint_search(0.6)
        seeds = [run % 2 for run in range(len(losses))]
        found = first_pair(points, losses + 0.05 * np.array(seeds), seeds=seeds)

        assert found.correlation.estimate == pytest.approx(0.6, abs=1e-6)

    def test_other_hyperparameters_are_accounted_for(self) -> None:
        """In four dimensions only reported pairs come back, with the truth in their interval."""
        points, losses = joint_search(0.7, dimensions=4, runs=40, noise=0.001)
        centre = np.full(4, -6.0)
        (found,) = find_interactions(["a", "b", "c", "d"], points, losses, centre, reported=["a", "b"])

        assert (found.first, found.second) == ("a", "b")
        assert found.correlation.contains(0.7)


def test_one_at_a_time_says_nothing() -> None:
    """Runs that vary one hyperparameter at a time show no cross-curvature, and the sentence says so."""
    line = np.linspace(-3, 3, 9)
    points = np.concatenate([np.stack([line, 0 * line], 1), np.stack([0 * line, line], 1)]) - 6.0
    found = first_pair(points, 2 + 0.05 * ((points + 6) ** 2).sum(1))

    assert found.strength is Strength.UNKNOWN
    assert not found.correlation.bounded
    assert "not known" in found.sentence


def test_too_few_runs_say_nothing() -> None:
    """Seven runs cannot carry the six numbers of a quadratic and a measure of its error."""
    points, losses = joint_search(0.6, runs=32)

    assert first_pair(points[:7], losses[:7]).strength is Strength.UNKNOWN
