"""The training loop: determinism, schedules per group, divergence, and peers written in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hptransfer.training import loop
from hptransfer.training.data import Corpus
from hptransfer.training.loop import (
    TrainingSettings,
    build_optimizer,
    decimate,
    evaluate,
    train,
    training_losses,
)
from hptransfer.training.losses.base import find_loss
from hptransfer.trials.trial import TrialState

NEXT_TOKEN = find_loss("next-token")
SETTINGS = TrainingSettings(steps=12, batch_size=8, context=4, evaluation_batches=3)


class Window(nn.Module):
    """Predicts the byte after the window: logits B x 256."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 8)
        self.readout = nn.Linear(4 * 8, 256)

    def forward(self, context_BxC: Tensor) -> Tensor:
        """Logits of the next byte."""
        logits_BxV: Tensor = self.readout(self.table(context_BxC).flatten(1))
        return logits_BxV


class EveryPosition(nn.Module):
    """Predicts the byte after each position: logits B x T x 256."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 256)

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next bytes."""
        logits_BxTxV: Tensor = self.table(tokens_BxT)
        return logits_BxTxV


def build(make: Callable[[], nn.Module] = Window) -> nn.Module:
    """A fresh model with the same init every time."""
    torch.manual_seed(0)
    return make()


def groups(module: nn.Module, lr: float = 0.01) -> list[dict[str, Any]]:
    """One group per parameter, the second with half the rate."""
    rates = [lr / (1 + index % 2) for index, _ in enumerate(module.parameters())]
    return [
        {"params": [p], "lr": rate, "weight_decay": 0.0} for p, rate in zip(module.parameters(), rates, strict=True)
    ]


def run(corpus: Corpus, settings: TrainingSettings = SETTINGS, seed: int = 0, lr: float = 0.01) -> Any:
    """Train a fresh model."""
    module = build()
    return train(module, groups(module, lr), corpus, settings, seed)


def test_the_same_seed_gives_the_same_run_bit_for_bit(corpus: Corpus) -> None:
    """Loss and curve of two runs with one seed are equal, not merely close."""
    first, second = run(corpus, seed=3), run(corpus, seed=3)

    assert (first.loss, first.curve) == (second.loss, second.curve)


def test_another_seed_gives_another_run(corpus: Corpus) -> None:
    """The seed decides the data order."""
    assert run(corpus, seed=3).loss != run(corpus, seed=4).loss


def test_training_learns(corpus: Corpus) -> None:
    """A hundred steps on repetitive text bring the loss far below that of the uniform prediction, ln 256 = 5.545."""
    outcome = run(corpus, replace(SETTINGS, steps=100))

    assert outcome.state is TrialState.COMPLETE
    assert outcome.loss < 4
    assert outcome.curve[0][1] > outcome.curve[-1][1]
    assert outcome.steps == 100
    assert outcome.seconds > 0


def test_losses_equal_a_plain_torch_loop(corpus: Corpus) -> None:
    """Five lines of plain torch, unfused, with the factors 1/2, 1, 1, 2/3, 1/3 worked out by hand, train the same."""
    settings = replace(SETTINGS, steps=5, warmup=0.4, schedule="linear")
    ours, theirs = build().double(), build().double()
    optimizer = torch.optim.AdamW(groups(theirs), betas=(0.9, 0.95), foreach=False, fused=False)
    peaks = [group["lr"] for group in optimizer.param_groups]
    expected = []
    for step, factor in enumerate([1 / 2, 1, 1, 2 / 3, 1 / 3]):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        tokens = corpus.batch(0, step, 8, 4)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(theirs(tokens[:, :4]), tokens[:, 4])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        expected.append(loss.item())

    assert list(training_losses(ours, groups(ours), corpus, settings, 0)) == pytest.approx(expected, rel=1e-12)


def test_groups_keep_their_ratios_and_the_callers_dicts() -> None:
    """The optimizer gets each group's own rate, decay and eps, and writes into copies only."""
    module = build()
    given = [
        {"params": [p], "lr": 0.1 / n, "weight_decay": n, "eps": 1e-9 * n} for n, p in enumerate(module.parameters(), 1)
    ]
    copies = [dict(group) for group in given]

    optimizer = build_optimizer(given, SETTINGS)

    assert given == copies
    for name in ("lr", "weight_decay", "eps"):
        assert [group[name] for group in optimizer.param_groups] == [group[name] for group in given]
    assert all(group["betas"] == (0.9, 0.95) for group in optimizer.param_groups)


