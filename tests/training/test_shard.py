"""Splitting a batch over processes: shares cover it, and their scaled means give the whole batch's."""

from __future__ import annotations

import pytest
import torch

from hptransfer.training.shard import WHOLE, Shard


@pytest.mark.parametrize(("batch", "world"), [(8, 2), (7, 2), (5, 3), (3, 3)])
def test_shares_cover_the_batch_and_their_means_average_to_its_mean(batch: int, world: int) -> None:
    """Also where the count does not divide."""
    values_B = torch.arange(batch, dtype=torch.float64) ** 2
    shards = [Shard(rank, world) for rank in range(world)]
    covered = torch.cat([shard.of(values_B) for shard in shards])
    means = torch.stack([shard.scale(shard.of(values_B).mean(), values_B) for shard in shards])

    assert sorted(covered.tolist()) == values_B.tolist()
    torch.testing.assert_close(means.mean(), values_B.mean(), rtol=1e-15, atol=0.0)


def test_one_process_changes_nothing() -> None:
    """Not even a copy is made, so one process trains as fast as before."""
    module, batch_B, loss = torch.nn.Linear(2, 2), torch.ones(4), torch.tensor(2.5)

    assert WHOLE.of(batch_B) is batch_B
    assert WHOLE.scale(loss, batch_B) is loss
    assert WHOLE.wrap(module) is module
    assert WHOLE.mean(2.5) == 2.5
