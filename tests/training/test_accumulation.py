"""Gradient accumulation: the same training as with whole batches, in float64 to rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, training_losses
from hptransfer.training.losses.base import find_loss
from hptransfer.training.shard import WHOLE, Shard
from hptransfer.training.step import accumulate_gradients

NEXT_TOKEN = find_loss("next-token")
SETTINGS = TrainingSettings(steps=12, batch_size=8, context=4, evaluation_batches=3)


def build() -> nn.Module:
    """A fresh model with the same init every time: logits of the byte after a window of 4."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(256, 8), nn.Flatten(), nn.Linear(32, 256))


def groups(module: nn.Module) -> list[dict[str, Any]]:
    """One group for all parameters."""
    return [{"params": list(module.parameters()), "lr": 0.01, "weight_decay": 0.0, "eps": 1e-8}]


def losses(corpus: Corpus, settings: TrainingSettings) -> tuple[list[float], nn.Module]:
    """Training losses of a fresh model in float64, and the model."""
    module = build().double()
    return list(training_losses(module, groups(module), corpus, settings, 0)), module


@pytest.mark.parametrize("parts", [2, 3, 5, 8])
def test_parts_of_a_batch_train_as_the_whole(corpus: Corpus, parts: int) -> None:
    """Batches of 8 in 2, 3, 5 and 8 parts, most of them uneven: a mean of means would weigh examples differently."""
    whole, expected = losses(corpus, SETTINGS)
    accumulated, module = losses(corpus, replace(SETTINGS, accumulation=parts))

    assert accumulated == pytest.approx(whole, rel=1e-12)
    for mine, theirs in zip(module.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)  # Adam divides rounding by small gradients


def test_uneven_parts_of_uneven_shares_add_up(corpus: Corpus) -> None:
    """Gradients averaged over 2 processes, 7 examples between them and 3 parts each, are those of the whole batch."""
    tokens = corpus.batch(0, 0, 7, 4)

    def gradients(shard: Shard, parts: int) -> list[torch.Tensor]:
        module = build().double()
        accumulate_gradients(NEXT_TOKEN, module, tokens, parts=parts, shard=shard)
        return [p.grad for p in module.parameters() if p.grad is not None]

    shares = [gradients(Shard(rank, 2), 3) for rank in range(2)]
    for first, second, whole in zip(*shares, gradients(WHOLE, 1), strict=True):
        torch.testing.assert_close((first + second) / 2, whole, rtol=1e-12, atol=1e-15)


def test_an_unweighted_mean_of_parts_would_be_seen(corpus: Corpus) -> None:
    """Negative control: 3 parts of 8 examples, 3 + 3 + 2, averaged without weights differ in the fourth digit."""
    tokens = corpus.batch(0, 0, 8, 4)
    module = build().double()
    means = [NEXT_TOKEN(module, Shard(part, 3).of(tokens)).item() for part in range(3)]

    assert abs(sum(means) / 3 / NEXT_TOKEN(module, tokens).item() - 1) > 1e-6
