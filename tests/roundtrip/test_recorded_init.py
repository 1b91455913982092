"""The std that a framework's initialisation draws with, followed on the meta device, against what torch draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.roundtrip._recorded_init import recorded_init

INITS: dict[str, Callable[[Tensor], object]] = {
    "normal": lambda w: nn.init.normal_(w, std=0.02),
    "normal, scaled": lambda w: nn.init.normal_(w, std=0.02).mul_(0.25),
    "uniform": lambda w: nn.init.uniform_(w, -0.1, 0.3),
    "xavier": nn.init.xavier_normal_,
    "kaiming": lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.02, a=-0.06, b=0.06),
    "truncated on one side": lambda w: nn.init.trunc_normal_(w, mean=0.5, std=1.0, a=0.0, b=2.0),
    "data": lambda w: w.data.normal_(0.0, 0.3).div_(2),
    "copied": lambda w: w.data.copy_(torch.randn_like(w) * 0.7),
}


@pytest.mark.parametrize("name", list(INITS))
@pytest.mark.filterwarnings("ignore:.*trunc_normal_.*:UserWarning")
def test_the_std_is_that_of_what_torch_draws(name: str) -> None:
    """A million numbers that torch draws have it, within five standard errors."""
    torch.manual_seed(0)
    drawn = torch.empty(1000, 1000)
    with torch.no_grad():
        INITS[name](drawn)
    with recorded_init() as record:
        there = torch.empty(1000, 1000)
        with torch.no_grad():
            INITS[name](there)
        found = record.std_of(there)

    assert found == pytest.approx(float(drawn.std()), rel=5 / math.sqrt(2e6) * 2)


def test_layers_of_torch_are_followed_by_name() -> None:
    """A linear layer is uniform on +-1/sqrt(fan_in), std 1/sqrt(3 fan_in); a norm's gain is a constant."""
    with recorded_init() as record:
        stds = record.stds(nn.Sequential(nn.Linear(300, 40), nn.LayerNorm(40)))

    assert stds["0.weight"] == pytest.approx(1 / 30, rel=1e-6)
    assert stds["1.weight"] is None
    assert stds["1.bias"] is None


def test_what_cannot_be_followed_is_said() -> None:
    """An orthogonal start is no draw with factors; half a matrix drawn otherwise has no one std."""
    with recorded_init() as record:
        layer = nn.Linear(8, 8)
        with torch.no_grad():
            layer.weight[:4].normal_(std=3.0)
        with pytest.raises(UsageError, match="made of draws and factors"):
            record.stds(layer)


def test_only_a_row_for_padding_may_be_zero_in_a_draw() -> None:
    """The std is that of the other rows; zeros elsewhere, and a shift of those there are, are not known."""
    with recorded_init() as record:
        padded = nn.Embedding(10, 4, padding_idx=3)
        nn.init.normal_(padded.weight, std=0.5)
        with torch.no_grad():
            padded.weight[3].zero_()
            padded.weight.mul_(2.0)
        cut = nn.Embedding(10, 4)
        nn.init.normal_(cut.weight, std=0.5)
        with torch.no_grad():
            cut.weight[3].zero_()

    assert record.stds(padded) == {"weight": 1.0}
    with pytest.raises(UsageError, match="draws and factors"):
        record.stds(cut)
    with record, torch.no_grad():
        padded.weight.add_(1.0)
    with pytest.raises(UsageError, match="draws and factors"):
        record.stds(padded)
    with record:
        nn.init.normal_(cut.weight, std=0.25)
    assert record.stds(cut) == {"weight": 0.25}
