"""How long `judge` takes on 100 and on 100,000 rows, as whole processes.

`python benchmarks/judge_speed.py`; processor time decides, because the clock of a busy machine says little.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: rows -> seconds allowed beyond the start of an empty interpreter
_ALLOWED = {100: 1.0, 1_000: 1.5, 100_000: 5.0}
_WIDTHS = (64, 128, 256, 512)


def write_table(path: Path, rows: int) -> None:
    """A ladder of four widths with known optimum 2^-8 and noise; dense in values where there are many rows."""
    rng = np.random.default_rng(0)
    values = np.exp2(np.arange(-11, -5, 0.5)) if rows < 5_000 else np.exp2(rng.uniform(-11, -5, 250))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "width", "learning_rate", "seed", "loss", "runtime"])
        for row in range(rows):
            width, value = _WIDTHS[row % 4], values[row // 4 % len(values)]
            loss = 2 + 10 / width**0.5 + 0.02 * (np.log2(value) + 8) ** 2 + 0.005 * rng.standard_normal()
            writer.writerow([f"run {row}", width, float(value), row // (4 * len(values)), float(loss), row * 0.7])


def seconds(command: list[str], runs: int = 3) -> tuple[float, float]:
    """(processor, wall) time of the fastest of a few processes; the verdict's exit status does not matter."""
    times = []
    for _ in range(runs):
        start, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime
        times.append((processor, time.perf_counter() - start))
    return min(times)


def main() -> int:
    """Print the table; 1 when a limit is exceeded."""
    empty, _ = seconds([sys.executable, "-c", "pass"])
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for rows, allowed in _ALLOWED.items():
            path = Path(folder) / f"{rows}.csv"
            write_table(path, rows)
            used, wall = seconds([sys.executable, "-m", "hptransfer", "judge", str(path), "--json"])
            worst |= used - empty > allowed
            print(
                f"{rows:>7} rows  {used - empty:.2f} s of processor beyond an empty interpreter (allowed {allowed:g} s)"
                f", {wall:.2f} s on the clock"
            )
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
