"""One trial, end to end: identity, payload, determinism, and muP against the standard parameterization."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trainers._tasks import run_trial
from hptransfer.trials.messages import DiagnosticMessage, TrialMessage, TrialResult
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import TrialState, trial_from_dict
from tests.support.identities import trained
from tests.support.tiny import ROOT, recipe, request


def through_json(payload: Mapping[str, Any]) -> Any:
    """What a pipe does to a payload; NaN would be an error."""
    return json.loads(json.dumps(payload, allow_nan=False))


def test_missing_hyperparameters_take_the_recipes_values() -> None:
    """A request names what it varies; the rest comes from `training`."""
    values = request(recipe(training={"weight_decay": 0.3}), learning_rate=0.5).hyperparameters

    assert values["learning_rate"] == 0.5
    assert values["weight_decay"] == 0.3
    assert values["beta1"] == 0.9


def test_unknown_hyperparameters_are_refused() -> None:
    """A name that nothing reads would be silently ignored."""
    with pytest.raises(UsageError, match="must be among") as caught:
        request(learning_rat=0.5)

    assert caught.value.findings[0].received == "learning_rat"


def test_a_request_survives_its_payload() -> None:
    """Payload, JSON and back give an equal request, so the worker trains what was asked for."""
    first = request(recipe(training={"clip": 1.0}), seed=3, width=32, learning_rate=2.0**-7.5)

    assert TrialMessage.parse(through_json(TrialMessage.of(first, "k").payload())).spec == first


def test_a_trial_is_complete_and_says_where_it_comes_from() -> None:
    """The worker's answer is JSON and reads back as a trial with cost, curve and provenance."""
    wanted = request()

    trial = TrialResult.parse(through_json(run_trial(through_json(TrialMessage.of(wanted, "k").payload())))).finished()

    assert trial.state is TrialState.COMPLETE
    assert 3 < trial.loss < 6
    assert trial.size == wanted.size
    assert trial.hyperparameters == wanted.hyperparameters
    assert trial.key == "k"
    assert {"hptransfer", "torch", "python", "device"} <= set(trial.provenance)
    # 6 * (16 * 16 + 16 * 16 + 16 * 256) weights * 8 examples * 5 steps
    assert trial.flops == 6 * 4608 * 40
    assert [step for step, _ in trial.curve] == [1, 2, 3, 4, 5]


