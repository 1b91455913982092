"""What a coordinate check has of a model is the model's, and the trials of both files stand in their places."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from hptransfer.artifacts.json_data import to_document
from hptransfer.diagnostics._coordinate_again import rejudged_coordinates
from hptransfer.engine.readings import Readings
from tests.support.consistent_evidence import forge_check, forge_search, without
from tests.support.coordinate_checks import checked, facts_along
from tests.support.kept_evidence import KEPT, Edit, Kept
from tests.support.tiny import ROOT, recipe

pytestmark = pytest.mark.usefixtures("_version_of_the_files")


# rows of the coordinate check


def _reports(change: Edit) -> Edit:
    def edit(content: Any) -> None:
        for report in content["diagnostics"]["coordinate"]:
            report["faults"] = []
            change(report)

    return edit


def _only_what_holds(report: Any) -> None:
    """The breaker's: what fails is left out, so that what is left holds."""
    failing = {row["layer"] for row in report["rows"] if row["verdict"] != "HOLDS"}
    report["rows"] = [row for row in report["rows"] if row["layer"] not in failing]
    report["parameters"] = [row for row in report["parameters"] if row["verdict"] == "HOLDS"]


def _only_parameters(report: Any) -> None:
    report["rows"] = []
    _as_measured(report)


def _failing_layers(report: Any) -> None:
    report["rows"] = [row for row in report["rows"] if row["layer"] != "hidden.0"]


def _as_measured(report: Any) -> None:
    """The breaker's: what a rule is said to give is what the slopes are."""
    for row in report["parameters"]:
        row["expected_update"], row["expected_initial"] = row["update"]["estimate"], row["initial"]["estimate"]


def _elsewhere(report: Any) -> None:
    for row in report["parameters"]:
        row["place"] = "vector"


def _another(report: Any) -> None:
    report["parameters"].append(copy.deepcopy(report["parameters"][0]) | {"name": "hidden.7.weight"})


def _twice(report: Any) -> None:
    report["parameters"].append(copy.deepcopy(report["parameters"][0]))


FORGED: dict[str, tuple[Edit, str]] = {
    "what fails left out": (_only_what_holds, "must have each parameter along width; hidden.0.weight"),
    "no layers": (_only_parameters, "must have each layer along width; embedding (embedding), hidden.0 (hidden)"),
    "a layer left out": (_failing_layers, "must have each layer along width; hidden.0 (hidden) is left out"),
    "what is expected": (_as_measured, "of hidden.0.bias along width what its rule does; expected_update"),
    "places": (_elsewhere, "of embedding.weight along width what its rule does; place vector, computed again fixed"),
    "a parameter put in": (_another, "must have the model's parameters; hidden.7.weight is none of them"),
    "a parameter twice": (_twice, "must have each parameter once along width; embedding.weight is there twice"),
}


@pytest.mark.parametrize("case", FORGED)
def test_rows_are_the_models(tmp_path: Path, case: str) -> None:
    """Everything else in the file follows from the forged rows; no slope is touched."""
    change, said = FORGED[case]
    kept = Kept(tmp_path, "standard-adamw")
    forge_check(kept, _reports(change))
    assert said in kept.found()["evidence/edited-verdict"]


@pytest.mark.parametrize("name", ["blocks.*.down.weight", "blocks.*.q.weight"])
def test_rows_along_depth_are_the_models(tmp_path: Path, name: str) -> None:
    """What is expected in a block follows from how its branch starts, which is measured."""
    kept = Kept(tmp_path, "completep-depth")

    def other(report: Any) -> None:
        for row in report["parameters"]:
            row["expected_update"] -= 0.5 * (row["name"] == name)

    forge_check(kept, _reports(other))
    assert f"of {name} along depth what its rule does; expected_update" in kept.found()["evidence/edited-verdict"]