def test_sgd_momentum_by_hand(corpus: Corpus) -> None:
    """Two steps of SGD on one weight: velocity m g1 + g2, as torch documents it."""
    module = build()
    settings = replace(SETTINGS, optimizer="sgd", momentum=0.5, steps=2, schedule="constant", warmup=0.0)
    weight = next(module.parameters())
    before = weight.detach().clone()
    gradients = []
    for _ in training_losses(module, groups(module, lr=0.1), corpus, settings, 0):
        assert weight.grad is not None
        gradients.append(weight.grad.clone())

    # w2 = w0 - lr g1 - lr (0.5 g1 + g2)
    assert torch.allclose(weight, before - 0.1 * (1.5 * gradients[0] + gradients[1]), atol=1e-7)


def test_a_huge_learning_rate_diverges(corpus: Corpus) -> None:
    """A run that ends worse than it began is diverged, though all its numbers are finite."""
    outcome = run(corpus, replace(SETTINGS, schedule="constant"), lr=100.0)

    assert outcome.state is TrialState.DIVERGED
    assert outcome.loss == math.inf
    assert outcome.steps == 12
    assert all(math.isfinite(loss) for _, loss in outcome.curve)


@pytest.mark.parametrize(
    ("final", "state"),
    [(2.02, TrialState.COMPLETE), (2.10, TrialState.DIVERGED), (2.80, TrialState.DIVERGED)],
)
def test_a_run_that_ends_above_its_start_is_diverged(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, final: float, state: TrialState
) -> None:
    """A run that learned nothing ends where it began, within the 2% by which two evaluations differ; 5% is no noise."""
    losses = iter([((2.0, 1.0),), ((final, 1.0),)])
    monkeypatch.setattr(loop, "evaluation_losses", lambda *_: next(losses))
    outcome = run(corpus)

    assert outcome.state is state
    assert outcome.loss == (final if state is TrialState.COMPLETE else math.inf)


