"""Train the quickstart proxy on a fine lattice and store its losses: the tabulated landscapes of `efficiency.py`.

Usage: python benchmarks/proxy_table.py [FOLDER]    (about 15 minutes of one core; writes the CSV file again)

`proxy_1d.csv`: learning rates every 1/8 octave over the recipe's range, one row each, one column of final validation
losses (nats) per seed. An empty cell diverged.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hptransfer.recipe.load import load_recipe
from hptransfer.trainers._torch_runs import train_trial
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec

_ROOT = Path(__file__).resolve().parent


def main(folder: Path) -> None:
    """Both tables."""
    rates = [-12 + step / 8 for step in range(81)]
    write(folder / "proxy_1d.csv", ("learning_rate",), ((rate,) for rate in rates), seeds=range(24))


def write(path: Path, names: Sequence[str], points: Iterable[tuple[float, ...]], seeds: range) -> None:
    """Train every point (log2 of each hyperparameter) with every seed."""
    loaded = load_recipe(_ROOT.parent / "recipes" / "quickstart.yaml")
    recipe, root = loaded.recipe, loaded.root
    size = recipe.proxy_size
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*(f"log2_{name}" for name in names), *(f"seed_{seed}" for seed in seeds)])
        for point in points:
            values = {name: math.exp2(x) for name, x in zip(names, point, strict=True)}
            specs = [TrialSpec(recipe, root, size, values, seed) for seed in seeds]
            losses = [train_trial(TrialMessage.of(spec, "")).finished().loss for spec in specs]
            table.writerow([*point, *(f"{loss:.5f}" if math.isfinite(loss) else "" for loss in losses)])
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "data")
