"""FLOPs, ladders, searches and the coordinate check are bound to the recipe: forged ones are refused by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hptransfer.evidence.counted import count_again
from hptransfer.evidence.files import Evidence
from hptransfer.recipe.load import load_recipe
from hptransfer.sizes import Size
from tests.support.command_line import ROOT
from tests.support.consistent_evidence import forge_check, forge_search, without
from tests.support.kept_evidence import Edit, Kept

pytestmark = pytest.mark.usefixtures("_version_of_the_files")


def _group(content: Any) -> list[int]:
    (places,) = content["evidence"]["groups"].values()
    return list(places)


def _line(content: Any, width: int, seed: int, rank: int = 0) -> Any:
    """A trial of the ladder: the one with the rank-th smallest learning rate at a width and seed."""
    lines = [content["evidence"]["trials"][place] for place in _group(content)]
    found = [line for line in lines if (line["size"][0], line["seed"]) == (width, seed)]
    return sorted(found, key=lambda line: float(line["values"]["learning_rate"]))[rank]


# FLOPs


def _flatter(content: Any) -> None:
    """The breaker's: FLOPs that hardly grow with the width, so that a drifting optimum costs little compute."""
    lines = content["evidence"]["trials"]
    least = min(line["size"][0] for line in lines)
    base = next(line["flops"] for line in lines if line["size"][0] == least)
    for line in lines:
        line["flops"] = base * (line["size"][0] / least) ** 0.2


def test_forged_flops_are_counted_again(tmp_path: Path) -> None:
    """No loss, value, seed or key is touched, and everything else in the file follows from the forged FLOPs."""
    kept = Kept(tmp_path, "standard-adamw")
    before = kept.read("transfer.json")["axes"][0]["cost"]["estimate"]
    forge_check(kept, _flatter)
    assert kept.read("transfer.json")["axes"][0]["cost"]["estimate"] != pytest.approx(before, rel=0.05)

    found = kept.found()["evidence/edited-trials"]
    assert "transfer.json: FLOPs must be those of the recipe's model at each size" in found
    assert re.search(r"evidence\.trials\[\d+\]\.flops [\d.e+]+, counted again [\d.e+]+ of a whole run", found)


def test_forged_flops_in_both_files_are_counted_again(tmp_path: Path) -> None:
    """Where the two agree with each other they still do not with the recipe."""
    kept = Kept(tmp_path)

    def double(content: Any) -> None:
        for line in content["evidence"]["trials"]:
            line["flops"] *= 2

    forge_check(kept, double)
    forge_search(kept, double)
    found = kept.found()["evidence/edited-trials"]
    assert "tuned.yaml: FLOPs must be those" in found
    assert "transfer.json: FLOPs must be those" in found
    assert "the same one" not in found


def _cost(size: list[int], flops: float | None) -> Edit:
    return lambda content: content["evidence"]["costs"].append({"size": size, "flops": flops})


def test_costs_of_sizes_are_counted_again(tmp_path: Path) -> None:
    """What the judgement of the target asked for; the right count, and rounding of it, pass."""
    kept = Kept(tmp_path)
    right = json.loads(kept.file("transfer.json").read_text())["evidence"]["trials"][0]
    kept.edit("transfer.json", _cost(right["size"], right["flops"] * (1 + 1e-9)))
    assert kept.found() == {}

    kept.edit("transfer.json", _cost(right["size"], right["flops"] * 1.01))
    assert "evidence.costs[1].flops" in kept.found()["evidence/edited-trials"]


def test_a_cost_is_not_simply_unknown(tmp_path: Path) -> None:
    """Null says that the model could not be built at the size, and it can."""
    kept = Kept(tmp_path)
    size = json.loads(kept.file("transfer.json").read_text())["evidence"]["trials"][0]["size"]
    kept.edit("transfer.json", _cost(size, None))
    assert "evidence.costs[0].flops null, counted again" in kept.found()["evidence/edited-trials"]