def test_a_falling_loss_is_no_divergence_where_the_first_batches_are_easy(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss at init is that of two batches; the third is harder before and after, and all three fall."""
    easy, hard = 0.18, 0.80
    losses = iter([((easy, 1.0), (easy, 1.0)), ((0.9 * easy, 1.0), (0.9 * easy, 1.0), (0.9 * hard, 1.0))])
    monkeypatch.setattr(loop, "evaluation_losses", lambda *_: next(losses))
    outcome = run(corpus)

    assert outcome.state is TrialState.COMPLETE
    assert outcome.loss == pytest.approx(0.9 * (2 * easy + hard) / 3)


def test_a_tiny_learning_rate_is_not_divergence(corpus: Corpus) -> None:
    """A run that learns nothing completes with the loss it began with."""
    module = build()
    initial = evaluate(module, corpus, SETTINGS)

    outcome = train(module, groups(module, 1e-12), corpus, SETTINGS, 0)

    assert outcome.state is TrialState.COMPLETE
    assert outcome.loss == pytest.approx(initial, rel=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run(corpus: Corpus) -> None:
    """NaN in a weight ends the run at its first step."""
    module = build()
    next(module.parameters()).data.fill_(math.nan)

    outcome = train(module, groups(module), corpus, SETTINGS, 0)

    assert (outcome.state, outcome.loss, outcome.curve, outcome.steps) == (TrialState.DIVERGED, math.inf, (), 1)


def test_a_gradient_that_is_not_finite_diverges(corpus: Corpus) -> None:
    """A NaN gradient in a parameter that no later prediction uses is found all the same."""
    module = build()
    unused = nn.Parameter(torch.zeros(1))
    module.register_parameter("unused", unused)

    def poison(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output + (unused * 0).sqrt().sum()  # the derivative of sqrt at 0 is infinite, times 0: NaN

    module.register_forward_hook(poison)

    outcome = train(module, groups(module), corpus, SETTINGS, 0)

    assert outcome.state is TrialState.DIVERGED


def test_a_spike_that_recovers_is_a_result(corpus: Corpus) -> None:
    """One step with a loss far above the start, then learning as before: the final loss decides."""
    module = build()
    calls = [0]

    def disturb(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        calls[0] += _module.training
        shift = torch.linspace(0.0, 200.0, output.shape[-1]) if calls[0] == 5 and _module.training else 0.0
        return output + shift

    module.register_forward_hook(disturb)

    outcome = train(module, groups(module), corpus, SETTINGS, 0)

    assert max(loss for _, loss in outcome.curve) > 20
    assert outcome.state is TrialState.COMPLETE
    assert outcome.loss < outcome.curve[0][1]


def test_clipping_bounds_the_gradient(corpus: Corpus) -> None:
    """With a clip threshold the global norm of what the optimizer sees is the threshold; without, it is larger."""
    norms = {}
    for clip in (None, 0.01):
        module = build()
        settings = replace(SETTINGS, steps=1, clip=clip)
        list(training_losses(module, groups(module), corpus, settings, 0))
        norms[clip] = math.sqrt(sum(p.grad.square().sum().item() for p in module.parameters() if p.grad is not None))

    assert norms[0.01] == pytest.approx(0.01, rel=1e-3)
    assert norms[None] > 0.1


def test_a_decoder_is_scored_at_every_position() -> None:
    """Logits that put everything on byte 2 are right at two of three positions, and their loss is that mean."""
    module = EveryPosition()
    nn.init.zeros_(module.table.weight)
    with torch.no_grad():
        module.table.weight[:, 2] = math.log(255.0)  # probability 1/2 for byte 2, 1/510 for each other one

    loss = NEXT_TOKEN(module, torch.tensor([[1, 2, 2, 7]]))

    assert loss.item() == pytest.approx((math.log(2) + math.log(2) + math.log(510)) / 3, rel=1e-6)


def test_a_window_model_is_scored_at_the_last_byte() -> None:
    """An MLP's logits predict the byte after the window only."""
    torch.manual_seed(0)
    module = Window()
    nn.init.zeros_(module.readout.weight)
    with torch.no_grad():
        module.readout.bias.zero_()
        module.readout.bias[7] = math.log(255.0)

    assert NEXT_TOKEN(module, torch.tensor([[1, 2, 3, 4, 7]])).item() == pytest.approx(math.log(2), rel=1e-6)


def test_evaluation_leaves_no_trace(corpus: Corpus) -> None:
    """Evaluating twice gives one number and no gradients."""
    module = build()

    assert evaluate(module, corpus, SETTINGS) == evaluate(module, corpus, SETTINGS)
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 250, 1000])
def test_curves_have_at_most_a_hundred_points(steps: int) -> None:
    """Every loss enters one mean, the last point is the last step."""
    losses = [float(step) for step in range(steps)]

    curve = decimate(losses, steps)

    assert len(curve) <= 100
    assert curve[-1][0] == steps
    ends = [0, *(end for end, _ in curve)]
    total = sum(mean * (end - start) for (end, mean), start in zip(curve, ends[:-1], strict=True))
    assert total == pytest.approx(steps * (steps - 1) / 2)


def test_curves_end_before_a_loss_that_is_not_finite() -> None:
    """Points are finite, because they travel as JSON."""
    assert decimate([4.0, 2.0, math.nan], 200) == ((2, 3.0),)


def test_losses_stream_to_the_hook(corpus: Corpus) -> None:
    """A hook that returns nothing sees every step with its loss, and the run is as without it."""
    seen: list[tuple[int, float]] = []

    def note(step: int, loss: float) -> None:
        seen.append((step, loss))

    whole = train(module := build(), groups(module), corpus, SETTINGS, 0)
    watched = train(module := build(), groups(module), corpus, SETTINGS, 0, on_loss=note)

    assert tuple(seen) == whole.curve  # 12 steps are fewer than the points of a curve
    assert (watched.state, watched.loss, watched.curve) == (whole.state, whole.loss, whole.curve)


def test_the_hook_ends_a_run(corpus: Corpus) -> None:
    """A run that is told to stop at step 6 of 12 ends there, unevaluated; at its last step it is complete anyway."""
    whole = train(module := build(), groups(module), corpus, SETTINGS, 0)
    outcome = train(module := build(), groups(module), corpus, SETTINGS, 0, on_loss=lambda step, _: step == 6)
    last = train(module := build(), groups(module), corpus, SETTINGS, 0, on_loss=lambda step, _: step == 12)

    assert (outcome.state, outcome.steps, outcome.loss) == (TrialState.STOPPED, 6, math.inf)
    assert outcome.curve == whole.curve[:6]
    assert (last.state, last.loss) == (TrialState.COMPLETE, whole.loss)
