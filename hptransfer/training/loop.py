"""Train one model once: plain PyTorch, one optimizer, one schedule, one number at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.recipe.sections import Setting
from hptransfer.recipe.training import ClipNorm, Precision
from hptransfer.schedule import DECAY_SHARE, Schedule, schedule_factor
from hptransfer.training.batches import Batches, examples_in
from hptransfer.training.checkpoint import Checkpoint
from hptransfer.training.losses.base import find_loss, loss_refused
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.training.shard import WHOLE, Shard
from hptransfer.training.step import accumulate_gradients, autocast, clipper
from hptransfer.trials.trial import CURVE_POINTS, OnLoss, TrialState

#: the loss at init is nearly the same for all examples, so a few batches tell it
INITIAL_BATCHES = 2
#: a final loss above this multiple of the loss at init is divergence; a learning rate near zero may end a hair above it
DIVERGENCE_TOLERANCE = 1.02


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What one run needs to know besides its parameter groups.

    Attributes:
        steps: optimizer steps, at least 1.
        batch_size: examples per optimizer step, at least 1.
        context: positions of an example before the last predicted one, where examples are windows of a sequence.
        optimizer: name of an entry of `training.optimizers`.
        loss: name of an entry of `training.losses`, or `module:function`.
        loss_arguments: keyword arguments of the loss.
        beta1, beta2, momentum: for the optimizers that read them.
        schedule: how the learning rate goes on after warmup.
        warmup: share of the steps in [0, 1].
        floor: share of the peak, in [0, 1], to which the schedule falls.
        decay_share: of the schedule `wsd`, share of the steps in [0, 1].
        accumulation: parts of each batch that go through the model one after the other, at least 1.
        clip: largest norm of a step's gradient, or None.
        clip_norm: "global", or "scaled": relative to "gradient_sizes" of each parameter group.
        precision: of the arithmetic; "bfloat16" puts the loss under autocast, weights stay as they are.
        evaluation_batches: number of fixed validation batches, at least 1.
        evaluation_size: examples of each; default: `batch_size`. A ladder of batch sizes is validated on the same ones.
        evaluation_examples: size of the evaluation set, instead of `evaluation_batches`; the last batch has the rest.
    """

    steps: int
    batch_size: int
    context: int
    optimizer: str = "adamw"
    loss: str = "next-token"
    loss_arguments: Mapping[str, Setting] = field(default_factory=dict)
    beta1: float = 0.9
    beta2: float = 0.95
    momentum: float = 0.9
    schedule: Schedule = "linear"
    warmup: float = 0.1
    floor: float = 0.0
    decay_share: float = DECAY_SHARE
    accumulation: int = 1
    clip: float | None = None
    clip_norm: ClipNorm = "global"
    precision: Precision = "float32"
    evaluation_batches: int = 16
    evaluation_size: int | None = None
    evaluation_examples: int | None = None

    def first_evaluation_batches(self, count: int) -> TrainingSettings:
        """The same with at most so many evaluation batches, all of them whole where there is more than one.

        Args:
            count: of the batches, at least 1.
        """
        size = self.evaluation_size or self.batch_size
        whole = self.evaluation_batches if self.evaluation_examples is None else self.evaluation_examples // size
        examples = None if whole else self.evaluation_examples
        return replace(self, evaluation_batches=max(1, min(count, whole)), evaluation_examples=examples)

    @property
    def optimizer_values(self) -> dict[str, float]:
        """What an optimizer may read besides its parameter groups, by name."""
        return {"beta1": self.beta1, "beta2": self.beta2, "momentum": self.momentum}

    def factor(self, step: int) -> float:
        """Learning rate of a step as a share of the peak; after the last step, that of the last step.

        Args:
            step: optimizer steps taken before, from 0.
        """
        return schedule_factor(
            self.schedule,
            min(step, self.steps - 1),
            self.steps,
            self.warmup,
            floor=self.floor,
            decay_share=self.decay_share,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: diverged if a loss or a parameter was not finite, or the final loss is above the one at init; or stopped.
        loss: mean validation loss in the loss's unit; infinity unless complete.
        curve: (steps done, mean training loss since the previous point), at most `CURVE_POINTS` of them.
        steps: optimizer steps taken; fewer than asked for when a loss was not finite.
        seconds: wall time of training and validation.
        evaluation_error: standard error of `loss`, see `standard_error`; None unless complete.
        step_seconds: wall time of one of the steps that this process took; 0 where the run was stopped.
    """

    state: TrialState
    loss: float
    curve: tuple[tuple[int, float], ...]
    steps: int
    seconds: float
    evaluation_error: float | None = None
    step_seconds: float = 0.0


def train(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
    shard: Shard = WHOLE,
    on_loss: OnLoss | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train `module` in place and evaluate it.

    Args:
        module: as the loss calls it, for example from B x context integers to logits; already initialised.
        param_groups: for the optimizer; each has "params", "lr" (the peak), "weight_decay", and "eps" for Adam.
        corpus: source of training and validation batches.
        settings: duration, schedule, loss and optimizer of the run.
        seed: of the order in which training windows are drawn, at least 0.
        shard: of this process, where several train the model together; the outcome is the same in each.
        on_loss: sees the training losses as they come, and may end the run before its last step; see `OnLoss`.
        checkpoint: where a long run keeps its state, and goes on from; None keeps none.

    Returns:
        The outcome. Deterministic on one machine for one number of threads.

    Raises:
        UsageError: the loss gives what cannot be trained, or is negative on the evaluation set.
        RuntimeError, MemoryError: from torch, when memory runs out; a crash is not an outcome.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)  # for models that draw by themselves, as dropout does
    optimizer = build_optimizer(param_groups, settings)
    resumed = None if checkpoint is None else checkpoint.restore(module, optimizer)
    if resumed is None:
        initial = evaluate(module, corpus, settings.first_evaluation_batches(INITIAL_BATCHES), shard)
        _refuse_negative(settings.loss, initial)
        losses: list[float] = []
    else:
        losses, initial = resumed
    first, begun = len(losses), time.perf_counter()
    for loss in training_losses(module, param_groups, corpus, settings, seed, shard, optimizer, first):
        losses.append(loss)
        if not math.isfinite(loss):
            break
        if on_loss is not None and on_loss(len(losses), loss) and len(losses) < settings.steps:
            curve = decimate(losses, settings.steps)
            return Outcome(TrialState.STOPPED, math.inf, curve, len(losses), time.perf_counter() - started)
        if checkpoint is not None and checkpoint.due:
            checkpoint.save(module, optimizer, losses, initial)
    speed = (time.perf_counter() - begun) / max(len(losses) - first, 1)
    evaluated = evaluation_losses(module, corpus, settings, shard) if math.isfinite(losses[-1]) else ()
    final = mean_loss(evaluated) if evaluated else math.inf
    _refuse_negative(settings.loss, final)
    finite = all(bool(parameter.isfinite().all()) for parameter in module.parameters())
    # the loss at init is that of the first batches alone, so those are compared too: others may be harder
    compared = min(final, mean_loss(evaluated[:INITIAL_BATCHES])) if evaluated else final
    complete = finite and math.isfinite(final) and compared <= DIVERGENCE_TOLERANCE * initial
    return Outcome(
        TrialState.COMPLETE if complete else TrialState.DIVERGED,
        final if complete else math.inf,
        decimate(losses, settings.steps),
        len(losses),
        time.perf_counter() - started,
        standard_error(evaluated) if complete else None,
        speed,
    )


def training_losses(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
    shard: Shard = WHOLE,
    optimizer: torch.optim.Optimizer | None = None,
    first: int = 0,
) -> Iterable[float]:
    """Take one optimizer step per item; yields the training loss before each step.

    Args:
        module: as for `train`, like those that follow.
        param_groups: not used where an optimizer is given.
        corpus: source of training and validation batches.
        settings: duration, schedule, loss and optimizer of the run.
        seed: of the order in which training windows are drawn, at least 0.
        shard: which part of every batch this process takes.
        optimizer: from `build_optimizer`, for those who look at its state afterwards; default: a new one.
        first: optimizer steps that module and optimizer have behind them, fewer than `settings.steps`.
    """
    optimizer = optimizer or build_optimizer(param_groups, settings)
    peaks = [group["lr"] for group in optimizer.param_groups]
    loss_of = find_loss(settings.loss, settings.loss_arguments)
    clip = clipper(module, param_groups, settings.clip, settings.clip_norm)
    module.train()
    parallel = shard.wrap(module)
    _set_rates(optimizer, peaks, settings.factor(first))
    for step in range(first, settings.steps):
        batch = corpus.batch(seed, step, settings.batch_size, settings.context)
        optimizer.zero_grad(set_to_none=True)
        try:
            loss = accumulate_gradients(
                loss_of, parallel, batch, parts=settings.accumulation, precision=settings.precision, shard=shard
            )
        except RuntimeError as error:
            if "does not require grad" in str(error):  # torch's words, in a file of torch's
                raise loss_refused(settings.loss, "a number without a gradient") from error
            raise
        clip()
        optimizer.step()
        _set_rates(optimizer, peaks, settings.factor(step + 1))
        yield shard.mean(loss.item())


def _refuse_negative(name: str, loss: float) -> None:
    """Divergence and regret are shares of the loss, which mean nothing below 0."""
    if -math.inf < loss < 0:
        raise UsageError(
            "a loss must be positive",
            received=f"{name}: {loss:.6g} on the evaluation set",
            hint="add a constant that it cannot fall below, or use `1 - share` for a share that is to grow",
        )


def _set_rates(optimizer: torch.optim.Optimizer, peaks: Sequence[float], factor: float) -> None:
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def build_optimizer(param_groups: Sequence[Mapping[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name; each group keeps its learning rate, weight decay and eps.

    Args:
        param_groups: as for `train`; they are copied, so the caller's stay as they are.
        settings: the optimizer's name, and the hyperparameters that it may read.
    """
    # torch writes into the dicts it is given
    groups = [{key: value for key, value in group.items() if key != "gradient_sizes"} for group in param_groups]
    return OPTIMIZERS.look_up(settings.optimizer).build(groups, settings.optimizer_values)


def evaluate(module: nn.Module, corpus: Batches, settings: TrainingSettings, shard: Shard = WHOLE) -> float:
    """Mean loss over the evaluation set, the same examples for every trial.

    Args:
        module: the model that is evaluated; it is put into evaluation mode.
        corpus: source of the evaluation batches.
        settings: the loss, and how many batches of how many examples.
        shard: which part of every batch this process takes.
    """
    return mean_loss(evaluation_losses(module, corpus, settings, shard))


@torch.no_grad()
def evaluation_losses(
    module: nn.Module, corpus: Batches, settings: TrainingSettings, shard: Shard = WHOLE
) -> tuple[tuple[float, float], ...]:
    """Mean loss of every evaluation batch, with its weight: the share of a whole batch that it has.

    Args:
        module: the model that is evaluated; it is put into evaluation mode.
        corpus: source of the evaluation batches.
        settings: the loss, and how many batches of how many examples.
        shard: which part of every batch this process takes; the losses are the same in each.
    """
    loss_of = find_loss(settings.loss, settings.loss_arguments)
    module.eval()
    size, examples = settings.evaluation_size or settings.batch_size, settings.evaluation_examples
    count = settings.evaluation_batches if examples is None else -(-examples // size)
    found = []
    for batch in corpus.validation_batches(count, size, settings.context, examples):
        with autocast(module, settings.precision):
            loss = shard.scale(loss_of(module, shard.of(batch)), batch).item()
        found.append((shard.mean(loss), examples_in(batch) / size))
    return tuple(found)


def mean_loss(losses: Sequence[tuple[float, float]]) -> float:
    """Mean over examples.

    Args:
        losses: of batches, each with its weight; at least one.
    """
    return sum(loss * weight for loss, weight in losses) / sum(weight for _, weight in losses)


def standard_error(losses: Sequence[tuple[float, float]]) -> float | None:
    """How far the mean over the evaluation set may lie from that over more data of its kind, by how its batches differ.

    Trials are compared on the same set, so their differences are known better than this. None for a single batch.

    Args:
        losses: of batches, each with its weight.
    """
    if len(losses) < 2:
        return None
    mean, total = mean_loss(losses), sum(weight for _, weight in losses)
    spread = sum(weight * (loss - mean) ** 2 for loss, weight in losses) / total
    return math.sqrt(spread / (len(losses) - 1))


def decimate(losses: Sequence[float], steps: int) -> tuple[tuple[int, float], ...]:
    """At most `CURVE_POINTS` points: means over equal stretches, finite losses only.

    Args:
        losses: of the steps taken, in order, one each.
        steps: optimizer steps of the whole run, which decide how long a stretch is.

    Returns:
        Pairs of the steps done at the end of a stretch and the mean loss over it.
    """
    stride = -(-steps // CURVE_POINTS)
    finite = [loss for loss in losses if math.isfinite(loss)]
    chunks = [finite[start : start + stride] for start in range(0, len(finite), stride)]
    ends = [min((index + 1) * stride, len(finite)) for index in range(len(chunks))]
    return tuple((end, sum(chunk) / len(chunk)) for end, chunk in zip(ends, chunks, strict=True))