@pytest.mark.parametrize(("name", "code"), [("tuned.yaml", "edited-fit"), ("transfer.json", "edited-verdict")])
def test_the_targets_cost_is_counted_again(tmp_path: Path, name: str, code: str) -> None:
    """With the share of it that was spent, which follows."""
    kept = Kept(tmp_path)
    kept.file("target.yaml").unlink()  # which repeats it

    def cheaper(content: Any) -> None:
        spent = content["spent"]
        spent["target_flops"] *= 10
        spent["fraction_of_target"] /= 10

    kept.edit(name, cheaper)
    assert "spent.target_flops" in kept.found()[f"evidence/{code}"]


@pytest.mark.parametrize(("share", "holds"), [(0.5, True), (1 / 60, True), (0.508, False), (1.5, False)])
def test_a_diverged_run_takes_whole_steps(tmp_path: Path, share: float, holds: bool) -> None:
    """Of sixty steps any whole number; the check of the same trials is written anew, so that nothing else differs."""
    kept = Kept(tmp_path)

    def diverge(content: Any) -> None:
        line = _line(content, 128, 2, -1)
        line.update(state="diverged", loss=None, error=None, flops=line["flops"] * share)

    forge_check(kept, diverge)
    kept.file("target.yaml").unlink()
    found = kept.found()
    assert ("evidence/edited-trials" not in found) is holds
    if not holds:
        assert "of which a diverged one takes steps" in found["evidence/edited-trials"]


@pytest.mark.parametrize("name", ["command-plain", "function"])
def test_reported_flops_are_said_to_be_what_the_files_state(name: str) -> None:
    """A trainer that reports FLOPs itself is not counted; the level says so, and nothing of the built-in one."""
    loaded = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    (said,) = count_again(loaded, Evidence(ROOT), trust=False).undecided
    assert "reports them itself, so what optima cost in compute rests on what the files state" in said


def test_built_in_models_are_counted_without_a_word() -> None:
    """The negative control, with the count that `cost` prints for the target."""
    counted = count_again(load_recipe(ROOT / "recipes" / "quickstart.yaml"), Evidence(ROOT), trust=False)
    assert counted.undecided == ()
    assert counted.of_trials
    ((size, flops),) = counted.flops.items()
    assert isinstance(size, Size)
    assert flops == json.loads((ROOT / "recipes/runs/quickstart/transfer.json").read_text())["spent"]["target_flops"]


def test_a_trial_of_both_files_is_one_trial(tmp_path: Path) -> None:
    """A loss that was edited in one of them differs from the other's."""
    kept = Kept(tmp_path)
    forge_search(kept, lambda content: content["evidence"]["trials"][0].update(loss=0.01))
    found = kept.found()["evidence/edited-trials"]
    assert "transfer.json: a run must be the same one in tuned.yaml and in transfer.json" in found
    assert "in tuned.yaml 0.01" in found


def test_a_trial_that_was_trained_twice_is_said_to_be(tmp_path: Path) -> None:
    """Where `tune`'s database was not kept, `check` trains anew: another time, and elsewhere another loss."""
    kept = Kept(tmp_path)

    def later(content: Any) -> None:
        line = content["evidence"]["trials"][0]
        line.update(loss=line["loss"] * (1 + 1e-6), seconds=line["seconds"] * 2)

    forge_search(kept, later)
    validation = kept.validate()
    assert validation.errors == ()
    said = "1 trial is the same in tuned.yaml and in transfer.json: by their times they were trained twice"
    assert any(said in note for note in validation.notes)
    assert not any("trained twice" in note for note in Kept(tmp_path / "untouched").validate().notes)


# ladders


def test_a_trial_left_out_is_named(tmp_path: Path) -> None:
    """Of the ladder alone, and of the file as well; everything else follows from those that are left."""
    for place, also in enumerate((False, True)):
        kept = Kept(tmp_path / str(place))

        def drop(content: Any, also: bool = also) -> None:
            line = _line(content, 64, 1)
            if also:
                without(content, lambda each: each["key"] == line["key"])
                return
            places = content["evidence"]["groups"]["learning_rate"]
            places.remove(content["evidence"]["trials"].index(line))

        forge_check(kept, drop)
        said = kept.found()["evidence/edited-verdict"]
        assert "evidence.groups.learning_rate w64-d2, learning_rate" in said
        assert "seed 1, is left out: the check trains it" in said


