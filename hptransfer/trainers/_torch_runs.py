"""One run in this process: the model, trained by the plan of its size, and what is measured on the way."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer import __version__
from hptransfer.errors import UsageError
from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.schema import Data
from hptransfer.sizes import Size
from hptransfer.trials.messages import (
    CoordinatesMessage,
    MeasurementMessage,
    SpecMessage,
    TrialMessage,
    TrialResult,
    refusal,
)
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from torch import nn

    from hptransfer.models.shape_reading import ModelReading
    from hptransfer.training.data import Corpus
    from hptransfer.training.loop import TrainingSettings
    from hptransfer.training.shard import Shard


def train_trial(message: TrialMessage, shard: Shard | None = None) -> TrialResult:
    """Train one model in this process, or with several processes this one's share.

    Args:
        message: the run.
        shard: which of the processes this is; None for the only one.

    Returns:
        The finished trial, the same in every process but for the time; or a refusal where the data are others.
    """
    from hptransfer.models.cost import training_flops
    from hptransfer.training.loop import train
    from hptransfer.training.shard import WHOLE

    spec = message.spec
    corpus = cached_corpus(spec.recipe.data, spec.root)
    refused = refusal(message, corpus.fingerprint)
    if refused is not None:
        return TrialResult(key=message.key, refused=refused)
    module, groups = planned_model(spec)
    settings = training_settings(spec)
    outcome = train(module, groups, corpus, settings, spec.seed, shard or WHOLE)
    cost = training_flops(module, spec.size.tokens, spec.recipe.model.context)
    trial = Trial(
        key=message.key,
        size=spec.size,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        state=outcome.state,
        loss=outcome.loss,
        curve=outcome.curve,
        flops=cost * outcome.steps / settings.steps,
        seconds=outcome.seconds,
        provenance=provenance(corpus.fingerprint),
    )
    return TrialResult.of(trial)


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


def planned_model(spec: TrialSpec) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A model initialised by the plan of its size, and its optimizer groups."""
    from hptransfer.models.applied_plan import AppliedPlan
    from hptransfer.models.build import build_model

    rows = planned(spec).rows
    module = build_model(spec.recipe.model, spec.size.width, spec.size.depth)
    applied = AppliedPlan(rows)
    applied.init_(module, spec.seed)
    return module, applied.param_groups(module)


def planned(spec: TrialSpec) -> Plan:
    """The plan of the spec's size in gauge `plain`."""
    from hptransfer.models.api import options_of, plan_reading

    recipe = spec.recipe
    return plan_reading(
        recipe.parameterization,
        spec.base,
        spec.size,
        cached_reading(recipe.model.model_dump_json(), spec.base, spec.size),
        spec.hyperparameters,
        optimizer=recipe.training.optimizer,
        options=options_of(recipe.parameterization),
    ).whole_plan


def training_settings(spec: TrialSpec) -> TrainingSettings:
    """What the loop needs besides the parameter groups."""
    from hptransfer.training.loop import TrainingSettings

    training = spec.recipe.training
    values = {**spec.hyperparameters, **planned(spec).optimizer_values}  # betas follow batch and duration
    return TrainingSettings(
        steps=spec.recipe.steps(spec.size),
        batch_size=spec.size.batch_size,
        context=spec.recipe.model.context,
        optimizer=training.optimizer,
        loss=training.loss,
        beta1=values["beta1"],
        beta2=values["beta2"],
        momentum=values["momentum"],
        schedule=training.schedule,
        warmup=values["warmup"],
        clip=training.clip,
        evaluation_batches=training.evaluation_batches,
        evaluation_size=training.batch_size,
    )


def provenance(fingerprint: str) -> dict[str, str]:
    """What a reader needs to train the run again, besides its identity."""
    import torch

    return {
        "hptransfer": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": "cpu",
        "threads": str(torch.get_num_threads()),
        "data": fingerprint,
    }


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


@lru_cache(maxsize=4)
def cached_corpus(data: Data, root: Path) -> Corpus:
    """The corpus, read once per process."""
    from hptransfer.training.data import load_corpus

    return load_corpus(data, root)


@lru_cache(maxsize=64)
def cached_reading(model: str, base: Size, size: Size) -> ModelReading:
    """What was read of a model's size, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: the size at which every factor of a rule is 1.
        size: to read.
    """
    from hptransfer.models.shape_reading import read_recipe_model
    from hptransfer.recipe.schema import MODEL

    return read_recipe_model(MODEL.validate_json(model), base, size)
