"""A training script that knows nothing of hptransfer: an MLP in NumPy predicts the next byte of Python's own sources.

    python plain_train.py --width 128 --lr 0.004 --steps 300 --seed 0

One learning rate for all weights, as most scripts have it. It prints its training loss as it goes, and at the end the
loss on held-out text in nats per byte.
"""

import argparse
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CONTEXT, EMBEDDING, BYTES = 8, 16, 256
Weights = dict[str, NDArray[np.float32]]


def corpus() -> NDArray[np.uint8]:
    """Top-level modules of the standard library, one after the other."""
    folder = Path(sysconfig.get_path("stdlib"))
    return np.frombuffer(b"\n".join(path.read_bytes() for path in sorted(folder.glob("*.py"))), dtype=np.uint8)


def drawn(width: int, generator: np.random.Generator) -> Weights:
    """Weights with std 1/sqrt(fan-in), biases at zero."""
    inputs = CONTEXT * EMBEDDING
    shapes = {"in": (inputs, width), "hidden": (width, width), "out": (width, BYTES)}
    weights = {name: generator.standard_normal(shape) / shape[0] ** 0.5 for name, shape in shapes.items()}
    weights["embedding"] = generator.standard_normal((BYTES, EMBEDDING))
    weights |= {f"{name}_bias": np.zeros(shape[1]) for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def loss_and_gradients(w: Weights, text: NDArray[np.uint8]) -> tuple[float, Weights]:
    """Mean cross-entropy of the last byte of each row given those before it, and its gradients."""
    x, y = text[:, :-1], text[:, -1]
    rows = np.arange(len(y))
    e = w["embedding"][x].reshape(len(y), -1)
    a = np.tanh(e @ w["in"] + w["in_bias"])
    b = np.tanh(a @ w["hidden"] + w["hidden_bias"])
    logits = b @ w["out"] + w["out_bias"]
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    d_logits = np.exp(logits)
    d_logits[rows, y] -= 1
    d_logits /= len(y)
    d_b = d_logits @ w["out"].T * (1 - b**2)
    d_a = d_b @ w["hidden"].T * (1 - a**2)
    d_embedding = np.zeros_like(w["embedding"])
    np.add.at(d_embedding, x, (d_a @ w["in"].T).reshape(*x.shape, EMBEDDING))
    gradients = {
        "embedding": d_embedding,
        **{"in": e.T @ d_a, "hidden": a.T @ d_b, "out": b.T @ d_logits},
        **{"in_bias": d_a.sum(0), "hidden_bias": d_b.sum(0), "out_bias": d_logits.sum(0)},
    }
    return float(-logits[rows, y].mean()), gradients


def train(width: int, lr: float, steps: int, batch: int, seed: int, report: Callable[[int, float], object]) -> float:
    """Adam with a linear decay to zero; the loss on held-out text, in nats per byte."""
    generator = np.random.default_rng(seed)
    text = corpus()
    cut = len(text) * 9 // 10
    windows = np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1)
    weights = drawn(width, generator)
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    for step in range(1, steps + 1):
        rows = windows[generator.integers(0, cut - CONTEXT, batch)]
        loss, gradients = loss_and_gradients(weights, rows)
        rate = lr * min(1.0, 10 * step / steps, 10 / 9 * (1 - step / (steps + 1)))
        for name, gradient in gradients.items():
            first[name] += 0.1 * (gradient - first[name])
            second[name] += 0.05 * (gradient**2 - second[name])
            mean, square = first[name] / (1 - 0.9**step), second[name] / (1 - 0.95**step)
            weights[name] -= (rate * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)
        if step % 20 == 0 or step == steps:
            report(step, loss)
    held_out = windows[np.random.default_rng(0).integers(cut, len(windows), 8192)]
    return loss_and_gradients(weights, held_out)[0]


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128, help="of both hidden layers")
    parser.add_argument("--lr", type=float, default=0.004, help="peak learning rate of Adam")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    def say(step: int, loss: float) -> None:
        print(f"step {step}: loss {loss:.6f}")

    final = train(options.width, options.lr, options.steps, options.batch, options.seed, say)
    print(f"val loss {final:.6f}")


if __name__ == "__main__":
    main()
