"""`coordinate`: a few steps at every size that fits in seconds; does every layer's change leave size alone?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hptransfer.artifacts.coordinate import combine
from hptransfer.artifacts.pasted import command
from hptransfer.checking.expectations import Expectation, judge_coordinate
from hptransfer.checking.within_budget import BUDGET, check_within
from hptransfer.errors import Finding, HptransferError
from hptransfer.linting.levels._answers import outcome_of, refused, untrusted
from hptransfer.linting.levels._trusted import run_trusted, timed
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.statistics.slope import RowVerdict

#: seconds of wall time after which the process is ended: the budget is of processor time, and machines are busy
_PATIENCE = 300.0
_RULE = "the parameterization must keep every layer's change independent of size"


class Coordinate:
    """The coordinate check of `check` within a minute, at the recipe's own values; nothing is tuned or kept."""

    claim = (
        "in its first steps no layer's change depends on width or depth, as far as the sizes and seeds named can tell"
    )

    def run(self, subject: Subject) -> LevelOutcome:
        """Trains a few steps at every size that fits.

        Args:
            subject: a recipe without errors at the levels before.
        """
        recipe, asked = subject.loaded.recipe, "whether layers change alike at every size"
        if recipe.trainer.name in ("function", "command") or recipe.model.kind == "external":
            how = "`check` does, of its runs" if recipe.trainer.watches else "`hptransfer.watch` in its loop would"
            return LevelOutcome(
                undecided=(f"{asked}: only its program can train the model here; {how}",), decided=False
            )
        if (distrusted := untrusted(subject, asked)) is not None:
            return distrusted
        if not Path(subject.loaded.path).is_file():
            return LevelOutcome(
                undecided=(f"{asked}: the process that trains reads a file, not standard input",), decided=False
            )
        payload = {"path": str(Path(subject.loaded.path).resolve()), "seconds": BUDGET}
        answer = run_trusted(f"{__name__}:confined", payload, timed(_PATIENCE))
        return outcome_of(answer, subject, "coordinate/not-measured", lambda said: _read(said, subject))


LEVEL = Coordinate()


def confined(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinate check, in a process in which code of the recipe's own may run.

    Args:
        payload: path and seconds, as `check_within` takes them.
    """
    try:
        return check_within(payload)
    except HptransferError as error:
        return refused(error)


def _read(said: Mapping[str, Any], subject: Subject) -> LevelOutcome:
    axes = said["axes"]
    undecided = tuple(str(each) for each in said["open"])
    if not axes:
        undecided = undecided or ("whether layers change alike: the recipe has one size",)
        return LevelOutcome(undecided=undecided, decided=False)
    found = combine(RowVerdict(axis["verdict"]) for axis in axes)
    expected = judge_coordinate(subject.loaded.recipe.expect, found)
    if expected is None or expected.met is None:
        # HOLDS, or INCONCLUSIVE: nothing speaks against the recipe
        open_ = [_open(axis) for axis in axes if axis["verdict"] == "INCONCLUSIVE"]
        if expected is not None:
            open_.append(f"`expect`: {expected.sentence}")
        notes = tuple(_power(axis) for axis in axes if axis["verdict"] == "HOLDS")
        return LevelOutcome(undecided=(*open_, *undecided), notes=notes, decided=bool(notes))
    if expected.met:
        notes = (f"coordinate check: {expected.sentence}", *(_said(axis) for axis in axes))
        return LevelOutcome(undecided=undecided, notes=notes)
    return LevelOutcome(errors=tuple(_findings(axes, expected, found, subject)), undecided=undecided)


def _findings(axes: list[Any], expected: Expectation, found: RowVerdict, subject: Subject) -> Iterator[Finding]:
    wanted = subject.loaded.recipe.expect
    if wanted is not None and wanted.coordinate is not None and found is not RowVerdict.FAILS:
        place = subject.loaded.place(("expect", "coordinate"))
        rule = "what the recipe expects of its coordinate check must be found"
        received = f"{found.value}, where {wanted.coordinate} is expected"
        hint = f"look for what changed, or write `coordinate: {found.value}`"
        yield Finding(rule, received, hint, place, "expect/coordinate")
        return
    place = subject.loaded.place(("parameterization",))
    for axis in axes:
        if axis["verdict"] != "FAILS":
            continue
        over = _over(axis)
        for fault in axis["faults"]:
            repair = str(fault["repair"])
            yield Finding(_RULE, f"{fault['sentence']} ({over})", repair, place, "coordinate/fails")
        if not axis["faults"]:
            hint = f"{command('check', subject.reference, subject.options.runs)} prints every layer's slope"
            yield Finding(_RULE, f"{axis['sentence']} ({over})", hint, place, "coordinate/fails")


def _over(axis: Mapping[str, Any]) -> str:
    sizes = [int(size) for size in axis["sizes"]]
    return f"{axis['axis']} {sizes[0]} to {sizes[-1]}, {int(axis['seeds'])} seeds"


def _power(axis: Mapping[str, Any]) -> str:
    least = axis["least"]
    found = (
        ""
        if least is None
        else (f"; a layer that changes as {axis['axis']}^{float(least):.2f} would be found four times of five")
    )
    return f"coordinate check: HOLDS along {_over(axis)}{found}"


def _said(axis: Mapping[str, Any]) -> str:
    return f"coordinate check along {_over(axis)}: {axis['sentence']}"


def _open(axis: Mapping[str, Any]) -> str:
    of, off = (int(axis["updates"][name]) for name in ("of", "off"))
    beside = f"; {off or 'none'} of {of} parameters' updates misses its rule" if of else ""
    return f"whether layers change alike along {_over(axis)}: {str(axis['sentence']).rstrip('.')}{beside}"
