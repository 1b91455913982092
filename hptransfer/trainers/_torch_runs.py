"""One run in this process: the model, trained by the plan of its size, and what is measured on the way."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hptransfer.parameterization.plan import Plan
from hptransfer.provenance import versions
from hptransfer.trainers._data import cached_batches, evaluation, require_vocabulary
from hptransfer.trials.messages import (
    TrialMessage,
    TrialResult,
    refusal,
)
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from torch import nn

    from hptransfer.training.loop import TrainingSettings
    from hptransfer.training.shard import Shard
    from hptransfer.trials.trial import OnLoss


def train_trial(message: TrialMessage, shard: Shard | None = None, on_loss: OnLoss | None = None) -> TrialResult:
    """Train one model in this process, or with several processes this one's share.

    Args:
        message: the run, its key and the fingerprint of its data.
        shard: which of the processes this is; None for the only one.
        on_loss: told of training losses as they come; None where nobody listens.

    Returns:
        The finished trial, the same in every process but for the time; or a refusal where the data are others.
    """
    from hptransfer.trainers._flops import run_flops
    from hptransfer.training.loop import train
    from hptransfer.training.shard import WHOLE

    spec = message.spec
    corpus = cached_batches(spec.recipe.data, spec.root)
    refused = refusal(message, corpus.fingerprint)
    if refused is not None:
        return TrialResult(key=message.key, refused=refused)
    module, groups = planned_model(spec)
    require_vocabulary(module, corpus.vocabulary)
    settings = training_settings(spec)
    outcome = train(module, groups, corpus, settings, spec.seed, shard or WHOLE, on_loss)
    trial = Trial(
        key=message.key,
        size=spec.size,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        state=outcome.state,
        loss=outcome.loss,
        curve=outcome.curve,
        flops=run_flops(spec.recipe, spec.size, spec.root) * outcome.steps / settings.steps,
        seconds=outcome.seconds,
        provenance=provenance(corpus.fingerprint) | evaluation(spec.recipe, corpus.fingerprint, outcome),
    )
    return TrialResult.of(trial)


def planned_model(spec: TrialSpec) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A model initialised by the plan of its size, and its optimizer groups."""
    from hptransfer.models.applied_plan import AppliedPlan
    from hptransfer.models.build import build_model

    module = build_model(spec.recipe.model, spec.size.width, spec.size.depth)
    applied = AppliedPlan.from_plan(planned(spec))
    applied.init_(module, spec.seed)
    return module, applied.param_groups(module)


def planned(spec: TrialSpec) -> Plan:
    """The plan of the spec's size in gauge `plain`."""
    from hptransfer.models.api import options_of, plan_reading
    from hptransfer.models.shape_reading import reading_of

    recipe = spec.recipe
    return plan_reading(
        recipe.parameterization,
        spec.base,
        spec.size,
        reading_of(recipe.model.model_dump_json(), spec.base, spec.size),
        spec.hyperparameters,
        optimizer=recipe.training.optimizer,
        options=options_of(recipe.parameterization),
    ).whole_plan


def training_settings(spec: TrialSpec) -> TrainingSettings:
    """What the loop needs besides the parameter groups: values of the spec, and keys of `training` by their names."""
    from hptransfer.training.loop import TrainingSettings

    training = spec.recipe.training
    values = {**spec.hyperparameters, **planned(spec).optimizer_values}  # betas follow batch and duration
    names = {field.name for field in fields(TrainingSettings)}
    given: dict[str, Any] = {name: getattr(training, name) for name in names & type(training).model_fields.keys()}
    at_size: dict[str, Any] = {name: values[name] for name in names & values.keys()}
    run: dict[str, Any] = {"steps": spec.recipe.steps(spec.size), "batch_size": spec.size.batch_size}
    context, examples = spec.recipe.model.context, training.batch_size
    asked = spec.recipe.data.evaluation_examples
    evaluated: dict[str, Any] = {"evaluation_size": examples, "evaluation_examples": asked}
    return TrainingSettings(**given | at_size | run | evaluated, context=context)


def provenance(fingerprint: str) -> dict[str, str]:
    """What a reader needs to train the run again, besides its identity."""
    import torch

    return versions("torch") | {"device": "cpu", "threads": str(torch.get_num_threads()), "data": fingerprint}
