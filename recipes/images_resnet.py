"""A small residual network on scikit-learn's handwritten digits, with a loss of its own: what `images.yaml` names.

Plain PyTorch and NumPy; nothing here knows of hptransfer. Tensor names carry their shape: B batch, C channels, H and W
pixels, V classes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: images kept for evaluation, of 1,797
HELD_OUT = 360
#: channels that one group of a norm shares: groups keep their number, so their size grows with the width
GROUPS = 4


class Block(nn.Module):
    """Two convolutions beside a shortcut; a stride halves the image.

    Args:
        inside: channels that come in.
        outside: channels that go out.
        stride: of the first convolution.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(GROUPS, outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(GROUPS, outside)
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x_BxCxHxW: Tensor) -> Tensor:
        """The same image with other channels."""
        h_BxCxHxW = self.first_norm(self.first(x_BxCxHxW)).relu()
        h_BxCxHxW = self.second_norm(self.second(h_BxCxHxW))
        out: Tensor = (h_BxCxHxW + self.shortcut(x_BxCxHxW)).relu()
        return out


class ResNet(nn.Module):
    """Two stages: `width` channels on 8 x 8 pixels, then twice as many on 4 x 4.

    Args:
        width: channels of the first stage, a multiple of 4.
        depth: blocks per stage, at least 1.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.stem_norm = nn.GroupNorm(GROUPS, width)
        self.fine = nn.ModuleList(Block(width, width, 1) for _ in range(depth))
        self.down = Block(width, 2 * width, 2)
        self.coarse = nn.ModuleList(Block(2 * width, 2 * width, 1) for _ in range(depth - 1))
        self.readout = nn.Linear(2 * width, 10)

    def forward(self, image_BxHxW: Tensor) -> Tensor:
        """Logits of the ten digits."""
        x_BxCxHxW = self.stem_norm(self.stem(image_BxHxW[:, None])).relu()
        for block in self.fine:
            x_BxCxHxW = block(x_BxCxHxW)
        x_BxCxHxW = self.down(x_BxCxHxW)
        for block in self.coarse:
            x_BxCxHxW = block(x_BxCxHxW)
        logits_BxV: Tensor = self.readout(x_BxCxHxW.mean((2, 3)))
        return logits_BxV


def smoothed_cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy against labels of which a tenth is spread over all classes, in nats: at least 0.500.

    Args:
        model: from images to logits.
        batch: images (B, H, W) and labels (B).
    """
    images_BxHxW, labels_B = batch
    return functional.cross_entropy(model(images_BxHxW), labels_B, label_smoothing=0.1)


def training_batch(seed: int, step: int, batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images drawn with replacement from those that train: a pure function of its arguments."""
    images, labels = _digits()
    chosen_B = np.random.default_rng((seed, step)).integers(HELD_OUT, len(images), batch_size)
    return images[chosen_B], labels[chosen_B]


def evaluation_batch(index: int, batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The held-out images in order; the last batch has what is left."""
    images, labels = (part[:HELD_OUT] for part in _digits())
    part = slice(index * batch_size, (index + 1) * batch_size)
    return images[part], labels[part]


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """1,797 images of 8 x 8 pixels with mean 0 and variance 1, and their labels, in an order that never changes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = digits.images[order].astype(np.float32)
    return (images - images.mean()) / images.std(), digits.target[order].astype(np.int64)


if __name__ == "__main__":
    torch.manual_seed(0)
    images, _ = evaluation_batch(0, 4)
    print(ResNet(16, 1)(torch.from_numpy(images)).shape)
