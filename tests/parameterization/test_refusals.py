"""What is not known is an error that says what is; what cannot be absorbed says what stays in forward."""

from __future__ import annotations

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter

BASE, SIZE = Size(64, 2, 8, 800), Size(256, 32, 8, 800)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("adamw", Options(muon_scale="spectral")),
        ("adamw", Options(beside_muon="lion")),
        ("sgd", Options(eps="gradient")),
        ("sgd", Options(weight_decay="sqrt")),
        ("muon", Options(weight_decay="sqrt")),
        ("muon", Options(batch_rule="sde")),
        ("muon", Options(eps="published", beside_muon="lion")),
    ],
)
def test_choices_that_nobody_published_are_refused(optimizer: str, options: Options) -> None:
    """An option that is unknown for an optimizer, or would do nothing, is an error."""
    with pytest.raises(UsageError):
        plan(
            Parameterization("mup"),
            BASE,
            SIZE,
            (growing(Role.HIDDEN_WEIGHT),),
            UNIT,
            optimizer=optimizer,
            options=options,
        )


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adagrad"])
def test_decay_inside_the_normalisation_is_refused(optimizer: str) -> None:
    """No rule is known for L2 that Adam normalises (microsoft/mup issue 73); without decay Adam's rules hold."""
    row = growing(Role.HIDDEN_WEIGHT)

    with pytest.raises(UsageError, match="decay"):
        plan(Parameterization("mup"), BASE, SIZE, (row,), UNIT, optimizer=optimizer)
    planned = plan(Parameterization("mup"), BASE, SIZE, (row,), UNIT | {"weight_decay": 0.0}, optimizer=optimizer)

    assert planned.rows[0].learning_rate == 0.25


@pytest.mark.parametrize("gauge", ["plain", "multipliers", "unit"])
def test_tied_embeddings_keep_their_readout_multiplier(gauge: Gauge) -> None:
    """Every gauge has the factor of the logits, with one rate, and a note that says who applies it."""
    tied = parameter(Role.TIED_EMBEDDING, fan_in=(1, 1), fan_out=(64, 256))
    planned = plan(Parameterization("mup"), BASE, SIZE, (tied,), UNIT, optimizer="adamw", gauge=gauge)

    assert (planned.rows[0].init_std, planned.rows[0].learning_rate, planned.rows[0].multiplier) == (1, 1, 0.25)
    assert any("logits" in note and "0.25" in note for note in planned.notes)
    assert any("hptransfer.scale_logits(model, plan)" in note for note in planned.notes) == (gauge == "plain")


def test_a_role_without_a_rule_is_an_error_that_says_what_is_known() -> None:
    """Complete(d)P says nothing of routers."""
    with pytest.raises(UsageError, match="router") as caught:
        plan(Parameterization("complete-d-p"), BASE, BASE, (growing(Role.ROUTER),), UNIT, optimizer="adamw")

    assert "completep" in str(caught.value.findings[0].hint)


# muP for mixtures of experts (arXiv 2508.09752): the router is an output weight, its rate constant in Table 8; m_L = 16
def test_routers_follow_the_readout() -> None:
    """The multiplier is 1/fan_in and the rate constant; inside a block eps also follows the branch."""
    router = growing(Role.ROUTER)
    block = parameter(Role.ROUTER, fan_in=(64, 256), fan_out=(8, 8), in_block=True)
    writer = growing(Role.HIDDEN_WEIGHT, writes_residual=True)

    width = plan(Parameterization("mup"), BASE, SIZE, (router,), UNIT, optimizer="adamw", gauge="multipliers").rows[0]
    deep = plan(
        Parameterization("completep"), BASE, SIZE, (block, writer), UNIT, optimizer="adamw", gauge="multipliers"
    ).rows[0]

    assert (width.multiplier, width.learning_rate, width.init_std) == (0.25, 1, 1)
    assert (deep.multiplier, deep.learning_rate, deep.eps) == (0.25, 1, 0.25 / 16)
