"""Trials per hour of `hptransfer tune` against a plain loop of the same trainings, written by hand with mup and Optuna.

    python benchmarks/overhead.py [--steps 900] [--repeats 1]

The loop trains in one process with one thread what `tune` trained: same model, data, learning rates, seeds and steps,
through the same `train` function; mup gives the parameter groups and Optuna's SQLite storage keeps the results. Each
time is that of a whole process, imports included, so `tune` with one worker is compared at its worst: a short search.
Prints one JSON object.
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


def main() -> None:
    """Time both ways, alternating, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=900, help="optimizer steps of a trial (about 1 ms each)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the loop by hand, in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_loop(options.plain, json.loads((options.folder / "points.json").read_text()), options.folder)
        return
    times: dict[str, list[float]] = {"plain": [], "tune --workers 1": [], "tune --workers 2": []}
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(RECIPE.replace("STEPS", str(options.steps)))
        for repeat in range(options.repeats):
            for workers in (1, 2):
                runs = Path(folder, f"runs-{repeat}-{workers}")
                command = [
                    "-m",
                    "hptransfer",
                    "tune",
                    str(recipe),
                    "--runs",
                    str(runs),
                    "--workers",
                    str(workers),
                    "-q",
                ]
                times[f"tune --workers {workers}"].append(timed(*command))
            points = trained_points(Path(folder, f"runs-{repeat}-1", "overhead", "study.db"))
            Path(folder, "points.json").write_text(json.dumps(points))
            times["plain"].append(timed(__file__, "--plain", str(recipe), "--folder", folder))
            Path(folder, "plain.db").unlink()
    median = {name: statistics.median(values) for name, values in times.items()}
    report = {
        "trials": len(points),
        "steps": options.steps,
        "seconds": times,
        "trials_per_hour": {name: round(3600 * len(points) / seconds) for name, seconds in median.items()},
        "relative_to_plain": {name: round(median["plain"] / seconds, 3) for name, seconds in median.items()},
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }
    print(json.dumps(report, indent=2))


def timed(*arguments: str) -> float:
    """Seconds of a whole Python process with one thread."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


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
    from hptransfer.training.data import load_corpus
    from hptransfer.training.loop import TrainingSettings, train

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    loaded = load_recipe(recipe).recipe
    corpus = load_corpus(loaded.data, recipe.parent)
    training = loaded.training
    settings = TrainingSettings(
        steps=training.steps,
        batch_size=training.batch_size,
        context=loaded.model.context,
        schedule=training.schedule,
        warmup=training.warmup,
        evaluation_batches=training.evaluation_batches,
    )
    study = optuna.create_study(storage=f"sqlite:///{folder}/plain.db")
    space = {"learning_rate": optuna.distributions.FloatDistribution(2**-12, 2**-2, log=True)}
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
