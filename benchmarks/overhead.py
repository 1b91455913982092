"""Trials per hour of `hptransfer tune` against a plain loop of the same trainings, written by hand with mup and Optuna.

    python benchmarks/overhead.py [--steps 2400] [--ways ...]

The loop trains in one process with one thread what `tune` trained: same model, data, learning rates, seeds and steps,
through the same `train` function; mup gives the parameter groups and Optuna's SQLite storage keeps the results. Each
time is that of a whole process, imports included, so `tune` with one worker is compared at its worst: a short search.
"two plain" are two such loops at once, each with half of the points: what two workers could reach on this machine.
Prints one JSON object; calls add to the results in the folder, so that ways can be timed apart and repeatedly.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """\
name: overhead
model: {kind: mlp}
data: {kind: stdlib-text}
training: {steps: STEPS, batch_size: 64, evaluation_batches: 32}
parameterization: {name: mup}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128, 256, 512]
  target: {width: 1024, depth: 2}
tune:
  space: {learning_rate: {low: 0.000244140625, high: 0.25}}
  trials: 24
  confirm_seeds: 2
"""
TRIALS = 24 + 2


WAYS = ("tune --workers 1", "plain", "tune --workers 2", "two plain")


def main() -> None:
    """Time the ways asked for and print the medians of all that were timed in the folder so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2400, help="optimizer steps of a trial (about 0.8 ms each)")
    parser.add_argument("--folder", type=Path, default=Path("overhead"), help="results of earlier calls are kept here")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="the first one comes first: it searches")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the loop by hand, in a process of its own
    options = parser.parse_args()
    if options.plain:
        plain_loop(options.plain, json.loads((options.folder / "points.json").read_text()), options.folder)
        return
    folder: Path = options.folder
    folder.mkdir(exist_ok=True)
    results = folder / "seconds.json"
    seconds: dict[str, list[float]] = json.loads(results.read_text()) if results.exists() else {}
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.replace("STEPS", str(options.steps)))
    for way in options.ways:
        seconds.setdefault(way, []).append(timed_together(*commands(way, folder, recipe)))
        results.write_text(json.dumps(seconds))
    report(seconds, options.steps)


def commands(way: str, folder: Path, recipe: Path) -> list[tuple[str, ...]]:
    """What is started at once for one measurement."""
    run = Path(tempfile.mkdtemp(dir=folder))
    if way.startswith("tune"):
        workers = way[-1]
        return [("-m", "hptransfer", "tune", str(recipe), "--runs", str(run), "--workers", workers, "--quiet")]
    points = trained_points(next(folder.glob("*/overhead/study.db")))
    parts = 2 if way == "two plain" else 1
    return [by_hand(recipe, points[part::parts], run / str(part)) for part in range(parts)]


def report(seconds: dict[str, list[float]], steps: int) -> None:
    """Print medians, trials per hour and what they are relative to the plain loop."""
    median = {way: statistics.median(values) for way, values in seconds.items()}
    document = {
        "trials": TRIALS,
        "steps": steps,
        "seconds": {way: [round(value, 2) for value in values] for way, values in seconds.items()},
        "trials_per_hour": {way: round(3600 * TRIALS / value) for way, value in median.items()},
        "relative_to_plain": {way: round(median["plain"] / v, 3) for way, v in median.items() if "plain" in median},
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }
    print(json.dumps(document, indent=2))


def timed_together(*commands: tuple[str, ...]) -> float:
    """Seconds until the last of several such processes, started at once, has ended."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    started = time.perf_counter()
    processes = [
        subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, env=environment) for command in commands
    ]
    if any(process.wait() for process in processes):
        raise SystemExit("a process failed: see above")
    return time.perf_counter() - started


def by_hand(recipe: Path, points: list[tuple[float, int, float]], folder: Path) -> tuple[str, ...]:
    """The command of the loop by hand over these points, with a folder of its own."""
    folder.mkdir()
    (folder / "points.json").write_text(json.dumps(points))
    return __file__, "--plain", str(recipe), "--folder", str(folder)


def trained_points(study: Path) -> list[tuple[float, int, float]]:
    """Learning rate, seed and loss of every trial that `tune` trained."""
    from hptransfer.storage.snapshot import read_trials

    return [(s.hyperparameters["learning_rate"], s.seed, s.trial.loss) for s in read_trials(study) if s.trial]


def plain_loop(recipe: Path, points: list[list[float]], folder: Path) -> None:
    """What somebody would write who knows the values to try: a study, a model, mup's optimizer groups, a training."""
    import mup
    import optuna
    import torch

    from hptransfer.models.build import build_model
    from hptransfer.recipe.load import load_recipe
    from hptransfer.training.data import load_batches
    from hptransfer.training.loop import TrainingSettings, train

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    loaded = load_recipe(recipe).recipe
    corpus = load_batches(loaded.data, recipe.parent)
    training = loaded.training
    settings = TrainingSettings(
        steps=loaded.steps(loaded.proxy_size),
        batch_size=training.batch_size,
        context=loaded.model.context,
        schedule=training.schedule,
        warmup=training.warmup,
        evaluation_batches=training.evaluation_batches,
    )
    study = optuna.create_study(storage=f"sqlite:///{folder}/plain.db")
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "learning_rate": optuna.distributions.FloatDistribution(2**-12, 2**-2, log=True)
    }
    for learning_rate, seed, _ in points:
        study.enqueue_trial({"learning_rate": learning_rate})
        trial = study.ask(space)
        torch.manual_seed(int(seed))
        model = build_model(loaded.model, 64, 2)
        mup.set_base_shapes(
            model, build_model(loaded.model, 64, 2), delta=build_model(loaded.model, 128, 2), do_assert=False
        )
        optimizer = mup.MuAdamW(model.parameters(), lr=trial.params["learning_rate"], weight_decay=0.0)
        # without MuAdamW's own `fused: None`, which would make the same steps a quarter slower than those of `tune`
        groups = [
            {key: group[key] for key in ("params", "lr", "weight_decay", "eps")} for group in optimizer.param_groups
        ]
        outcome = train(model, groups, corpus, settings, int(seed))
        finite = outcome.loss if outcome.loss < float("inf") else None
        study.tell(trial, finite, state=None if finite is not None else optuna.trial.TrialState.FAIL)


if __name__ == "__main__":
    main()
