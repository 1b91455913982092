"""Where a layer lies in depth, and what its place alone does to the slope of its change.

In a residual network of L blocks whose branches add 1/L each, the change of the stream is a function of the share of
the blocks that it has passed (CompleteP, arXiv 2505.01618; the limit is a differential equation in that share). Layers
can be compared between depths only at equal shares. The start of the stream, its end and the logits are at shares 0, 1
and 1 at every depth. Layers *inside* the first or last block are not: their share moves with the depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

#: under CompleteP the first step's change falls with depth (0.13 to 0.03 from 2 to 64 layers in its own plot) and is
#: flat by step 3 to 10, so depth is judged from this step on
FIRST_STEP_IN_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Place:
    """What a layer's place in depth allows.

    Attributes:
        judged: False where there is nothing to compare it with: what a single block adds to the stream, and whatever
            comes after a part of the first block, because its share of the depth, and with it its change, falls as
            1/depth towards the embedding's, which is judged by itself.
        low, high: slopes of log2 change against log2 depth that its place gives, both 0 at equal shares. Inside the
            last of L blocks the stream has passed between (L - 1)/L and all of them: its change, if it builds up
            evenly, rises as log2(1 - 1/L) at most, attention logits (a product of two such layers) twice as steeply.
    """

    judged: bool = True
    low: float = 0.0
    high: float = 0.0


def place_in_depth(layer: str, kind: str, blocks: Iterable[str], depths: Sequence[int]) -> Place:
    """The place of a layer.

    Args:
        layer: its name, with "first" or "last" for the index of the block.
        kind: what it is, see `coordinate.Measurement`.
        blocks: names of the rows that are the stream after a block; none in a network without residual blocks.
        depths: numbers of layers that are compared, increasing.
    """
    blocks = tuple(blocks)
    if kind == "branch" or (kind == "residual" and layer.endswith("first")):
        return Place(judged=False)
    inside = [block for block in blocks if layer.startswith(f"{block}.")]
    if kind == "attention" and blocks:
        inside = [layer]
    if not inside:
        return Place()
    if inside[0].endswith("first") or depths[0] == 1:  # the last block of one is also the first
        return Place(judged=False)
    return Place(high=(2 if kind == "attention" else 1) * _within_last_block(depths))


def _within_last_block(depths: Sequence[int]) -> float:
    """Least-squares slope of log2(1 - 1/L) against log2 L."""
    arm = np.log2(np.array(depths, dtype=float))
    arm -= arm.mean()
    return float(np.log2(1 - 1 / np.array(depths, dtype=float)) @ arm / (arm @ arm))


def place_of(layer: str, kind: str, step: int, axis: str, blocks: Iterable[str], sizes: Sequence[int]) -> Place:
    """What theory says of one layer at one step.

    Args:
        layer: its name, in depth with "first" or "last" for the index of the block.
        kind: what it is, see `coordinate.Measurement`.
        step: number of optimizer steps that were taken.
        axis: along which sizes are compared: "width" or "depth".
        blocks: names of the rows that are the stream after a block.
        sizes: that are compared, increasing.
    """
    if axis == "width":
        return Place()
    place = place_in_depth(layer, kind, blocks, sizes)
    return place if step >= FIRST_STEP_IN_DEPTH else replace(place, judged=False)
