"""How long `judge` takes on 100 and on 100,000 rows, as whole processes on one thread, with and without its imports.

`python benchmarks/judge_speed.py`; processor time decides, because the clock of a busy machine says little. Modules are
compiled once, as an installed package has them, even where the environment forbids to write what was compiled.
"""

from __future__ import annotations

import csv
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

#: (rows, kind of table) -> seconds allowed beyond the imports, and beyond the start of an empty interpreter
_BEYOND_IMPORTS = {(100, "grid"): 0.3, (1_000, "grid"): 0.5}
_BEYOND_EMPTY = {(100_000, kind): 2.5 for kind in ("sweep", "grid", "random", "export")}
_WIDTHS = (64, 128, 256, 512)


def write_table(path: Path, rows: int, kind: str) -> None:
    """A ladder of four widths with known optimum 2^-8 and noise.

    Args:
        path: where the table is written, replaced if it is there.
        rows: number of runs in the table, at least 100.
        kind: "grid" of 12 values; "sweep" of 250; "random", where each value is run once at each width; "export" of a
            grid with 20 settings.
    """
    rng = np.random.default_rng(0)
    count = {"sweep": 250, "random": rows // 4}.get(kind)
    values = np.exp2(np.arange(-11, -5, 0.5) if count is None else rng.uniform(-11, -5, count))
    settings = {f"config.setting_{number}": number for number in range(20 if kind == "export" else 0)}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "width", "learning_rate", "seed", "loss", "runtime", *settings])
        for row in range(rows):
            width, value = _WIDTHS[row % 4], values[row // 4 % len(values)]
            loss = 2 + 10 / width**0.5 + 0.02 * (np.log2(value) + 8) ** 2 + 0.005 * rng.standard_normal()
            seed = row // (4 * len(values))
            run = [f"run {row}", width, float(value), seed, float(loss), row * 0.7]
            writer.writerow([*run, *settings.values()])


def seconds(command: list[str], environment: Mapping[str, str], runs: int = 5) -> tuple[float, float]:
    """(processor, wall) time of the fastest of a few processes; the verdict's exit status does not matter."""
    times = []
    for _ in range(runs):
        start, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            command, env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime
        times.append((processor, time.perf_counter() - start))
    return min(times)


def judged(path: Path) -> list[str]:
    """What follows the interpreter to judge a table."""
    return ["-m", "hptransfer", "judge", str(path), "--json"]


def imports(path: Path, environment: Mapping[str, str]) -> str:
    """A program that imports what judging a table imports, in the same order, and does no more."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *judged(path)],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    names = re.findall(r"^import time:[ \d]+\|[ \d]+\| +(\S+)$", done.stderr, re.MULTILINE)
    if "hptransfer.checking.judge_table" not in names:
        raise RuntimeError(f"`judge` did not run: {done.stderr[-2000:]}")
    # a few are looked for and do not exist, in the run as well
    return (
        "from contextlib import suppress\nfrom importlib import import_module\n"
        f"for name in {names!r}:\n    with suppress(ImportError): import_module(name)"
    )


def main() -> int:
    """Print the table; 1 when a limit is exceeded."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/compiled", "OMP_NUM_THREADS": "1"}
        tables = {of: Path(folder) / f"{of[1]}_{of[0]}.csv" for of in (*_BEYOND_IMPORTS, *_BEYOND_EMPTY)}
        for (rows, kind), path in tables.items():
            write_table(path, rows, kind)
        empty, _ = seconds([sys.executable, "-c", "pass"], environment)
        loaded, _ = seconds([sys.executable, "-c", imports(tables[min(tables)], environment)], environment)
        print(f"load of the machine {', '.join(f'{each:.1f}' for each in os.getloadavg())} on {os.cpu_count()} cores")
        print(f"imports: {loaded - empty:.2f} s of processor beyond an empty interpreter")
        for (rows, kind), path in tables.items():
            used, wall = seconds([sys.executable, *judged(path)], environment)
            for spent, of, limits in (
                (used - loaded, "its imports", _BEYOND_IMPORTS),
                (used - empty, "an empty interpreter", _BEYOND_EMPTY),
            ):
                limit = limits.get((rows, kind))
                allowed = "" if limit is None else f" (allowed {limit:g} s)"
                said = f"{spent:.2f} s of processor beyond {of}{allowed}, {wall:.2f} s on the clock"
                print(f"{rows:>7} rows {kind:<7}{said}")
                worst |= limit is not None and spent > limit
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
