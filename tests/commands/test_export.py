"""`export` writes a target for frameworks, `verify --export` compares what they make of it with the plan."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from hptransfer.export.base import export_target
from hptransfer.sizes import Size
from tests.support.checked_folder import Folder
from tests.support.exported import llama_target


def run(*words: object) -> Result:
    """Runs hptransfer."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target.yaml of a Llama three times as wide as its base."""
    path = tmp_path / "target.yaml"
    path.write_text(export_target("hptransfer", llama_target("mup", size=Size(192, 2, 8, 8192)))["target.yaml"])
    return path


def test_a_target_that_was_written_is_exported_and_verified(target: Path) -> None:
    """Without the recipe: the files, then that torch trains what was planned."""
    wrote = run("export", target, "--format", "torch,hptransfer")
    found = run("verify", "--export", target.parent / "export" / "torch" / "groups.json")

    assert wrote.exit_code == 0, wrote.output
    assert wrote.stdout.count("\n") == 2
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("AS PLANNED: ")
    assert "21 parameters, no difference" in found.stdout
    assert "read back through torch" in found.stdout


def test_scale_writes_what_export_writes(tmp_path: Path) -> None:
    """`scale --format` and `export` of its target give the same bytes."""
    folder = Folder(tmp_path)
    scaled = run("scale", folder.recipe, "--runs", folder.runs, "--format", "torch")
    again = run("export", folder.target, "--format", "torch", "--output", tmp_path / "again")
    first, second = folder.target.parent / "export" / "torch", tmp_path / "again" / "torch"

    assert scaled.exit_code == 0, scaled.output
    assert again.exit_code == 0, again.output
    for name in ("groups.json", "hptransfer_groups.py"):
        assert (first / name).read_text() == (second / name).read_text()
    assert run("verify", "--export", second).exit_code == 0


def test_a_rate_that_was_scaled_by_hand_is_named(target: Path) -> None:
    """Exit status 1, the parameters, both values and the cause; the file is said to have been edited."""
    run("export", target, "--format", "torch")
    groups = target.parent / "export" / "torch" / "groups.json"
    groups.write_text(groups.read_text().replace('"lr": 0.003333333333333333', '"lr": 0.001111111111111111'))
    found = run("verify", "--export", groups)

    assert found.exit_code == 1
    assert found.stdout.startswith("OTHERWISE: ")
    assert re.search(
        r"model\.layers\.\*\.self_attn\.q_proj\.weight: learning_rate 0\.0011+, planned 0\.003+", found.stdout
    )
    assert "scaled twice, by 0.3333 each time" in found.stdout
    assert "edited since it was written: groups.json" in found.stdout


def test_the_comparison_as_json(target: Path) -> None:
    """Every difference with its numbers, for programs."""
    run("export", target, "--format", "torch")
    groups = target.parent / "export" / "torch" / "groups.json"
    groups.write_text(groups.read_text().replace('"weight_decay": 0.1', '"weight_decay": 0.0'))
    document = json.loads(run("verify", "--export", groups, "--json").stdout)

    assert document["holds"] is False
    assert {each["quantity"] for each in document["differences"]} == {"weight_decay"}
    assert document["changed"] == ["groups.json"]


def test_a_folder_that_was_moved_names_its_plan(target: Path, tmp_path: Path) -> None:
    """Away from the target's file it must be named; then it is compared."""
    run("export", target, "--format", "torch")
    moved = tmp_path / "quite" / "elsewhere" / "and" / "torch"
    moved.parent.mkdir(parents=True)
    shutil.move(target.parent / "export" / "torch", moved)

    refused = run("verify", "--export", moved)
    assert refused.exit_code == 2
    assert "--plan target.yaml" in refused.stderr
    assert run("verify", "--export", moved, "--plan", target).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify"], "takes a recipe and the loss"),
        (["verify", "tiny.yaml"], "takes a recipe and the loss"),
        (["verify", "tiny.yaml", "1.0", "--plan", "target.yaml"], "--plan"),
        (["verify", "tiny.yaml", "--export", "nowhere"], "verified alone"),
        (["verify", "--export", "nowhere"], "no nowhere"),
        (["verify", "--export", "."], "export.json"),
        (["export", "nowhere.yaml", "--format", "torch"], "nowhere.yaml"),
    ],
)
def test_what_cannot_be_run_is_said(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2 and the rule; no traceback."""
    monkeypatch.chdir(tmp_path)
    result = run(*words)

    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_an_unknown_format_writes_nothing(target: Path) -> None:
    """All formats are asked before any file is written."""
    result = run("export", target, "--format", "torch,torhc")

    assert result.exit_code == 2
    assert not (target.parent / "export").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other/9", "exporter": "torch", "plan": "x", "files": {}}', "\udcff"]
)
def test_a_damaged_list_of_files_is_said(text: str, target: Path) -> None:
    """export.json that is empty, of another kind or no UTF-8."""
    run("export", target, "--format", "torch")
    folder = target.parent / "export" / "torch"
    (folder / "export.json").write_bytes(text.encode(errors="surrogateescape"))
    result = run("verify", "--export", folder)

    assert result.exit_code == 2, result.output
    assert "export.json must be as" in result.stderr


@pytest.mark.parametrize(
    "text", ["import nothing_of_this_name\n", "def init_(model):\n    pass\n", "syntax error here\n"]
)
def test_a_module_that_was_broken_is_said(text: str, target: Path) -> None:
    """A file that cannot be imported, or lacks a function: the place, no traceback."""
    run("export", target, "--format", "torch")
    module = target.parent / "export" / "torch" / "hptransfer_groups.py"
    module.write_text(text)
    result = run("verify", "--export", module)

    assert result.exit_code == 2, result.output
    assert "hptransfer_groups.py" in result.stderr
    assert "Traceback" not in result.output
