"""Rules of the levels that train: the coordinate check, and the recipe run again."""

from __future__ import annotations

from hptransfer.linting.base import StatedRule
from hptransfer.recipe.rule_text import Explanation

RULES = (
    StatedRule(
        "coordinate/fails",
        "in its first steps no layer's change depends on width or depth",
        "error",
        "coordinate",
        Explanation(
            "HPT500",
            "Layers that move more, or less, in larger models have another best learning rate there.",
            "mend what is named; a negative control says `expect: {coordinate: FAILS}`",
            "parameterization: {name: standard}",
            "parameterization: {name: mup}",
            base=None,
        ),
    ),
    StatedRule(
        "coordinate/not-measured",
        "a few steps can be trained at the sizes of the ladder",
        "error",
        "coordinate",
        Explanation(
            "HPT501",
            "A recipe whose first steps do not run is not checked by anything.",
            "run `hptransfer check RECIPE --dry-run`, which says what does not go together",
            "data: {kind: text, train: [missing.txt]}",
            "data: {kind: text, train: [present.txt]}",
            base=None,
        ),
    ),
    StatedRule(
        "expect/coordinate",
        "the coordinate check gives what the recipe expects of it",
        "error",
        "coordinate",
        Explanation(
            "HPT510",
            "A negative control whose fault is no longer found shows that the check has gone blind, or the fault.",
            "look for what changed, or write what is found now",
            "parameterization: {name: mup}\nexpect: {coordinate: FAILS}",
            "parameterization: {name: mup}\nexpect: {coordinate: HOLDS}",
            base=None,
        ),
    ),
    StatedRule(
        "full/verdict",
        "a recipe that is run again ends as `check` ends where it holds",
        "error",
        "full",
        Explanation(
            "HPT550",
            "A verdict that nobody expects is news.",
            "write in `expect` what the recipe should give, or look for what changed",
            "parameterization: {name: standard}",
            "parameterization: {name: standard}\nexpect: {verdict: DRIFTS}",
            base=None,
        ),
    ),
    StatedRule(
        "full/other-verdict",
        "run again it gives the verdict of its committed evidence",
        "error",
        "full",
        Explanation(
            "HPT551",
            "The committed evidence says something that the recipe does not give any more.",
            "run `hptransfer run RECIPE` and commit what it writes, or look for what changed",
            "DRIFTS, where TRANSFERS is committed",
            "TRANSFERS, where TRANSFERS is committed",
            base=None,
        ),
    ),
    StatedRule(
        "full/other-optimum",
        "run again its tuned values lie in the committed intervals",
        "error",
        "full",
        Explanation(
            "HPT552",
            "An optimum outside of its own interval was found under other rules, code or data.",
            "run `hptransfer run RECIPE` and commit what it writes, or look for what changed",
            "learning_rate 0.25, outside of 0.01 to 0.03",
            "learning_rate 0.02, inside 0.01 to 0.03",
            base=None,
        ),
    ),
    StatedRule(
        "full/no-answer",
        "it can be tuned and checked within its budget",
        "error",
        "full",
        Explanation(
            "HPT553",
            "A budget that ends before there is an answer leaves the level's question open; the exit status is 3.",
            "raise the budget, or run the recipe with `hptransfer run`, which continues",
            "budget: {trials: 5}",
            "budget: {trials: 500}",
            base=None,
        ),
    ),
    StatedRule(
        "expect/not-met",
        "a recipe's committed evidence gives what it expects, and so does the recipe when `full` runs it again",
        "error",
        "evidence",
        Explanation(
            "HPT560",
            "What the recipe is held to is not found any more.",
            "look for what changed since it was written, or write what is found now",
            "expect: {verdict: TRANSFERS}",
            "expect: {verdict: DRIFTS}",
            base=None,
        ),
    ),
)
