"""One process's part of a trial that several processes train together: the same batch, split, gives the same loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hptransfer.training.batches import Batch, examples_in, map_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shard:
    """Which share of each global batch a process takes.

    Attributes:
        rank: of this process, counted from 0.
        world: how many processes there are; with 1, nothing is changed and nothing communicated.
    """

    rank: int = 0
    world: int = 1

    def of(self, batch: Batch) -> Batch:
        """This process's examples of a global batch; shares differ by one example where the count does not divide.

        Args:
            batch: of any structure, examples along the first axis of every tensor, the same in every process.

        Raises:
            UsageError: tensors differ in the number of examples, and several processes train.
        """
        if self.world == 1:
            return batch
        examples_in(batch)
        return map_tensors(batch, lambda tensor: tensor[self.rank :: self.world])

    def scale(self, loss: Tensor, batch: Batch) -> Tensor:
        """The mean over this share, scaled so that the mean over processes is that over the whole batch.

        DistributedDataParallel averages gradients over processes, whatever the sizes of their shares.

        Args:
            loss: scalar, the mean over this process's share.
            batch: the global batch, of which the share was taken.
        """
        if self.world == 1:
            return loss
        examples = examples_in(batch)
        return loss * (len(range(self.rank, examples, self.world)) * self.world / examples)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward pass averages gradients over processes."""
        if self.world == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module)

    def mean(self, value: float) -> float:
        """The mean over processes, the same number in each."""
        if self.world == 1:
            return value
        import torch
        from torch import distributed

        # NCCL moves what lies on GPUs, gloo what does not
        device = torch.device("cuda", self.rank) if distributed.get_backend() == "nccl" else torch.device("cpu")
        total = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return float(total) / self.world


#: a trial that one process trains
WHOLE = Shard()
