"""nanoGPT-mup's own training of exported files: flat over width and depth, and not with a planted mistake.

The framework's code runs where the environment variable HPTRANSFER_NANOGPT_MUP names a git clone of
EleutherAI/nanoGPT-mup: both branches are taken from it, at the commits that were read, unmodified.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.nanogpt_mup_golden import checked_out
from hptransfer.handover.nanogpt_mup import FILE, branch_named
from hptransfer.roundtrip.nanogpt_mup import CHECKOUT
from hptransfer.sizes import Size
from tests.support.exported import write_export
from tests.support.nanogpt import CONTEXT, VOCABULARY
from tests.support.nanogpt_mup import framework, target

CLONE = os.environ.get(CHECKOUT)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CLONE is None, reason=f"{CHECKOUT} names no clone of nanoGPT-mup"),
]

RATE = 0.002
#: parameterization and axis -> the sizes of its ladder
LADDERS: Mapping[tuple[str, str], Sequence[Size]] = {
    ("mup", "width"): [Size(width, 2, 8, 8192) for width in (64, 128, 256, 512)],
    ("completep", "width"): [Size(width, 4, 8, 8192) for width in (64, 128, 256, 512)],
    ("completep", "depth"): [Size(64, depth, 8, 8192) for depth in (2, 4, 8, 16, 32)],
}
#: axis -> name -> what is edited in the exported values of a size
PLANTED: Mapping[str, Mapping[str, Callable[[Size], dict[str, Any]]]] = {
    "width": {
        "as exported": lambda size: {},
        "scaled by hand too": lambda size: {"learning_rate": RATE * 64 / size.width},
        "the switch is missing": lambda size: {"mup_enabled": False},
        "the growth is left at 1": lambda size: {"mup_width_multiplier": 1.0},
        "hidden rates not scaled": lambda size: {"mup_disable_hidden_lr_scaling": True},
    },
    "depth": {
        "as exported": lambda size: {},
        "scaled by hand too": lambda size: {"learning_rate": RATE * 2 / size.depth},
        "the switch is missing": lambda size: {"depth_alpha_enabled": False},
        "the growth is left at 1": lambda size: {"depth_multiplier": 1.0},
    },
}
CASES = [(rules, axis, name) for rules, axis in LADDERS for name in PLANTED[axis]]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Branch -> a folder with its code."""
    folder = tmp_path_factory.mktemp("nanogpt-mup")
    return functools.cache(lambda branch: checked_out(Path(str(CLONE)), branch, folder))


def change(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """How much what the last block writes changes within four steps of one batch, root mean square."""
    drawn = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCABULARY, (8, CONTEXT + 1), generator=drawn)
    x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    seen: list[torch.Tensor] = []
    *_, last = model.get_submodule("transformer.h").children()
    last.register_forward_hook(lambda _, __, output: seen.append(output.detach().clone()))
    for step in range(5):
        loss = model(x, y)[1]
        if step < 4:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return float((seen[-1] - seen[0]).square().mean().sqrt())


@pytest.mark.parametrize(("parameterization", "axis", "name"), CASES)
def test_its_coordinate_check_is_flat_and_not_of_a_mistake(
    parameterization: str, axis: str, name: str, tmp_path: Path, code: Callable[[str], Path]
) -> None:
    """The change of the residual stream against the size, two seeds, in the framework's own training."""
    points = []
    for size in LADDERS[parameterization, axis]:
        planned = target(parameterization, size=size, learning_rate=RATE)
        export = write_export(tmp_path / f"{size.width}x{size.depth}", "nanogpt-mup", planned) / FILE
        for seed in range(2):
            torch.manual_seed(seed)
            branch = code(branch_named(parameterization).name)
            model, optimizer, _ = framework(branch, export, **PLANTED[axis][name](size))
            points.append((math.log2(getattr(size, axis)), math.log2(change(model, optimizer))))
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    print(f"{parameterization} {axis} {name}: {slope:.3f}")  # what the page says

    # the tolerance of hptransfer's own coordinate check
    assert (abs(slope) < 0.15) == (name == "as exported"), slope