@pytest.mark.parametrize("kind", ["hidden", "logits"])
def test_only_logits_are_drowned(tmp_path: Path, kind: str) -> None:
    """A random share is a readout's; one of another layer is refused, and one of the logits holds no row."""
    kept = Kept(tmp_path, "standard-adamw")

    def drown(content: Any) -> None:
        for row in content["diagnostics"]["coordinate"][0]["rows"]:
            row["drowned"] = row["kind"] == kind

    if kind == "hidden":
        kept.edit("transfer.json", drown)
        said = kept.found()["evidence/edited-verdict"]
        assert "must not call hidden.0 (hidden) drowned along width" in said
        return
    forge_check(kept, drown)
    rows = kept.read("transfer.json")["diagnostics"]["coordinate"][0]["rows"]
    assert {row["verdict"] for row in rows if row["kind"] == kind} <= {"FAILS", "INCONCLUSIVE"}


GPT = {"kind": "gpt", "context": 8, "embedding": None, "head_dim": 8}
MODELS: dict[str, tuple[dict[str, Any], Literal["width", "depth"], Sequence[int]]] = {
    "mlp": ({}, "width", (16, 32)),
    "mlp of one layer": ({"model": {}, "sizes": {"base": {"width": 16, "depth": 1}}}, "width", (16, 32)),
    "mlp whose table grows": ({"model": {"embedding": None}}, "width", (16, 32)),
    "rotary": ({"model": GPT}, "width", (16, 32)),
    "learned positions": ({"model": GPT | {"positions": "learned"}}, "width", (16, 32)),
    "depth": ({"model": GPT, "parameterization": {"name": "completep"}}, "depth", (2, 4)),
    "depth of mup": ({"model": GPT}, "depth", (1, 2, 4)),
    "sgd": ({"training": {"optimizer": "sgd"}}, "width", (16, 32)),
    "muon": ({"model": GPT, "training": {"optimizer": "muon"}}, "width", (16, 32)),
}


@pytest.mark.parametrize("case", MODELS)
def test_what_is_measured_is_what_is_asked_for(case: str) -> None:
    """The negative control: reports of real runs are accepted as they are, and not where a row is missing."""
    sections, axis, lengths = MODELS[case]
    made = recipe(**({"check": {"coordinate": {"seeds": 2, "steps": [1, 3]}}} | sections))
    report = to_document(checked(made, axis, lengths))
    facts = facts_along(made, axis, lengths)
    readings = Readings(made, ROOT, None, None)
    read = {(size.width, size.depth): readings.at(size.width, size.depth).parameters for size in facts.sizes}
    facts = replace(facts, parameters=read)

    assert rejudged_coordinates([report], facts) == [report]
    for rows in ("rows", "parameters"):
        name = report[rows][-1].get("layer") or report[rows][-1]["name"]
        fewer = [row for row in report[rows] if name not in (row.get("layer"), row.get("name"))]
        with pytest.raises(ValueError, match="left out"):
            rejudged_coordinates([report | {rows: fewer}], facts)


def test_parameters_of_an_own_model_are_asked_with_trust(tmp_path: Path) -> None:
    """Without it the level says that it did not decide this."""
    shutil.copy(KEPT / "evidence_net.py", tmp_path)
    kept = Kept(tmp_path, "own-factory")
    forge_check(kept, _reports(lambda report: report["parameters"].pop()))
    untrusted = kept.validate()
    assert untrusted.errors == ()
    assert any("every layer and parameter of the model: the model was not read" in note for note in untrusted.notes)
    assert (
        "must have each parameter along width; head.weight is left out"
        in kept.found(trust=True)["evidence/edited-verdict"]
    )


# places of trials


def test_a_trial_of_the_search_stands_once(tmp_path: Path) -> None:
    """The breaker's: all of them five times, and everything else as it follows."""
    kept = Kept(tmp_path)

    def repeat(content: Any) -> None:
        trials = content["evidence"]["trials"]
        searched = [line for line in trials if line["phase"] == "search"]
        trials += [copy.deepcopy(line) for line in searched * 4]

    forge_search(kept, repeat)
    assert "has one trial 5 times: evidence.trials[0]" in kept.found()["evidence/edited-fit"]


def test_a_trial_of_a_line_stands_once(tmp_path: Path) -> None:
    """In each line; lines may share one, as the middle of the later ones is a trial of the first."""
    kept = Kept(tmp_path, "one-at-a-time")

    def repeat(content: Any) -> None:
        content["evidence"]["groups"]["beta1"].append(content["evidence"]["groups"]["beta1"][0])

    forge_search(kept, repeat)
    assert "evidence.groups.beta1 names a trial more than once" in kept.found()["evidence/edited-fit"]


