"""Zero-shot against direct tuning: final loss and total FLOPs of each way, on the sources of the standard library.

    python benchmarks/headline.py FOLDER [--model mlp|gpt] [--sizes 512x2 1024x2] [--trials 20] ...

Zero-shot: a proxy of width 64 is tuned (learning rate and one learning rate per role) and `scale` writes every size of
`--sizes` (WIDTHxDEPTH). Direct: the standard parameterization is tuned at each size itself over its learning rate. One
rate: the proxy is tuned over its learning rate alone. All of it runs on the tool's own `tune`, trial store and workers,
the direct search with a recipe's defaults; every way then trains the same fresh seeds at each size, which count as
nobody's tuning. FOLDER keeps recipes and runs: a second call continues there, and `--table` only prints what is
finished. FLOPs are the tool's own count (`models/build.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hptransfer.engine.open_session import open_session
from hptransfer.engine.scheduler import run_requests
from hptransfer.engine.session import Session
from hptransfer.models.applied_plan import load_plan
from hptransfer.parameterization.groups import group_rows
from hptransfer.recipe.load import load_recipe
from hptransfer.scaling.scale import scale
from hptransfer.sizes import Size
from hptransfer.trainers._planned_model import planned
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial
from hptransfer.tuning.tune import tune

#: seeds of the final runs; no search uses them
FIRST_SEED = 1000
RATE = {"low": 2.0**-12, "high": 2.0**-2}
MULTIPLE = {"low": 2.0**-4, "high": 2.0**4}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {
        "model": {"kind": "mlp", "context": 16, "embedding": 32},
        "training": {"steps": 300, "batch_size": 64, "evaluation_batches": 32},
        "parameterization": {"name": "mup"},
        "multipliers": ("embedding_learning_rate", "input_learning_rate", "readout_learning_rate"),
    },
    "gpt": {
        "model": {"kind": "gpt", "context": 32, "head_dim": 16},
        "training": {"steps": 150, "batch_size": 16, "evaluation_batches": 16},
        "parameterization": {"name": "completep", "alpha": 1.0},
        "multipliers": ("embedding_learning_rate", "readout_learning_rate"),
    },
}


@dataclass(frozen=True)
class Way:
    """A way to hyperparameters for one size.

    Attributes:
        label: its name in the table.
        recipe: file of its recipe.
        tuned_at: width and depth that were tuned.
    """

    label: str
    recipe: Path
    tuned_at: tuple[int, int]


@dataclass(frozen=True)
class Outcome:
    """What a way led to at one size: losses of the fresh seeds (nats), and what its tuning cost."""

    label: str
    size: tuple[int, int]
    losses: tuple[float, ...]
    flops: float


def main() -> None:
    asked = arguments()
    folder = Path(asked.folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sizes = [size_of(text) for text in asked.sizes]
    outcomes = [outcome for way, at in ways(asked, folder, sizes) for outcome in follow(way, at, asked, folder)]
    print_table(outcomes, sizes)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--sizes", nargs="+", default=["512x2", "1024x2"], help="WIDTHxDEPTH")
    parser.add_argument("--depth", type=int, default=2, help="of the proxy")
    parser.add_argument("--steps", type=int, help="per run; default: the model's")
    parser.add_argument("--batch-size", type=int, help="sequences per step; default: the model's")
    parser.add_argument("--trials", type=int, default=20, help="of the proxy's search")
    parser.add_argument("--order", choices=["joint", "one-at-a-time"], default="joint")
    parser.add_argument("--search-seeds", type=int, nargs="+", default=[0], help="a search of the proxy for each")
    parser.add_argument("--multipliers", nargs="*", help="searched beside the learning rate; default: the model's")
    parser.add_argument("--seeds", type=int, default=3, help="fresh ones, per way and size")
    parser.add_argument("--ways", nargs="+", default=["zero-shot", "one-rate", "direct"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what is finished, run nothing")
    return parser.parse_args()


def size_of(text: str) -> tuple[int, int]:
    width, depth = text.split("x")
    return int(width), int(depth)


def ways(asked: argparse.Namespace, folder: Path, sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[Way, list[Any]]]:
    """Every way with the sizes it serves; one search of the proxy serves all of them."""
    proxy = (64, asked.depth)
    chosen = MODELS[asked.model]["multipliers"] if asked.multipliers is None else asked.multipliers
    for seed in asked.search_seeds if "zero-shot" in asked.ways else ():
        name = f"{asked.model}-{asked.order}-{asked.trials}-{seed}-{len(chosen) + 1}"
        space = {"learning_rate": RATE} | dict.fromkeys(chosen, MULTIPLE)
        tuning = {"trials": asked.trials, "order": asked.order, "seed": seed}
        yield Way(f"zero-shot {seed}", recipe(asked, folder, name, proxy, space, tuning), proxy), list(sizes)
    if "one-rate" in asked.ways:
        file = recipe(asked, folder, f"{asked.model}-one-rate", proxy, {"learning_rate": RATE}, {})
        yield Way("one rate", file, proxy), list(sizes)
    if "direct" in asked.ways:
        for width, depth in sizes:
            name = f"{asked.model}-direct-w{width}-d{depth}"
            file = recipe(asked, folder, name, (width, depth), {"learning_rate": RATE}, {}, standard=True)
            yield Way("direct", file, (width, depth)), [(width, depth)]


def recipe(
    asked: argparse.Namespace,
    folder: Path,
    name: str,
    tuned_at: tuple[int, int],
    space: dict[str, Any],
    tuning: dict[str, Any],
    *,
    standard: bool = False,
) -> Path:
    """Write the recipe of one search."""
    model = MODELS[asked.model]
    at = {"width": tuned_at[0], "depth": tuned_at[1]}
    changed = {"steps": asked.steps, "batch_size": asked.batch_size}
    changed = {key: value for key, value in changed.items() if value}
    document = {
        "name": "-".join([name, *(str(value) for value in changed.values())]),
        "model": model["model"],
        "data": {"kind": "stdlib-text"},
        "training": model["training"] | changed,
        "parameterization": {"name": "standard"} if standard else model["parameterization"],
        "sizes": {"base": at, "widths": [at["width"], 2 * at["width"]], "target": {**at, "width": 2 * at["width"]}},
        "tune": {"space": space, **tuning},
    }
    path = folder / f"{document['name']}.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False), encoding="utf-8")
    return path


def follow(way: Way, sizes: Sequence[tuple[int, int]], asked: argparse.Namespace, folder: Path) -> list[Outcome]:
    """Tune, write each size with `scale`, and train the fresh seeds there; finished parts are found again."""
    name = load_recipe(way.recipe).recipe.name
    record = folder / f"{name}.json"
    done = json.loads(record.read_text()) if record.exists() else {}
    if not asked.table:
        with open_session(str(way.recipe), folder / "runs", asked.workers) as session:
            result = tune(session)
            result.write(session.folder.tuned)
            done["flops"], done["tuned"] = result.flops, dict(result.recommended)
            for width, depth in sizes:
                of = session.loaded.recipe.size(width, depth)
                trials = final_runs(session, result.hyperparameters, of, asked.seeds)
                check_target(session, result.hyperparameters, of, folder / f"{name}-{of.label}-target.yaml")
                done[f"{width}x{depth}"] = [trial.loss for trial in trials]
                record.write_text(json.dumps(done, indent=2), encoding="utf-8")
    found = [(size, done.get(f"{size[0]}x{size[1]}")) for size in sizes]
    return [Outcome(way.label, size, tuple(losses), done["flops"]) for size, losses in found if losses]


def final_runs(session: Session, values: Any, size: Size, seeds: int) -> list[Trial]:
    """Fresh seeds at the tuned values."""
    requests = [
        TrialSpec(session.loaded.recipe, session.root, size, values, FIRST_SEED + seed) for seed in range(seeds)
    ]
    return run_requests(requests, session.store, session.pool, identity=session.identity, phase=Phase.CHECK)


def check_target(session: Session, values: Any, size: Size, path: Path) -> None:
    """The file that `scale` writes holds what the final runs train with; nothing was checked, so it is forced."""
    made = scale(session.loaded, session.folder, session.loaded.recipe.name, force=True, size=size)
    path.write_text(made.text, encoding="utf-8")
    trained = group_rows(planned(TrialSpec(session.loaded.recipe, session.root, size, values, FIRST_SEED)).rows)
    written = load_plan(path).groups
    for mine, theirs in zip(trained, written, strict=True):
        for quantity in ("pattern", "init_std", "learning_rate", "weight_decay", "eps"):
            assert getattr(mine, quantity) == getattr(theirs, quantity), f"{path} is not what was trained"


def print_table(outcomes: Sequence[Outcome], sizes: Sequence[tuple[int, int]]) -> None:
    print("      size          way   final loss  (s.e.)   against direct    tuning FLOPs   of direct")
    for size in sizes:
        rows = {outcome.label: outcome for outcome in outcomes if outcome.size == size}
        direct = rows.get("direct")
        for label, row in rows.items():
            error = statistics.stdev(row.losses) / math.sqrt(len(row.losses)) if len(row.losses) > 1 else math.nan
            line = f"{size[0]:6d} x {size[1]:<2d} {label:>11} {statistics.fmean(row.losses):10.4f} {error:8.4f}"
            if direct is not None and direct is not row and len(direct.losses) == len(row.losses):
                # seeds share their batches
                apart = [mine - theirs for mine, theirs in zip(row.losses, direct.losses, strict=True)]
                spread = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
                line += f"  {statistics.fmean(apart):+.4f} +- {spread:.4f}"
            else:
                line += " " * 19
            line += f"   {row.flops:10.3g}"
            print(line + (f"  {row.flops / direct.flops:9.1%}" if direct is not None else ""))


if __name__ == "__main__":
    main()
