"""One trial: what determines it, its key, and what a worker executes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer import __version__
from hptransfer.parameterization.plan import Plan
from hptransfer.recipe.schema import Data
from hptransfer.sizes import Size
from hptransfer.trials.spec import TrialSpec, request_from_payload
from hptransfer.trials.trial import Trial, trial_to_dict

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from torch import nn

    from hptransfer.models.shape_reading import Reading
    from hptransfer.training.data import Corpus
    from hptransfer.training.loop import TrainingSettings
    from hptransfer.training.shard import Shard


def run_trial(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model; the entry point of a worker.

    Args:
        payload: from `TrialSpec.payload`.

    Returns:
        The trial as `trial_to_dict` gives it; `trial_from_dict` reads it.
    """
    processes = payload["recipe"]["training"].get("processes", 1)
    if processes > 1:
        from hptransfer.trainers.torchrun import run_ranks

        return run_ranks(payload, processes)
    return train_trial(payload)


def train_trial(payload: Mapping[str, Any], shard: Shard | None = None) -> dict[str, Any]:
    """Train one model in this process, or with several processes this one's share.

    Args:
        payload: from `TrialSpec.payload`.
        shard: this process's; None for the whole.

    Returns:
        As `run_trial`; the same in every process but for the time.
    """
    from hptransfer.models.cost import training_flops
    from hptransfer.training.loop import train
    from hptransfer.training.shard import WHOLE

    request = request_from_payload(payload)
    corpus = cached_corpus(request.recipe.data, request.root)
    module, groups = planned_model(request)
    settings = training_settings(request)
    outcome = train(module, groups, corpus, settings, request.seed, shard or WHOLE)
    cost = training_flops(module, request.size.tokens, request.recipe.model.context)
    trial = Trial(
        key=request.key(corpus.fingerprint),
        size=request.size,
        hyperparameters=request.hyperparameters,
        seed=request.seed,
        state=outcome.state,
        loss=outcome.loss,
        curve=outcome.curve,
        flops=cost * outcome.steps / settings.steps,
        seconds=outcome.seconds,
        provenance=provenance(corpus.fingerprint),
    )
    return trial_to_dict(trial)


def run_coordinates(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Measure how far activations move in the first steps; the other entry point of a worker.

    Args:
        payload: from `TrialSpec.coordinates_payload`.

    Returns:
        "size", "seed", what `measure_coordinates` returns ("layers" and "parameters"), and "linearisation" where it is
        asked for: what `measure_linearisation` returns.
    """
    from hptransfer.models.layers import layer_kinds
    from hptransfer.training.coordinates import layer_kind, measure_coordinates
    from hptransfer.training.linearisation import measure_linearisation

    request = request_from_payload(payload)
    corpus = cached_corpus(request.recipe.data, request.root)
    module, groups = planned_model(request)
    parameters = [row.parameter for row in planned(request).rows]
    kinds = None if request.recipe.model.kind in ("mlp", "gpt") else layer_kinds(parameters)
    settings, steps = training_settings(request), payload["steps"]
    measured = measure_coordinates(module, groups, corpus, settings, request.seed, steps, kinds, parameters)
    found: dict[str, Any] = {"size": asdict(request.size), "seed": request.seed, **measured}
    if payload.get("linearisation"):
        names = kinds or [name for name, _ in module.named_modules()]
        blocks = [name for name in names if (kinds[name] if kinds else layer_kind(name)) == "residual"]
        module, groups = planned_model(request)
        found["linearisation"] = measure_linearisation(module, groups, corpus, settings, request.seed, blocks)
    return found


def run_sharpness(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model and measure its sharpness; another entry point of a worker.

    Args:
        payload: from `TrialSpec.payload`.

    Returns:
        "size", "seed" and what `measure_sharpness` returns.
    """
    from hptransfer.training.sharpness import measure_sharpness

    request = request_from_payload(payload)
    corpus = cached_corpus(request.recipe.data, request.root)
    module, groups = planned_model(request)
    measured = measure_sharpness(module, groups, corpus, training_settings(request), request.seed)
    return {"size": asdict(request.size), "seed": request.seed, **measured}


def run_noise_scale(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model and measure gradients at two batch sizes on the way; another entry point of a worker.

    Args:
        payload: from `TrialSpec.payload`.

    Returns:
        "size", "seed" and what `measure_noise_scale` returns.
    """
    from hptransfer.training.noise_scale import measure_noise_scale

    request = request_from_payload(payload)
    corpus = cached_corpus(request.recipe.data, request.root)
    module, groups = planned_model(request)
    measured = measure_noise_scale(module, groups, corpus, training_settings(request), request.seed)
    return {"size": asdict(request.size), "seed": request.seed, **measured}


def planned_model(request: TrialSpec) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A model initialised by the plan of its size, and its optimizer groups."""
    from hptransfer.models.applied_plan import AppliedPlan
    from hptransfer.models.build import build_model

    rows = planned(request).rows
    module = build_model(request.recipe.model, request.size.width, request.size.depth)
    applied = AppliedPlan(rows)
    applied.init_(module, request.seed)
    return module, applied.param_groups(module)


def planned(request: TrialSpec) -> Plan:
    """The plan of the request's size in gauge `plain`."""
    from hptransfer.models.api import options_of, plan_reading

    recipe = request.recipe
    return plan_reading(
        recipe.parameterization,
        request.base,
        request.size,
        cached_reading(recipe.model.model_dump_json(), request.base, request.size),
        request.hyperparameters,
        optimizer=recipe.training.optimizer,
        options=options_of(recipe.parameterization),
    ).whole_plan


def training_settings(request: TrialSpec) -> TrainingSettings:
    """What the loop needs besides the parameter groups."""
    from hptransfer.training.loop import TrainingSettings

    training = request.recipe.training
    values = {**request.hyperparameters, **planned(request).optimizer_values}  # betas follow batch and duration
    return TrainingSettings(
        steps=request.recipe.steps(request.size),
        batch_size=request.size.batch_size,
        context=request.recipe.model.context,
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


@lru_cache(maxsize=4)
def cached_corpus(data: Data, root: Path) -> Corpus:
    """The corpus, read once per process."""
    from hptransfer.training.data import load_corpus

    return load_corpus(data, root)


@lru_cache(maxsize=64)
def cached_reading(model: str, base: Size, size: Size) -> Reading:
    """What was read of a model's size, once per process.

    Args:
        model: the recipe's section as JSON, because sections with mappings cannot be hashed.
        base: the size at which every factor of a rule is 1.
        size: to read.
    """
    from hptransfer.models.shape_reading import read_recipe_model
    from hptransfer.recipe.schema import MODEL

    return read_recipe_model(MODEL.validate_json(model), base, size)
