from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from tests.support.recipe_texts import MLP, edited


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good, a weak and a bad recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (tmp_path / "good.yaml").write_text(MLP)
    (tmp_path / "weak.yaml").write_text(edited(MLP, ("[64, 128, 256, 512]", "[64, 128]")))
    (tmp_path / "bad.yaml").write_text(edited(MLP, ("steps: 100", "steps: -1"), ("name: small", "name: a b")))
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("recipes", "status"),
    [
        (["good.yaml"], 0),
        (["quickstart"], 0),
        (["good.yaml", "weak.yaml"], 0),
        (["good.yaml", "bad.yaml"], 1),
        (["absent.yaml"], 2),
        (["bad.yaml", "absent.yaml", "good.yaml"], 2),
    ],
)
def test_exit_status(recipes: list[str], status: int) -> None:
    """0 clean (warnings included), 1 findings, 2 a file that cannot be read."""
    assert validate_command(recipes) == status


@pytest.mark.usefixtures("folder")
def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Findings of all recipes, valid ones named, a count at the end."""
    validate_command(["good.yaml", "weak.yaml", "bad.yaml"])

    output = capsys.readouterr().out
    assert "good.yaml: valid (static)\n" in output
    assert "warning[HPT200]: weak.yaml:9:3: a ladder of widths should span at least a factor of 8" in output
    assert (
        "error[HPT010]: bad.yaml:5:10: `training.steps >= 1` must hold\n"
        "   5 |   steps: -1\n"
        "     |          ^^\n"
        "  received: -1\n"
    ) in output
    assert output.endswith("3 recipes checked: 2 errors, 1 warning\n")


@pytest.mark.usefixtures("folder")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object per recipe with its hash and findings."""
    validate_command(["good.yaml", "bad.yaml"], "json")

    document = json.loads(capsys.readouterr().out)
    good, bad = document["recipes"]
    assert (document["errors"], document["warnings"]) == (2, 0)
    assert (good["valid"], len(good["hash"]), good["findings"]) == (True, 64, [])
    assert (bad["valid"], bad["hash"]) == (False, None)
    assert [(found["line"], found["column"], found["level"]) for found in bad["findings"]] == [
        (1, 7, "error"),
        (5, 10, "error"),
    ]


def test_github(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations with paths relative to the repository, and a count, because the runner shows only ten."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder.parent))

    validate_command(["weak.yaml", "bad.yaml"], "github")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"::warning file={folder.name}/weak.yaml,line=9,col=3,title=HPT200::")
    assert lines[1].startswith(f"::error file={folder.name}/bad.yaml,line=1,col=7,title=HPT010::")
    assert lines[-1] == "2 recipes checked: 2 errors, 1 warning"


def test_data_that_matches_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Patterns are tried below the recipe's folder, wherever the command runs."""
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("text")
    (folder / "here.txt").write_text("text")
    changed = edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["**/*.txt", "here.txt"]}'))
    (folder / "sub" / "r.yaml").write_text(changed)

    assert validate_command(["sub/r.yaml"]) == 1
    assert (
        "error[HPT210]: sub/r.yaml:3:40: `data.files` must match files\n"
        '   3 | data: {kind: text, files: ["**/*.txt", "here.txt"]}\n'
        "     |                                        ^^^^^^^^^^\n"
        '  received: "here.txt" matches none\n\n'
        "hint: patterns are relative to the recipe's folder, sub/\n"
    ) in capsys.readouterr().out
