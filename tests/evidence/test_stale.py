"""Evidence of another recipe, rule, model, code, data or version: what changed is said by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hptransfer.provenance
from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot
from hptransfer.evidence import stale
from hptransfer.parameterization import applied_rules
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity
from hptransfer.parameterization.tables import TABLES
from hptransfer.recipe.load import load_recipe
from hptransfer.trainers.torch import TRAINER
from tests.support.kept_evidence import RECIPES, Kept


def _rule(monkeypatch: pytest.MonkeyPatch, quantity: Quantity) -> None:
    """Another exponent of hidden weights in muP's table for Adam."""
    table = TABLES["mup", "adam"]
    key = (Role.HIDDEN_WEIGHT, quantity)
    changed = replace(table.rules[key], exponents=table.rules[key].exponents * Exponents(fan_in=0.5))
    rules = dict(table.rules) | {key: changed}
    monkeypatch.setattr(applied_rules, "TABLES", dict(TABLES) | {("mup", "adam"): replace(table, rules=rules)})


def test_a_changed_exponent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rule, as it was and as it is (findings, section 4: m^-1 became m^-1/2)."""
    kept = Kept(tmp_path)
    _rule(monkeypatch, Quantity.LEARNING_RATE)
    found = kept.found()

    assert set(found) == {"evidence/stale-rules"}
    assert "hidden weight learning_rate: fan_in^-1 -> fan_in^-1/2" in found["evidence/stale-rules"]
    assert "tuned.yaml" in found["evidence/stale-rules"]
    assert "transfer.json" in found["evidence/stale-rules"]


def test_a_changed_init_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A built-in model starts by the table's rule."""
    kept = Kept(tmp_path)
    _rule(monkeypatch, Quantity.INIT_STD)

    assert "hidden weight init_std: fan_in^-1/2 -> 1" in kept.found()["evidence/stale-rules"]


@pytest.mark.parametrize("name", RECIPES)
def test_only_users_of_a_changed_rule_go_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Five recipes across a release that changes one exponent."""
    kept = Kept(tmp_path, name)
    _rule(monkeypatch, Quantity.LEARNING_RATE)

    assert ("evidence/stale-rules" in kept.found()) == (name == "mup-adamw")


def test_changed_data_are_named(tmp_path: Path) -> None:
    """Their content, where the section is the same."""
    kept = Kept(tmp_path)
    (tmp_path / "texts" / "1.txt").write_text("others " * 900)

    assert "content of the data: sha256 " in kept.found()["evidence/stale-data"]


def test_line_ends_are_named_where_they_alone_differ(tmp_path: Path) -> None:
    """The data are others all the same; the hint says what keeps git from changing them."""
    kept = Kept(tmp_path)
    texts = [tmp_path / "texts" / f"{number}.txt" for number in (1, 2, 3)]
    for text in texts:
        text.write_bytes(text.read_bytes().replace(b"\n", b"\r\n"))

    (finding,) = (each for each in kept.validate().errors if each.code == "evidence/stale-data")
    assert finding.hint == (
        "only line ends differ: the evidence is of LF, the files here have CRLF. If git changed them, write "
        "`texts/*.txt -text` into .gitattributes beside the recipe and check the files out anew"
    )
    texts[0].write_bytes(texts[0].read_bytes() + b"more")
    (finding,) = (each for each in kept.validate().errors if each.code == "evidence/stale-data")
    assert "line ends" not in str(finding.hint)


CHANGES = {
    "training": ("learning_rate: 0.01", "learning_rate: 0.01, clip: 0.5", "training.clip: as by default -> 0.5"),
    "a batch": ("batch_size: 16", "batch_size: 32", ": training.batch_size: 16 -> 32\n"),
    "the duration": ("steps: 60", "steps: 120", "training.steps: 60 -> 120 (base.tokens: 960 -> 1920)"),
    "the other way to say it": ("steps: 60", "tokens: 1600", "training.tokens: 960 -> 1600"),
    "both": (
        "steps: 60, batch_size: 16",
        "steps: 30, batch_size: 32",
        "training.batch_size: 16 -> 32; training.steps: 60 -> 30 (base.tokens: 960 -> 960)",
    ),
    "the base": ("base: {width: 16", "base: {width: 32", "sizes.base.width: 16 -> 32"),
    "the check": ("octaves: 2", "octaves: 2.5", "what changed is not known without recipe.json"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changed_keys_are_named(tmp_path: Path, case: str) -> None:
    """Those on which trials depend by themselves; the others by recipe.json, where it is there."""
    old, new, said = CHANGES[case]
    kept = Kept(tmp_path)
    text = kept.recipe.read_text()
    assert old in text
    kept.recipe.write_text(text.replace(old, new))

    assert said in kept.found()["evidence/stale-recipe"]


def test_a_changed_model_is_named(tmp_path: Path) -> None:
    """The section's key."""
    kept = Kept(tmp_path)
    kept.recipe.write_text(kept.recipe.read_text().replace("embedding: 4", "embedding: 8"))

    assert "model.embedding: 4 -> 8" in kept.found()["evidence/stale-model"]


