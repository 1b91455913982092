"""Starts that no operation tells, measured from two models with different seeds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from hptransfer.probe.measured_init import Measured, measured_inits, std_at
from hptransfer.probe.own_init import OwnInit


def holding(values: np.ndarray) -> nn.Module:
    """A module with one parameter that numpy made."""
    module = nn.Module()
    module.weight = nn.Parameter(torch.from_numpy(values).float())
    return module


def drawn() -> np.ndarray:
    """Numpy's global generator, as older code uses it."""
    return np.random.normal(scale=0.3, size=(64, 64))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda: np.full(5, 0.25), OwnInit("constant", value=0.25)),
        (lambda: np.zeros(5), OwnInit("zeros", value=0.0)),
        (lambda: np.ones(5), OwnInit("ones", value=1.0)),
        (lambda: np.arange(5.0), OwnInit("kept")),
        (lambda: np.random.uniform(0.001, 0.1, size=64), OwnInit("kept")),
        (lambda: np.random.normal(size=3), OwnInit("kept")),
    ],
)
def test_kinds(values: Callable[[], np.ndarray], expected: OwnInit) -> None:
    """Equal in both models: a constant or a structure; random around another value than zero: a structure too."""
    found = measured_inits(lambda: holding(values()), ["weight", "missing"])

    assert {name: each.init for name, each in found.items()} == {"weight": expected}


def test_std_of_random_starts() -> None:
    """Within its own standard error, whatever seeds the user's code sets; no generator is moved."""

    def build() -> nn.Module:
        torch.manual_seed(1337)  # obeyed, both models would be the same: a structure
        module = holding(drawn())
        module.other = nn.Parameter(torch.exp(torch.randn(64, 64)) - math.exp(0.5))
        return module

    before = (torch.random.get_rng_state(), random.getstate(), numpy_state())
    found = measured_inits(build, ["weight", "other"])

    assert found["weight"].init.kind == found["other"].init.kind == "normal"
    assert found["weight"].init.std == pytest.approx(0.3, rel=4 * found["weight"].error)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (random.getstate(), numpy_state()) == before[1:]
    assert torch.manual_seed is torch.random.manual_seed


def numpy_state() -> str:
    """Of numpy's global generator."""
    return repr(np.random.get_state(legacy=False))


def measured(std: float, error: float = 0.01) -> Measured:
    """A std with its relative error."""
    return Measured(OwnInit("normal", std), (4, 4), error)


@pytest.mark.parametrize(
    ("wide", "deep", "expected"),
    [
        (0.1, 0.1, 0.1),
        (0.1 / math.sqrt(2), 0.1, 0.1 / math.sqrt(8)),
        (0.1 * 2**-0.98, 0.1, 0.1 / 8),
        (0.1, 0.1 / math.sqrt(2), 0.05),
        (0.1 * 2**-0.4, 0.1, None),
    ],
)
def test_powers_of_the_size(wide: float, deep: float, expected: float | None) -> None:
    """The nearest quarter within three standard errors, to 8 times the width and 4 times the depth; else nothing."""
    grown = {"width": (measured(wide), 2.0), "depth": (measured(deep), 2.0)}

    found = std_at(measured(0.1), grown, {"width": 8.0, "depth": 4.0})

    assert found == (None if expected is None else pytest.approx(expected))
    assert std_at(measured(0.1), {}, {"width": 1.0, "depth": 1.0}) == 0.1
    assert std_at(measured(0.1), {}, {"width": 2.0}) is None
