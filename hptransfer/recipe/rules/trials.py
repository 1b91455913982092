"""Rules of how many trials and seeds a search has."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation

#: values around an optimum: a parabola and one more on each side
FEWEST_ON_A_LINE = 5


def _one_at_a_time(draft: Draft) -> Iterator[Violation]:
    tune = draft.tune
    if tune is None or tune.order != "one-at-a-time" or len(tune.space) < 2:
        return
    fewest = FEWEST_ON_A_LINE * (tune.seeds or 1) * len(tune.space) + 1
    if tune.trials < fewest:
        rule = "`trials >= 5 * seeds * hyperparameters + 1` must hold for one at a time: a line each, then together"
        received = f"trials={tune.trials}, {len(tune.space)} hyperparameters"
        yield Violation(("tune", "trials"), rule, received, f"use {fewest} trials", ("tune", "order"))


def _seeds(draft: Draft) -> Iterator[Violation]:
    tune = draft.tune
    if tune is None or tune.seeds is None or len(tune.space) > 1:
        return
    fewest = FEWEST_ON_A_LINE * tune.seeds
    if tune.trials < fewest:
        rule = "`trials >= 5 * seeds` must hold: further seeds train the five values around the optimum"
        received = f"trials={tune.trials}, seeds={tune.seeds}"
        yield Violation(("tune", "trials"), rule, received, f"use {fewest} trials or fewer seeds", ("tune", "seeds"))


RULES = (
    RecipeRule(
        "recipe/trials-per-line",
        "one at a time has 5 values for each hyperparameter, and one more",
        _one_at_a_time,
        explanation=Explanation(
            "HPT170",
            "A line needs the five values around its optimum, and what was best of each is trained together.",
            "raise `tune.trials` to the number in the message",
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    hidden_init: {low: 0.1, high: 2}\n"
                "  order: one-at-a-time\n"
                "  trials: 10"
            ),
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    hidden_init: {low: 0.1, high: 2}\n"
                "  order: one-at-a-time\n"
                "  trials: 16"
            ),
            at="trials: ^10",
        ),
    ),
    RecipeRule(
        "recipe/trials-per-seed",
        "each of `tune.seeds` trains the five values around the optimum",
        _seeds,
        explanation=Explanation(
            "HPT171",
            "Each further seed trains the five values around the optimum.",
            "raise `tune.trials`, or lower `tune.seeds`",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  trials: 8\n  seeds: 3",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n  trials: 16\n  seeds: 3",
            at="trials: ^8",
        ),
    ),
)
