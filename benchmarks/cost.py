"""How long `hptransfer cost` takes for a 7B target, as a whole process: `python -m benchmarks.cost [RUNS]`.

Beside it, in turn, a process that only imports what transformers needs for a Llama and builds it on the meta device.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "tests" / "data" / "cost" / "llama-7b.yaml"
#: builds the target, and nothing else
BARE = """
import torch
from transformers import AutoConfig, AutoModelForCausalLM
config = AutoConfig.for_model("llama", hidden_size=4096, intermediate_size=11008, num_attention_heads=32)
with torch.device("meta"):
    AutoModelForCausalLM.from_config(config)
"""


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall time of one process, and its processor time: what the wall time is on a machine with nothing else to do."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print every time and the medians; one run of each warms the file cache."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours = [sys.executable, "-m", "hptransfer", "cost", str(RECIPE), "--flops-per-second", "4e14"]
    bare = [sys.executable, "-c", BARE]
    times = [(seconds(ours), seconds(bare)) for _ in range(runs + 1)][1:]
    for name, column in zip(("hptransfer cost", "imports and one build"), zip(*times, strict=True), strict=True):
        for kind, each in zip(("wall", "processor"), zip(*column, strict=True), strict=True):
            listed = ", ".join(f"{one:.2f}" for one in each)
            print(f"{name:22}  {kind:9}  median {statistics.median(each):.2f} s  of {listed}")


if __name__ == "__main__":
    main()
