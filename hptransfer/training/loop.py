"""Train one model once: plain PyTorch, one optimizer, one schedule, one number at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hptransfer.recipe.training import ClipNorm, Precision
from hptransfer.schedule import DECAY_SHARE, Schedule, schedule_factor
from hptransfer.training.data import Corpus
from hptransfer.training.losses.base import find_loss
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.training.shard import WHOLE, Shard
from hptransfer.trials.trial import TrialState

if TYPE_CHECKING:
    from hptransfer.training.losses.base import Loss

CURVE_POINTS = 100
#: the loss at init is nearly the same for all examples, so a few batches tell it
INITIAL_BATCHES = 2
#: a final loss above this multiple of the loss at init is divergence; a learning rate near zero may end a hair above it
DIVERGENCE_TOLERANCE = 1.02
#: called with the optimizer steps done, from 1, and the training loss before the last of them; True ends the run there
OnLoss = Callable[[int, float], bool | None]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What one run needs to know besides its parameter groups.

    Attributes:
        steps: optimizer steps, at least 1.
        batch_size: examples per optimizer step, at least 1.
        context: bytes per example before the last predicted one.
        optimizer: name of an entry of `training.optimizers`.
        loss: name of an entry of `training.losses`, or `module:function`.
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
    """

    steps: int
    batch_size: int
    context: int
    optimizer: str = "adamw"
    loss: str = "next-token"
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
    """

    state: TrialState
    loss: float
    curve: tuple[tuple[int, float], ...]
    steps: int
    seconds: float


def train(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    shard: Shard = WHOLE,
    on_loss: OnLoss | None = None,
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

    Returns:
        The outcome. Deterministic on one machine for one number of threads.

    Raises:
        RuntimeError, MemoryError: from torch, when memory runs out; a crash is not an outcome.
    """
    started = time.perf_counter()
    initial = evaluate(module, corpus, replace(settings, evaluation_batches=INITIAL_BATCHES), shard)
    losses = []
    for loss in training_losses(module, param_groups, corpus, settings, seed, shard):
        losses.append(loss)
        if not math.isfinite(loss):
            break
        if on_loss is not None and on_loss(len(losses), loss) and len(losses) < settings.steps:
            curve = decimate(losses, settings.steps)
            return Outcome(TrialState.STOPPED, math.inf, curve, len(losses), time.perf_counter() - started)
    final = evaluate(module, corpus, settings, shard) if math.isfinite(losses[-1]) else math.inf
    finite = all(bool(parameter.isfinite().all()) for parameter in module.parameters())
    complete = finite and math.isfinite(final) and final <= DIVERGENCE_TOLERANCE * initial
    return Outcome(
        TrialState.COMPLETE if complete else TrialState.DIVERGED,
        final if complete else math.inf,
        decimate(losses, settings.steps),
        len(losses),
        time.perf_counter() - started,
    )


