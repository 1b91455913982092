"""What differs between a plan and what a framework makes of its files."""

from __future__ import annotations

from hptransfer.handover.trained import Reading, value_differences


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
