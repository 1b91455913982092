"""The tables against the numbers printed in the papers; expected values are written out."""

from __future__ import annotations

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import PlannedParameter, plan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import HIDDEN_ONLY, WITH_EPS, Quantity, RuleTable
from hptransfer.parameterization.tables import TABLES, Parameterization, find_table
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing

BASE = Size(64, 2, 8, 800)
WIDER_AND_DEEPER = Size(256, 32, 8, 800)  # m_N = 4, m_L = 16


def planned(
    name: str,
    role: Role,
    *,
    alpha: float | None = None,
    optimizer: str = "adamw",
    writes: bool = False,
    gauge: Gauge = "multipliers",
) -> PlannedParameter:
    """One parameter of this role in a model that also has a residual writer."""
    rows = (growing(role, writes_residual=writes), growing(Role.HIDDEN_WEIGHT, writes_residual=True))
    return plan(
        Parameterization(name, alpha), BASE, WIDER_AND_DEEPER, rows, UNIT, optimizer=optimizer, gauge=gauge
    ).rows[0]


# CompleteP (arXiv 2505.01618) Table 1 with m_N = 4, m_L = 16
# columns: init std, learning rate, weight decay, eps, multiplier
COMPLETEP_TABLE_1 = {
    # alpha = 1: m_L^(alpha-1) = 1, m_L^-alpha = 1/16
    (1.0, Role.EMBEDDING): (1, 1, 1, 0.25, 1),
    (1.0, Role.HIDDEN_WEIGHT): (0.5, 0.25, 4, 0.015625, 1),  # init var 1/m_N; eps 1/(4 * 16)
    (1.0, Role.HIDDEN_VECTOR): (None, 1, 1, 0.015625, 1),
    (1.0, Role.OUTER_VECTOR): (None, 1, 1, 0.25, 1),
    (1.0, Role.READOUT): (1, 1, 1, 0.25, 0.25),  # unembedding forward 1/m_N
    # alpha = 1/2: m_L^(alpha-1) = 1/4, m_L^-alpha = 1/4
    (0.5, Role.EMBEDDING): (1, 1, 1, 0.25, 1),
    (0.5, Role.HIDDEN_WEIGHT): (0.5, 0.0625, 4, 0.0625, 1),
    (0.5, Role.HIDDEN_VECTOR): (None, 0.25, 1, 0.0625, 1),
    (0.5, Role.OUTER_VECTOR): (None, 1, 1, 0.25, 1),
    (0.5, Role.READOUT): (1, 1, 1, 0.25, 0.25),
}


@pytest.mark.parametrize(("alpha", "role"), COMPLETEP_TABLE_1)
def test_completep_matches_its_table(alpha: float, role: Role) -> None:
    """Every group of CompleteP has the published factor of every quantity."""
    row = planned("completep", role, alpha=alpha)

    assert (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier) == COMPLETEP_TABLE_1[
        alpha, role
    ]


@pytest.mark.parametrize(("alpha", "branch"), [(1.0, 0.0625), (0.5, 0.25)])
def test_completep_residual_branches_shrink_with_depth(alpha: float, branch: float) -> None:
    """CompleteP Table 1, MHA and MLP residual: the branch is multiplied by m_L^-alpha; m_L = 16."""
    assert planned("completep", Role.HIDDEN_WEIGHT, alpha=alpha, writes=True).multiplier == branch


def test_completep_uses_alpha_one_by_default() -> None:
    """CompleteP is the member alpha = 1 of its family."""
    assert find_table(Parameterization("completep"), "adamw")[1] == 1.0


# Tensor Programs V (arXiv 2203.03466) Table 8 and its SP values with m = 4; columns as above; depth has no rule there.
# eps: the gradients of this form are 1/m (measured exponents -1.01, -1.07, -1.11); SP keeps one eps.
TABLE_8_ADAM = {
    ("mup", Role.EMBEDDING): (1, 1, 1, 0.25, 1),
    ("mup", Role.HIDDEN_WEIGHT): (0.5, 0.25, 4, 0.25, 1),
    ("mup", Role.HIDDEN_VECTOR): (None, 1, 1, 0.25, 1),
    ("mup", Role.READOUT): (1, 1, 1, 0.25, 0.25),
    ("mup", Role.READOUT_BIAS): (None, 1, 1, 1, 1),
    ("standard", Role.EMBEDDING): (1, 1, 1, 1, 1),
    ("standard", Role.HIDDEN_WEIGHT): (0.5, 1, 1, 1, 1),
    ("standard", Role.HIDDEN_VECTOR): (None, 1, 1, 1, 1),
    ("standard", Role.READOUT): (0.5, 1, 1, 1, 1),
    ("standard", Role.READOUT_BIAS): (None, 1, 1, 1, 1),
}


