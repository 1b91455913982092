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
    check = max(check, loaded.recipe.check.max_trials or 0)
    received = f"at least {tuned + check:,}: tune {tuned:,}, check {check:,}"
    return _judged(subject, "trials", (tuned + check, most), received)


def flops_capped(subject: Subject) -> LevelOutcome:
    """Whether the recipe costs as little as it may; the model is built without memory.

    Args:
        subject: a recipe, and the cap.
    """
    most = subject.options.max_flops
    if most is None:
        return LevelOutcome()
    needed = needed_flops(subject.loaded)
    if needed is None:
        return LevelOutcome(undecided=(f"whether it takes at most {most:.3g} FLOPs: they cannot be counted",))
    return _judged(subject, "flops", (needed, most), f"at least {needed:.3g} by tune and the check's first trials")


#: what is capped -> the rule, and the key of the recipe that it is reported at
_CAPPED = {
    "trials": ("a recipe may train at most {:,} trials (--max-trials)", ("tune", "trials")),
    "flops": ("a recipe may take at most {:.3g} FLOPs (--max-flops)", ("sizes", "widths")),
}


def _judged(subject: Subject, what: str, sizes: tuple[float, float], received: str) -> LevelOutcome:
    """Whether what is needed is at most what may be, the two sizes."""
    needed, most = sizes
    if needed <= most:
        return LevelOutcome()
    rule, place = _CAPPED[what]
    finding = Finding(rule.format(most), received, _HINT, subject.loaded.place(place), f"caps/{what}")
    return LevelOutcome(errors=(finding,))
