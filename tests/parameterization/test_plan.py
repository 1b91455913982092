"""Properties of plans: identity at base, composition, and what is said about what no rule covers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter


@pytest.mark.parametrize("missing", ["learning_rate", "weight_decay", "init_scale", "eps"])
def test_missing_base_values_are_named(missing: str) -> None:
    """A plan refuses to invent a hyperparameter."""
    values = {name: value for name, value in UNIT.items() if name != missing}

    with pytest.raises(UsageError, match=f"`{missing}`"):
        plan(Parameterization("mup"), SMALL, SMALL, (), values, optimizer="adamw")


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_learning_rate_must_be_positive_and_finite(value: float) -> None:
    """A learning rate that cannot train is refused."""
    with pytest.raises(UsageError, match="`learning_rate`"):
        plan(Parameterization("mup"), SMALL, SMALL, (), UNIT | {"learning_rate": value}, optimizer="adamw")


def test_sgd_needs_no_eps() -> None:
    """SGD has no eps, in its base values and in its rows."""
    values = {name: value for name, value in UNIT.items() if name != "eps"}

    planned = plan(Parameterization("mup"), SMALL, LARGE, (growing(Role.READOUT),), values, optimizer="sgd")

    assert planned.rows[0].eps is None


SMALL = Size(64, 2, 8, 800)
LARGE = Size(256, 2, 8, 800)


@pytest.mark.parametrize(
    ("name", "size", "axis"),
    [
        ("mup", Size(64, 4, 8, 800), "depth"),
        ("standard", Size(64, 4, 8, 800), "depth"),
        ("standard", Size(128, 2, 8, 800), "width"),
        ("completep", Size(64, 2, 16, 800), "batch"),
        ("completep", Size(64, 2, 8, 1600), "tokens"),
    ],
)
def test_axes_without_a_rule_are_noted(name: str, size: Size, axis: str) -> None:
    """Growth that the parameterization says nothing about is said, not hidden."""
    planned = plan(Parameterization(name), SMALL, size, (), UNIT, optimizer="adamw")

    assert any(f"`{name}` has no rule for {axis}" in note for note in planned.notes)


def test_covered_axes_are_not_noted() -> None:
    """CompleteP covers width and depth."""
    planned = plan(
        Parameterization("completep"),
        SMALL,
        Size(256, 8, 8, 800),
        (growing(Role.HIDDEN_WEIGHT, writes_residual=True),),
        UNIT,
        optimizer="adamw",
    )

    assert not any("no rule" in note for note in planned.notes)


def test_absorbed_multipliers_warn_about_clipping() -> None:
    """Global-norm clipping is not gauge-invariant, and the plan says so."""
    parts = (growing(Role.READOUT),)
    plain = plan(Parameterization("mup"), SMALL, LARGE, parts, UNIT, optimizer="adamw")
    explicit = plan(Parameterization("mup"), SMALL, LARGE, parts, UNIT, optimizer="adamw", gauge="multipliers")

    assert any("clip" in note for note in plain.notes)
    assert not any("clip" in note for note in explicit.notes)


def test_completep_needs_residual_branches_when_depth_grows() -> None:
    """A depth rule over residual branches is refused for a network without them, and harmless at equal depth."""
    hidden = (growing(Role.HIDDEN_WEIGHT),)

    plan(Parameterization("completep"), SMALL, LARGE, hidden, UNIT, optimizer="adamw")
    with pytest.raises(UsageError, match="residual"):
        plan(Parameterization("completep"), SMALL, Size(64, 4, 8, 800), hidden, UNIT, optimizer="adamw")


def test_depth_rules_leave_parameters_outside_the_blocks_alone() -> None:
    """A matrix with two growing axes outside the residual blocks follows the width rule only."""
    writer = growing(Role.HIDDEN_WEIGHT, writes_residual=True)
    outside = replace(growing(Role.HIDDEN_WEIGHT), in_block=False)
    planned = plan(
        Parameterization("completep", 0.5), SMALL, Size(256, 32, 8, 800), (outside, writer), UNIT, optimizer="adamw"
    )

    assert planned.rows[0].learning_rate == 0.25  # 1/m_N alone; in a block CompleteP adds m_L^-0.5 = 0.25


def test_norm_gains_absorb_a_branch_multiplier() -> None:
    """The gain of a norm at the end of a residual branch starts at m_L^-1; in the form with multipliers at one."""
    gain = replace(growing(Role.HIDDEN_VECTOR, writes_residual=True), init="ones")

    deeper = replace(LARGE, depth=4 * SMALL.depth)
    (plain,) = plan(Parameterization("completep"), SMALL, deeper, (gain,), UNIT, optimizer="adamw").rows
    (kept,) = plan(
        Parameterization("completep"), SMALL, deeper, (gain,), UNIT, optimizer="adamw", gauge="multipliers"
    ).rows

    depth = 1 / 4
    assert (plain.parameter.init, plain.parameter.init_value, plain.multiplier) == ("constant", depth, 1)
    assert (kept.parameter.init, kept.parameter.init_value, kept.multiplier) == ("ones", None, depth)


def test_init_scale_multiplies_random_inits_only() -> None:
    """A doubled init_scale doubles stds and touches nothing else."""
    parts = (growing(Role.HIDDEN_WEIGHT, 64, 64), growing(Role.HIDDEN_VECTOR, 64, 64))
    planned = plan(Parameterization("mup"), SMALL, SMALL, parts, UNIT | {"init_scale": 2.0}, optimizer="adamw")

    assert [row.init_std for row in planned.rows] == [2.0, None]
    assert [row.learning_rate for row in planned.rows] == [1.0, 1.0]


def test_rows_carry_rules_and_sources() -> None:
    """Every quantity of a row has its rule and its source, and an absorbed multiplier is named in it."""
    planned = plan(Parameterization("mup"), SMALL, LARGE, (growing(Role.READOUT),), UNIT, optimizer="adamw")
    row = planned.rows[0]

    assert row.rules["learning_rate"] == "m_in^-1"
    assert row.sources.keys() == row.rules.keys() == row.factors.keys()
    assert "Table 8" in row.sources["learning_rate"]
    assert "absorbed" in row.sources["learning_rate"]


def test_the_chosen_rules_are_said_with_their_alternatives() -> None:
    """A plan prints which of the published rules for weight decay and eps it follows, and the names of the others."""
    planned = plan(Parameterization("mup"), SMALL, LARGE, (growing(Role.READOUT),), UNIT, optimizer="adamw")
    decay = next(note for note in planned.notes if note.startswith("weight decay is `constant`"))
    eps = next(note for note in planned.notes if note.startswith("eps is `gradient`"))

    assert decay.endswith("also published: `unscaled`, `independent`, `sqrt`, `inverse`")
    assert eps.endswith("also published: `published`, `none`")


def test_weights_of_fixed_fan_out_are_noted() -> None:
    """Keys and values of a fixed number of heads follow their fan-in; the plan says that this is derived."""
    fixed = parameter(Role.HIDDEN_WEIGHT, fan_in=(64, 256), fan_out=(16, 16), name="k.weight")
    planned = plan(Parameterization("mup"), SMALL, LARGE, (fixed,), UNIT, optimizer="adamw")

    assert planned.rows[0].learning_rate == 0.25
    assert any("k.weight" in note and "2605.15290" in note for note in planned.notes)
