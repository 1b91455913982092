"""Sizes that move with the width, and no number of `forward` says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

import hptransfer
from hptransfer.probe.probing import probe
from tests.support import moving_models as models
from tests.support import probed_models, zoo
from tests.support.user_models import USER_MODELS

if TYPE_CHECKING:
    from torch import nn


@pytest.mark.parametrize(
    ("build", "operation", "power", "reaches"),
    [
        # sums of n terms grow as n where they agree (outputs of relu) and as its root where they are independent
        (models.SumOverChannels, "sum", 1.0, "what layers.1.weight reads"),
        (models.DotsBesideFeatures, "sum", 1.0, "what head.weight reads"),
        (models.DotsAlone, "bmm", 1.0, "what mix.weight reads"),
        (models.experts("sum"), "sum", 0.5, "the residual stream"),
        (models.experts("sigmoid"), "sum", 0.5, "the residual stream"),
        (models.TimesNorm, "linalg_vector_norm", 0.5, "an output"),
    ],
)
def test_where_a_size_begins_to_move(
    build: Callable[[int, int], nn.Module], operation: str, power: float, reaches: str
) -> None:
    """The operation, its line, its power of the width, and what moves with it."""
    (found,) = probe(build, (64, 2)).movements

    assert (found.operation, found.reaches) == (operation, reaches)
    assert found.power == pytest.approx(power, abs=0.25)
    assert found.where.code.startswith("moving_models.py:")


@pytest.mark.parametrize("how", ["softmax", "mean", "root"])
def test_averages_and_divided_sums_do_not_move(how: str) -> None:
    """Means of independent terms fall, those of aligned ones do not; a sum over its root is a number of `forward`."""
    assert probe(models.experts(how), (64, 2)).movements == ()


@pytest.mark.parametrize("build", [getattr(zoo, name) for name in (
    *("SequentialMlp", "gain_one_plus_w", "layer_scale", "zero_writers", "biased_gate", "lora", "embed_factor"),
    *("fixed_heads", "mha", "post_norm", "numbered_attributes", "tuple_output", "Upsampler", "Factorisation"),
    "HeadsTensor",
)] + [model.build for model in USER_MODELS.values()] + [
    *(probed_models.Bytes, probed_models.Adapted, probed_models.Cosine, probed_models.MeanOfExperts),
    *(probed_models.EinsumHeads, probed_models.HandGelu, probed_models.ResNet, probed_models.Rotary),
    *(probed_models.UNet, probed_models.ValueResidual, probed_models.DiT, probed_models.OutputThenInput),
    probed_models.Recurrent,
])  # fmt: skip
def test_no_false_alarm(build: Callable[[int, int], nn.Module]) -> None:
    """Models in which nothing moves by itself, or another finding says why."""
    assert probe(build, (64, 2)).movements == ()


def test_a_plan_says_it() -> None:
    """A note with the place, the power and what to do; none where the width stays."""
    wide, same = (
        hptransfer.plan(
            models.experts("sum"),
            base=(64, 2),
            target=target,
            parameterization="mup",
            hyperparameters={"learning_rate": 0.01},
        ).whole_plan.notes
        for target in ((256, 2), (64, 2))
    )

    (said,) = [note for note in wide if "moves as about width^0.5" in note]
    assert "`sum` at moving_models.py:" in said
    assert "no plan takes it back" in said
    assert not [note for note in same if "moves as about" in note]