def test_a_diverged_trial_left_out_is_named(tmp_path: Path) -> None:
    """What diverged belongs to the ladder like the others: with it the evidence holds, without it it does not."""
    kept = Kept(tmp_path)
    kept.file("target.yaml").unlink()

    def diverge(content: Any) -> None:
        line = _line(content, 128, 2, -1)
        line.update(state="diverged", loss=None, error=None, flops=line["flops"] / 60)

    forge_check(kept, diverge)
    assert kept.found() == {}
    forge_check(kept, lambda content: without(content, lambda line: line["state"] == "diverged"))
    assert "w128-d2, learning_rate" in kept.found()["evidence/edited-verdict"]


def test_a_trial_put_in_is_named(tmp_path: Path) -> None:
    """One of the search, whose value is none of the check's grid."""
    kept = Kept(tmp_path)

    def add(content: Any) -> None:
        places = content["evidence"]["groups"]["learning_rate"]
        lines = content["evidence"]["trials"]
        places.append(next(place for place, line in enumerate(lines) if place not in places and line["seed"] == 0))

    forge_check(kept, add)
    assert "is none of the check's grid" in kept.found()["evidence/edited-verdict"]


def test_a_grid_is_widened_where_the_rule_widens_it(tmp_path: Path) -> None:
    """An optimum on the edge has the check go on: the values beyond may not be left out either."""
    kept = Kept(tmp_path, "standard-adamw")
    rates = {
        width: {float(line["values"]["learning_rate"]) for line in _lines(kept) if line["size"][0] == width}
        for width in (16, 32)
    }
    beyond = rates[32] - rates[16]
    assert beyond
    forge_check(
        kept,
        lambda content: without(
            content, lambda line: line["size"][0] == 32 and float(line["values"]["learning_rate"]) in beyond
        ),
    )
    said = kept.found()["evidence/edited-verdict"]
    assert "is left out: an optimum on the edge of its grid, so the check goes on there" in said


def _lines(kept: Kept) -> list[Any]:
    content = json.loads(kept.file("transfer.json").read_text())
    return [content["evidence"]["trials"][place] for place in _group(content)]


def test_the_grid_of_an_adaptive_check_is_its_first_round(tmp_path: Path) -> None:
    """Rounds that are said to have begun with more trials than the grid has, to hide what was chosen."""
    kept = Kept(tmp_path, "joint-adaptive")

    def merge(content: Any) -> None:
        rounds = content["adaptive"]["rounds"]
        content["adaptive"]["rounds"] = rounds[1:]
        rounds[1]["spent_on"] = rounds[0]["spent_on"]

    forge_check(kept, merge)
    assert "adaptive.rounds[0].trials 34, computed again 30" in kept.found()["evidence/edited-verdict"]


def test_a_round_has_each_seed_below_its_own(tmp_path: Path) -> None:
    """A later seed without an earlier one was not asked for alone."""
    kept = Kept(tmp_path, "joint-adaptive")
    lines = _lines(kept)
    further = lines[30:]
    seed = max(line["seed"] for line in further)
    rate, width = next((line["values"]["learning_rate"], line["size"][0]) for line in further if line["seed"] == seed)
    assert seed > 0
    gone = next(
        line
        for line in lines
        if (line["values"]["learning_rate"], line["size"][0], line["seed"]) == (rate, width, seed - 1)
    )

    def drop(content: Any) -> None:
        without(content, lambda line: line["key"] == gone["key"])
        for each in content["adaptive"]["rounds"]:
            each["trials"] -= lines.index(gone) < each["trials"]

    forge_check(kept, drop)
    assert f"seed {seed - 1}, is left out" in kept.found()["evidence/edited-verdict"]


