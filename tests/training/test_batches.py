"""Batches of any structure: everything that trains or measures takes them."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import nn

from hptransfer.data.python import PythonData
from hptransfer.errors import UsageError
from hptransfer.training.batches import equal, examples_in, fitted, map_tensors
from hptransfer.training.coordinates import measure_coordinates
from hptransfer.training.data import load_batches
from hptransfer.training.linearisation import measure_linearisation
from hptransfer.training.loop import TrainingSettings, evaluate, evaluation_losses, mean_loss, standard_error, train
from hptransfer.training.noise_scale import measure_noise_scale
from hptransfer.training.python_batches import PythonBatches
from hptransfer.training.sharpness import measure_sharpness
from hptransfer.trials.trial import TrialState
from tests.support.own_batches import FromPair, Regression, line_evaluation

OWN = "tests.support.own_batches"
Pair = namedtuple("Pair", "x y")
SETTINGS = TrainingSettings(8, 4, 1, loss="cross-entropy", evaluation_batches=3)


def batches(source: str) -> PythonBatches:
    """Of functions of `own_batches`."""
    section = {"kind": "python", "source": f"{OWN}:{source}", "evaluation": f"{OWN}:{source}_evaluation"}
    found = load_batches(PythonData.model_validate(section), Path.cwd())
    assert isinstance(found, PythonBatches)
    return found


def model() -> tuple[nn.Module, list[dict[str, object]]]:
    """A model of `nested` batches and its one group."""
    torch.manual_seed(0)
    module = FromPair()
    return module, [{"params": list(module.parameters()), "lr": 0.01, "weight_decay": 0.0, "eps": 1e-8}]


def test_structures_keep_their_kind() -> None:
    """Tuples, named tuples, lists and mappings."""
    batch = {"a": Pair(torch.ones(2), (torch.ones(2), [torch.ones(2)]))}

    doubled = map_tensors(batch, lambda tensor: 2 * tensor)

    assert isinstance(doubled["a"], Pair)
    assert isinstance(doubled["a"].y[1], list)
    assert equal(doubled, {"a": Pair(2 * torch.ones(2), (2 * torch.ones(2), [2 * torch.ones(2)]))})
    assert not equal(doubled, batch)
    assert equal(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert examples_in(batch) == 2
    with pytest.raises(UsageError, match="a tensor, or a tuple, list or dict"):
        map_tensors({"a": "text"}, torch.clone)


def test_a_batch_that_fits_is_not_copied() -> None:
    """Training on bytes is as fast as before."""
    tokens = torch.zeros(3, 4, dtype=torch.int64)

    assert fitted(tokens, nn.Linear(1, 1)) is tokens
    assert fitted(tokens, nn.Flatten()) is tokens


def test_nested_batches_train_and_are_measured() -> None:
    """The loop and every measurement go through the loss alone, so each takes what the loss takes."""
    data = batches("nested")

    outcome = train(*model(), data, SETTINGS, 0)
    layers = measure_coordinates(*model(), data, SETTINGS, 0, (1, 3), {"hidden": "hidden", "readout": "logits"})
    sharpness = measure_sharpness(*model(), data, SETTINGS, 0)
    noise = measure_noise_scale(*model(), data, SETTINGS, 0)
    distance = measure_linearisation(*model(), data, SETTINGS, 0, ["hidden"])

    assert outcome.state is TrialState.COMPLETE
    assert {row["layer"] for row in layers["layers"]} == {"hidden", "readout"}
    assert all(row["change"] > 0 for row in layers["layers"])
    assert sharpness["sharpness"] > 0
    assert [moment["progress"] for moment in noise["moments"]] == [0.25, 0.5, 0.75]
    assert distance["hidden"] == pytest.approx(0, abs=1e-9)  # a linear layer is linear in its weights


def test_the_evaluation_is_the_mean_over_examples_with_its_standard_error() -> None:
    """Seven rows in batches of three: the last one counts for a third of a batch."""
    torch.manual_seed(0)
    module, data = Regression(4, 1), batches("line")
    settings = TrainingSettings(1, 3, 1, loss="mse", evaluation_examples=7)
    x, y = map(torch.tensor, zip(*_rows(), strict=True))

    errors = (module(x.float()) - y.float()).square()
    by_batch = evaluation_losses(module, data, settings)

    assert evaluate(module, data, settings) == pytest.approx(errors.mean().item(), rel=1e-5)
    assert [weight for _, weight in by_batch] == pytest.approx([1, 1, 1 / 3])
    assert mean_loss(by_batch) == pytest.approx(errors.mean().item(), rel=1e-5)


def _rows() -> list[tuple[list[float], list[float]]]:
    """The first seven rows of the evaluation set in batches of three."""
    found: list[tuple[list[float], list[float]]] = []
    for index in range(3):
        found += [(x.tolist(), y.tolist()) for x, y in zip(*line_evaluation(index, 3), strict=True)]
    return found[:7]


def test_the_standard_error_of_equal_batches_is_that_of_their_mean() -> None:
    """The textbook's s / sqrt(n): 1, 2, 3, 6 have s^2 = 14/3; a single batch has none."""
    assert standard_error([(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (6.0, 1.0)]) == pytest.approx((14 / 3 / 4) ** 0.5)
    assert standard_error([(1.0, 1.0)]) is None


def test_the_standard_error_covers_the_truth() -> None:
    """Over many evaluation sets of known mean, 95% intervals hold it in 93 to 97 of 100."""
    generator = torch.Generator().manual_seed(0)
    losses_SxN = torch.randn(4000, 16, generator=generator, dtype=torch.float64) + 5
    held = 0
    for losses in losses_SxN.tolist():
        weighted = [(loss, 1.0) for loss in losses]
        error = standard_error(weighted)
        assert error is not None
        held += abs(mean_loss(weighted) - 5) < 2.131 * error  # Student's t with 15 degrees

    assert 0.93 < held / 4000 < 0.97


def test_the_first_evaluation_batches_lie_within_the_set() -> None:
    """A set smaller than a batch is evaluated whole; else whole batches alone."""
    small = TrainingSettings(1, 8, 1, evaluation_examples=5).first_evaluation_batches(2)
    large = TrainingSettings(1, 8, 1, evaluation_examples=100).first_evaluation_batches(2)
    usual = TrainingSettings(1, 8, 1, evaluation_batches=16).first_evaluation_batches(2)

    assert (small.evaluation_batches, small.evaluation_examples) == (1, 5)
    assert (large.evaluation_batches, large.evaluation_examples) == (2, None)
    assert (usual.evaluation_batches, usual.evaluation_examples) == (2, None)
