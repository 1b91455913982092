"""The built-in trainer on a GPU; `sh benchmarks/gpu.sh` says what and how long. Prints Markdown."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from hptransfer.execution.outcome import Success
from hptransfer.execution.pool import WorkerPool
from hptransfer.models.build import training_flops
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._data import cached_batches
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trainers._torch_runs import training_settings
from hptransfer.training.device import default_precision, device_name, device_of_run, peak_flops
from hptransfer.training.loop import training_losses
from hptransfer.trials.messages import ENTRY, TrialMessage
from hptransfer.trials.spec import TrialSpec

_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2}


@dataclass(frozen=True, slots=True)
class Scale:
    """How large things are.

    Attributes:
        width, depth, context, batch: of the models whose speed is measured.
        steps: number of steps that are timed.
        trials: that share one card.
    """

    width: int
    depth: int
    context: int
    batch: int
    steps: int
    trials: int


REAL = Scale(width=2048, depth=8, context=1024, batch=16, steps=20, trials=8)
DRY = Scale(width=128, depth=2, context=64, batch=4, steps=3, trials=2)


def spec_of(kind: str, scale: Scale, width: int, depth: int, **training: Any) -> TrialSpec:
    """A run of the decoder or of an unmodified Llama of transformers, with base width 128."""
    settings = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "vocab_size": 256,
        "max_position_embeddings": scale.context,
        **_HEADS,
    }
    model: dict[str, Any] = {"kind": "gpt", "context": scale.context, "head_dim": 32}
    if kind == "llama":
        model = {"kind": "huggingface", "config": "llama", "context": scale.context, "settings": settings}
    recipe = Recipe.model_validate(
        {
            "name": "gpu",
            "model": model,
            "data": {"kind": "stdlib-text"},
            "training": {"steps": 1000, "batch_size": scale.batch, "evaluation_batches": 2, **training},
            "parameterization": {"name": "completep"},
            "sizes": {"base": {"width": 128, "depth": 2}, "widths": (128, 256), "target": {"width": 2048, "depth": 8}},
            "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1e-1}}},
        }
    )
    return TrialSpec(recipe, Path(), recipe.size(width, depth), {"learning_rate": 2.0**-9}, 0)


def speed(kind: str, scale: Scale, *, compiled: bool) -> str:
    """A row: operations per second, and their share of the device's peak."""
    spec = spec_of(kind, scale, scale.width, scale.depth, precision="bfloat16", compile=compiled)
    module, groups = planned_model(spec)
    if compiled:
        module.compile()
    corpus = cached_batches(spec.recipe.data, spec.root)
    steps = iter(training_losses(module, groups, corpus, training_settings(spec), 0))
    list(islice(steps, 3))  # memory is reserved, kernels are chosen, a compiler compiles
    started = time.perf_counter()
    losses = list(islice(steps, scale.steps))
    seconds = (time.perf_counter() - started) / len(losses)
    tokens = scale.batch * scale.context
    per_second = training_flops(module, tokens, scale.context) / seconds
    peak = peak_flops(device_name(device_of_run("auto")), "bfloat16")
    share = "not known" if peak is None else f"{per_second / peak:.1%}"
    count = sum(parameter.numel() for parameter in module.parameters())
    name = f"{kind}{', compiled' if compiled else ''}"
    return f"| {name} | {count / 1e6:.0f}M | {seconds:.3f} | {tokens / seconds:.0f} | {per_second:.3g} | {share} |"


def losses_on(device: str, precision: str, scale: Scale, steps: int = 30) -> list[float]:
    """Training losses of a small decoder."""
    small = replace(scale, context=64, batch=8)
    spec = spec_of("gpt", small, 128, 2, precision=precision, device=device)
    with default_precision(spec.recipe.training.precision):
        module, groups = planned_model(spec)
        corpus = cached_batches(spec.recipe.data, spec.root)
        return list(islice(training_losses(module, groups, corpus, training_settings(spec), 0), steps))


def agreement(precision: str, scale: Scale) -> str:
    """A row: how far the losses of 30 steps on the two devices lie apart."""
    ours, theirs = losses_on("auto", precision, scale), losses_on("cpu", precision, scale)
    differences = [abs(a / b - 1) for a, b in zip(ours, theirs, strict=True)]
    return f"| {precision} | {differences[0]:.2g} | {max(differences):.2g} |"


def together(workers: int, scale: Scale) -> float:
    """Seconds for `scale.trials` trials, so many at a time on one card."""
    small = replace(scale, context=64, batch=16)
    with WorkerPool(ENTRY, workers) as pool:
        for seed in range(scale.trials + workers):
            if seed == workers:  # the first ones start the workers
                for _ in range(workers):
                    _finished(pool)
                started = time.perf_counter()
            spec = replace(spec_of("gpt", small, 128, 2), seed=seed)
            steps = replace(spec, size=replace(spec.size, tokens=64 * 16 * (200 if seed >= workers else 5)))
            pool.submit(str(seed), TrialMessage.of(steps, f"{seed:064x}").payload())
        for _ in range(scale.trials):
            _finished(pool)
        return time.perf_counter() - started


def _finished(pool: WorkerPool) -> None:
    result = pool.next_result()
    if not isinstance(result, Success):
        raise SystemExit(f"a trial failed: {result}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="small sizes, on whatever device there is")
    dry = parser.parse_args().dry
    if not dry and not torch.cuda.is_available():
        raise SystemExit("no GPU here: use --dry to try the script on the processor")
    scale, began = (DRY if dry else REAL), time.perf_counter()
    print(f"Device: {device_name(device_of_run('auto'))}; torch {torch.__version__}\n")
    print(f"Width {scale.width}, depth {scale.depth}, context {scale.context}, batch {scale.batch}, bfloat16:\n")
    print("| model | parameters | seconds per step | tokens/s | FLOP/s | MFU |\n|---|---|---|---|---|---|", flush=True)
    for kind in ("gpt", "llama"):
        for compiled in (False,) if dry else (False, True):
            print(speed(kind, scale, compiled=compiled), flush=True)
            torch.cuda.empty_cache()
    print("\nLosses here against the processor's, relative difference, width 128:\n")
    print("| precision | first step | largest of 30 steps |\n|---|---|---|", flush=True)
    for precision in ("float64", "float32"):
        print(agreement(precision, scale), flush=True)
    print(f"\n{scale.trials} trials of width 128 on one device:\n")
    print("| at a time | seconds |\n|---|---|", flush=True)
    for workers in (1, 2) if dry else (1, 2, 4):
        print(f"| {workers} | {together(workers, scale):.1f} |", flush=True)
    print(f"\nAll of it took {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