# the search


def test_a_trial_of_the_search_left_out_is_named(tmp_path: Path) -> None:
    """The search would have gone on, so it has not ended there."""
    kept = Kept(tmp_path)
    forge_search(kept, lambda content: without(content, lambda line: line is content["evidence"]["trials"][0]))
    assert "the search has 11 of its 12 trials: 1 are left out" in kept.found()["evidence/edited-fit"]


def test_a_trial_of_a_line_left_out_is_named(tmp_path: Path) -> None:
    """Each line of a search one by one has its own number."""
    kept = Kept(tmp_path, "one-at-a-time")

    def drop(content: Any) -> None:
        first = content["evidence"]["groups"]["beta1"][0]
        without(content, lambda line: line is content["evidence"]["trials"][first])

    forge_search(kept, drop)
    assert "the line of beta1 has 10 of its 11 trials" in kept.found()["evidence/edited-fit"]


def test_a_confirmation_left_out_is_named(tmp_path: Path) -> None:
    """By its seed."""
    kept = Kept(tmp_path)
    lines = kept.read("tuned.yaml")["evidence"]["trials"]
    seed = max(line["seed"] for line in lines if line["phase"] == "confirm")
    forge_search(kept, lambda content: without(content, lambda line: line["seed"] == seed))
    assert f"the confirmation with seed {seed} is left out" in kept.found()["evidence/edited-fit"]


def test_a_trial_of_the_search_is_not_called_superseded(tmp_path: Path) -> None:
    """What is called the confirmation of a former recommendation has its seeds, and diverged."""
    kept = Kept(tmp_path)
    forge_search(kept, lambda content: content["evidence"]["trials"][0].update(phase="superseded"))
    assert "was not confirmed with the seeds" in kept.found()["evidence/edited-fit"]


# the coordinate check


def _no_coordinates(content: Any) -> None:
    del content["diagnostics"]["coordinate"]
    content["coordinate"] = None


@pytest.mark.parametrize("name", ["mup-sgd", "mup-adamw"])
def test_a_check_without_its_coordinate_check_is_refused(tmp_path: Path, name: str) -> None:
    """Whether it FAILED or held: every check of this recipe makes one."""
    kept = Kept(tmp_path, name)
    forge_check(kept, _no_coordinates)
    said = kept.found()["evidence/edited-verdict"]
    assert "diagnostics.coordinate is left out: the check makes it" in said


def test_a_trainer_that_cannot_be_measured_has_no_coordinate_check() -> None:
    """A function of the user's own has none, and none is asked for."""
    from hptransfer.checking.design import CheckDesign
    from hptransfer.checking.diagnose import always_made, facts_of

    def made(name: str) -> tuple[str, ...]:
        loaded = load_recipe(ROOT / "recipes" / f"{name}.yaml")
        return always_made(facts_of(CheckDesign(loaded.recipe, loaded.root, {"learning_rate": 0.01})))

    assert "coordinate" not in made("function")
    assert "coordinate" in made("quickstart")


def _report(change: Callable[[Any], object]) -> Edit:
    return lambda content: change(content["diagnostics"]["coordinate"][0])


def _judges_nothing(report: Any) -> None:
    for row in report["rows"]:
        row["judged"] = False


def _allows_all(report: Any) -> None:
    for row in report["rows"]:
        row["allowed"] = [-9.0, 9.0]


