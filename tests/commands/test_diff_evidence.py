"""What `hptransfer diff` tells of comments that excuse findings, of edited evidence and of recipes that hide."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.diff import diff_command
from tests.support.recipe_texts import MLP, edited
from tests.support.recipe_versions import found, git, version, with_evidence


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def _both(change: Callable[[Any], object], file: str = "transfer.json") -> None:
    """Two versions with evidence, of which the later one's file is changed."""
    for name in "ab":
        with_evidence(version(name, {"r.yaml": MLP}))
    path = Path("b/runs/small") / file
    if file.endswith(".json"):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=2))
    else:
        change(path)


def _text(capsys: pytest.CaptureFixture[str], output_format: str = "text") -> list[str]:
    assert diff_command("a", "b", output_format=output_format) == 0
    return capsys.readouterr().out.splitlines()


def test_comments(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are added, removed or moved to another key; other comments and layout are none."""
    ignored = "# hptransfer: ignore[HPT201] a laptop"
    version("a", {"r.yaml": edited(MLP, ("tune:", f"{ignored}\ntune:"))})
    version("b", {"r.yaml": "# hptransfer: ignore-file[HPT407] known\n# more\n\n" + edited(MLP, ("tune:", "tune:"))})

    assert _text(capsys) == [
        "a -> b",
        "changed: r.yaml",
        "  verdict: not checked -> not checked",
        "  comment removed: # hptransfer: ignore[HPT201] a laptop (at `tune`)",
        "  comment added: # hptransfer: ignore-file[HPT407] known",
        "1 recipe: 1 changed; no verdict regressed",
    ]
    assert found(capsys, "a", "b")[0]["comments"] == [
        {"how": "removed", "comment": f"{ignored} (at `tune`)"},
        {"how": "added", "comment": "# hptransfer: ignore-file[HPT407] known"},
    ]
    assert "Comment added: `# hptransfer: ignore-file[HPT407] known`" in _text(capsys, "markdown")


def test_a_comment_at_another_key_is_another(capsys: pytest.CaptureFixture[str]) -> None:
    """It excuses something else; lines that shift change nothing."""
    ignored = "# hptransfer: ignore[HPT201] a laptop\n"
    version("a", {"r.yaml": edited(MLP, ("tune:", f"{ignored}tune:"))})
    version("b", {"r.yaml": edited(MLP, ("sizes:", f"{ignored}sizes:"))})
    version("c", {"r.yaml": "# one line more\n" + edited(MLP, ("sizes:", f"# said\n\n{ignored}sizes:"))})

    assert [each["how"] for each in found(capsys, "a", "b")[0]["comments"]] == ["removed", "added"]
    assert found(capsys, "b", "c")[0]["status"] == "unchanged"


def test_an_edited_loss(capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named where what is compared of it is as before."""
    _both(lambda content: content["axes"][0]["sizes"][0]["points"][0].update(loss=2.0))

    assert _text(capsys) == [
        "a -> b",
        "changed: r.yaml",
        "  verdict: TRANSFERS, target covered -> TRANSFERS, target covered",
        "  evidence changed: transfer.json; verdict, coordinate check and optima are as before",
        "1 recipe: 1 changed; no verdict regressed",
    ]
    recipe = found(capsys, "a", "b")[0]
    assert recipe["evidence_files"] == [{"file": "transfer.json", "how": "edited"}]
    assert recipe["evidence_values"] == []
    assert "evidence changed: transfer.json; verdict, coordinate check and optima are as before." in _text(
        capsys, "markdown"
    )


def test_an_edited_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Its words are the file's too."""
    _both(lambda content: content.update(sentence="all is well"))

    assert "  evidence changed: transfer.json; verdict, coordinate check and optima are as before" in _text(capsys)


def test_coordinate_check_and_optimum(capsys: pytest.CaptureFixture[str]) -> None:
    """Values before and after, of the ladder's largest size."""

    def change(content: Any) -> None:
        content["coordinate"] = {"verdict": "HOLDS", "sentence": "it is so"}
        content["axes"][0]["sizes"][-1]["optimum"]["value"] = 0.5

    _both(change)
    before = json.loads(Path("a/runs/small/transfer.json").read_text())["axes"][0]["sizes"][-1]
    assert before["value"] == 512.0
    was = before["optimum"]["value"]

    assert _text(capsys)[3:-1] == [
        "  evidence changed: transfer.json",
        "  coordinate check: none -> HOLDS",
        f"  optimum of learning_rate over width at 512: {was:.6g} -> 0.5",
    ]
    assert found(capsys, "a", "b")[0]["evidence_values"] == [
        {"name": "coordinate check", "base": None, "head": "HOLDS"},
        {"name": "optimum of learning_rate over width at 512", "base": was, "head": 0.5},
    ]
    assert "coordinate check: none → HOLDS." in _text(capsys, "markdown")


def test_files_that_come_and_go(capsys: pytest.CaptureFixture[str]) -> None:
    """A file is named with what became of it; the verdict that is gone regressed."""
    _both(lambda path: path.unlink(), "tuned.yaml")
    assert found(capsys, "a", "b")[0]["evidence_files"] == [{"file": "tuned.yaml", "how": "removed"}]
    assert found(capsys, "b", "a")[0]["evidence_files"] == [{"file": "tuned.yaml", "how": "added"}]

    Path("b/runs/small/transfer.json").unlink()
    values = found(capsys, "a", "b", status=1)[0]["evidence_values"]
    assert values[0] == {"name": "verdict", "base": "TRANSFERS", "head": None}


def test_line_ends_of_a_checkout_are_no_change(capsys: pytest.CaptureFixture[str]) -> None:
    """A checkout with CRLF has the same evidence."""
    _both(lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")), "tuned.yaml")

    assert found(capsys, "a", "b")[0]["status"] == "unchanged"


HIDING = {
    "behind a fault": "format: 1\nname: q\n}bad\nsizes: 1\ntune: 2\n",
    "behind a comment": f"# {'x' * 1_100_000}\n{MLP}",
    "in a list": "- {name: q, model: {kind: mlp}, sizes: {}, tune: {}}\n",
    "merged": "<<: {name: q, model: {kind: mlp}, sizes: {}}\n",
}


@pytest.mark.parametrize("how", HIDING)
def test_a_new_recipe_cannot_hide(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is added, with errors, in folders and in revisions; others' long files are none."""
    others = "apiVersion: v1\nitems:\n" + "- name: x\n" * 30_000
    version("a", {"r.yaml": MLP})
    folder = version("b", {"r.yaml": MLP, "new.yaml": HIDING[how], "others.yaml": others})
    git("init", "-q", "-b", "main", folder=folder)
    git("add", ".", folder=folder)
    git("commit", "-q", "-m", "x", folder=folder)

    for base, head in (("a", "b"), ("a", "main")):
        if head == "main":
            os.chdir("b")
        recipes = {each["path"]: each for each in found(capsys, f"../{base}" if head == "main" else base, head)}
        assert {path: each["status"] for path, each in recipes.items()} == {"r.yaml": "unchanged", "new.yaml": "added"}
        assert recipes["new.yaml"]["head"]["errors"]


def test_the_beginning_of_a_long_file_that_git_has(capsys: pytest.CaptureFixture[str]) -> None:
    """Several long ones are read one after the other, each to its end."""
    files = {
        f"{name}.yaml": f"# {'x' * size}\n{MLP}" for name, size in (("x", 70_000), ("y", 3_000_000), ("z", 65_536))
    }
    folder = version("b", files | {"r.yaml": MLP})
    git("init", "-q", "-b", "main", folder=folder)
    git("add", ".", folder=folder)
    git("commit", "-q", "-m", "x", folder=folder)
    os.chdir("b")

    recipes = {each["path"]: each for each in found(capsys, "main", ".")}

    assert {path: bool(each["base"]["errors"]) for path, each in recipes.items()} == {
        "r.yaml": False,
        "x.yaml": True,
        "y.yaml": True,
        "z.yaml": True,
    }
    assert {each["status"] for each in recipes.values()} == {"unchanged"}