def test_the_same_request_gives_the_same_loss_and_another_seed_another() -> None:
    """Init and data order follow from the seed alone."""
    first, again, other = (trained(request(seed=seed))["loss"] for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_diverged_trial_has_a_null_loss() -> None:
    """Divergence travels as JSON and reads back as an infinite loss."""
    answer = through_json(trained(request(recipe(training={"schedule": "constant"}), learning_rate=1e4)))

    assert answer["loss"] is None
    assert trial_from_dict(answer).state is TrialState.DIVERGED
    assert trial_from_dict(answer).loss == math.inf


def test_the_first_training_loss_is_common_to_all_learning_rates() -> None:
    """Common random numbers: the same seed starts from the same draws and the same first batch."""
    first, second = (trained(request(seed=5, learning_rate=rate))["curve"][0] for rate in (0.001, 0.1))

    assert first == second


def test_a_decoder_trains() -> None:
    """The other built-in model and parameterization take the same road, depth rules included."""
    wanted = gpt_recipe()
    trial = trial_from_dict(trained(TrialSpec(wanted, ROOT, wanted.size(32, 4), {}, 0)))

    assert trial.state is TrialState.COMPLETE
    assert trial.size.tokens == 5 * 8 * 8


def gpt_recipe() -> Recipe:
    """A tiny decoder under CompleteP."""
    document = recipe().model_dump(mode="json") | {
        "model": {"kind": "gpt", "context": 8, "head_dim": 8},
        "parameterization": {"name": "completep"},
    }
    return Recipe.model_validate_json(json.dumps(document))


def measured(diagnostic: str, asked: TrialSpec, **options: Any) -> dict[str, Any]:
    """A worker's answer to a diagnostic, through JSON as between processes."""
    payload = DiagnosticMessage.of(diagnostic, asked, options=options).payload()
    answer: dict[str, Any] = through_json(run_diagnostic(through_json(payload)))
    return answer


def test_coordinates_of_every_layer_and_step() -> None:
    """The coordinate check measures each layer at the steps of its options."""
    answer = measured("coordinate", request(), steps=[1, 3, 10])

    assert (answer["size"]["width"], answer["seed"]) == (16, 0)
    assert {(row["layer"], row["step"]) for row in answer["layers"]} == {
        (layer, step) for layer in ("embedding", "input", "hidden.0", "readout") for step in (1, 3, 10)
    }
    assert all(row["change"] > 0 for row in answer["layers"])


def test_linearisation_of_every_block() -> None:
    """Of blocks that add to the stream only."""
    deep = recipe(
        model={"kind": "gpt", "context": 8, "head_dim": 8, "embedding": None},
        parameterization={"name": "completep"},
        sizes={"target": {"width": 64, "depth": 2}},
    )
    asked = TrialSpec(deep, ROOT, deep.size(16, 2), {}, 0)

    answer = measured("linearization", asked)

    assert set(answer["linearisation"]) == {"blocks.0", "blocks.1"}
    assert all(value > 0 for value in answer["linearisation"].values())


def test_sharpness_of_a_trained_model() -> None:
    """A positive number, the same for the same request."""
    first, second = (measured("sharpness", request()) for _ in range(2))

    assert first == second
    assert first["sharpness"] > 0
    assert (first["size"]["width"], first["seed"]) == (16, 0)


def test_noise_scale_of_a_trained_model() -> None:
    """Three moments of eight pairs at the request's batch, the same for the same request."""
    first, second = (measured("noise-scale", request()) for _ in range(2))

    assert first == second
    assert [len(moment["pairs"]) for moment in first["moments"]] == [8, 8, 8]
    assert first["moments"][0]["small_batch"] == request().size.batch_size
    assert (first["size"]["width"], first["seed"]) == (16, 0)


#: in the first step the logits also move by (random readout) * (change of hidden), which falls as width^-1/2 by itself;
#: by the third step the readout has learned and dominates
SEEN_AT = [("hidden", 1), ("logits", 3)]


def slope(parameterization: str, kind: str, step: int) -> float:
    """Slope of log2 change against log2 width over 64 to 512, mean over the layers of a kind and two seeds."""
    widths = np.array([64, 128, 256, 512])
    wanted = recipe(
        model={"context": 16, "embedding": 32},
        training={"batch_size": 256},
        parameterization={"name": parameterization},
        sizes={"base": {"width": 64, "depth": 3}},
    )
    changes = np.zeros(len(widths))
    for index, width in enumerate(widths.tolist()):
        for seed in (0, 1):
            asked = TrialSpec(wanted, ROOT, wanted.size(width, 3), {"learning_rate": 2.0**-6}, seed)
            layers = measured("coordinate", asked, steps=[step])["layers"]
            changes[index] += np.mean([math.log2(row["change"]) for row in layers if row["kind"] == kind])
    return float(np.polyfit(np.log2(widths), changes / 2, 1)[0])


@pytest.mark.parametrize(("kind", "step"), SEEN_AT)
def test_changes_are_flat_in_width_under_mup(kind: str, step: int) -> None:
    """Tensor Programs V, appendix D.1: Adam's first steps change hidden layers and logits by amounts free of width."""
    assert abs(slope("mup", kind, step)) < 0.15


@pytest.mark.parametrize(("kind", "step"), SEEN_AT)
def test_changes_grow_with_width_under_the_standard_parameterization(kind: str, step: int) -> None:
    """Negative control: Adam's first steps change hidden layers as width^1 (theory), so the check above can fail."""
    assert slope("standard", kind, step) > 0.5
