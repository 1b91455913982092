"""AdamH and MuonH in plans: relative rates, no decay, what they refuse; and the ratio of two optimizers' rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter

BASE, SIZE = Size(64, 2, 8, 800), Size(256, 32, 8, 800)  # m_N = 4, m_L = 16


def planned(
    optimizer: str, *rows: Parameter, name: str = "mup", options: Options | None = None, **values: float
) -> Plan:
    """The plan of these parameters beside a residual writer, from base values of 1, with multipliers in forward."""
    writer = growing(Role.HIDDEN_WEIGHT, writes_residual=True)
    return plan(
        Parameterization(name),
        BASE,
        SIZE,
        (*rows, writer),
        UNIT | values,
        optimizer=optimizer,
        gauge="multipliers",
        options=options,
    )


# HyperP (arXiv 2603.28743): one relative rate over the width for MuonH; with Depth-muP's branches of 1/sqrt(m_L) = 1/4
# it falls as they do. Hyperball (arXiv 2606.16899): one rate for AdamH too, where updates have full rank; else it falls
# as the init's size does, m_N^-1/2 = 1/2.
@pytest.mark.parametrize(
    ("optimizer", "name", "rank", "expected"),
    [
        ("muonh", "mup", None, 1),
        ("muonh", "depth-mup", None, 0.25),
        ("muonh", "completep", None, 1),
        ("muonh", "mup", "fixed", 0.5),
        ("adamh", "mup", None, 0.5),
        ("adamh", "mup", "full", 1),
        ("adamh", "depth-mup", None, 0.125),
        ("adamh", "standard", None, 1),
        ("muonh", "standard", None, 1),
    ],
)
def test_relative_rates(optimizer: str, name: str, rank: str | None, expected: float) -> None:
    """The rate of a matrix whose aspect is kept, in a block."""
    options = None if rank is None else Options(update_rank=rank)  # type: ignore[arg-type]  # names in a table

    assert planned(optimizer, name=name, options=options).rows[-1].learning_rate == expected


def test_the_gauge_moves_multipliers_into_the_init_alone() -> None:
    """A relative rate does not see a factor of the weight: depth-mup's branch, 1/4, is in the init alone."""
    writer = growing(Role.HIDDEN_WEIGHT, writes_residual=True)
    plain = plan(Parameterization("depth-mup"), BASE, SIZE, (writer,), UNIT, optimizer="muonh").rows[0]
    explicit = planned("muonh", name="depth-mup").rows[-1]

    assert (plain.multiplier, explicit.multiplier) == (1, 0.25)
    assert (plain.init_std, explicit.init_std) == (0.125, 0.5)
    assert plain.learning_rate == explicit.learning_rate == 0.25


@pytest.mark.parametrize("decay", ["constant", "unscaled", "independent", "sqrt", "inverse"])
def test_nothing_decays_on_a_sphere(decay: str) -> None:
    """Weight decay is that of what AdamW trains, and the plan says so (HyperP: decay is a first-order no-op)."""
    options = Options(weight_decay=decay)  # type: ignore[arg-type]  # names in a table
    result = planned("adamh", growing(Role.EMBEDDING), options=options, weight_decay=0.1)

    assert result.rows[-1].weight_decay == 0
    assert (result.rows[0].weight_decay > 0) == (decay != "sqrt")
    assert any("acts on what AdamW trains alone" in note for note in result.notes)


def test_a_matrix_that_starts_at_zero_is_refused_by_name() -> None:
    """It has no sphere; Muon, whose steps are not relative, takes it."""
    zero = replace(growing(Role.HIDDEN_WEIGHT), init="zeros", base_init_std=None)

    for optimizer in ("adamh", "muonh"):
        with pytest.raises(UsageError, match=r"must not start at zero; received: HIDDEN_WEIGHT\.p"):
            planned(optimizer, zero)
    assert planned("muon", zero).rows[0].init_std is None


