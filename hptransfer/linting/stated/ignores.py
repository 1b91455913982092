"""Rules of the comments by which a recipe excuses findings."""

from __future__ import annotations

from hptransfer.linting.base import Level, StatedRule
from hptransfer.recipe.rule_text import Explanation

_SEEDS = "check:\n  # hptransfer: {}\n  seeds: 1"
_RIGHT = _SEEDS.format("ignore[HPT202] the noise of this task is known to be small")
#: a single seed stays a finding where its comment excuses nothing
_SINGLE = ("advice/single-seed",)


def _rule(
    code: str,
    rule: str,
    told: tuple[str, str, str],
    wrong: str,
    right: str = _RIGHT,
    *,
    level: Level = "error",
    also: tuple[str, ...] = (),
) -> StatedRule:
    """A rule of a comment, the first thing in `wrong`; `told` is its number, why it holds and the repair."""
    explained = Explanation(*told, wrong, right, at="^# hptransfer", also=also)
    return StatedRule(f"ignore/{code}", rule, level, "validate", explained)


RULES = (
    _rule(
        "form",
        "a comment that begins with `hptransfer:` is `ignore[...]` or, above the first key, `ignore-file[...]`",
        (
            "HPT950",
            "A misspelt comment would excuse nothing, and whoever reads it believes that it does.",
            "write `# hptransfer: ignore[HPT202] reason` on the line of the finding, or on a line of its own above it",
        ),
        _SEEDS.format("ignore HPT202 the noise is known"),
        also=_SINGLE,
    ),
    _rule(
        "reason",
        "a comment that excuses findings says why",
        (
            "HPT951",
            "Without a reason nobody can judge later whether the finding still may be passed over.",
            "add the reason behind the bracket",
        ),
        _SEEDS.format("ignore[HPT202]"),
        also=_SINGLE,
    ),
    _rule(
        "unknown",
        "a comment names rules that there are",
        (
            "HPT952",
            "A number that is not known excuses nothing.",
            "write a number or a code that `hptransfer rules` lists",
        ),
        _SEEDS.format("ignore[HPT299] the noise is known"),
        also=_SINGLE,
    ),
    _rule(
        "held",
        "a comment names rules that may be passed over",
        (
            "HPT953",
            "Other commands refuse a recipe with a fault of form, and a stranger's recipe must not excuse itself from "
            "what keeps a machine safe.",
            "delete the comment, and repair what it names",
        ),
        "check:\n  # hptransfer: ignore[HPT111] it is meant so\n  hyperparameters: [learning_rate]",
        "check:\n  hyperparameters: [learning_rate]",
    ),
    _rule(
        "unused",
        "a comment excuses a finding that there is",
        (
            "HPT954",
            "It would excuse the next fault in its place, which nobody has looked at.",
            "delete the comment",
        ),
        "check:\n  # hptransfer: ignore[HPT202] the noise of this task is known to be small\n  seeds: 2",
        level="warning",
    ),
    StatedRule(
        "ignore/ends-level",
        "a finding that ends a level is repaired before the level is called valid",
        "error",
        "validate",
        Explanation(
            "HPT955",
            "What the level would have asked next was not asked: nothing is known of it, and a comment must not say "
            "that it is in order. The level is not decided, and the exit status is 3.",
            "repair what the comment names, or leave the level out of `--level` as long as it is known",
            "# hptransfer: ignore-file[HPT407] the run is not repeated yet",
            "the run was repeated, and the comment deleted",
            base=None,
        ),
    ),
)
