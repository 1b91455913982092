"""Which axes of a parameter a model sums over, whichever function of torch it is given to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.probe.summed_axes import SummedAxes

D, H, K, E = 24, 4, 6, 3


class Raw(nn.Module):
    """One raw parameter of a given shape, used as `use` says."""

    def __init__(self, shape: tuple[int, ...], use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.use = nn.Parameter(torch.randn(shape)), use

    def forward(self, x: Tensor) -> Tensor:
        """The use."""
        return self.use(x, self.weight)


def summed(module: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """What one pass shows."""
    seen = SummedAxes(module)
    with torch.no_grad(), seen:
        module(x)
    return seen.found


@pytest.mark.parametrize(
    ("shape", "use", "axes"),
    [
        ((D, H, K), lambda x, w: torch.einsum("btd,dhk->bthk", x, w), (0,)),
        ((H, K, D), lambda x, w: torch.einsum("bthk,hkd->btd", x.unflatten(-1, (H, K)), w), (0, 1)),
        ((H, K, D), lambda x, w: x @ w.reshape(H * K, D), (0, 1)),
        ((D, H), lambda x, w: x @ w, (0,)),
        ((H, D), lambda x, w: x @ w.t(), (1,)),
        ((H, D), lambda x, w: x @ w.mT, (1,)),
        ((H, D), functional.linear, (1,)),
        ((E, H, D), lambda x, w: sum(functional.linear(x, w[expert]) for expert in range(E)), (2,)),
        ((E, D, H), lambda x, w: torch.bmm(x.flatten(0, 1).expand(E, -1, -1), w), (1,)),
        ((2 * H, D), lambda x, w: functional.linear(x, w[:H]) + functional.linear(x, w[H:]), (1,)),
        ((D, D), lambda x, w: x @ w.to(torch.float64).float(), (0,)),
        ((D,), torch.matmul, (0,)),
    ],
)
def test_the_axes_that_a_product_sums_over(
    shape: tuple[int, ...], use: Callable[[Tensor, Tensor], Tensor], axes: tuple[int, ...]
) -> None:
    """Letters of einsum, columns of linear, rows of a product; through views and for each expert."""
    assert summed(Raw(shape, use), torch.randn(2, 5, D)) == {"weight": axes}


@pytest.mark.parametrize(
    ("shape", "use"),
    [
        ((D,), lambda x, w: x * w),
        ((H, K), lambda x, w: x.unflatten(-1, (H, K)) + w),
        ((H, K, D), lambda x, w: x @ w.reshape(K, H, D).reshape(H * K, D)),  # an axis is taken apart
    ],
)
def test_what_is_not_summed_or_cannot_be_followed_is_not_claimed(
    shape: tuple[int, ...], use: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Nothing is better than a guess."""
    assert summed(Raw(shape, use), torch.randn(2, 5, D)) == {}


def test_modules_say_the_same_as_their_types() -> None:
    """A linear layer sums over its columns."""
    assert summed(nn.Sequential(nn.Linear(D, H)), torch.randn(2, 5, D)) == {"0.weight": (1,)}
