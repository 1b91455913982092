"""Learning rates and weight decays against the unmodified optimizers of PyPI mup 1.0.0, by parameter name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import mup
import pytest
import torch
from torch import nn

from hptransfer.models.build import build_model
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel, MlpModel, Model
from hptransfer.sizes import Size
from tests.support.reading import read_module

Rates = dict[str, tuple[float, float]]


class Unequal(nn.Module):
    """Axes that grow unequally: d_model 64 -> 256 is 4x while d_ff 256 -> 2048 is 8x."""

    def __init__(self, width: int, readout: Callable[[int, int], nn.Module] = nn.Linear) -> None:
        super().__init__()
        d_ff = round(256 * (width / 64) ** 1.5)
        self.emb = nn.Embedding(10, width)
        self.ln = nn.LayerNorm(width)
        self.a = nn.Linear(width, d_ff)
        self.b = nn.Linear(d_ff, width, bias=False)
        self.o = readout(width, 10)


def unequal(width: int, depth: int) -> nn.Module:
    """A builder; depth does not matter."""
    return Unequal(width)


def ours(build: Callable[[int, int], nn.Module], base: Size, size: Size, optimizer: str) -> Rates:
    """Learning rate and decay by name, in the form that mup's optimizers are for (multipliers in forward)."""
    values = {"learning_rate": 1.0, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8}
    parameters = read_module(build, base, size)
    planned = plan(Parameterization("mup"), base, size, parameters, values, optimizer=optimizer, gauge="multipliers")
    return {row.parameter.name: (row.learning_rate, row.weight_decay) for row in planned.rows}


def theirs(model: nn.Module, optimizer: str) -> Rates:
    """Learning rate and decay by name, as mup puts them into parameter groups."""
    make = {"adamw": mup.MuAdamW, "sgd": mup.MuSGD}[optimizer]
    groups = make(model.parameters(), lr=1.0, weight_decay=0.1).param_groups
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    return {names[id(tensor)]: (group["lr"], group["weight_decay"]) for group in groups for tensor in group["params"]}


# Expected: PyPI mup 1.0.0's own groups, measured once and written out (lr 1, weight decay 0.1)
UNEQUAL = {
    "adamw": {
        "emb.weight": (1.0, 0.1),
        "ln.weight": (1.0, 0.1),
        "ln.bias": (1.0, 0.1),
        "a.weight": (0.25, 0.4),
        "a.bias": (1.0, 0.1),
        "b.weight": (0.125, 0.8),
        "o.weight": (1.0, 0.1),
        "o.bias": (1.0, 0.1),
    },
    "sgd": {
        "emb.weight": (4.0, 0.025),
        "ln.weight": (4.0, 0.025),
        "ln.bias": (4.0, 0.025),
        "a.weight": (2.0, 0.05),
        "a.bias": (8.0, 0.0125),
        "b.weight": (0.5, 0.2),
        "o.weight": (4.0, 0.025),
        "o.bias": (1.0, 0.1),
    },
}


@pytest.mark.parametrize("optimizer", UNEQUAL)
def test_unequal_axes_have_the_published_groups(optimizer: str) -> None:
    """Each axis scales by its own growth, in our plan and in mup's optimizer alike."""
    model = Unequal(256, mup.MuReadout)
    mup.set_base_shapes(model, Unequal(64, mup.MuReadout), delta=Unequal(128, mup.MuReadout))

    assert ours(unequal, Size(64, 1, 1, 1), Size(256, 1, 1, 1), optimizer) == UNEQUAL[optimizer]
    assert theirs(model, optimizer) == UNEQUAL[optimizer]


MODELS = [MlpModel(kind="mlp"), GptModel(kind="gpt"), GptModel(kind="gpt", positions="learned", mlp_ratio=2)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("model", MODELS, ids=["mlp", "gpt-rotary", "gpt-learned"])
@pytest.mark.parametrize(("base_width", "width"), [(64, 64), (64, 512), (32, 96), (128, 64)])
def test_built_in_models_agree_with_mup(model: Model, base_width: int, width: int, optimizer: str) -> None:
    """For every parameter of the built-in models, wider, equal or narrower than the base, factors equal mup's."""
    build = partial(build_model, model, device="meta")
    with torch.device("meta"):
        target = build(width, 2)
        # mup asserts that readouts are MuReadout, which a plain model has none of; shapes and optimizers do not need it
        mup.set_base_shapes(
            target, build(base_width, 2), delta=build(2 * base_width, 2), rescale_params=False, do_assert=False
        )

    expected = {name: pytest.approx(rates, rel=1e-15) for name, rates in theirs(target, optimizer).items()}

    assert ours(build, Size(base_width, 2, 1, 1), Size(width, 2, 1, 1), optimizer) == expected


def test_the_standard_table_differs_from_mup() -> None:
    """Negative control: the comparison can fail."""
    base, size = Size(64, 1, 1, 1), Size(256, 1, 1, 1)
    values = {"learning_rate": 1.0, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8}
    planned = plan(
        Parameterization("standard"), base, size, read_module(unequal, base, size), values, optimizer="adamw"
    )

    assert {row.parameter.name: row.learning_rate for row in planned.rows}["a.weight"] != UNEQUAL["adamw"]["a.weight"][
        0
    ]
