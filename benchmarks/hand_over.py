"""A tuned result in a plain PyTorch script: how many fresh runs end inside their registered prediction?

`python -m benchmarks.hand_over RUNS [WIDTH ...]`: RUNS is the folder in which `hptransfer run recipes/quickstart.yaml`
ended. `hptransfer scale` writes a target for each width first (4 times the proxy's, then 4 times the largest that was
checked), with the loss it expects. Then a script that knows nothing of hptransfer but `load_plan` reads the same text,
trains with torch's AdamW and seeds that nobody used before, and measures on the evaluation set that the target names.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

import hptransfer
from hptransfer.data.base import split
from hptransfer.data.stdlib_text import stdlib_files

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
CONTEXT, EXAMPLES, BATCHES = 16, 64, 32
SEEDS = range(9000, 9005)


class Model(nn.Module):
    """The script's own model: what quickstart's mlp is, written anew; only the parameters' names are agreed on."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, 32)
        self.input, self.input_norm = nn.Linear(CONTEXT * 32, width), nn.LayerNorm(width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.hidden_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth - 1))
        self.readout = nn.Linear(width, 256)

    def forward(self, text_BxC: Tensor) -> Tensor:
        """Logits of the byte that follows."""
        h_BxD = self.input_norm(self.input(self.embedding(text_BxC).flatten(1))).relu()
        for layer, norm in zip(self.hidden, self.hidden_norms, strict=True):
            h_BxD = norm(layer(h_BxD)).relu()
        logits: Tensor = self.readout(h_BxD)
        return logits


def windows(text: np.ndarray, starts: np.ndarray) -> tuple[Tensor, Tensor]:
    """Contexts and the bytes that follow them."""
    rows = torch.from_numpy(text[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64))
    return rows[:, :-1], rows[:, -1]


def trained(target: Path, seed: int) -> float:
    """The final loss on the evaluation set of one run by the target's file."""
    content = yaml.safe_load(target.read_text())
    plan = hptransfer.load_plan(target)
    texts = {name: path.read_bytes() for name, path in stdlib_files().items()}
    train, validation = (np.frombuffer(part, np.uint8) for part in split(texts, 0.1))
    model = Model(content["size"]["width"], content["size"]["depth"])
    plan.init_(model, seed=seed)
    betas = (plan.optimizer_values["beta1"], plan.optimizer_values["beta2"])
    optimizer = torch.optim.AdamW(plan.param_groups(model), betas=betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, plan.schedule)
    draw = np.random.default_rng(seed)
    for _ in range(content["training"]["steps"]):
        context, following = windows(train, draw.integers(0, len(train) - CONTEXT, EXAMPLES))
        loss = functional.cross_entropy(model(context), following)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
    model.eval()
    starts = np.linspace(0, len(validation) - CONTEXT - 1, EXAMPLES * BATCHES).astype(np.int64)
    with torch.no_grad():
        pairs = (windows(validation, part) for part in starts.reshape(BATCHES, -1))
        losses = [functional.cross_entropy(model(x), y).item() for x, y in pairs]
    return sum(losses) / BATCHES


def main() -> None:
    """Print the registered interval, the five losses and how many are inside, per width."""
    runs = Path(sys.argv[1])
    for width in [int(each) for each in sys.argv[2:]] or [256, 4096]:
        target = runs / f"hand-over-{width}.yaml"
        command = [sys.executable, "-m", "hptransfer", "scale", str(RECIPE), "--runs", str(runs), "--width", str(width)]
        subprocess.run([*command, "--output", str(target)], check=True, stdout=subprocess.DEVNULL)
        content = yaml.safe_load(target.read_text())
        loss = content["prediction"]["loss"]
        print(f"on {content['prediction']['objective']['evaluation']}")
        print(f"width {width}: {loss['estimate']:.4f} ({loss['low']:.4f} to {loss['high']:.4f}) registered", flush=True)
        started, inside = time.perf_counter(), 0
        for seed in SEEDS:
            found = trained(target, seed)
            held = loss["low"] <= found <= loss["high"]
            inside += held
            print(f"  seed {seed}: {found:.4f} {'inside' if held else 'outside'}", flush=True)
        print(f"  {inside} of {len(SEEDS)} inside, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
