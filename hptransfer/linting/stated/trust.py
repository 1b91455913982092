"""Rules of code that a recipe names, where `--trust` lets it run; tests/linting/test_trust.py breaks each."""

from __future__ import annotations

from hptransfer.linting.base import StatedRule
from hptransfer.recipe.rule_text import Explanation

_ALONE = "build the model by itself first, at the smallest and at the largest size of the recipe"
_BUILT = "def build(width, depth): return torch.nn.Linear(width, width)"

RULES = (
    StatedRule(
        "trust/time",
        "code that a recipe names answers within its time",
        "error",
        "shapes",
        Explanation(
            "HPT960",
            "What does not end leaves a CI job waiting, and everything else about the recipe unsaid.",
            _ALONE,
            "def build(width, depth): time.sleep(1000)",
            _BUILT,
            base=None,
        ),
    ),
    StatedRule(
        "trust/process",
        "code that a recipe names answers, and does not end its process",
        "error",
        "shapes",
        Explanation(
            "HPT961",
            "An end by itself, by a signal or for want of memory answers nothing about the model.",
            _ALONE,
            "def build(width, depth): os._exit(0)",
            _BUILT,
            base=None,
        ),
    ),
)
