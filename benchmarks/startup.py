"""How long `hptransfer --help` takes as a whole process: `python benchmarks/startup.py [RUNS]`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def median_seconds(command: list[str], runs: int) -> float:
    """Median wall time of `runs` runs after one that warms the file cache."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print both medians and their ratio."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    empty = median_seconds([sys.executable, "-c", "pass"], runs)
    ours = median_seconds([sys.executable, "-m", "hptransfer", "--help"], runs)
    print(f"hptransfer --help  {ours:.3f} s   python -c pass  {empty:.3f} s   (medians of {runs})")


if __name__ == "__main__":
    main()
