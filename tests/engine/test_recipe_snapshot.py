"""A recipe that changed between two commands: said, refused, or decided by the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.recipe_snapshot import load_snapshot, read_snapshot
from hptransfer.engine.open_session import open_session
from hptransfer.errors import UsageError
from hptransfer.report.findings import as_text
from hptransfer.trials.legacy import legacy_experiment
from tests.support.landscape import recipe_text
from tests.support.recipe_texts import edited
from tests.support.sessions import recipe_session, tune_and_write


def tuned(tmp_path: Path, *edits: tuple[str, str], **options: Any) -> tuple[list[str], int]:
    """Tunes an edited recipe in tmp_path/runs; what was said, and trainings so far."""
    said: list[str] = []
    text = edited(recipe_text({"log": str(tmp_path / "log")}), *edits)
    with recipe_session(tmp_path / "runs", text, say=said.append, **options) as session:
        tune_and_write(session)
    return said, len((tmp_path / "log").read_text().splitlines())


STEPS = ("steps: 10", "steps: 20")


def test_a_change_that_unsettles_finished_trials_is_refused(tmp_path: Path) -> None:
    """Every difference is listed, old -> new, with both ways to go on; nothing is trained, exit status 2."""
    _, before = tuned(tmp_path)
    with pytest.raises(UsageError) as refusal:
        tuned(tmp_path, STEPS, ("trials: 12", "trials: 14"))

    text = as_text(refusal.value.findings[0])
    assert refusal.value.exit_status == 2
    assert "holds 14 finished trials" in text
    assert "\n  | training.steps: 10 -> 20 (trains anew)\n" in text
    assert "\n  | tune.trials: 12 -> 14 (trials that still fit are reused)\n" in text
    assert "`--on-change new`" in text
    assert "`--on-change keep`" in text
    assert len((tmp_path / "log").read_text().splitlines()) == before


def test_new_goes_on_with_the_recipe_as_it_is_now(tmp_path: Path) -> None:
    """Everything is trained again, once; the next command knows the new recipe; going back finds the old trials."""
    tuned(tmp_path)
    said, after = tuned(tmp_path, STEPS, on_change="new")

    assert after == 28
    assert said == ["the recipe changed: training.steps: 10 -> 20 (trains anew)"]
    assert tuned(tmp_path, STEPS) == ([], 28)
    assert tuned(tmp_path, on_change="new")[1] == 28


def test_keep_goes_on_with_the_recipe_as_it_was(tmp_path: Path) -> None:
    """The edited file is left alone, nothing is trained again, and what is remembered stays."""
    tuned(tmp_path)
    _, after = tuned(tmp_path, STEPS, on_change="keep")
    remembered = read_snapshot(tmp_path / "runs" / "landscape" / "recipe.json")

    assert after == 14
    assert remembered is not None
    assert remembered.recipe.training.steps == 10
    assert "steps: 20" in (tmp_path / "recipe.yaml").read_text()


def test_a_change_that_keeps_trials_usable_is_said_and_accepted(tmp_path: Path) -> None:
    """More trials continue the search without a question."""
    tuned(tmp_path)
    said, after = tuned(tmp_path, ("trials: 12", "trials: 14"))

    assert said == ["the recipe changed: tune.trials: 12 -> 14 (trials that still fit are reused)"]
    assert after == 14 + 2  # without noise the recommendation stays, and so does its confirmation


def test_what_changes_no_trial_is_not_mentioned(tmp_path: Path) -> None:
    """Another target, budget or text."""
    tuned(tmp_path)

    assert tuned(tmp_path, ("width: 1024", "width: 2048"), ("tune:", "budget: {trials: 99}\ntune:")) == ([], 14)


def test_without_finished_trials_anything_may_change(tmp_path: Path) -> None:
    """There is nothing to lose."""
    with recipe_session(tmp_path / "runs", recipe_text({})):
        pass

    assert tuned(tmp_path, STEPS)[1] == 14


RECIPE = """\
name: tiny
model: {kind: mlp, context: 4, embedding: 4}
data: {kind: text, files: ["*.txt"]}
training: {steps: 2, batch_size: 8}
parameterization: {name: mup}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 32, 64, 128]
  target: {width: 1024, depth: 2}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 3
  confirm_seeds: 1