def training_losses(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Corpus,
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
    loss_of = find_loss(settings.loss)
    clip = _clip(module, param_groups, settings)
    module.train()
    parallel = shard.wrap(module)
    _set_rates(optimizer, peaks, settings.factor(first))
    for step in range(first, settings.steps):
        tokens = corpus.batch(seed, step, settings.batch_size, settings.context)
        optimizer.zero_grad(set_to_none=True)
        loss = accumulate_gradients(loss_of, parallel, tokens, settings, shard)
        clip()
        optimizer.step()
        _set_rates(optimizer, peaks, settings.factor(step + 1))
        yield shard.mean(loss.item())


def _set_rates(optimizer: torch.optim.Optimizer, peaks: Sequence[float], factor: float) -> None:
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def accumulate_gradients(
    loss_of: Loss, module: nn.Module, batch: Tensor, settings: TrainingSettings, shard: Shard = WHOLE
) -> Tensor:
    """Add the gradient of a batch's mean loss to the parameters, one part of the batch after the other.

    Args:
        loss_of: the mean over the examples that it is given.
        module: what the loss calls, perhaps wrapped by `Shard.wrap`.
        batch: the whole batch, the same in every process.
        settings: the number of parts and the precision.
        shard: which part of the batch this process takes.

    Returns:
        The loss as this process's share of the mean over processes, a scalar without a graph.
    """
    mine = shard.of(batch)
    parts = [Shard(part, settings.accumulation) for part in range(settings.accumulation)]
    total: Tensor | None = None
    for part in parts:
        # gradients travel between processes once, with the last part
        with nullcontext() if part is parts[-1] else unsynchronised(module):
            with autocast(module, settings):
                mean = loss_of(module, part.of(mine))
            loss = shard.scale(part.scale(mean, mine) / part.world, batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total = loss.detach() if total is None else total + loss.detach()
    if total is None:
        raise ValueError(f"`accumulation >= 1` must hold; received: {settings.accumulation}")
    return total


def unsynchronised(module: nn.Module) -> AbstractContextManager[Any]:
    """What keeps gradients in this process, where several train the module.

    Args:
        module: perhaps wrapped by `Shard.wrap`.
    """
    if not isinstance(module, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[Any] = module.no_sync()
    return context


def autocast(module: nn.Module, settings: TrainingSettings) -> AbstractContextManager[Any]:
    """What lowers the precision of a forward pass, where the settings ask for it.

    Args:
        module: whose device decides which arithmetic there is.
        settings: of which the precision is read.
    """
    if settings.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device_of(module).type, torch.bfloat16)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are; the processor where it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def _clip(
    module: nn.Module, param_groups: Sequence[Mapping[str, Any]], settings: TrainingSettings
) -> Callable[[], object]:
    """What is done to gradients between `backward` and the optimizer's step."""
    largest = settings.clip
    if largest is None:
        return lambda: None
    if settings.clip_norm == "global":
        return lambda: nn.utils.clip_grad_norm_(module.parameters(), largest)
    pairs = [pair for group in param_groups for pair in zip(group["params"], group["gradient_sizes"], strict=True)]
    parameters, sizes = [parameter for parameter, _ in pairs], [size for _, size in pairs]
    return lambda: clip_scaled_(parameters, sizes, largest)


def clip_scaled_(parameters: Sequence[Tensor], sizes: Sequence[float], largest: float) -> Tensor:
    """Scale all gradients down by one factor so that the norm relative to their expected sizes is at most `largest`.

    Args:
        parameters: after `backward`; those without a gradient are left out.
        sizes: expected norm of each one's gradient over that at the base, positive.
        largest: threshold, above 0, comparable with a global gradient norm at the base.

    Returns:
        The norm before clipping, a scalar.
    """
    found = [(p.grad, size) for p, size in zip(parameters, sizes, strict=True) if p.grad is not None]
    if not found:
        return torch.zeros(())
    norms = torch.stack([torch.linalg.vector_norm(gradient) / size for gradient, size in found])
    norm: Tensor = torch.linalg.vector_norm(norms)
    factor = (largest / (norm + 1e-6)).clamp(max=1.0)  # as torch's own clipping
    for gradient, _ in found:
        gradient.mul_(factor)
    return norm


def build_optimizer(param_groups: Sequence[Mapping[str, Any]], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name; each group keeps its learning rate, weight decay and eps.

    Args:
        param_groups: as for `train`; they are copied, so the caller's stay as they are.
        settings: the optimizer's name, and the hyperparameters that it may read.
    """
    # torch writes into the dicts it is given
    groups = [{key: value for key, value in group.items() if key != "gradient_sizes"} for group in param_groups]
    return OPTIMIZERS.look_up(settings.optimizer).build(groups, settings.optimizer_values)


@torch.no_grad()
def evaluate(module: nn.Module, corpus: Corpus, settings: TrainingSettings, shard: Shard = WHOLE) -> float:
    """Mean validation loss, over the same windows for every trial.

    Args:
        module: the model that is evaluated; it is put into evaluation mode.
        corpus: source of the validation batches.
        settings: the loss, and how many batches of how many examples.
        shard: which part of every batch this process takes.
    """
    loss_of = find_loss(settings.loss)
    module.eval()
    examples = settings.evaluation_size or settings.batch_size
    batches = corpus.validation_batches(settings.evaluation_batches, examples, settings.context)
    with autocast(module, settings):
        losses = [shard.scale(loss_of(module, shard.of(tokens)), tokens).item() for tokens in batches]
    return shard.mean(sum(losses) / settings.evaluation_batches)


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
