"""Our own optimizers: steps by hand, a NumPy Lion written from the paper, and torch's own Muon, AdamW and Adam."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim._muon import _zeropower_via_newtonschulz

from hptransfer.errors import UsageError
from hptransfer.training.optim import AdamH, Lion, Muon, MuonH, polar_factor

Group = dict[str, Any]


def weights(*shapes: Sequence[int]) -> list[nn.Parameter]:
    """Normal draws in float64, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def gradients(parameters: Sequence[nn.Parameter], step: int) -> None:
    """Give every parameter a gradient that depends on the step alone."""
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)


def test_lion_by_hand() -> None:
    """ArXiv 2302.06675, Algorithm 2, with beta 0.5 and 0.75, rate 0.1, decay 0.5, from 2 with gradients 4 and -1.

    Step 1: the sign of 0.5 * 0 + 0.5 * 4 is 1, so 2 - 0.1 (1 + 0.5 * 2) = 1.8; momentum 0.25 * 4 = 1.
    Step 2: the sign of 0.5 * 1 - 0.5 * 1 is 0, so 1.8 - 0.1 (0 + 0.5 * 1.8) = 1.71; momentum 0.75 - 0.25 = 0.5.
    """
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    lion = Lion([{"params": [weight], "lr": 0.1, "weight_decay": 0.5}], betas=(0.5, 0.75))
    seen = []
    for gradient in (4.0, -1.0):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        lion.step()
        seen += [weight.item(), lion.state[weight]["momentum"].item()]

    assert seen == pytest.approx([1.8, 1.0, 1.71, 0.5], rel=1e-15)


def test_lion_is_the_papers() -> None:
    """Ten steps of a matrix and a vector agree with the algorithm in NumPy to rounding; no release ships with torch."""
    parameters = weights((3, 4), (5,))
    lion = Lion([{"params": parameters, "lr": 0.03, "weight_decay": 0.2}], betas=(0.9, 0.99))
    by_paper = [parameter.detach().numpy().copy() for parameter in parameters]
    momenta = [np.zeros_like(weight) for weight in by_paper]
    for step in range(10):
        gradients(parameters, step)
        for place, parameter in enumerate(parameters):
            assert parameter.grad is not None
            gradient = parameter.grad.numpy()
            update = np.sign(0.9 * momenta[place] + (1 - 0.9) * gradient)
            momenta[place] = 0.99 * momenta[place] + (1 - 0.99) * gradient
            by_paper[place] = by_paper[place] - 0.03 * (update + 0.2 * by_paper[place])
        lion.step()

    for parameter, expected in zip(parameters, by_paper, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12)


def parted(own: str, matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], **values: Any) -> list[Group]:
    """Groups of hidden weights and of all else, as plans give them."""
    return [
        {"params": list(matrices), "lr": 0.02, "weight_decay": 0.1, "optimizer": own, **values},
        {"params": list(others), "lr": 0.005, "weight_decay": 0.3, "eps": 1e-6, "optimizer": "adamw"},
    ]


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_muon_is_torchs_two_optimizers(adjust: str) -> None:
    """Stepped as one, under one schedule, weights are bit for bit those of torch's Muon and AdamW by themselves."""
    ours, theirs = (weights((6, 3), (3, 6), (4,)) for _ in range(2))
    one = Muon(parted("muon", ours[:2], ours[2:], adjust_lr_fn=adjust), momentum=0.8, betas=(0.7, 0.9))
    two = [
        torch.optim.Muon(theirs[:2], lr=0.02, weight_decay=0.1, momentum=0.8, adjust_lr_fn=adjust),
        torch.optim.AdamW(theirs[2:], lr=0.005, weight_decay=0.3, eps=1e-6, betas=(0.7, 0.9), fused=True),
    ]
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: 1 / (1 + step)) for each in (one, *two)]
    for step in range(6):
        for parameters, steppers in ((ours, [one]), (theirs, two)):
            gradients(parameters, step)
            for stepper in steppers:
                stepper.step()
        for schedule in schedules:
            schedule.step()

    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)


def on_sphere(weight: Tensor, direction: Tensor, rate: float) -> Tensor:
    """Hyperball's step (arXiv 2606.16899): norm |W| kept, an update of norm rate * |W|."""
    radius = weight.norm()
    moved = weight - rate * direction / direction.norm() * radius
    kept: Tensor = moved / moved.norm() * radius
    return kept


def test_adamh_by_hand() -> None:
    """From (3, 4), of norm 5, along (1, 1) by half the norm: to 5 times the unit vector of (3, 4) - 2.5 (1, 1)/sqrt 2.

    Adam's first direction is the sign of the gradient, (1, 1), where eps is far below it.
    """
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    weight.grad = torch.tensor([[7.0, 0.2]], dtype=torch.float64)
    groups = [{"params": [weight], "lr": 0.5, "weight_decay": 0.0, "eps": 1e-30, "optimizer": "adamh"}]
    AdamH(groups).step()
    x, y = 3 - 2.5 / math.sqrt(2), 4 - 2.5 / math.sqrt(2)

    assert weight.detach().numpy() == pytest.approx(np.array([[x, y]]) * 5 / math.hypot(x, y), rel=1e-14)


