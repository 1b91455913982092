from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.errors import RecipeError
from hptransfer.recipe.load import RecipeUnavailableError, load_recipe
from tests.support.recipe_faults import FAULTS
from tests.support.recipe_texts import MLP, described, edited, faults, load_text, spots


def test_a_valid_recipe(tmp_path: Path) -> None:
    """Values arrive typed, with defaults filled in, and the file's path and text beside them."""
    loaded = load_text(tmp_path, MLP)

    assert loaded.recipe.sizes.widths == (64, 128, 256, 512)
    assert loaded.recipe.tune.space["learning_rate"].low == 1e-4
    assert loaded.recipe.check.seeds == 2
    assert loaded.path == tmp_path / "recipe.yaml"
    assert loaded.text == MLP


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    """Comments, order, number format and defaults written out do not change the hash; values do."""
    same = edited(
        MLP,
        ("name: small\n", "# a comment\nname: 'small'\ncheck: {seeds: 2}\n"),
        ("low: 1e-4, high: 1e-1", "high: 0.10, low: 0.0001"),
        ("steps: 100", "steps: 0100\n  clip: null"),
    )
    digest = load_text(tmp_path, MLP).hash

    assert load_text(tmp_path, same).hash == digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 101"))).hash != digest


def test_target_and_expectation_do_not_change_the_hash(tmp_path: Path) -> None:
    """Evidence gathered for one target serves another, so neither target nor expectation is part of the hash."""
    digest = load_text(tmp_path, MLP).hash

    assert load_text(tmp_path, edited(MLP, ("width: 1024", "width: 2048"))).hash == digest
    assert load_text(tmp_path, f"{MLP}\nexpect: {{verdict: DRIFTS}}\n").hash == digest


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    """`1` where a number is wanted equals `1.0`, so it hashes alike."""
    one = load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  init_scale: 1")))

    assert one.hash == load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  init_scale: 1.0"))).hash


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS, ids=[case[1] for case in FAULTS])
def test_one_fault(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """Each single fault gives one finding: the position, the rule, what was received, a hint."""
    (found,) = faults(tmp_path, edited(MLP, (old, new)))

    assert described(found).startswith(expected.removesuffix("..."))


def test_no_is_a_name(tmp_path: Path) -> None:
    """`no` is text, as YAML 1.2 has it, so it is a fine name."""
    assert load_text(tmp_path, edited(MLP, ("name: small", "name: no"))).recipe.name == "no"


def test_all_faults_at_once_in_order(tmp_path: Path) -> None:
    """Gate, schema and combination faults arrive together, sorted by position."""
    text = edited(
        MLP,
        ("steps: 100", "steps: no\n  stepz: 1\n  steps: 3"),
        ("{name: mup}", "{name: completep}"),
        ("{width: 64,", "{width: &w 64,"),
    )

    assert spots(faults(tmp_path, text)) == [(5, 10), (6, 3), (7, 3), (8, 26), (10, 17)]


def test_unreadable_parts_are_not_judged(tmp_path: Path) -> None:
    """Where a merge key or an alias hides the content, only that is reported, not what it may have contained."""
    text = edited(MLP, ("  steps: 100", "  <<: {steps: 100}"), ("{width: 1024, depth: 4}", "*big"))

    (fault,) = faults(tmp_path, text)

    assert spots((fault,)) == [(5, 3)]
    assert fault.received == "<<, and 1 more of its kind"


def test_missing_sections(tmp_path: Path) -> None:
    """A recipe with only a name is told every section it lacks."""
    rules = [finding.rule for finding in faults(tmp_path, "name: x\n")]

    missing = ["training", "parameterization", "sizes", "tune", "model", "data"]
    assert rules == [f"`{section}` must be given" for section in missing]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "5\n"])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    """A list or a scalar is not a recipe."""
    assert [finding.rule for finding in faults(tmp_path, text)] == ["a recipe must be a mapping (`key: value` lines)"]


def test_empty_file(tmp_path: Path) -> None:
    """An empty file is a fault with the way to a first recipe."""
    (found,) = faults(tmp_path, "")

    assert found.rule == "a recipe must not be empty"
    assert "hptransfer init" in str(found.hint)


def refusal(reference: str | Path) -> tuple[str, str | None, str]:
    """(rule, received, hint) of a recipe that cannot be read at all."""
    with pytest.raises(RecipeUnavailableError) as caught:
        load_recipe(reference)
    (found,) = caught.value.findings
    assert caught.value.exit_status == 2
    return found.rule, found.received, str(found.hint)


def test_missing_file_near_another(tmp_path: Path) -> None:
    """A mistyped file name is compared with the recipes beside it."""
    (tmp_path / "small.yaml").write_text(MLP)

    rule, received, hint = refusal(tmp_path / "smal.yaml")

    assert (rule, received) == ("the recipe must exist", "no such file")
    assert f"did you mean `{tmp_path / 'small.yaml'}`?" in hint


def test_missing_name_near_a_shipped_one() -> None:
    """A mistyped name is compared with the shipped recipes."""
    assert "did you mean `quickstart`?" in refusal("quikstart")[2]


def test_directory(tmp_path: Path) -> None:
    """A folder is refused with a file in it as the hint."""
    (tmp_path / "small.yaml").write_text(MLP)

    rule, received, hint = refusal(tmp_path)

    assert (rule, received) == ("a recipe must be a file", "a directory")
    assert "small.yaml" in hint


def test_pipes_and_devices(tmp_path: Path) -> None:
    """A named pipe would block for ever, so only regular files are opened."""
    os.mkfifo(tmp_path / "pipe")

    assert refusal(tmp_path / "pipe")[1] == "not a regular file"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_impossible_names(name: str) -> None:
    """Names the system cannot have are refused like other unreadable ones."""
    assert refusal(name)[0] == "the recipe must be readable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    """A file without read permission is named with the system's reason."""
    file = tmp_path / "r.yaml"
    file.write_text(MLP)
    file.chmod(0)

    assert refusal(file)[1] == "Permission denied"


def test_a_file_goes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`quickstart` means the user's file of that name where there is one, and not a folder of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load_recipe("quickstart").recipe.name == "quickstart"

    (tmp_path / "quickstart").rmdir()
    (tmp_path / "quickstart").write_text(MLP)
    assert load_recipe("quickstart").recipe.name == "small"


def test_other_errors_are_recipe_errors(tmp_path: Path) -> None:
    """Everything but an unreadable file is a `RecipeError` with exit status 2 and a place for each finding."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, "a: 1\nb: 2\n")

    assert caught.value.exit_status == 2
    assert caught.value.findings
    assert all(finding.place and finding.place.line for finding in caught.value.findings)


def test_validating_a_recipe_needs_no_torch() -> None:
    """Losses are asked for their arguments, which loads none of what they compute with."""
    script = (
        "import sys; from hptransfer.recipe.load import load_recipe; from hptransfer.recipe.objective import unit_of; "
        "print(unit_of(load_recipe('quickstart').recipe), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "nats False\n"
