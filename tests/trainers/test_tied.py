"""Tied tables from the recipe to the target: a hook multiplies the logits where `forward` does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

import hptransfer
from hptransfer.engine.identity import identity_of
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.planning import plan_recipe
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._plan_values import plans_of, require_applied
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trials.identity import ParameterReading
from tests.support.identities import key, trained
from tests.support.tied_models import BASE, Scaled, Tied
from tests.support.tiny import ROOT, recipe, request

WIDE = 64


def tied(model: str = "Tied", **parameterization: str) -> Recipe:
    """A recipe for one of the two models."""
    return recipe(
        model={
            "kind": "factory",
            "factory": f"tests.support.tied_models:{model}",
            "context": 8,
            "embedding": None,
        },
        training={"steps": 12, "batch_size": 8, "evaluation_batches": 2, "precision": "float64", "eps": 1e-4},
        parameterization={"name": "mup", **parameterization},
        sizes={"base": {"width": BASE, "depth": 2}, "widths": [BASE, WIDE], "target": {"width": 128, "depth": 2}},
    )


def test_both_ways_train_alike() -> None:
    """A hook for the model as it is, and nothing for one that multiplies by itself: the same curve in float64."""
    hooked = trained(request(tied(), width=WIDE, learning_rate=0.03))
    for given in ({}, {"gauge": "multipliers"}):
        multiplied = trained(request(tied("Scaled", **given), width=WIDE, learning_rate=0.03))
        assert hooked["state"] == multiplied["state"] == "complete"
        assert hooked["loss"] == pytest.approx(multiplied["loss"], rel=1e-12)
        assert [loss for _, loss in hooked["curve"]] == pytest.approx([loss for _, loss in multiplied["curve"]])


def test_the_trainer_puts_the_hook_where_the_plan_asks_for_it() -> None:
    """At the base, where the factor is 1, the model stays as it is."""
    tokens_BxT = torch.arange(16).reshape(2, 8)
    for width, factor in ((WIDE, BASE / WIDE), (BASE, 1.0)):
        module, _ = planned_model(request(tied(), width=width))
        logits_BxTxV = module(tokens_BxT)
        assert isinstance(module, Tied)
        plain = Tied(width, 2).double()
        plain.load_state_dict(module.state_dict())
        torch.testing.assert_close(logits_BxTxV, factor * plain(tokens_BxT))


def test_the_gauge_is_part_of_a_trials_key() -> None:
    """And the neutral one, written out, is not: keys of finished trials stay."""
    plain, written, other = (tied("Scaled", **given) for given in ({}, {"gauge": "plain"}, {"gauge": "multipliers"}))
    keys = [key(request(each, width=WIDE)) for each in (plain, written, other)]

    assert keys[0] == keys[1] != keys[2]
    assert identity_of(plain, ROOT, "data", None, None).digest == identity_of(written, ROOT, "data", None, None).digest


@dataclass
class Read:
    """A reader that answers as a probe would have it."""

    readings: dict[int, ParameterReading]

    def at(self, width: int, depth: int) -> ParameterReading:
        """Of a width."""
        return self.readings[width]

    def layers(self) -> ParameterReading:
        """Of the base."""
        return self.readings[BASE]


def read(recipe_: Recipe, *, forward_width: float | None) -> Read:
    """What was read of the model, with a power of the readout's factor where it was run; None where it was not."""
    readings = {}
    for width in (BASE, WIDE):
        plan = plan_recipe(recipe_, recipe_.size(width, 2), defaults(recipe_.training))
        parameters = tuple(
            replace(row.parameter, forward_width=forward_width or 0.0)
            if row.parameter.name == "table.weight"
            else row.parameter
            for row in plan.rows
        )
        readings[width] = ParameterReading(parameters, probed=forward_width is not None)
    return Read(readings)


def test_a_factor_that_nobody_applies_is_refused_before_training() -> None:
    """In the gauge `multipliers` `forward` must have it: a model that was run and has none would train wrongly."""
    recipe_ = tied(gauge="multipliers")
    with pytest.raises(UsageError, match="must multiply as the plan says") as refused:
        require_applied(recipe_, read(recipe_, forward_width=0.0))
    (finding,) = refused.value.findings
    assert finding.received == "table.weight is not multiplied by 0.25 at w64-d2"
    assert "`gauge: plain`" in str(finding.hint)

    require_applied(recipe_, read(recipe_, forward_width=-1.0))
    require_applied(recipe_, read(recipe_, forward_width=None))  # not run: the recipe is believed
    require_applied(tied(), read(recipe_, forward_width=0.0))


@pytest.mark.parametrize("gauge", ["plain", "multipliers", "unit"])
def test_a_factor_that_forward_has_is_asked_for_in_no_gauge(gauge: str) -> None:
    """The probe's finding on the readout's use of the table: nothing remains to be done."""
    recipe_ = tied("Scaled", gauge=gauge)
    plan_at = plans_of(recipe_, read(recipe_, forward_width=-1.0))
    plan = plan_at(recipe_.size(WIDE, 2), defaults(recipe_.training))
    (row,) = [row for row in plan.rows if row.parameter.name == "table.weight"]

    assert row.multiplier == 1
    assert "forward multiplies by m_out^-1 already" in row.sources["multiplier"]
    assert not any("logits of table.weight" in note for note in plan.notes)
    module = Scaled(WIDE, 2)
    assert hptransfer.scale_logits(module, AppliedPlan.from_plan(plan)).factors == {}
    AppliedPlan.from_plan(plan).init_(module)
