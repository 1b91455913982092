"""What two lists of parameters differ in, and what such a difference is said to come from."""

from __future__ import annotations

import pytest

from hptransfer.handover.causes import Growth
from hptransfer.handover.planned_values import run_values
from hptransfer.handover.trained import Reading, Trained, differences, value_differences
from tests.support.exported import llama_target

#: width four times, depth three times the base's; base rate 0.01
GROWTH = Growth(4.0, 3.0, {"learning_rate": 0.01, "weight_decay": 0.1, "eps": 1e-8})
NAME = "blocks.{}.up.weight"


def row(layer: float | None = 0, **changes: float | None) -> Trained:
    """A hidden weight whose rate the width has divided by four."""
    values = {"init_std": 0.01, "learning_rate": 0.0025, "weight_decay": 0.1, "eps": 1e-8} | changes
    return Trained(NAME.format(layer), **values)  # type: ignore[arg-type]  # values by field


CAUSES = {
    "scaled twice": ({"learning_rate": 0.000625}, "scaled twice, by 0.25 each time"),
    "not scaled": ({"learning_rate": 0.01}, "not scaled: that is the base's, and the rule asks for 0.25 times it"),
    "a power of the width": ({"init_std": 0.02}, "off by the width's growth to the power 0.5"),
    "a power of the depth": ({"multiplier": 3.0}, "off by the depth's growth to the power 1"),
    "something else": ({"eps": 1.3e-8}, "off by 1.3"),
    "switched off": ({"weight_decay": 0.0}, ""),
}


@pytest.mark.parametrize("name", list(CAUSES))
def test_a_difference_names_its_cause(name: str) -> None:
    """A factor that a rule would give names the rule; any other is a number."""
    changes, cause = CAUSES[name]
    (found,) = differences([row()], Reading([row(**changes)], "a test"), GROWTH)

    assert found.quantity in changes
    assert found.cause == cause


def test_equal_differences_of_all_layers_are_one() -> None:
    """Thirty layers are one line, with all names."""
    planned, used = [row(layer) for layer in range(30)], [row(layer, learning_rate=0.01) for layer in range(30)]
    (found,) = differences(planned, Reading(used, "a test"), GROWTH)

    assert len(found.names) == 30
    assert found.sentence.startswith("blocks.*.up.weight: learning_rate 0.01, planned 0.0025: not scaled")


def test_parameters_that_one_side_lacks_are_named() -> None:
    """A model with another parameter is not the planned one."""
    found = differences([row(0), row(1)], Reading([row(0), row(2)], "a test"), GROWTH)

    assert [each.sentence for each in found] == [
        "blocks.*.up.weight: the framework's model has no such parameter",
        "blocks.*.up.weight: no row of the plan",
    ]


@pytest.mark.parametrize(("draws", "count"), [(False, 1), (True, 0)])
def test_a_std_of_draws_has_a_sampling_error(draws: bool, count: int) -> None:
    """Two percent are a difference of an exact std, and none of an estimated one."""
    assert len(differences([row()], Reading([row(init_std=0.0102)], "a test", draws=draws), GROWTH)) == count


def test_rounding_is_no_difference() -> None:
    """1e-13 is none, 1e-11 is one."""
    assert differences([row()], Reading([row(learning_rate=0.0025 * (1 + 1e-13))], "a test"), GROWTH) == ()
    assert len(differences([row()], Reading([row(learning_rate=0.0025 * (1 + 1e-11))], "a test"), GROWTH)) == 1


def test_a_constant_where_a_draw_was_planned_is_a_difference() -> None:
    """A weight that starts at zero is not drawn."""
    (found,) = differences([row()], Reading([row(init_std=None)], "a test"), GROWTH)

    assert found.sentence == "blocks.*.up.weight: init_std none (a constant), planned 0.01"


def test_values_of_all_parameters_are_compared_by_name() -> None:
    """A beta that no file says is named with the default that is used; equal ones and unplanned ones are none."""
    reading = Reading(
        (),
        "a test",
        values={"beta1": 0.9, "beta2": 0.999, "clip": 0.0, "momentum": 0.5},
        defaulted=frozenset({"beta2"}),
    )
    (found,) = value_differences({"beta1": 0.9, "beta2": 0.95, "clip": 0.0}, reading)

    assert found.sentence == (
        "all parameters: beta2 0.999, planned 0.95: no file says it, so that is the framework's default"
    )


def test_clipping_that_was_not_planned_is_a_difference() -> None:
    """0 stands for none, so a framework's default of 1 is found."""
    (found,) = value_differences({"clip": 0.0}, Reading((), "a test", values={"clip": 1.0}))

    assert found.sentence == "all parameters: clip 1, planned 0"


def test_one_factor_on_every_rate_is_said_once() -> None:
    """An eighth of the base's rate, at eight times the width: hidden rates alone look as if they were scaled twice."""
    planned = [Trained("embedding", 0.02, 0.008, 0.0, None), Trained("hidden", 0.02, 0.001, 0.0, None)]
    used = [Trained("embedding", 0.02, 0.001, 0.0, None), Trained("hidden", 0.02, 0.000125, 0.0, None)]
    growth = Growth(8.0, 1.0, {"learning_rate": 0.008})
    (found,) = differences(planned, Reading(used, ""), growth)

    assert found.sentence == (
        "all parameters: learning_rate 0.001, planned 0.008: all rates are off by 0.125; what the rules scale is "
        "scaled twice, by 0.125 each time"
    )
    # two factors are two differences
    other = [used[0], planned[1]]
    assert [each.names for each in differences(planned, Reading(other, ""), growth)] == [("embedding",)]


def test_only_what_the_optimizer_reads_is_planned_for_the_run() -> None:
    """AdamW has no momentum, SGD no betas; the plan has all of them."""
    adamw, sgd = (run_values(llama_target("mup", optimizer=each, weight_decay=0.0)) for each in ("adamw", "sgd"))

    assert {"beta1", "beta2"} <= set(adamw)
    assert "momentum" not in adamw
    assert "momentum" in sgd
    assert "beta1" not in sgd
