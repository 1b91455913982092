"""What is measured of a model while it trains, or in its first steps; each function is a task of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.trainers._torch_runs import cached_corpus, planned, planned_model, training_settings
from hptransfer.trials.messages import CoordinatesMessage, MeasurementMessage, SpecMessage, refusal

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from hptransfer.training.data import Corpus


def run_coordinates(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Measure how far activations move in the first steps; the other entry point of a worker.

    Args:
        payload: of a `CoordinatesMessage`.

    Returns:
        "size", "seed", what `measure_coordinates` returns ("layers" and "parameters"), and "linearisation" where it is
        asked for: what `measure_linearisation` returns.
    """
    from hptransfer.models.shape_reading import layer_kinds
    from hptransfer.training.coordinates import layer_kind, measure_coordinates
    from hptransfer.training.linearisation import measure_linearisation

    message = CoordinatesMessage.parse(payload)
    spec, corpus = message.spec, accepted_corpus(message)
    module, groups = planned_model(spec)
    parameters = [row.parameter for row in planned(spec).rows]
    kinds = None if spec.recipe.model.kind in ("mlp", "gpt") else layer_kinds(parameters)
    settings, steps = training_settings(spec), message.steps
    measured = measure_coordinates(module, groups, corpus, settings, spec.seed, steps, kinds, parameters)
    found: dict[str, Any] = {"size": asdict(spec.size), "seed": spec.seed, **measured}
    if message.linearisation:
        names = kinds or [name for name, _ in module.named_modules()]
        blocks = [name for name in names if (kinds[name] if kinds else layer_kind(name)) == "residual"]
        module, groups = planned_model(spec)
        found["linearisation"] = measure_linearisation(module, groups, corpus, settings, spec.seed, blocks)
    return found


def run_sharpness(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model and measure its sharpness; another entry point of a worker.

    Args:
        payload: of a `MeasurementMessage`.

    Returns:
        "size", "seed" and what `measure_sharpness` returns.
    """
    from hptransfer.training.sharpness import measure_sharpness

    message = MeasurementMessage.parse(payload)
    spec, corpus = message.spec, accepted_corpus(message)
    module, groups = planned_model(spec)
    measured = measure_sharpness(module, groups, corpus, training_settings(spec), spec.seed)
    return {"size": asdict(spec.size), "seed": spec.seed, **measured}


def run_noise_scale(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model and measure gradients at two batch sizes on the way; another entry point of a worker.

    Args:
        payload: of a `MeasurementMessage`.

    Returns:
        "size", "seed" and what `measure_noise_scale` returns.
    """
    from hptransfer.training.noise_scale import measure_noise_scale

    message = MeasurementMessage.parse(payload)
    spec, corpus = message.spec, accepted_corpus(message)
    module, groups = planned_model(spec)
    measured = measure_noise_scale(module, groups, corpus, training_settings(spec), spec.seed)
    return {"size": asdict(spec.size), "seed": spec.seed, **measured}


def accepted_corpus(message: SpecMessage) -> Corpus:
    """The corpus of a measurement.

    Args:
        message: of the coordinator, with the data's fingerprint.

    Raises:
        UsageError: the data here are not the coordinator's.
    """
    corpus = cached_corpus(message.recipe.data, message.root)
    refused = refusal(message, corpus.fingerprint)
    if refused is not None:
        raise UsageError("data must stay the same while a command works", received=refused)
    return corpus
