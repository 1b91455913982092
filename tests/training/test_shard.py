"""Splitting a batch over processes: shares cover it, and their scaled means give the whole batch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.training.batches import Batch, to_tensors
from hptransfer.training.losses.base import find_loss
from hptransfer.training.shard import WHOLE, Shard
from tests.support.own_batches import FromPair, Regression, line, nested


def _Regression() -> nn.Module:  # noqa: N802  # stands for a class
    return Regression(8, 1)


@pytest.mark.parametrize(("batch", "world"), [(8, 2), (7, 2), (5, 3), (3, 3)])
def test_shares_cover_the_batch_and_their_means_average_to_its_mean(batch: int, world: int) -> None:
    """Also where the count does not divide."""
    values_B = torch.arange(batch, dtype=torch.float64) ** 2
    shards = [Shard(rank, world) for rank in range(world)]
    covered = torch.cat([shard.of(values_B) for shard in shards])
    means = torch.stack([shard.scale(shard.of(values_B).mean(), values_B) for shard in shards])

    assert sorted(covered.tolist()) == values_B.tolist()
    torch.testing.assert_close(means.mean(), values_B.mean(), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize(("batch", "world"), [(8, 2), (7, 3)])
@pytest.mark.parametrize(("loss", "model", "source"), [("cross-entropy", FromPair, nested), ("mse", _Regression, line)])
def test_shares_of_any_structure_give_the_whole_batchs_gradient(
    batch: int, world: int, loss: str, model: Callable[[], nn.Module], source: Callable[..., object]
) -> None:
    """In float64, loss and gradients averaged over the processes are those of the whole batch, to rounding."""
    torch.manual_seed(0)
    module, loss_of, whole = model().double(), find_loss(loss), to_tensors(source(0, 0, batch), "own")

    def gradients(share: Batch, shard: Shard) -> list[torch.Tensor]:
        value = shard.scale(loss_of(module, share), whole)
        return [value.detach(), *torch.autograd.grad(value, list(module.parameters()))]

    shards = [Shard(rank, world) for rank in range(world)]
    parts = [gradients(shard.of(whole), shard) for shard in shards]

    for together, single in zip(zip(*parts, strict=True), gradients(whole, WHOLE), strict=True):
        torch.testing.assert_close(torch.stack(list(together)).mean(0), single, rtol=1e-12, atol=1e-15)


def test_tensors_of_different_lengths_cannot_be_split() -> None:
    """A batch whose parts belong to no common examples."""
    with pytest.raises(UsageError, match="examples along its first axis"):
        Shard(0, 2).of({"x": torch.zeros(4), "scale": torch.zeros(())})


def test_one_process_changes_nothing() -> None:
    """Not even a copy is made, so one process trains as fast as before."""
    module, batch_B, loss = torch.nn.Linear(2, 2), torch.ones(4), torch.tensor(2.5)

    assert WHOLE.of(batch_B) is batch_B
    assert WHOLE.scale(loss, batch_B) is loss
    assert WHOLE.wrap(module) is module
    assert WHOLE.mean(2.5) == 2.5