def test_a_change_is_reported_once(tmp_path: Path) -> None:
    """One error for both files: what was named is not called unknown, fields of the other rule are not compared."""
    kept = Kept(tmp_path)
    kept.recipe.write_text(kept.recipe.read_text().replace("{name: mup}", "{name: standard}"))
    errors = kept.validate().errors

    assert [each.code for each in errors] == ["evidence/stale-rules"]
    assert "what changed is not known" not in str(errors)


def test_what_no_trial_shows_is_added_by_recipe_json(tmp_path: Path) -> None:
    """With the recipe that was checked beside the evidence, a changed key of `check` is named, and no key twice."""
    kept = Kept(tmp_path)
    before = load_recipe(kept.recipe)
    snapshot = RecipeSnapshot(
        format=RecipeSnapshot.FORMAT,
        file=str(kept.recipe),
        recipe_hash=before.hash,
        fingerprint="",
        recipe=before.recipe,
    )
    snapshot.write_json(kept.file("recipe.json"))
    text = kept.recipe.read_text().replace("{name: mup}", "{name: standard}")
    kept.recipe.write_text(text.replace("octaves: 2", "octaves: 2.5"))
    found = kept.found()

    assert set(found) == {"evidence/stale-rules", "evidence/stale-recipe"}
    assert "check.octaves: 2" in found["evidence/stale-recipe"]
    assert "parameterization" not in found["evidence/stale-recipe"]


def test_a_trainer_that_trains_otherwise_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author raises the version."""
    kept = Kept(tmp_path)
    was = TRAINER.version
    monkeypatch.setattr(type(TRAINER), "version", was + 1)

    assert f"trainer.version: {was} -> {was + 1}" in kept.found()["evidence/stale-code"]


@pytest.fixture
def other_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of torch is installed."""
    known = hptransfer.provenance.versions
    monkeypatch.setattr(stale, "versions", lambda *names: known(*names) | {"torch": "9.9.0"})


@pytest.mark.usefixtures("other_torch")
def test_another_torch_is_a_warning(tmp_path: Path) -> None:
    """Losses differ by rounding; `--strict` makes it an error."""
    kept = Kept(tmp_path)

    assert kept.found() == {}
    assert "-> 9.9.0" in kept.warned()["evidence/other-environment"]
    assert "-> 9.9.0" in kept.found(strict=True)["evidence/other-environment"]


def test_the_same_torch_is_none(tmp_path: Path) -> None:
    """The negative control: kept evidence says which torch trained it."""
    kept = Kept(tmp_path)
    here = hptransfer.provenance.versions("torch")

    def made_here(content: Any) -> None:
        for made in content["evidence"]["made"]:
            made["torch"], made["platform"] = here["torch"], here["platform"]

    for name in ("tuned.yaml", "transfer.json"):
        kept.edit(name, made_here)
    assert kept.warned() == {}


TARGETS = {
    "a larger one": ("width: 256", "width: 512", "sizes.target.width: 256 -> 512"),
    "an accepted axis less": (", accept: [width]", "", "sizes.target.accept: [width] -> []"),
    "more tokens": ("depth: 2, accept", "depth: 2, tokens: 4000, accept", "sizes.target.tokens: "),
}


@pytest.mark.parametrize("case", TARGETS)
def test_another_target_is_no_edit(tmp_path: Path, case: str) -> None:
    """Nobody touched transfer.json: what the recipe changed is named, with the commands that judge it."""
    old, new, said = TARGETS[case]
    kept = Kept(tmp_path)
    text = kept.recipe.read_text()
    assert text.count(old) == 1
    kept.recipe.write_text(text.replace(old, new))
    found = kept.validate().errors
    finding = found[-1]

    assert {each.code for each in found} == {"evidence/former-target"}
    assert said in str(finding.received)
    assert f"`hptransfer check {kept.recipe} --runs " in str(finding.hint)
    assert finding.place is not None
    assert Path(finding.place.file).name == "transfer.json"


def test_another_target_hides_no_edit(tmp_path: Path) -> None:
    """The negative control: with an edited verdict as well the file is called edited."""
    kept = Kept(tmp_path)
    kept.recipe.write_text(kept.recipe.read_text().replace("width: 256", "width: 512"))
    kept.edit("transfer.json", lambda content: content["axes"][0]["cost"].update(estimate=0.0))

    assert "axes[0].cost.estimate 0.0" in kept.found()["evidence/edited-verdict"]


@pytest.mark.parametrize("value", [1e300, -1.0, 0.5])
def test_a_target_that_is_none_is_an_edit(tmp_path: Path, value: float) -> None:
    """What anybody may have written there is no size, and no traceback."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", lambda content: content["target"]["axes"][0].update(value=value, axis="width"))

    assert "evidence/edited-verdict" in kept.found()
