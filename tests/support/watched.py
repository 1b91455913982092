"""Training as somebody else writes it: an MLP of unmodified mup or of plain torch, in a loop of its own."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mup
import torch
from torch import Tensor, nn
from torch.nn import functional

import hptransfer

FEATURES, CLASSES = 16, 8
#: what a correct width ladder needs to hold with three seeds (docs/coordinate-check.md)
WIDTHS = (64, 128, 256, 512, 1024)


class Mlp(nn.Module):
    """Three layers and a readout of the given class."""

    def __init__(self, width: int, readout: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(FEATURES, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, width)
        self.readout = readout(width, CLASSES)

    def forward(self, x_BxF: Tensor) -> Tensor:
        """Scores of the classes."""
        for layer in (self.fc1, self.fc2, self.fc3):
            x_BxF = functional.relu(layer(x_BxF))
        scores_BxC: Tensor = self.readout(x_BxF)
        return scores_BxC


class ForgottenMultiplier(mup.MuReadout):  # type: ignore[misc]  # mup has no types
    """A readout that mup initialises and that forgets to divide by the width's growth."""

    def forward(self, x_BxF: Tensor) -> Tensor:
        """Scores without mup's multiplier."""
        return nn.Linear.forward(self, x_BxF)


def _zero_readout(width: int, classes: int) -> nn.Module:
    readout: nn.Module = mup.MuReadout(width, classes, readout_zero_init=True)
    return readout


READOUTS: dict[str, Callable[[int, int], nn.Module]] = {
    "mup": mup.MuReadout,
    "zero readout": _zero_readout,
    "wrong readout": ForgottenMultiplier,
    "standard": nn.Linear,
}


def build(kind: str, width: int) -> Mlp:
    """The model at a width, initialised; mup's base width is 64."""
    model = Mlp(width, READOUTS[kind])
    if kind != "standard":
        mup.set_base_shapes(model, Mlp(64, READOUTS[kind]), delta=Mlp(128, READOUTS[kind]))
        for layer in (model.fc1, model.fc2, model.fc3):
            mup.init.kaiming_uniform_(layer.weight, a=1)
    return model


def adam(kind: str, model: nn.Module) -> torch.optim.Optimizer:
    """Adam of torch, or as mup scales it."""
    make = torch.optim.Adam if kind == "standard" else mup.MuAdam
    optimizer: torch.optim.Optimizer = make(model.parameters(), lr=3e-3)
    return optimizer


def probe() -> Tensor:
    """The batch that is the same in all runs."""
    return torch.randn(256, FEATURES, generator=torch.Generator().manual_seed(7))


def batches(seed: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs, and classes that a linear teacher gives them."""
    teacher = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(123))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        x_BxF = torch.randn(64, FEATURES, generator=generator)
        yield x_BxF, (x_BxF @ teacher).argmax(1)


def train(
    model: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, seed: int, count: int
) -> Iterator[float]:
    """A plain loop; the loss of every step, before it."""
    for x_BxF, y_B in batches(seed, count):
        loss = functional.cross_entropy(model(x_BxF), y_B)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        yield loss.item()


def watched(
    path: Path,
    kind: str,
    widths: Sequence[int] = WIDTHS,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    with_probe: bool = True,
    count: int = 10,
    steps: Sequence[int] = (1, 3, 10),
) -> Path:
    """Appends a run per width and seed to the file, and gives it back."""
    for width in widths:
        for seed in seeds:
            torch.manual_seed(seed)
            model = build(kind, width)
            optimizer = adam(kind, model)
            batch = probe() if with_probe else None
            with hptransfer.watch(
                model, batch, steps, optimizer=optimizer, path=path, size={"width": width}, seed=seed
            ):
                list(train(model, optimizer, seed, count))
    return path


class Frame:
    """What mup needs of pandas' DataFrame, and its CSV."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __setitem__(self, column: str, value: object) -> None:
        for row in self.rows:
            row[column] = value

    def to_csv(self, path: Path) -> None:
        """With the index in a first column without a name, as pandas writes it."""
        with path.open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["", *self.rows[0]])
            table.writerows([index, *row.values()] for index, row in enumerate(self.rows))


def mups_coordinate_check() -> Any:
    """Unmodified `mup.coord_check`, with pandas where it is installed and `Frame` in its place elsewhere."""
    missing = importlib.util.find_spec("pandas") is None
    if missing:
        sys.modules["pandas"] = types.ModuleType("pandas")
        sys.modules["pandas"].DataFrame = Frame  # type: ignore[attr-defined]  # a stand-in
    try:
        return importlib.import_module("mup.coord_check")
    finally:
        if missing:  # torch asks for the modules that are there
            del sys.modules["pandas"]


def mups_table(path: Path, kind: str, widths: Sequence[int] = WIDTHS, seeds: int = 3) -> Path:
    """What mup's `get_coord_data` measures over four passes, as CSV."""
    models = {width: lambda width=width: build(kind, width) for width in widths}
    frame = mups_coordinate_check().get_coord_data(
        models,
        list(batches(0, 1)),
        optimizer="adam",
        lr=3e-3,
        mup=kind != "standard",
        nsteps=4,
        nseeds=seeds,
        cuda=False,
        show_progress=False,
    )
    frame.to_csv(path)
    return path
