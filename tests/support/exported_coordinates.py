"""A coordinate check of exported files: loops over tokens at several widths, watched and judged by hptransfer."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.checking.judge_coordinates import judge_coordinate_files
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.watch import watch

#: after which optimizer steps is measured
STEPS = (1, 3)

#: what trains one width: the model, initialised; its optimizers; the loss of B x (T + 1) tokens
Trained = tuple[nn.Module, Sequence[torch.optim.Optimizer], Callable[[nn.Module, Tensor], Tensor]]


def next_token_loss(model: nn.Module, tokens_BxT: Tensor) -> Tensor:
    """Cross entropy of a causal model of transformers, or of one that returns logits.

    Args:
        model: called with tokens but the last of each row.
        tokens_BxT: integers below the vocabulary's size.
    """
    output: Any = model(tokens_BxT[:, :-1])
    logits = output.logits if hasattr(output, "logits") else output
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens_BxT[:, 1:].flatten())


def text_batches(vocabulary: int, seed: int) -> list[Tensor]:
    """A batch of text for each step: 16 x 65 bytes of Python's own sources.

    Args:
        vocabulary: bytes are taken modulo this.
        seed: of where the pieces are cut out.
    """
    text = torch.frombuffer(bytearray(Path(argparse.__file__).read_bytes()), dtype=torch.uint8).long() % vocabulary
    starts = torch.randint(len(text) - 65, (max(STEPS), 16), generator=torch.Generator().manual_seed(seed))
    return [torch.stack([text[start : start + 65] for start in row.tolist()]) for row in starts]


def judged(
    folder: Path, widths: Sequence[int], build: Callable[[int], Trained], *, vocabulary: int = 256, seeds: int = 2
) -> RowVerdict:
    """The verdict over all layers and updates.

    Args:
        folder: a new one, of what is recorded.
        widths: at least two, in rising order.
        build: of a width, after torch's generator was seeded: what trains it.
        vocabulary: number of tokens that are drawn from.
        seeds: of initialisation and data, at least 2.
    """
    path = folder / "coordinates.jsonl"
    for seed in range(seeds):
        batches = text_batches(vocabulary, seed)
        for width in widths:
            torch.manual_seed(seed)
            model, optimizers, loss = build(width)
            probe = batches[0][:, :-1]
            with watch(model, probe, STEPS, path=path, size={"width": width}, seed=seed) as watcher:
                for batch in batches:
                    for optimizer in optimizers:
                        optimizer.zero_grad()
                    loss(model, batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    for optimizer in optimizers:
                        optimizer.step()
                    watcher.step()
    return judge_coordinate_files([path]).verdict
