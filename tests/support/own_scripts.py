"""A script that trains the recipe's small MLP by `plan.json`, in float64, on the same batches whoever trains."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Small(nn.Module):
    """Two hidden layers on four numbers."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Rows of four numbers to one number each."""
        x = torch.tanh(self.first(x.to(self.first.weight.dtype)))
        for block in self.blocks:
            x = torch.tanh(block(x))
        prediction: Tensor = self.last(x)[:, 0]
        return prediction


def small(width: int, depth: int) -> nn.Module:
    """The model."""
    return Small(width, depth)


def batch(seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Rows and what to predict, a pure function of seed and step."""
    generator = torch.Generator().manual_seed(10_000 * seed + step)
    x = torch.randn(size, 4, generator=generator, dtype=torch.float32)  # whatever the default is
    return x, torch.sin(x.sum(1))


def held_out() -> tuple[Tensor, Tensor]:
    """The evaluation set: 256 rows."""
    return batch(12345, 1, 256)


def batch_for_torch(seed: int, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
    """The same batches, as the trainer `torch` asks for them: its steps count from 0."""
    return batch(seed, step + 1, batch_size)


def evaluation_for_torch(index: int, batch_size: int) -> tuple[Tensor, Tensor]:
    """The evaluation set in parts."""
    rows = slice(index * batch_size, (index + 1) * batch_size)
    x, y = held_out()
    return x[rows], y[rows]


def trained(
    plan: Any, width: int, depth: int, seed: int, steps: int, size: int, say: Callable[[int, float], Any]
) -> float:
    """A loop that anybody would write; the loss of a fixed batch at the end."""
    torch.manual_seed(seed)  # the draw is the model's own, in float32, as with the trainer `torch` at every precision
    model = small(width, depth)
    plan.init_(model, seed)
    model.double()
    optimizer = torch.optim.AdamW(plan.param_groups(model), betas=(0.9, 0.95))
    if "watched" in sys.argv:
        import hptransfer

        hptransfer.watch(model, held_out()[0].double(), optimizer=optimizer)
    for step in range(1, steps + 1):
        x, y = batch(seed, step, size)
        loss = functional.mse_loss(model(x), y.double())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        say(step, loss.item())
    x, y = held_out()
    with torch.no_grad():
        return functional.mse_loss(model(x), y.double()).item()


def by_function(trial: Any) -> float:
    """As `trainer: {function: ...}` calls it."""
    size = trial.size
    return trained(trial.plan, size.width, size.depth, trial.seed, trial.steps, size.batch_size, trial.report)


def main() -> None:
    """As `trainer: {command: ...}` starts it."""
    import hptransfer

    path = Path(os.environ["HPTRANSFER_PLAN_FILE"])
    told = json.loads(path.read_text())
    size = told["size"]
    plan = hptransfer.load_plan(path)

    def say(step: int, loss: float) -> None:
        print(json.dumps({"step": step, "train": loss}), file=results, flush=True)

    with open(sys.argv[1], "w", encoding="utf-8") as results:
        final = trained(
            plan, size["width"], size["depth"], told["seed"], told["training"]["steps"], size["batch_size"], say
        )
        print(json.dumps({"step": told["training"]["steps"], "loss": final}), file=results)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
