"""A group with its forward multiplier elsewhere is the group that a plan in that gauge has."""

from __future__ import annotations

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.moved_multiplier import whole_multiplier, with_multiplier
from hptransfer.parameterization.roles import Role
from hptransfer.sizes import Size
from tests.support.exported import BASE, LLAMA, TARGET, llama_target

#: what AdamW, SGD, Muon and Adam on a sphere each make of a multiplier
OPTIMIZERS = [("completep", "adamw"), ("mup", "sgd"), ("mup", "muon"), ("mup", "lion")]
WIDER = Size(192, 2, 8, 8192)
NUMBERS = ("init_std", "learning_rate", "weight_decay", "eps", "multiplier")


def groups(parameterization: str, optimizer: str, gauge: str) -> dict[str, ParameterGroup]:
    """The rows of the Llama's target, by pattern; plans in two gauges go through separate code."""
    target = llama_target(
        parameterization,
        optimizer=optimizer,
        gauge="plain" if gauge == "plain" else "multipliers",
        weight_decay=0.0 if optimizer == "sgd" else 0.1,
        size=TARGET if parameterization == "completep" else WIDER,
        output_multiplier=0.5,
    )
    return {group.pattern: group for group in target.parameters}


def close(value: float | None, other: float | None, tolerance: float) -> bool:
    """Whether two values are equal to rounding, or both missing."""
    if value is None or other is None:
        return value is other
    return value == pytest.approx(other, rel=tolerance)


@pytest.mark.parametrize(("parameterization", "optimizer"), OPTIMIZERS)
def test_a_plan_without_multipliers_becomes_the_plan_with_them(parameterization: str, optimizer: str) -> None:
    """Init, rate, decay and eps follow the multiplier as TRANSFORMATION says; the other gauge is planned by itself."""
    plain, other = groups(parameterization, optimizer, "plain"), groups(parameterization, optimizer, "multipliers")

    assert plain.keys() == other.keys()
    assert any(whole_multiplier(group) != 1 for group in plain.values())
    for pattern, group in plain.items():
        moved = with_multiplier(group, whole_multiplier(group), optimizer)
        for number in NUMBERS:
            assert close(getattr(moved, number), getattr(other[pattern], number), 1e-12), (pattern, number)
        assert moved.absorbed is None


@pytest.mark.parametrize(("parameterization", "optimizer"), OPTIMIZERS)
def test_there_and_back_changes_nothing(parameterization: str, optimizer: str) -> None:
    """A multiplier that is moved out and in again leaves the row as it was, to rounding."""
    for group in groups(parameterization, optimizer, "plain").values():
        if group.init_std is None:
            continue
        back = with_multiplier(with_multiplier(group, 0.375, optimizer), 1.0, optimizer)
        for number in NUMBERS:
            assert close(getattr(back, number), getattr(group, number), 1e-14), number


def test_a_tied_table_keeps_its_multiplier() -> None:
    """It is looked up as well, so its logits' factor can move nowhere."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})
    table = next(
        group for group in llama_target("mup", size=WIDER, model=tied).parameters if group.role == Role.TIED_EMBEDDING
    )

    assert table.multiplier == pytest.approx(1 / 3)
    with pytest.raises(UsageError, match="embed_tokens"):
        with_multiplier(table, 1.0, "adamw")


def test_equal_rows_stay_together() -> None:
    """At the base nothing is absorbed, and the rows of a family are one group."""
    base = llama_target(size=BASE)

    assert all(group.absorbed is None for group in base.parameters)
    assert len(base.parameters) < 3 + 9 * BASE.depth
