"""The built-in trainer's loop against a loop written by hand: steps per second on one thread, in interleaved pairs.

`python -m benchmarks.throughput`: the same model, batches, optimizer and number of steps. The loop by hand is what a
person would write who cares for speed: AdamW fused with the plan's groups, torch's clipping, learning rates set per
step, no loss read back. The trainer also reads every loss. Processor time is counted, on one thread. Blocks of steps
alternate, and each ratio is of two neighbouring blocks, so that a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._data import cached_batches
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trainers._torch_runs import training_settings
from hptransfer.training.loop import training_losses
from hptransfer.trials.spec import TrialSpec

LLAMA = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 256,
    "max_position_embeddings": 64,
}
#: name -> `model` section, width, depth, batch
MODELS: dict[str, tuple[dict[str, Any], int, int, int]] = {
    "mlp": ({"kind": "mlp"}, 256, 2, 64),
    "mlp, narrow": ({"kind": "mlp"}, 64, 2, 64),
    "decoder": ({"kind": "gpt", "context": 64, "head_dim": 16}, 128, 4, 16),
    "decoder, narrow": ({"kind": "gpt", "context": 64, "head_dim": 16}, 64, 2, 16),
    "Llama of transformers": (
        {"kind": "huggingface", "config": "llama", "context": 64, "settings": LLAMA},
        128,
        4,
        16,
    ),
}
#: far more than are taken
_STEPS = 10**6


def spec_of(name: str) -> TrialSpec:
    """A run of one of the models."""
    model, width, depth, batch = MODELS[name]
    residual = model["kind"] != "mlp"
    recipe = Recipe.model_validate(
        {
            "name": "throughput",
            "model": model,
            "data": {"kind": "stdlib-text"},
            "training": {"steps": _STEPS, "batch_size": batch, "clip": 1.0, "device": "cpu"},
            "parameterization": {"name": "completep" if residual else "mup"},
            "sizes": {
                "base": {"width": 64, "depth": 2},
                "widths": (64, 128),
                "target": {"width": 256, "depth": 4},
            },
            "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1e-1}}},
        }
    )
    return TrialSpec(recipe, Path(), recipe.size(width, depth), {}, 0)


def by_trainer(spec: TrialSpec) -> Iterator[float]:
    """A step per item, by the trainer's loop."""
    module, groups = planned_model(spec)
    corpus = cached_batches(spec.recipe.data, spec.root)
    return iter(training_losses(module, groups, corpus, training_settings(spec), 0))


def by_hand(spec: TrialSpec) -> Iterator[float]:
    """A step per item, by a loop as a person writes it."""
    module, groups = planned_model(spec)
    corpus = cached_batches(spec.recipe.data, spec.root)
    batch_size, context = spec.size.batch_size, spec.recipe.model.context
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]
    for step in range(_STEPS):
        tokens = corpus.batch(0, step, batch_size, context)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * min(1.0, (step + 1) / 100)
        output = module(tokens[:, :-1])
        logits = getattr(output, "logits", output)
        if logits.ndim == 2:
            loss = functional.cross_entropy(logits, tokens[:, -1])
        else:
            loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        yield 0.0


def timed(steps: Iterator[float], count: int) -> float:
    """Processor seconds for so many steps; other programs on the machine do not count."""
    started = time.process_time()
    for _ in islice(steps, count):
        pass
    return time.process_time() - started


def compare(name: str, pairs: int, seconds: float) -> dict[str, Any]:
    """Steps per second of both, and the ratio of neighbouring blocks."""
    spec = spec_of(name)
    loops: list[Callable[[TrialSpec], Iterator[float]]] = [by_trainer, by_hand]
    trainer, hand = (loop(spec) for loop in loops)
    timed(trainer, 10), timed(hand, 10)  # the first steps allocate
    count = max(3, round(seconds / (timed(hand, 10) / 10)))
    ours: list[float] = []
    theirs: list[float] = []
    for pair in range(pairs):
        for loop, seen in ((trainer, ours), (hand, theirs)) if pair % 2 else ((hand, theirs), (trainer, ours)):
            seen.append(timed(loop, count))
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    return {
        "model": name,
        "trainer": count / statistics.median(ours),
        "by hand": count / statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "error": error,
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one block")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | trainer, steps/s | by hand, steps/s | ratio, median of pairs | its standard error |")
    print("|---|---|---|---|---|")
    for name in arguments.models:
        found = compare(name, arguments.pairs, arguments.seconds)
        print(
            f"| {found['model']} | {found['trainer']:.1f} | {found['by hand']:.1f} | {found['ratio']:.3f} "
            f"| {found['error']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