"""


def test_changed_data_are_a_change_that_cannot_be_kept(tmp_path: Path) -> None:
    """The recipe is the same, its files are not: refused, and `keep` cannot bring the old content back."""
    (tmp_path / "a.txt").write_text("some text\n" * 300)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with open_session(tmp_path / "recipe.yaml", tmp_path / "runs", 1) as session:
        tune_and_write(session)
    (tmp_path / "a.txt").write_text("other text\n" * 300)

    for choice, said in ((None, "data: "), ("keep", "their content is another now")):
        with (
            pytest.raises(UsageError) as refusal,
            open_session(tmp_path / "recipe.yaml", tmp_path / "runs", 1, on_change=choice),  # type: ignore[arg-type]
        ):
            pass
        assert said in as_text(refusal.value.findings[0])


OWN = ("model: {kind: mlp}", 'model: {kind: factory, factory: "own_blocks:build"}')


def test_changed_code_is_a_change_that_cannot_be_kept(tmp_path: Path) -> None:
    """A module that the factory imports: refused by its name, `new` trains anew, comments change nothing."""
    (tmp_path / "own_blocks.py").write_text("import own_parts\n\ndef build(width, depth): ...\n")
    (tmp_path / "own_parts.py").write_text("FACTOR = 4\n")
    _, before = tuned(tmp_path, OWN)
    (tmp_path / "own_parts.py").write_text("# four times the width\nFACTOR = 4\n")
    assert tuned(tmp_path, OWN) == ([], before)

    (tmp_path / "own_parts.py").write_text("FACTOR = 2\n")
    for choice, said in ((None, "code of own_parts: "), ("keep", "the code as it was")):
        with pytest.raises(UsageError) as refusal:
            tuned(tmp_path, OWN, on_change=choice)
        assert said in as_text(refusal.value.findings[0])
    (sentence,), after = tuned(tmp_path, OWN, on_change="new")

    assert after == 2 * before
    assert sentence.startswith("the recipe changed: code of own_parts: ")


def test_the_snapshot_names_what_determines_trials(tmp_path: Path) -> None:
    """Digest, trainer and rules in exact powers, so that the next version can name a difference."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        snapshot = read_snapshot(session.folder.recipe)

    assert snapshot is not None
    assert snapshot.experiment == snapshot.identity == session.identity.digest
    assert snapshot.trainer == "torch 1"
    assert snapshot.rules["layers.*"]["hidden weight"]["learning_rate"] == {"fan_in": "-1"}
    assert snapshot.rules["layers.*"]["hidden weight"]["init_std"] == {"fan_in": "-1/2"}


def test_a_snapshot_of_0_1_is_read(tmp_path: Path) -> None:
    """Format 1, with a key at its default that recipes do not have any more; what it cannot say is left open."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        path = session.folder.recipe
    content = json.loads(path.read_text())
    recipe = content["recipe"]
    del recipe["trainer"], recipe["objective"]
    recipe["tune"]["early_stopping"] = "none"
    old = {name: content[name] for name in ("file", "recipe_hash", "fingerprint")} | {"format": 1, "recipe": recipe}
    path.write_text(json.dumps(old))
    snapshot = read_snapshot(path)

    assert snapshot is not None
    assert (snapshot.identity, snapshot.recipe.name) == (None, "landscape")
    assert snapshot.experiment == legacy_experiment(snapshot.recipe, snapshot.fingerprint)

    recipe["tune"]["novelty"] = 1
    path.write_text(json.dumps(old))
    assert read_snapshot(path) is None
    assert tuned(tmp_path)[0][0].endswith("recipe.json: tune.novelty: Extra inputs are not permitted")


def test_keys_that_were_removed_are_left_out_of_older_snapshots(tmp_path: Path) -> None:
    """0.1 wrote `tune.early_stopping` into every snapshot; its folders are still compared with the recipe."""
    tuned(tmp_path)
    snapshot = tmp_path / "runs" / "landscape" / "recipe.json"
    content = json.loads(snapshot.read_text())
    content["recipe"]["tune"]["early_stopping"] = "asha"
    content["format"] = 1
    snapshot.write_text(json.dumps(content))

    said, _ = tuned(tmp_path, ("trials: 12", "trials: 14"))

    assert said == ["the recipe changed: tune.trials: 12 -> 14 (trials that still fit are reused)"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b'{"format": 1, "recipe": [1]}',
        b'{"format": 1, "recipe": "text", "file": 5}',
        b'{"format": 1, "recipe": {"sizes": [1]}}',
        b'{"format": 1}',
        b'{"format": 2, "recipe": 5}',
        b"[" * 100_000,
        b'{"format": 1, "recipe": ' + b'{"a": ' * 900 + b"1" + b"}" * 901,
        b'{"format": 1, "recipe": {"name": "\\ud800"}}',
        b"garbage",
    ],
    ids=["encoding", "list", "text", "section", "nothing", "format 2", "deep", "deep mapping", "surrogate", "garbage"],
)
def test_a_damaged_snapshot_is_an_unreadable_one(tmp_path: Path, content: bytes) -> None:
    """Never a defect: the next command says that it cannot know what changed."""
    path = tmp_path / "recipe.json"
    path.write_bytes(content)

    with pytest.raises(UsageError):
        load_snapshot(path)
    assert read_snapshot(path) is None
