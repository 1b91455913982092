"""Collapsing repeated layers into patterns that match exactly their own rows."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer.parameterization.groups import group_rows
from hptransfer.parameterization.plan import PlannedParameter, plan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from tests.support.parameter_shapes import UNIT, growing

SIZE = Size(64, 2, 8, 800)
ROW = plan(Parameterization("mup"), SIZE, SIZE, (growing(Role.HIDDEN_WEIGHT),), UNIT, optimizer="adamw").rows[0]


def row(name: str, learning_rate: float = 1.0) -> PlannedParameter:
    """A planned parameter of this name."""
    return replace(ROW, parameter=replace(ROW.parameter, name=name), learning_rate=learning_rate)


def test_layers_with_equal_values_become_one_group() -> None:
    """Layer indices collapse, counted."""
    groups = group_rows([row(f"blocks.{layer}.up.weight") for layer in range(80)])

    assert [(group.pattern, group.count) for group in groups] == [(r"blocks\.\d+\.up\.weight", 80)]


def test_layers_with_other_values_keep_their_index() -> None:
    """A layer that differs is written out, and so are its siblings."""
    groups = group_rows([row("blocks.0.up.weight", 2.0), row("blocks.1.up.weight"), row("blocks.2.up.weight")])

    assert [group.pattern for group in groups] == [rf"blocks\.{layer}\.up\.weight" for layer in range(3)]


def test_inner_indices_stay_where_values_differ_by_them() -> None:
    """In blocks.i.mlp.j the layer index collapses although the sublayers differ."""
    names = [(f"blocks.{layer}.mlp.{part}.weight", float(part + 1)) for layer in range(3) for part in (0, 2)]

    groups = group_rows([row(*name) for name in names])

    assert [group.pattern for group in groups] == [rf"blocks\.\d+\.mlp\.{part}\.weight" for part in (0, 2)]


def test_full_keeps_every_parameter() -> None:
    """Without collapsing there is one group per parameter."""
    groups = group_rows([row(f"blocks.{layer}.up.weight") for layer in range(3)], collapse=False)

    assert [group.pattern for group in groups] == [rf"blocks\.{layer}\.up\.weight" for layer in range(3)]


NAMES = st.lists(st.sampled_from(["a", "b", "0", "1", "12"]), min_size=1, max_size=4).map(".".join)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.sampled_from([1.0, 2.0]), min_size=1, max_size=12))
def test_every_name_matches_exactly_its_group(values: dict[str, float]) -> None:
    """Whatever the names and values, each name matches one pattern, whose values are its own."""
    groups = group_rows([row(name, rate) for name, rate in values.items()])

    for name, rate in values.items():
        assert [group.learning_rate for group in groups if re.fullmatch(group.pattern, name)] == [rate]
    assert sum(group.count for group in groups) == len(values)