def test_a_search_has_no_trial_of_a_check(tmp_path: Path) -> None:
    """One that was trained for nothing that a search does."""
    kept = Kept(tmp_path)

    def add(content: Any) -> None:
        trials = content["evidence"]["trials"]
        other = json.loads(kept.file("transfer.json").read_text())["evidence"]["trials"]
        known = {line["key"] for line in trials}
        line = next(line for line in other if line["key"] not in known and line["phase"] == "check")
        trials.append(line | {"made": 0})

    forge_search(kept, add)
    assert "has a trial of a check, which no search asks for" in kept.found()["evidence/edited-fit"]


def _ungrouped(content: Any) -> set[str]:
    grouped = {place for group in content["evidence"]["groups"].values() for place in group}
    return {line["key"] for place, line in enumerate(content["evidence"]["trials"]) if place not in grouped}


def test_diagnostics_judge_from_all_trials_of_the_search(tmp_path: Path) -> None:
    """Those in no ladder left out, one or all, where the check knew the trials of the search."""
    for most in (1, None):
        kept = Kept(tmp_path / str(most), "standard-adamw")
        gone = sorted(_ungrouped(kept.read("transfer.json")))[:most]

        def drop(content: Any, gone: list[str] = gone) -> None:
            without(content, lambda line: line["key"] in gone)

        forge_check(kept, drop)
        assert "evidence.trials lacks a trial of tuned.yaml: " in kept.found()["evidence/edited-verdict"]


def test_a_check_that_knew_no_search_is_said_to_be(tmp_path: Path) -> None:
    """A check without study.db carries none of its trials; who takes all of them out is not told from it."""
    kept = Kept(tmp_path, "one-at-a-time")
    gone = _ungrouped(kept.read("transfer.json"))
    forge_check(kept, lambda content: without(content, lambda line: line["key"] in gone))
    validation = kept.validate()
    assert validation.errors == ()
    assert any("transfer.json carries none that was trained for it" in note for note in validation.notes)
    assert not any("carries none" in note for note in Kept(tmp_path / "untouched", "one-at-a-time").validate().notes)


def _cut(rounds: int, ended: str | None = None) -> Edit:
    """Leaves the last rounds of an adaptive check out, with their trials."""

    def edit(content: Any) -> None:
        evidence, adaptive = content["evidence"], content["adaptive"]
        (group,) = evidence["groups"].values()
        kept = adaptive["rounds"][rounds - 1]["trials"]
        gone = {evidence["trials"][place]["key"] for place in group[kept:]}
        adaptive["rounds"] = adaptive["rounds"][:rounds]
        adaptive["ended"] = ended or adaptive["ended"]
        without(content, lambda line: line["key"] in gone)

    return edit


@pytest.mark.parametrize("ended", [None, "no trial is left that would tell more"])
@pytest.mark.parametrize("rounds", [1, 2])
def test_rounds_go_on_until_they_end(tmp_path: Path, rounds: int, ended: str | None) -> None:
    """The last rounds left out, whatever is said of why the check ended there."""
    kept = Kept(tmp_path, "joint-adaptive")
    forge_check(kept, _cut(rounds, ended))
    said = kept.found()["evidence/edited-verdict"]
    assert "adaptive.ended is reached by no round: more trials were to be spent, and rounds are left out" in said


def test_rounds_end_where_they_decide(tmp_path: Path) -> None:
    """A round behind the one after which the check had ended: its trials were chosen by hand."""
    kept = Kept(tmp_path, "joint-adaptive")

    def split(content: Any) -> None:
        rounds = content["adaptive"]["rounds"]
        rounds.insert(2, copy.deepcopy(rounds[2]) | {"trials": rounds[2]["trials"] - 1})

    forge_check(kept, split)
    said = kept.found()["evidence/edited-verdict"]
    assert "adaptive.ended is after round 4, and the check had ended after round 3: it had decided" in said