@pytest.mark.parametrize(("name", "role"), TABLE_8_ADAM)
def test_adam_columns_of_table_8(name: str, role: Role) -> None:
    """Width-only tables have the published Adam factors, whatever the depth."""
    row = planned(name, role, gauge="plain" if name == "standard" else "multipliers")

    assert (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier) == TABLE_8_ADAM[name, role]


# Tensor Programs V Table 3 (no multiplier): output init var 1/fan_in^2, Adam LR 1/fan_in, SGD LR 1/fan_in; m = 4
def test_plain_readout_is_table_3_for_adam() -> None:
    """Absorbing the readout multiplier of Table 8 gives the output column of Table 3, whose gradients do not shrink."""
    row = planned("mup", Role.READOUT, gauge="plain")

    assert (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier) == (0.25, 0.25, 4, 1, 1)


def test_plain_readout_is_table_3_for_sgd() -> None:
    """For SGD the output learning rate of Table 3 is 1/fan_in, against fan_in in Table 8."""
    row = planned("mup", Role.READOUT, optimizer="sgd", gauge="plain")

    assert (row.init_std, row.learning_rate, row.weight_decay, row.multiplier) == (0.25, 0.25, 4, 1)
    assert planned("mup", Role.READOUT, optimizer="sgd").learning_rate == 4


# SGD with depth (derived): learning rate m_L^(2 alpha - 1) so that branch^2 * rate * depth is constant; m_L = 16
@pytest.mark.parametrize(("alpha", "rate"), [(1.0, 16), (0.5, 1)])
def test_sgd_depth_rule(alpha: float, rate: float) -> None:
    """In residual blocks the SGD rate grows as m_L for alpha = 1 and not at all for alpha = 1/2."""
    row = planned("completep", Role.HIDDEN_WEIGHT, alpha=alpha, optimizer="sgd")

    assert (row.learning_rate, row.weight_decay, row.eps) == (rate, 1 / rate, None)


SIX_ROLES = set(Role) - {Role.ROUTER, Role.TIED_EMBEDDING, Role.FROZEN}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: f"{table.name}-{table.family}")
def test_tables_are_complete(table: RuleTable) -> None:
    """Every role has every quantity of its family, with a source; some tables are for hidden weights alone."""
    quantities = {quantity for quantity in Quantity if table.family in WITH_EPS or quantity is not Quantity.EPS}
    roles = {role for role, _ in table.rules}
    named = [rule for column in table.choices.values() for rule in column.values()]

    assert {(role, quantity) for role in roles for quantity in quantities} == set(table.rules)
    assert roles == {Role.HIDDEN_WEIGHT} if table.family in HIDDEN_ONLY else roles >= SIX_ROLES
    for rule in (*table.rules.values(), *named):
        assert rule.source.paper
        assert rule.source.table
        assert rule.source.row


@pytest.mark.parametrize(
    ("name", "alpha", "optimizer", "received"),
    [
        ("mu-p", None, "adamw", "mu-p"),
        ("mup", None, "sophia", "sophia"),
        ("u-mup", None, "sgd", "u-mup, sgd"),
        ("complete-d-p", None, "muon", "complete-d-p, muon"),
        ("mup", 1.0, "adamw", "alpha=1"),
        ("completep", 0.25, "adamw", "alpha=0.25"),
    ],
)
def test_unknown_choices_are_usage_errors(name: str, alpha: float | None, optimizer: str, received: str) -> None:
    """An unknown table, an unknown optimizer and an alpha outside its range are refused by name."""
    with pytest.raises(UsageError) as caught:
        find_table(Parameterization(name, alpha), optimizer)

    assert caught.value.findings[0].received == received