COORDINATES: dict[str, tuple[Edit, str]] = {
    "its tolerance": (_report(lambda report: report.update(tolerance=9.0)), "diagnostics.coordinate[0].tolerance 9.0"),
    "its seeds": (_report(lambda report: report.update(seeds=99)), "diagnostics.coordinate[0].seeds 99"),
    "its sizes": (_report(lambda report: report.update(sizes=[16, 4096])), "diagnostics.coordinate[0].sizes"),
    "rows not judged": (_report(_judges_nothing), "diagnostics.coordinate[0].rows[0].judged false"),
    "slopes allowed": (_report(_allows_all), "diagnostics.coordinate[0].rows[0].allowed[0] -9.0"),
    "a row left out": (_report(lambda report: report["rows"].pop()), "at steps 1, 3, 10; it has 1, 3"),
    "its sentence": (
        _report(lambda report: report.update(sentence="FAILS: along width, but nobody minds.")),
        "diagnostics.coordinate[0].sentence",
    ),
    "nothing of it": (lambda content: content["diagnostics"].update(coordinate=[]), "it judges nothing"),
    "null": (lambda content: content["diagnostics"].update(coordinate=None), "it judges nothing"),
}


@pytest.mark.parametrize("case", COORDINATES)
def test_a_coordinate_check_is_the_recipes(tmp_path: Path, case: str) -> None:
    """Axes, sizes, seeds, steps, tolerance and what is judged are what the recipe asks for; the outcome follows."""
    change, said = COORDINATES[case]
    kept = Kept(tmp_path, "mup-sgd")
    kept.edit("transfer.json", change)
    assert said in kept.found()["evidence/edited-verdict"]


def test_rules_that_updates_miss_stay_named(tmp_path: Path) -> None:
    """Faults that the slopes show may not be left out of a check that FAILS."""
    kept = Kept(tmp_path, "standard-adamw")
    kept.edit("transfer.json", _report(lambda report: report.update(faults=[])))
    assert "diagnostics.coordinate[0].faults" in kept.found()["evidence/edited-verdict"]


def test_what_every_check_makes_is_there(tmp_path: Path) -> None:
    """Not the coordinate check alone."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", lambda content: content["diagnostics"].pop("interactions"))
    assert "diagnostics.interactions is left out" in kept.found()["evidence/edited-verdict"]


# the target

TARGETS: dict[str, tuple[Edit, str]] = {
    "notes": (lambda content: content.update(notes=["verified on 512 GPUs"]), "notes"),
    "seeds": (lambda content: content["provenance"]["seeds"].update(check=99), "provenance.seeds.check 99"),
    "intervals": (
        lambda content: content["provenance"]["intervals"].update(learning_rate=[0.1, 0.2]),
        "provenance.intervals.learning_rate",
    ),
    "where it was tuned": (lambda content: content["provenance"]["tuned_at"].update(width=4096), "tuned_at.width 4096"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_what_a_target_says_of_its_evidence_is_computed_again(tmp_path: Path, case: str) -> None:
    """Notes and provenance, all but the date and the versions of packages."""
    change, said = TARGETS[case]
    kept = Kept(tmp_path)
    kept.edit("target.yaml", change)
    assert said in kept.found()["evidence/other-target"]


def test_when_and_with_what_a_target_was_written_is_free(tmp_path: Path) -> None:
    """The negative control: another day, another numpy."""
    kept = Kept(tmp_path)

    def later(content: Any) -> None:
        content["provenance"]["written"] = "2031-01-01T00:00:00+00:00"
        content["provenance"]["versions"]["numpy"] = "9.9"

    kept.edit("target.yaml", later)
    assert kept.found() == {}


def test_consistent_losses_pass(tmp_path: Path) -> None:
    """What is documented as not shown: a loss has no key of its own, and all that follows may be edited with it."""
    kept = Kept(tmp_path)
    kept.file("target.yaml").unlink()
    again = kept.read("transfer.json")["evidence"]["trials"]
    key = kept.read("tuned.yaml")["evidence"]["trials"][0]["key"]
    assert any(line["key"] == key for line in again)

    def lie(content: Any) -> None:
        line = next(each for each in content["evidence"]["trials"] if each["key"] == key)
        line.update(loss=line["loss"] * 1.001, seconds=line["seconds"] + 100.0)
        assert math.isfinite(line["loss"])

    forge_search(kept, lie)
    forge_check(kept, lie)
    assert "evidence/edited-trials" not in kept.found()
    assert "evidence/edited-verdict" not in kept.found()
