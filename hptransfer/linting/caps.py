"""What a recipe may cost, by whoever validates it: caps on trials and on floating point operations.

What is counted is the least that tune and check take; a check goes on where an optimum lies on the edge of its grid.
"""

from __future__ import annotations

from hptransfer.errors import Finding
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.linting.rules.budget import needed_flops, wanted

_HINT = "make the ladder, `check.seeds`, `check.octaves` or `training.steps` smaller, or raise the cap of `validate`"


def trials_capped(subject: Subject) -> LevelOutcome:
    """Whether the recipe trains as few trials as it may; nothing is built.

    Args:
        subject: a recipe, and the cap.
    """
    most, loaded = subject.options.max_trials, subject.loaded
    if most is None:
        return LevelOutcome()
    counts = wanted(loaded)
    if counts is None:
        return LevelOutcome(undecided=(f"whether it trains at most {most:,} trials: its durations follow parameters",))
    tuned, check = (sum(each.values()) for each in counts)
    adaptive = loaded.recipe.check.max_trials or 0
    if tuned + max(check, adaptive) <= most:
        return LevelOutcome()
    rule = f"a recipe may train at most {most:,} trials (--max-trials)"
    received = f"at least {tuned + max(check, adaptive):,}: tune {tuned:,}, check {max(check, adaptive):,}"
    return LevelOutcome(errors=(Finding(rule, received, _HINT, loaded.place(("tune", "trials")), "caps/trials"),))


def flops_capped(subject: Subject) -> LevelOutcome:
    """Whether the recipe costs as little as it may; the model is built without memory.

    Args:
        subject: a recipe, and the cap.
    """
    most, loaded = subject.options.max_flops, subject.loaded
    if most is None:
        return LevelOutcome()
    needed = needed_flops(loaded)
    if needed is None:
        return LevelOutcome(undecided=(f"whether it takes at most {most:.3g} FLOPs: they cannot be counted",))
    if needed <= most:
        return LevelOutcome()
    rule = f"a recipe may take at most {most:.3g} FLOPs (--max-flops)"
    place = loaded.place(("sizes", "widths"))
    received = f"at least {needed:.3g} by tune and the check's first trials"
    return LevelOutcome(errors=(Finding(rule, received, _HINT, place, "caps/flops"),))
