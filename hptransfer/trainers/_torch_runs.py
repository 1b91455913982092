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
    import torch
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
    from hptransfer.training.checkpoint import Checkpoint
    from hptransfer.training.device import default_precision, described_speed, device_name, device_of_run
    from hptransfer.training.loop import train
    from hptransfer.training.shard import WHOLE

    spec = message.spec
    corpus = cached_batches(spec.recipe.data, spec.root)
    refused = refusal(message, corpus.fingerprint)
    if refused is not None:
        return TrialResult(key=message.key, refused=refused)
    shard, training = shard or WHOLE, spec.recipe.training
    device = device_of_run(training.device, shard.world, shard.rank)
    checkpoint = None
    if message.scratch is not None:
        checkpoint = Checkpoint(message.scratch, message.key, writes=shard.rank == 0)
    with default_precision(training.precision):
        module, groups = planned_model(spec, device)
        require_vocabulary(module, corpus.vocabulary)
        settings = training_settings(spec)
        if training.compile:
            module.compile()
        outcome = train(module, groups, corpus, settings, spec.seed, shard, on_loss, checkpoint)
    if checkpoint is not None:
        checkpoint.discard()
    flops = run_flops(spec.recipe, spec.size, spec.root)
    speed = described_speed(flops / settings.steps, outcome.step_seconds, device_name(device), training.precision)
    trial = Trial(
        key=message.key,
        size=spec.size,
        hyperparameters=spec.hyperparameters,
        seed=spec.seed,
        state=outcome.state,
        loss=outcome.loss,
        curve=outcome.curve,
        flops=flops * outcome.steps / settings.steps,
        seconds=outcome.seconds,
        provenance=provenance(spec, corpus.fingerprint, device)
        | speed
        | evaluation(spec.recipe, corpus.fingerprint, outcome),
    )
    return TrialResult.of(trial)


def planned_model(spec: TrialSpec, device: torch.device | None = None) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A model initialised by the plan of its size, and its optimizer groups.

    Args:
        spec: the run, with the precision of its weights.
        device: where the model is put after it was drawn, so that all devices begin with the same numbers; None for
            that of a run of one process.
    """
    import torch

    from hptransfer.models.applied_plan import AppliedPlan
    from hptransfer.models.build import build_model
    from hptransfer.training.device import default_precision, device_of_run

    precision = spec.recipe.training.precision
    applied = AppliedPlan.from_plan(planned(spec))
    own = applied.starts_by_itself
    if own:  # the model's own draws are those that the user's script would make
        torch.manual_seed(spec.seed)
    with default_precision("float32" if own else precision):
        module = build_model(spec.recipe.model, spec.size.width, spec.size.depth)
    # weights are drawn in float32, so that runs begin with the same numbers at every precision
    for parameter in module.parameters():
        parameter.data = parameter.data.float()
    applied.init_(module, spec.seed)
    if precision == "float64":
        module.to(torch.float64)
    module.to(device_of_run(spec.recipe.training.device) if device is None else device)
    groups = applied.param_groups(module)
    if spec.recipe.training.clip_norm == "scaled":
        names = {parameter: name for name, parameter in module.named_parameters()}
        sizes = applied.gradient_sizes(spec.recipe.parameterization)
        for group in groups:
            group["gradient_sizes"] = [sizes[names[parameter]] for parameter in group["params"]]
    return module, groups


def planned(spec: TrialSpec) -> Plan:
    """The plan of the spec's size in gauge `plain`."""
    from hptransfer.models.api import options_of, plan_reading
    from hptransfer.models.recipe_reading import reading_of

    recipe = spec.recipe
    return plan_reading(
        recipe.parameterization,
        spec.base,
        spec.size,
        reading_of(recipe.model.model_dump_json(), spec.base, spec.size, recipe.init_source, recipe.covers),
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
    at_size["warmup"] = spec.recipe.warmup_share(spec.size, values["warmup"])
    run: dict[str, Any] = {"steps": spec.recipe.steps(spec.size), "batch_size": spec.size.batch_size}
    context, examples = spec.recipe.model.context, training.batch_size
    asked = spec.recipe.data.evaluation_examples
    evaluated: dict[str, Any] = {"evaluation_size": examples, "evaluation_examples": asked}
    return TrainingSettings(**given | at_size | run | evaluated, context=context)


def provenance(spec: TrialSpec, fingerprint: str, device: torch.device) -> dict[str, str]:
    """What a reader needs to train the run again, besides its identity."""
    import torch

    from hptransfer.training.device import device_name

    made = versions("torch") | {"device": device_name(device), "threads": str(torch.get_num_threads())}
    return made | {"data": fingerprint} | ({"compile": "yes"} if spec.recipe.training.compile else {})