def adam_steps(weight: nn.Parameter) -> Callable[[], Tensor]:
    """Adam's direction at each call, read from torch's own Adam."""
    stepper = torch.optim.Adam([weight], lr=1.0, betas=(0.7, 0.9), eps=1e-6)
    return lambda: moved_by(weight, stepper)


def muon_steps(weight: nn.Parameter) -> Callable[[], Tensor]:
    """Muon's direction at each call, read from torch's own Muon; its size does not matter on a sphere."""
    stepper = torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, momentum=0.8)
    return lambda: moved_by(weight, stepper)


def moved_by(weight: nn.Parameter, stepper: torch.optim.Optimizer) -> Tensor:
    """Minus the change of one step, which is then undone."""
    before = weight.detach().clone()
    stepper.step()
    moved = before - weight.detach()
    weight.data.copy_(before)
    return moved


@pytest.mark.parametrize("own", ["adamh", "muonh"])
def test_hyperball_steps_along_torchs_directions(own: str) -> None:
    """Eight steps, weight decay given: along the direction of torch's Adam or Muon, from the first norm to itself."""
    (ours,), (shadow,) = weights((4, 6)), weights((4, 6))
    expected = ours.detach().clone()
    groups = [{"params": [ours], "lr": 0.1, "weight_decay": 0.5, "optimizer": own}]
    if own == "adamh":
        stepper: torch.optim.Optimizer = AdamH([groups[0] | {"eps": 1e-6}], betas=(0.7, 0.9))
    else:
        stepper = MuonH(groups, momentum=0.8)
    direction = (adam_steps if own == "adamh" else muon_steps)(shadow)
    norm = ours.detach().norm().item()
    for step in range(8):
        gradients([ours], step)
        gradients([shadow], step)
        stepper.step()
        expected = on_sphere(expected, direction(), 0.1)

        torch.testing.assert_close(ours.detach(), expected, rtol=1e-10, atol=1e-12)
        assert ours.detach().norm().item() == pytest.approx(norm, rel=1e-14)


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16), (97, 37)])
def test_polar_factors_are_torchs(shape: tuple[int, int]) -> None:
    """The iteration is that of torch's Muon, with singular values near 1."""
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    ours = polar_factor(matrix)
    theirs = _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    sizes = torch.linalg.svdvals(ours)

    torch.testing.assert_close(ours, theirs)
    assert 0.6 < sizes.min() <= sizes.max() < 1.3


def test_a_matrix_that_starts_at_zero_has_no_sphere() -> None:
    """It would stay at zero for ever: refused at the first step, with its shape."""
    weight = nn.Parameter(torch.zeros(2, 3))
    weight.grad = torch.ones(2, 3)
    stepper = MuonH([{"params": [weight], "lr": 0.1, "weight_decay": 0.0, "optimizer": "muonh"}])

    with pytest.raises(UsageError, match=r"must not start at zero; received: .*\(2, 3\)"):
        stepper.step()


def test_a_direction_of_zero_moves_nothing() -> None:
    """A gradient of zero at the first step leaves the weight where it is, instead of dividing by zero."""
    (weight,) = weights((2, 3))
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    AdamH([{"params": [weight], "lr": 0.1, "weight_decay": 0.0, "eps": 1e-8, "optimizer": "adamh"}]).step()

    torch.testing.assert_close(weight.detach(), before, rtol=1e-15, atol=0.0)


def test_groups_must_say_who_trains_them() -> None:
    """An embedding among Muon's matrices would be trained by the wrong rule in silence."""
    with pytest.raises(UsageError, match="muon or adamw") as caught:
        Muon([{"params": weights((2, 2)), "lr": 0.1, "weight_decay": 0.0}])

    assert "plan.param_groups(model)" in str(caught.value.findings[0].hint)


@pytest.mark.parametrize("own", [Muon, AdamH, MuonH])
def test_a_copy_steps_as_the_original(own: Any) -> None:
    """Optimizers are copied with their parameters, for example to look ahead."""
    parameters = weights((3, 3), (4,))
    stepper = own(parted(own.own, parameters[:1], parameters[1:], **({"eps": 1e-8} if own is AdamH else {})))
    gradients(parameters, 0)
    stepper.step()
    copied_parameters, copied = copy.deepcopy((parameters, stepper))
    for step in (1, 2):
        for some, of in ((parameters, stepper), (copied_parameters, copied)):
            gradients(some, step)
            of.step()

    for one, other in zip(parameters, copied_parameters, strict=True):
        assert torch.equal(one, other)


def test_adafactors_rate_is_a_share_of_the_weight() -> None:
    """Shazeer and Stern (arXiv 1804.04235): with equal gradients each entry moves by rate * RMS(weight).

    RMS of (3, 4; 3, 4) is sqrt(12.5); a gradient of one size has a factored average of that size, so the update is 1.
    """
    from hptransfer.training.optimizers.base import OPTIMIZERS

    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64))
    before = weight.detach().clone()
    weight.grad = torch.full_like(weight, 0.3)
    OPTIMIZERS.look_up("adafactor").build([{"params": [weight], "lr": 0.01, "weight_decay": 0.0}], {}).step()

    torch.testing.assert_close(before - weight.detach(), torch.full_like(weight, 0.01 * math.sqrt(12.5)))
