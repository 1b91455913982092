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
    """Half a matrix drawn otherwise has no one std."""
    with recorded_init() as record:
        layer = nn.Linear(8, 8)
        with torch.no_grad():
            layer.weight[:4].normal_(std=3.0)
        with pytest.raises(UsageError, match="made of draws and factors"):
            record.stds(layer)


@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
def test_an_orthogonal_start_has_a_std(shape: tuple[int, int]) -> None:
    """Torch leaves tensors of the meta device alone, where the std before would be taken for it."""
    torch.manual_seed(0)
    drawn = nn.init.orthogonal_(torch.empty(shape), gain=2.0)
    with recorded_init() as record:
        there = nn.init.orthogonal_(nn.init.normal_(torch.empty(shape), std=0.02), gain=2.0)

    # squares of 40 unit vectors of 300 numbers: exact but for the mean's square
    assert record.std_of(there) == pytest.approx(float(drawn.std()), rel=1e-3)


def _made(start: Callable[[nn.Linear], Tensor]) -> str:
    with recorded_init() as record, torch.no_grad():
        layer = nn.Linear(8, 8)
        layer.bias.copy_(start(layer))
        return record.followed(layer)["bias"].made


COMPUTED: dict[str, Callable[[nn.Linear], Tensor]] = {
    "arange": lambda _: torch.log(torch.arange(1, 9)),
    "other numbers": lambda _: torch.log(torch.arange(2, 10)),
    "another operation": lambda _: torch.exp(torch.arange(1, 9)),
    "literal": lambda _: torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).sqrt(),
    "another literal": lambda _: torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0]).sqrt(),
    "of a draw": lambda _: torch.exp(torch.rand(8) * 3.0).clamp(min=1e-4),
    "of another draw": lambda _: torch.exp(torch.rand(8) * 4.0).clamp(min=1e-4),
    "a view": lambda layer: layer.weight[0].log(),
    "another view": lambda layer: layer.weight[1].log(),
}


def test_computed_starts_are_told_apart_by_what_made_them() -> None:
    """Each is like itself, built anew, and like no other."""
    digests = {name: _made(start) for name, start in COMPUTED.items()}

    assert digests == {name: _made(start) for name, start in COMPUTED.items()}
    assert len({*digests.values(), ""}) == len(COMPUTED) + 1


def test_a_start_of_unknown_numbers_is_like_no_other() -> None:
    """Memory as it was found may hold anything, and of a part that was written the rest is not known."""
    assert _made(lambda _: torch.empty(8).log()) == ""
    with recorded_init() as record, torch.no_grad():
        layer = nn.Linear(8, 8)
        layer.bias[:4].copy_(torch.arange(4))
        assert record.followed(layer)["bias"].made == ""


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
