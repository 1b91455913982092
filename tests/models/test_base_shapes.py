"""mup's files and mup's readouts, with unmodified mup 1.0.0 on the other side."""

from __future__ import annotations

from pathlib import Path

import mup
import pytest
import torch
from mup.infshape import InfShape, zip_infshape
from mup.shape import get_shapes
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.models.api import plan
from hptransfer.models.base_shapes import read_base_shapes, write_base_shapes
from hptransfer.models.shape_reading import read_model
from hptransfer.sizes import Size

HYPERPARAMETERS = {"learning_rate": 0.01, "weight_decay": 0.1, "eps": 1e-30}


class Net(nn.Module):
    """An MLP whose inner width grows as the square, with mup's readout or torch's."""

    def __init__(self, width: int, readout: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.up = nn.Linear(width, width * width // 8)
        self.down = nn.Linear(width * width // 8, width)
        self.readout = readout(width, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens B to logits B x 11."""
        h: Tensor = self.readout(self.down(torch.tanh(self.up(self.embedding(tokens)))))
        return h


def plain(width: int, depth: int) -> nn.Module:
    """With torch's readout."""
    return Net(width)


def with_mup(width: int, depth: int) -> nn.Module:
    """With mup's readout."""
    return Net(width, mup.MuReadout)


def growing_axes() -> dict[str, InfShape]:
    """The axes of `Net` that grow between two widths, with their lengths at width 16."""
    wide = get_shapes(Net(32))
    return {name: zip_infshape(tuple(shape), tuple(wide[name])) for name, shape in get_shapes(Net(16)).items()}


def test_mup_reads_our_files(tmp_path: Path) -> None:
    """A file written here gives mup the same growth as its own base and delta models do."""
    file = str(tmp_path / "net.bsh")
    write_base_shapes(file, growing_axes())
    ours, theirs = Net(64, mup.MuReadout), Net(64, mup.MuReadout)
    mup.set_base_shapes(ours, file)
    mup.set_base_shapes(theirs, Net(16, mup.MuReadout), delta=Net(32, mup.MuReadout))

    shapes = [[getattr(each, "infshape") for each in net.parameters()] for net in (ours, theirs)]  # noqa: B009  # mup sets it
    assert shapes[0] == shapes[1]
    assert [shape.width_mult() for shape in shapes[0]] == [shape.width_mult() for shape in shapes[1]]


def test_we_read_mup_files(tmp_path: Path) -> None:
    """A file written by mup decides the same parameters as comparing two widths does."""
    file = tmp_path / "net.bsh"
    mup.make_base_shapes(Net(16), Net(32), savefile=str(file))
    base, size = Size(16, 1, 1, 1), Size(64, 1, 1, 1)

    from_file = read_model(plain, base, size, base_shapes=read_base_shapes(file))

    assert from_file.parameters == read_model(plain, base, size).parameters


def test_a_file_round_trips(tmp_path: Path) -> None:
    """What is written is read again, null for axes that do not grow; a Path will do (mup: ValueError)."""
    file = tmp_path / "net.bsh"
    write_base_shapes(file, growing_axes())

    assert {name: shape.base_shape() for name, shape in read_base_shapes(file).items()} == {
        "embedding.weight": [None, 16],
        "up.weight": [32, 16],
        "up.bias": [32],
        "down.weight": [16, 32],
        "down.bias": [16],
        "readout.weight": [None, 16],
        "readout.bias": [None],
    }
    assert file.read_text().startswith("#")


@pytest.mark.parametrize("text", ["[]", "a: 3", "a: [x]", "a: [true]", "a: [0]", "a: [", "1: [2]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """Whatever is not a mapping from names to lengths and nulls."""
    file = tmp_path / "x.bsh"
    file.write_text(text)

    with pytest.raises(UsageError, match="base-shape file"):
        read_base_shapes(file)


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there."""
    with pytest.raises(UsageError, match="readable"):
        read_base_shapes(tmp_path / "none.bsh")


def losses(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Five steps on one batch."""
    tokens = torch.arange(22) % 11
    found = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(module(tokens), (tokens * 3 + 1) % 11)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        found.append(loss.item())
    return found


def test_mup_readouts_are_not_scaled_twice() -> None:
    """A model with MuReadout, initialised and grouped by the plan, trains as under MuAdamW."""
    module = Net(64, mup.MuReadout).double()
    mup.set_base_shapes(module, Net(16, mup.MuReadout), delta=Net(32, mup.MuReadout), rescale_params=False)
    planned = plan(
        with_mup,
        base=(16, 1),
        target=(64, 1),
        hyperparameters=HYPERPARAMETERS,
        parameterization="mup",
        init="rule",
    )
    planned.init_(module, seed=0)
    ours = losses(module, torch.optim.AdamW(planned.param_groups(module)))
    planned.init_(module, seed=0)
    theirs = losses(module, mup.MuAdamW(module.parameters(), lr=0.01, weight_decay=0.1, eps=1e-30))

    assert ours == pytest.approx(theirs, rel=1e-9)
    assert planned.plan is not None
    assert any("mup's readout" in note for note in planned.plan.notes)


def test_a_plain_readout_trains_as_mups() -> None:
    """The same network without MuReadout, its multiplier absorbed, has the same losses."""
    module = Net(64, mup.MuReadout).double()
    mup.set_base_shapes(module, Net(16, mup.MuReadout), delta=Net(32, mup.MuReadout), rescale_params=False)
    options = {"base": (16, 1), "target": (64, 1), "hyperparameters": HYPERPARAMETERS, "parameterization": "mup"}
    options["init"] = "rule"
    marked, unmarked = plan(with_mup, **options), plan(plain, **options)  # type: ignore[arg-type]  # options of one test
    marked.init_(module, seed=0)
    theirs = losses(module, mup.MuAdamW(module.parameters(), lr=0.01, weight_decay=0.1, eps=1e-30))
    bare = Net(64).double()
    unmarked.init_(bare, seed=0)

    assert losses(bare, torch.optim.AdamW(unmarked.param_groups(bare))) == pytest.approx(theirs, rel=1e-9)


def test_shared_readouts_may_be_tied() -> None:
    """MuSharedReadout divides in `forward`, so a tied table needs nothing else: it is an embedding."""

    class Tied(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.embedding = nn.Embedding(11, width)
            self.readout = mup.MuSharedReadout(self.embedding.weight, bias=False)

    planned = plan(
        lambda width, depth: Tied(width),
        base=(16, 1),
        target=(64, 1),
        hyperparameters=HYPERPARAMETERS,
        parameterization="mup",
    )

    (row,) = planned.rows
    # Table 8: init and learning rate of an embedding do not scale; mup's MuAdamW gives a tied table lr * 1 as well
    assert (row.init_std, row.learning_rate, row.weight_decay) == (1.0, 0.01, 0.1)
