"""Rules of code that a recipe names, where `--trust` lets it run; tests/linting/test_trust.py breaks each."""

from __future__ import annotations

from hptransfer.linting.base import StatedRule
from hptransfer.recipe.rule_text import Explanation

_ALONE = "build the model and train a few steps by itself first, at the smallest and at the largest size"
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
            "An end by itself or by a signal answers nothing about the model.",
            _ALONE,
            "def build(width, depth): os._exit(0)",
            _BUILT,
            base=None,
        ),
    ),
    StatedRule(
        "trust/memory",
        "code that a recipe names stays within the memory that it is given",
        "error",
        "shapes",
        Explanation(
            "HPT962",
            "Without a limit the machine, and what else runs on it, would go down with it.",
            _ALONE,
            "def build(width, depth): return torch.zeros(2**40)",
            _BUILT,
            base=None,
        ),
    ),
    StatedRule(
        "trust/processes",
        "code that a recipe names starts few processes",
        "error",
        "shapes",
        Explanation(
            "HPT963",
            "Processes that start processes leave a machine on which nothing else can be started.",
            _ALONE,
            "def build(width, depth): [os.fork() for _ in range(width)]",
            _BUILT,
            base=None,
        ),
    ),
    StatedRule(
        "trust/output",
        "code that a recipe names prints little",
        "error",
        "shapes",
        Explanation(
            "HPT964",
            "A flood of output fills the log of a CI job, and hides what else is said of the recipe.",
            _ALONE,
            "def build(width, depth): print('x' * 2**30)",
            _BUILT,
            base=None,
        ),
    ),
    StatedRule(
        "trust/answer",
        "the answer of the process that runs a recipe's code is short",
        "error",
        "shapes",
        Explanation(
            "HPT965",
            "It is read into memory here, and it is the recipe's code that writes it.",
            _ALONE,
            "an answer of a gigabyte",
            "an answer that lists the findings on a model",
            base=None,
        ),
    ),
)
