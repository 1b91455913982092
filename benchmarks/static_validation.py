"""How long `validate` takes at the level `static`: start of the interpreter, imports, and 50 recipes.

    python -m benchmarks.static_validation [--recipes 50] [--repeats 5]

Each repeat is a fresh process; printed are the fastest and the median, in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from hptransfer.recipe.rule_text import laid
from tests.support.recipe_texts import GPT, LLAMA, MLP

_CHILD = """
import json, sys, time
start = time.perf_counter()
from hptransfer.commands.validate import validate_command
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
imported = time.perf_counter()
found = [validate(path, ValidationOptions()) for path in sys.argv[1:]]
ended = time.perf_counter()
assert not any(each.errors for each in found), found
heavy = sorted({"torch", "transformers", "numpy"} & sys.modules.keys())
print(json.dumps({"imports": imported - start, "recipes": ended - imported, "heavy": heavy}))
"""
_DATA = 'data: {kind: text, files: ["*.txt"]}\n'
_BUDGET = "budget: {trials: 500}\n"


def _measured(folder: Path, count: int, *, budgets: bool) -> dict[str, float]:
    """One fresh process over `count` recipes."""
    (folder / "data.txt").write_text("text " * 100_000)
    paths = []
    for number in range(count):
        sections = f"name: bench-{number}\n{_DATA}{_BUDGET if budgets else ''}"
        text = laid((MLP, GPT, LLAMA)[number % 3], sections)
        paths.append(folder / f"r{number}.yaml")
        paths[-1].write_text(text)
    command = [sys.executable, "-c", _CHILD, *map(str, paths)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for budgets in (False, True):
            runs = [_measured(Path(folder), asked.recipes, budgets=budgets) for _ in range(asked.repeats)]
            for name in ("imports", "recipes"):
                values = [run[name] for run in runs]
                what = f"{'with' if budgets else 'without'} budgets, {name}"
                print(f"{what}: fastest {min(values):.2f} s, median {statistics.median(values):.2f} s")
            print(f"  heavy modules: {runs[0]['heavy'] or 'none'}")


if __name__ == "__main__":
    main()
