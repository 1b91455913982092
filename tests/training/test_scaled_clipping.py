"""Clipping that carries over: the same training in every gauge, and one threshold for every size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.build import build_model
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.gradient_size import gradient_sizes
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from hptransfer.training.step import clip_scaled_
from tests.support.gauge_training import BASE, HYPERPARAMETERS, TARGET, WRITERS, Residual, teacher
from tests.support.reading import parameters_of, read_module

COMPLETEP = Parameterization("completep", 1.0)
#: far below the norms of the first gradients, so that most steps are clipped
THRESHOLD = 0.05


def losses(optimizer: str, gauge: Gauge, norm: str) -> tuple[list[float], int]:
    """Training losses in float64 with clipping, and how many steps were clipped."""
    parameters = read_module(Residual, BASE, TARGET, residual_writers=WRITERS)
    values = HYPERPARAMETERS[optimizer]
    planned = plan(COMPLETEP, BASE, TARGET, parameters, values, optimizer=optimizer, gauge=gauge)
    explicit = {} if gauge == "plain" else {"readout": 0.25, "branch": 0.25}
    module = Residual(TARGET.width, TARGET.depth, **explicit).double()
    applied = AppliedPlan.from_plan(planned)
    applied.init_(module, seed=0)
    groups = applied.param_groups(module)
    of = gradient_sizes(COMPLETEP, BASE, TARGET, parameters, values, gauge)
    named = dict(module.named_parameters())
    made: torch.optim.Optimizer = (
        torch.optim.AdamW(groups, betas=(0.9, 0.95)) if optimizer == "adamw" else torch.optim.SGD(groups, momentum=0.9)
    )
    seen, clipped = [], 0
    for input_, target in zip(*teacher(), strict=True):
        loss = functional.cross_entropy(module(input_), target)
        made.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if norm == "scaled":
            before = clip_scaled_(list(named.values()), [of[name] for name in named], THRESHOLD).item()
        else:
            before = nn.utils.clip_grad_norm_(module.parameters(), THRESHOLD).item()
        clipped += before > THRESHOLD
        made.step()
        seen.append(loss.item())
    return seen, clipped


@pytest.mark.parametrize("optimizer", HYPERPARAMETERS)
def test_gauges_train_alike_with_scaled_clipping(optimizer: str) -> None:
    """Multipliers in `forward` or absorbed: no loss differs by more than rounding, and most steps are clipped."""
    plain, clipped = losses(optimizer, "plain", "scaled")
    explicit, _ = losses(optimizer, "multipliers", "scaled")

    assert plain == pytest.approx(explicit, rel=1e-12)
    assert clipped > 10
    assert plain[-1] < plain[0]


def test_torchs_own_clipping_tells_gauges_apart() -> None:
    """Negative control: the global norm sees other gradients in the other gauge, and trains differently."""
    plain, _ = losses("sgd", "plain", "global")
    explicit, _ = losses("sgd", "multipliers", "global")

    assert max(abs(a / b - 1) for a, b in zip(plain, explicit, strict=True)) > 1e-3


def norms(name: str, width: int, depth: int, *, steps: int = 20) -> tuple[float, float]:
    """Mean scaled and global gradient norm of the decoder over the first steps of Adam."""
    model, base, size = GptModel(kind="gpt", context=16, head_dim=16), Size(32, 2, 8, 800), Size(width, depth, 8, 800)
    parameters = parameters_of(model, base, size)
    values = {"learning_rate": 2.0**-8, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-8}
    chosen = Parameterization(name)
    planned = plan(chosen, base, size, parameters, values, optimizer="adamw")
    module = build_model(model, width, depth)
    applied = AppliedPlan.from_plan(planned)
    applied.init_(module, seed=0)
    of = gradient_sizes(chosen, base, size, parameters, values)
    optimizer = torch.optim.AdamW(applied.param_groups(module), betas=(0.9, 0.95))
    random = np.random.default_rng(0)
    text = torch.from_numpy((random.integers(0, 64, (steps, 8, 1)) + 3 * np.arange(17)) % 256)
    scaled, whole = [], []
    for tokens in text:
        loss = functional.cross_entropy(module(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        named: dict[str, Any] = dict(module.named_parameters())
        scaled.append(clip_scaled_(list(named.values()), [of[each] for each in named], math.inf).item())
        whole.append(nn.utils.clip_grad_norm_(module.parameters(), math.inf).item())
        optimizer.step()
    return float(np.mean(scaled)), float(np.mean(whole))


def test_one_threshold_means_the_same_at_every_width_and_depth() -> None:
    """A decoder under CompleteP, 8x width: the scaled norm stays within 3%; 4x depth: 15%; the global ones grow 1.7x.

    At the base both are the same number.
    """
    base, usual = norms("completep", 32, 2)
    wide, usual_wide = norms("completep", 256, 2)
    deep, usual_deep = norms("completep", 32, 8)

    assert base == pytest.approx(usual, rel=1e-6)
    assert wide == pytest.approx(base, rel=0.03)
    assert deep == pytest.approx(base, rel=0.15)
    assert min(usual_wide / usual, usual_deep / usual) > 1.6


def test_sizes_are_one_at_the_base() -> None:
    """So that a threshold is a global gradient norm of the base."""
    parameters = read_module(Residual, BASE, BASE, residual_writers=WRITERS)

    assert set(gradient_sizes(COMPLETEP, BASE, BASE, parameters, {}).values()) == {1.0}
