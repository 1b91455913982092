"""How often the interval of a predicted loss holds the truth, on ladders that bend.

`python benchmarks/law_calibration.py [LADDERS]`. Held out are sizes 2, 4 and 8 times beyond the largest; what is
covered is one noisy run there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from hptransfer.statistics.laws import predict_loss

#: the loss at a size, drawn once per ladder
Law = Callable[[np.ndarray], np.ndarray]


def single(rng: np.random.Generator) -> Law:
    """A true power law."""
    floor, gain, exponent = rng.uniform(1, 3), rng.uniform(0.5, 3), rng.uniform(0.2, 1.0)
    return lambda x: floor + gain * (x / 64) ** -exponent


def double(rng: np.random.Generator) -> Law:
    """The sum of two power laws: the local exponent falls."""
    floor, gain, second = rng.uniform(1, 3), rng.uniform(0.5, 3), rng.uniform(0.1, 1.0)
    fast, slow = rng.uniform(0.7, 1.5), rng.uniform(0.1, 0.5)
    return lambda x: floor + gain * (x / 64) ** -fast + second * (x / 64) ** -slow


def broken(rng: np.random.Generator) -> Law:
    """A smoothly broken power law (Caballero et al. 2210.14891); the break lies within the ladder."""
    floor, gain, before = rng.uniform(1, 3), rng.uniform(0.5, 3), rng.uniform(0.2, 0.6)
    change, at, sharpness = rng.uniform(-0.15, 0.5), 64 * 2 ** rng.uniform(0.5, 3.5), rng.uniform(0.3, 1.0)
    return lambda x: floor + gain * (x / 64) ** -before * (1 + (x / at) ** (1 / sharpness)) ** (-change * sharpness)


LAWS = {"one power law": single, "two power laws": double, "broken power law": broken}


def coverage(
    law: Callable[[np.random.Generator], Law], n_sizes: int, ratio: float, noise: float, ladders: int, seed: int = 0
) -> dict[str, float]:
    """Share of ladders whose interval holds the held-out loss, and the median half-width and error in percent."""
    rng = np.random.default_rng(seed)
    sizes = 64.0 * 2 ** np.arange(n_sizes)
    hits, naive, width, off = [], [], [], []
    for _ in range(ladders):
        loss = law(rng)
        y = loss(sizes) * (1 + noise * rng.standard_normal(n_sizes))
        target = sizes[-1] * ratio
        truth = float(loss(np.array([target]))[0] * (1 + noise * rng.standard_normal()))
        found = predict_loss(sizes.tolist(), y.tolist(), target)
        hits.append(found.loss.contains(truth))
        naive.append(found.bootstrap.contains(truth))
        width.append(50 * (found.loss.high - found.loss.low) / truth)
        off.append(100 * abs(found.loss.estimate / truth - 1))
    return {
        "covers": float(np.mean(hits)),
        "bootstrap": float(np.mean(naive)),
        "half_width": float(np.median(width)),
        "error": float(np.median(off)),
    }


def main() -> int:
    """Print the table; 1 when any setting covers less than 90%."""
    ladders = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    lowest = 1.0
    print("law               sizes  ratio  noise   covers  bootstrap alone  half-width  error")
    for name, law in LAWS.items():
        for n_sizes, ratio, noise in ((4, 4, 0.002), (5, 2, 0.001), (5, 4, 0.002), (6, 8, 0.001), (6, 4, 0.005)):
            found = partial(coverage, law)(n_sizes, ratio, noise, ladders)
            lowest = min(lowest, found["covers"])
            print(
                f"{name:<17} {n_sizes:>5} {ratio:>6} {noise:>6.1%} {found['covers']:>8.1%} {found['bootstrap']:>16.1%}"
                f" {found['half_width']:>10.2f}% {found['error']:>5.2f}%",
                flush=True,
            )
    return int(lowest < 0.9)


if __name__ == "__main__":
    sys.exit(main())
