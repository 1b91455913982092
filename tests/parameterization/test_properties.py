"""Properties of every table, option, optimizer and gauge: identity at base, composition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer.parameterization.gauge import GAUGES, Gauge
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import ON_SPHERE, Options, Quantity, option_of
from hptransfer.parameterization.tables import FAMILIES, TABLES, Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing, parameter

LENGTHS = st.integers(1, 4096)
SIZES = st.builds(Size, st.integers(1, 4096), st.integers(1, 128), st.integers(1, 512), st.integers(1, 10**9))
FANS = st.tuples(LENGTHS, LENGTHS, LENGTHS)
BATCH_RULES = {"adam": ["sde", "none"], "sgd": ["linear", "none"]}
Case = tuple[Parameterization, str, Options, Gauge, Role]


@st.composite
def cases(draw: st.DrawFn, *, absolute: bool = False) -> Case:
    """A table with one of its optimizers, options that it knows, one of its roles and a gauge that role can take."""
    table = draw(st.sampled_from([table for table in TABLES.values() if table.absolute == absolute]))
    optimizer = draw(st.sampled_from([name for name, family in FAMILIES.items() if family == table.family]))

    def choice(quantity: Quantity) -> st.SearchStrategy[str | None]:
        return st.sampled_from([None, *sorted(name for of, name in table.choices if of is quantity)])

    options = Options(
        weight_decay=draw(choice(Quantity.WEIGHT_DECAY)),  # type: ignore[arg-type]  # names of the table's own columns
        eps=draw(choice(Quantity.EPS)),  # type: ignore[arg-type]
        **{option_of(Quantity.LEARNING_RATE, table.family): draw(choice(Quantity.LEARNING_RATE))},  # type: ignore[arg-type]
        beside_muon=draw(st.sampled_from(["adamw", "lion"])) if optimizer == "muon" else None,
        batch_rule=draw(st.none() | st.sampled_from(BATCH_RULES.get(table.family, ["none"]))),
        token_exponent=draw(st.none() | st.floats(-1, 1)),
    )
    if options.weight_decay == "inverse" and options.beside_muon == "lion":
        options = replace(options, weight_decay="constant")
    if options.eps == "gradient" and table.name == "standard":
        options = replace(options, eps="none")  # no gradient rule for routers there
    role = draw(st.sampled_from(sorted({role for role, _ in table.rules})))
    tied = role is Role.TIED_EMBEDDING
    gauges: tuple[Gauge, ...] = ("multipliers",) if tied else tuple(GAUGES)
    gauge = draw(st.sampled_from(gauges))
    low, high = (table.alpha.low, table.alpha.high) if table.alpha else (None, None)
    alpha = None if low is None else draw(st.none() | st.floats(low, high))
    return Parameterization(table.name, alpha), optimizer, options, gauge, role


def one(role: Role, fan_in: tuple[int, int], fan_out: tuple[int, int]) -> Parameter:
    """A hidden weight writes the residual stream, so that depth rules apply."""
    return parameter(role, fan_in=fan_in, fan_out=fan_out, writes_residual=role is Role.HIDDEN_WEIGHT)


def factors(case: Case, base: Size, size: Size, row: Parameter) -> dict[str, float]:
    """Factors of one parameter beside a residual writer."""
    spec, optimizer, options, gauge, _ = case
    values = UNIT | {"weight_decay": 0.0} if optimizer in {"adam", "rmsprop", "adagrad"} else UNIT
    writer = growing(Role.HIDDEN_WEIGHT, writes_residual=True)
    planned = plan(spec, base, size, (row, writer), values, optimizer=optimizer, gauge=gauge, options=options)
    return dict(planned.rows[0].factors)


@settings(deadline=None, max_examples=200)
@given(cases(), LENGTHS, LENGTHS, SIZES)
def test_every_factor_is_one_at_base(case: Case, fan_in: int, fan_out: int, size: Size) -> None:
    """At the base size nothing is scaled, exactly; on a sphere, and for some under `sqrt`, nothing ever decays."""
    found = factors(case, size, size, one(case[-1], (fan_in, fan_in), (fan_out, fan_out)))

    on_sphere = FAMILIES[case[1]] in ON_SPHERE
    if on_sphere or (case[2].weight_decay == "sqrt" and case[-1] is not Role.HIDDEN_WEIGHT):
        assert found.pop("weight_decay") == 0.0
    assert set(found.values()) == {1.0}


@settings(deadline=None, max_examples=200)
@given(cases(), FANS, FANS, st.tuples(SIZES, SIZES, SIZES))
def test_scaling_composes(
    case: Case, fan_in: tuple[int, int, int], fan_out: tuple[int, int, int], sizes: tuple[Size, Size, Size]
) -> None:
    """Base to middle to target gives the factors of base to target."""
    base, middle, target = sizes
    role = case[-1]
    first = factors(case, base, middle, one(role, fan_in[:2], fan_out[:2]))
    second = factors(case, middle, target, one(role, fan_in[1:], fan_out[1:]))
    direct = factors(case, base, target, one(role, fan_in[::2], fan_out[::2]))

    assert direct == pytest.approx({name: first[name] * second[name] for name in first}, rel=1e-11)


@settings(deadline=None)
@given(cases(absolute=True), SIZES, SIZES)
def test_an_absolute_table_does_not_see_the_base(case: Case, size: Size, base: Size) -> None:
    """u-muP gives one plan per size, whatever the width and depth of the base and the fans there."""
    base = replace(base, batch_size=size.batch_size, tokens=size.tokens)
    spec, _, _, _, role = case
    assert spec.name == "u-mup"

    here = factors(case, size, size, one(role, (256, 256), (256, 256)))

    assert factors(case, base, size, one(role, (64, 256), (32, 256))) == here


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_every_table_is_reached_by_an_optimizer(key: tuple[str, str]) -> None:
    """Each table plans all of its roles with each of its own choices."""
    table = TABLES[key]  # type: ignore[index]  # keys of TABLES
    optimizer = {family: name for name, family in reversed([*FAMILIES.items()])}[table.family]
    roles = {role for role, _ in table.rules}
    rows = [growing(role, writes_residual=role is Role.HIDDEN_WEIGHT) for role in roles]
    for quantity, choice in table.choices:
        chosen: dict[str, Any] = {option_of(quantity, table.family): choice}
        planned = plan(
            Parameterization(table.name),
            Size(64, 2, 8, 800),
            Size(256, 8, 8, 800),
            [
                row
                for row in rows
                if (row.role, quantity) in table.rules and row.role in table.choices[quantity, choice]
            ],
            UNIT,
            optimizer=optimizer,
            gauge="multipliers",
            options=Options(**chosen),
        )
        assert planned.rows
        assert all(row.learning_rate > 0 for row in planned.rows)
