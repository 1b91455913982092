"""Evidence of one-at-a-time and joint searches, of rounds, of Muon and of depth: each edit is named, digests or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.carried import Carried
from hptransfer.transfer.prediction import digest as prediction_digest
from hptransfer.trials.identity import digest
from tests.support.kept_evidence import SEARCHES, Edit, Kept, set_at

pytestmark = pytest.mark.usefixtures("_version_of_the_files")


@pytest.mark.parametrize("name", SEARCHES)
def test_untouched_evidence_holds(tmp_path: Path, name: str) -> None:
    """The negative control: nothing is said against what `run` wrote."""
    assert Kept(tmp_path, name).found() == {}


def _reversed(*path: str) -> Edit:
    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        lines = content[path[-1]]
        assert len(lines) > 1
        content[path[-1]] = dict(reversed(lines.items()))

    return change


def _predicted(*path: str, to: Any) -> Edit:
    """A prediction with the sha256 of what it says now."""

    def change(content: Any) -> None:
        set_at("prediction", *path, to=to)(content)
        content["prediction"]["sha256"] = prediction_digest(content["prediction"])

    return change


LINES, JOINT, MUON, DEPTH = SEARCHES
#: recipe, file, edit, code, what names the field
EDITS: dict[str, tuple[str, str, Edit, str, str]] = {
    "a multiplier's optimum": (
        LINES,
        "tuned.yaml",
        set_at("recommended", "output_multiplier", to=3.0),
        "edited-fit",
        "recommended.output_multiplier 3.0",
    ),
    "a beta's interval": (
        LINES,
        "tuned.yaml",
        set_at("intervals", "beta1", to=[0.89, 0.91]),
        "edited-fit",
        "intervals.beta1",
    ),
    "the order of search": (LINES, "tuned.yaml", set_at("search", "order", to="joint"), "edited-fit", "search.order"),
    "the order of lines": (LINES, "tuned.yaml", _reversed("search", "lines"), "edited-fit", "search.lines"),
    "the order of groups": (LINES, "tuned.yaml", _reversed("evidence", "groups"), "edited-fit", "evidence.groups"),
    "no groups": (LINES, "tuned.yaml", set_at("evidence", "groups", to={}), "edited-fit", "tuned.yaml"),
    "trials of a line": (
        LINES,
        "tuned.yaml",
        set_at("search", "lines", "beta1", "trials", to=40),
        "edited-fit",
        "search.lines.beta1.trials 40, computed again 11",
    ),
    "a joint optimum": (
        JOINT,
        "tuned.yaml",
        set_at("recommended", "output_multiplier", to=1.0),
        "edited-fit",
        "recommended.output_multiplier 1.0",
    ),
    "an open end": (
        JOINT,
        "tuned.yaml",
        set_at("intervals", "output_multiplier", 1, to=4.0),
        "edited-fit",
        "intervals.output_multiplier[1] 4.0, computed again null",
    ),
    "the sampler": (
        JOINT,
        "tuned.yaml",
        set_at("search", "sampler", to="random"),
        "edited-fit",
        'search.sampler "random"',
    ),
    "the search's trials": (
        JOINT,
        "tuned.yaml",
        set_at("search", "trials", to=240),
        "edited-fit",
        "search.trials 240, computed again 24",
    ),
    "seeds": (
        JOINT,
        "tuned.yaml",
        set_at("provenance", "seeds", "search", to=[0, 1, 2]),
        "edited-fit",
        "provenance.seeds.search",
    ),
    "a round's verdict": (
        JOINT,
        "transfer.json",
        set_at("adaptive", "rounds", 0, "verdict", to="TRANSFERS"),
        "edited-verdict",
        'adaptive.rounds[0].verdict "TRANSFERS", computed again "INCONCLUSIVE"',
    ),
    "a round's drift": (
        JOINT,
        "transfer.json",
        set_at("adaptive", "rounds", 1, "axes", 0, "drift", "estimate", to=5.0),
        "edited-verdict",
        "adaptive.rounds[1].axes[0].drift.estimate 5.0",
    ),
    "a round's trials": (
        JOINT,
        "transfer.json",
        set_at("adaptive", "rounds", 1, "spent", to=9),
        "edited-verdict",
        "adaptive.rounds[1].spent 9, computed again 4",
    ),
    "no rounds": (JOINT, "transfer.json", set_at("adaptive", "rounds", to=[]), "edited-verdict", "adaptive.rounds"),
    "why it ended": (
        JOINT,
        "transfer.json",
        set_at("adaptive", "ended", to="the budget is spent"),
        "edited-verdict",
        'adaptive.ended "the budget is spent", computed again "decided"',
    ),
    "the predicted loss": (
        JOINT,
        "target.yaml",
        _predicted("loss", "estimate", to=1.0),
        "other-target",
        "prediction.loss.estimate 1.0",
    ),
    "the date of the prediction": (
        JOINT,
        "target.yaml",
        set_at("prediction", "written", to="2020-01-01T00:00:00+00:00"),
        "other-target",
        "prediction: its content does not have the sha256",
    ),
    "AdamW's rate under Muon": (
        MUON,
        "tuned.yaml",
        set_at("recommended", "adam_learning_rate", to=1.0),
        "edited-fit",
        "recommended.adam_learning_rate 1.0",
    ),
    "the verdict under Muon": (
        MUON,
        "transfer.json",
        set_at("verdict", to="DRIFTS"),
        "edited-verdict",
        'verdict "DRIFTS", computed again "TRANSFERS"',
    ),
    "what was never checked": (
        MUON,
        "transfer.json",
        set_at("target", "axes", 1, "standing", to="covered"),
        "edited-verdict",
        "target.axes[1].standing",
    ),
    "the drift over depth": (
        DEPTH,
        "transfer.json",
        set_at("axes", 1, "drift", "high", to=0.01),
        "edited-verdict",
        "axes[1].drift.high",
    ),
    "the verdict over depth": (
        DEPTH,
        "transfer.json",
        set_at("axes", 1, "verdict", to="DRIFTS"),
        "edited-verdict",
        'axes[1].verdict "DRIFTS"',
    ),
    "the predicted loss over depth": (
        DEPTH,
        "target.yaml",
        _predicted("loss", "low", to=1.2),
        "other-target",
        "prediction.loss.low 1.2",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_named(tmp_path: Path, case: str) -> None:
    """One field, whatever else in the files still agrees: the file and the field are named."""
    name, file, change, code, said = EDITS[case]
    kept = Kept(tmp_path, name)
    kept.edit(file, change)
    found = kept.found()

    assert set(found) == {f"evidence/{code}"}
    assert found[f"evidence/{code}"].startswith(f"{file}: ")
    assert said in found[f"evidence/{code}"]


@pytest.mark.parametrize("case", ["a joint optimum", "trials of a line", "a round's verdict", "the drift over depth"])
def test_new_digests_hide_no_edit(tmp_path: Path, case: str) -> None:
    """With the identity, and the key of every trial, made anew over another identity."""
    name, file, change, code, said = EDITS[case]
    kept = Kept(tmp_path, name)

    def with_digests(content: Any) -> None:
        change(content)
        content["evidence"]["identity"]["parameterization"]["note"] = "edited"
        carried = Carried.model_validate_json(json.dumps(content["evidence"]))
        content["identity"] = digest(content["evidence"]["identity"])
        for line, record in zip(content["evidence"]["trials"], carried.trials, strict=True):
            line["key"] = carried.key_of(record)

    kept.edit(file, with_digests)
    found = kept.found()

    assert said in found[f"evidence/{code}"]
    assert "evidence/edited-trials" not in found
    assert "evidence/edited-identity" not in found


@pytest.mark.parametrize("name", [LINES, JOINT])
def test_another_version_may_search_otherwise(tmp_path: Path, name: str) -> None:
    """What is documented as not computed again: a sampler's arguments, and Optuna's version."""
    kept = Kept(tmp_path, name)

    def change(content: Any) -> None:
        search = content["search"]
        for each in search["lines"].values() if "lines" in search else [search]:
            each["optuna"], each["arguments"] = "9.9", {"design": "another"}

    kept.edit("tuned.yaml", change)
    assert kept.found() == {}
