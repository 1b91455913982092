"""A small diffusion transformer on scikit-learn's digits, with a loss of its own: what `diffusion.yaml` names.

A digit x is mixed with noise e from N(0, I) at a time t between 0 and 1, cos(pi t / 2) x + sin(pi t / 2) e, and the
model, which is told the time and the digit's class, predicts e. Blocks are adaLN-zero (arXiv 2212.09748): norms have no
gains of their own, the condition makes their scale, shift and gate; gates and the output start at zero, so the first
prediction is 0 and the first loss the variance of the noise, 1.

Plain PyTorch and NumPy; nothing here knows of hptransfer. Tensor names carry their shape: B batch, H and W pixels, T
patches, P pixels of a patch, F frequencies, D width, S slots.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]

#: images kept for evaluation, of 1,797, and how often each is shown there, with noise of its own each time
HELD_OUT, REPEATS = 360, 4
#: seed of evaluation noise, which no trial has
EVALUATION = 2**40
#: pixels along a side of an image and of a patch
SIDE, PATCH = 8, 2
#: length of one head: their number grows with the width
HEAD = 16
#: frequencies of the time
FREQUENCIES = 32


class Condition(nn.Module):
    """A time and a class as one vector.

    Args:
        width: D, features of a token and of the condition.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(10, width)

    def forward(self, time_B: Tensor, label_B: Tensor) -> Tensor:
        """B x D."""
        powers_F = torch.arange(FREQUENCIES, device=time_B.device, dtype=time_B.dtype) / FREQUENCIES
        angles_BxF = 1000 * time_B[:, None] * 10_000**-powers_F
        found_BxD: Tensor = self.time(torch.cat((angles_BxF.cos(), angles_BxF.sin()), 1)) + self.label(label_B)
        return found_BxD


class Modulation(nn.Module):
    """Scales, shifts and gates that a condition makes: all zero at the start.

    Args:
        width: D, features of a token and of the condition.
        slots: S, how many of them.
    """

    def __init__(self, width: int, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.linear = nn.Linear(width, slots * width)

    def forward(self, condition_BxD: Tensor) -> tuple[Tensor, ...]:
        """S times B x 1 x D."""
        made_BxSD: Tensor = self.linear(functional.silu(condition_BxD))
        return made_BxSD[:, None].chunk(self.slots, -1)


class Block(nn.Module):
    """Attention and an MLP, each behind a norm that the condition scales and before a gate that it opens.

    Args:
        width: D, a multiple of 16.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(width, width // HEAD, batch_first=True)
        self.mlp_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.modulation = Modulation(width, 6)

    def forward(self, x_BxTxD: Tensor, condition_BxD: Tensor) -> Tensor:
        """The same patches, changed."""
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = self.modulation(condition_BxD)
        h_BxTxD = self.attention_norm(x_BxTxD) * (1 + scale) + shift
        x_BxTxD = x_BxTxD + gate * self.attention(h_BxTxD, h_BxTxD, h_BxTxD, need_weights=False)[0]
        h_BxTxD = self.mlp_norm(x_BxTxD) * (1 + mlp_scale) + mlp_shift
        out_BxTxD: Tensor = x_BxTxD + mlp_gate * self.mlp(h_BxTxD)
        return out_BxTxD


class DiT(nn.Module):
    """A noisy image, its time and its class to the noise in it.

    Args:
        width: D, a multiple of 16.
        depth: blocks, at least 1.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        self.positions = nn.Parameter(sinusoids(SIDE // PATCH, width), requires_grad=False)
        self.condition = Condition(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = Modulation(width, 2)
        self.output = nn.Linear(width, PATCH * PATCH)
        self.start()

    def start(self) -> None:
        """Xavier for layers, 0.02 for the condition, zeros for what modulates and for the output."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        for name, weight in self.condition.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(weight, std=0.02)
        for layer in (*(each.linear for each in self.modules() if isinstance(each, Modulation)), self.output):
            nn.init.zeros_(layer.weight)

    def forward(self, image_BxHxW: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        """Predicted noise, B x H x W."""
        x_BxTxD = self.patches(image_BxHxW[:, None]).flatten(2).transpose(1, 2) + self.positions
        condition_BxD = self.condition(time_B, label_B)
        for block in self.blocks:
            x_BxTxD = block(x_BxTxD, condition_BxD)
        scale, shift = self.modulation(condition_BxD)
        noise_BxTxP = self.output(self.norm(x_BxTxD) * (1 + scale) + shift)
        noise_Bx1xHxW = functional.fold(noise_BxTxP.transpose(1, 2), (SIDE, SIDE), PATCH, stride=PATCH)
        return noise_Bx1xHxW[:, 0]


def sinusoids(side: int, width: int) -> Tensor:
    """Fixed positions of a square of patches: half the width says the row, half the column.

    Args:
        side: patches along a side.
        width: D, a multiple of 4.

    Returns:
        1 x side^2 x D, root mean square 1/sqrt(2).
    """
    powers = torch.arange(width // 4) / (width // 4)
    angles = torch.arange(side)[:, None] * 10_000**-powers
    line = torch.cat((angles.sin(), angles.cos()), 1)
    rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat((rows, columns), 2).reshape(1, side * side, width)


def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Mean squared error of the predicted noise, per pixel: 1 for a model that predicts 0.

    Args:
        model: from noisy images, times and classes to noise.
        batch: those three, and the noise.
    """
    image_BxHxW, time_B, label_B, noise_BxHxW = batch
    return functional.mse_loss(model(image_BxHxW, time_B, label_B), noise_BxHxW)


def training_batch(seed: int, step: int, batch_size: int) -> Batch:
    """Images drawn with replacement from those that train, with fresh noise: a pure function of its arguments."""
    images, labels = _digits()
    random = np.random.default_rng((seed, step))
    chosen_B = random.integers(HELD_OUT, len(images), batch_size)
    return _noised(images[chosen_B], labels[chosen_B], random)


def evaluation_batch(index: int, batch_size: int) -> Batch:
    """The held-out images four times, always with the same noise; the last batch has what is left."""
    image, time, label, noise = _evaluation()
    part = slice(index * batch_size, (index + 1) * batch_size)
    return image[part], time[part], label[part], noise[part]


def example() -> tuple[Tensor, Tensor, Tensor]:
    """What the model takes, two of each: so `hptransfer plan` can run it."""
    image, time, label, _ = evaluation_batch(0, 2)
    return torch.from_numpy(image), torch.from_numpy(time), torch.from_numpy(label)


@cache
def _evaluation() -> Batch:
    """All of it: 1,440 examples, in an order that spreads images and times."""
    images, labels = _digits()
    shown = np.tile(np.arange(HELD_OUT), REPEATS)
    return _noised(images[shown], labels[shown], np.random.default_rng(EVALUATION))


def _noised(images_BxHxW: NDArray[np.float32], labels_B: NDArray[np.int64], random: np.random.Generator) -> Batch:
    """Images at times of their own, one time in each B-th part of the unit interval, in random order."""
    count = len(images_BxHxW)
    times_B = (random.permutation(count) + random.random(count)) / count
    noise_BxHxW = random.normal(size=images_BxHxW.shape)
    angle_Bx1x1 = math.pi / 2 * times_B[:, None, None]
    mixed_BxHxW = np.cos(angle_Bx1x1) * images_BxHxW + np.sin(angle_Bx1x1) * noise_BxHxW
    return mixed_BxHxW.astype(np.float32), times_B.astype(np.float32), labels_B, noise_BxHxW.astype(np.float32)


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
    print(DiT(32, 2)(*example()).shape)