def test_convolutions_have_no_polar_factor() -> None:
    """A kernel has four axes: Muon and MuonH refuse it by name, AdamH takes it."""
    kernel = replace(
        parameter(Role.HIDDEN_WEIGHT, fan_in=(9 * 64, 9 * 256), fan_out=(64, 256), name="conv.weight"),
        shape=(256, 256, 3, 3),
    )

    for optimizer in ("muon", "muonh"):
        with pytest.raises(UsageError, match=r"two axes; received: conv\.weight \(256, 256, 3, 3\)"):
            planned(optimizer, kernel)
    assert planned("adamh", kernel).rows[0].learning_rate == 0.5


@pytest.mark.parametrize("optimizer", ["muon", "adamh", "muonh"])
def test_the_ratio_of_rates_is_that_of_everything_but_hidden_weights(optimizer: str) -> None:
    """The plan's rule and source name it, and a plan without it says that the rates are one."""
    rows = [growing(role) for role in (Role.EMBEDDING, Role.READOUT, Role.HIDDEN_VECTOR)]
    without = planned(optimizer, *rows)
    result = planned(optimizer, *rows, adam_learning_rate=0.25)

    assert [row.learning_rate for row in result.rows[:-1]] == [0.25, 0.25, 0.25]
    assert result.rows[-1].learning_rate == without.rows[-1].learning_rate
    assert result.rows[0].rules["learning_rate"] == "adam_learning_rate"
    assert result.rows[0].sources["learning_rate"].endswith("; adam_learning_rate, tuned")
    assert any("take the same base learning rate with adamw" in note for note in without.notes)
    assert not any("take the same base learning rate" in note for note in result.notes)


def test_the_ratio_leaves_decay_per_step_alone_where_that_is_independent() -> None:
    """Under `independent` every parameter decays by the base value per step, whatever its rate."""
    options = Options(weight_decay="independent")
    result = planned("muon", growing(Role.EMBEDDING), options=options, weight_decay=0.5, adam_learning_rate=0.25)

    assert [row.learning_rate * row.weight_decay for row in result.rows] == [0.5, 0.5]


def test_a_ratio_of_one_optimizer_is_refused() -> None:
    """AdamW trains everything by itself."""
    with pytest.raises(UsageError, match="`adam_learning_rate` must multiply something") as caught:
        planned("adamw", growing(Role.EMBEDDING), adam_learning_rate=0.5)

    assert "muon, adamh or muonh" in str(caught.value.findings[0].hint)


def test_a_rank_of_updates_belongs_to_spheres() -> None:
    """With Muon it would have no effect."""
    with pytest.raises(UsageError, match="`update_rank` must be left out"):
        planned("muon", options=Options(update_rank="fixed"))


# torch's documented factors: sqrt(max(1, 1024/256)) = 2 and 0.2 sqrt(1024) = 6.4
@pytest.mark.parametrize(("scale", "factor"), [("original", "2"), ("match_rms_adamw", "6.4")])
def test_the_plan_shows_what_muon_multiplies_its_rates_with(scale: str, factor: str) -> None:
    """The printed rate is what the optimizer is given; its own factor of the shape is printed beside it."""
    up = parameter(Role.HIDDEN_WEIGHT, fan_in=(64, 256), fan_out=(256, 1024), name="up.weight")
    notes = planned("muon", up, options=Options(muon_scale=scale)).notes  # type: ignore[arg-type]  # names in a table

    assert any(f"{factor} where outputs x inputs are 1024 x 256" in note for note in notes)


@pytest.mark.parametrize("optimizer", ["soap", "shampoo"])
def test_a_refusal_says_what_is_known_of_an_optimizer(optimizer: str) -> None:
    """Not known well enough is said with the reason."""
    with pytest.raises(UsageError) as caught:
        planned(optimizer)

    assert "accounts of SOAP's disagree" in str(caught.value.findings[0].hint)
