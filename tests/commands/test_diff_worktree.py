"""`hptransfer diff` in a working tree of git, what it does not compare, and its summary in Markdown."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.diff import diff_command
from hptransfer.errors import UsageError
from tests.support.recipe_texts import MLP, edited

OWN_DATA = edited(MLP, ("{kind: stdlib-text}", "{kind: text, files: [corpus.txt]}"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def git(*arguments: str, folder: str = ".") -> None:
    """Runs git as a user of the repository would."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def committed(text: str, ignored: str = "") -> None:
    """A repository of one recipe."""
    Path("small.yaml").write_text(text)
    Path("corpus.txt").write_text("one " * 4000)
    Path(".gitignore").write_text(ignored)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one recipe")


def paths(capsys: pytest.CaptureFixture[str], base: str, head: str) -> dict[str, str]:
    """Path of each recipe and what became of it."""
    assert diff_command(base, head, None, "json") == 0
    recipes: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["recipes"]
    return {each["path"]: each["status"] for each in recipes}


def scratch(name: str, text: str = MLP) -> None:
    """A recipe that was not committed."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text.replace("name: small", f"name: {Path(name).stem}"))


def test_what_git_ignores_is_nobody_s_change(capsys: pytest.CaptureFixture[str]) -> None:
    """A scratch folder of tries is left out; a recipe that could be added is there."""
    committed(MLP, ignored="scratch/\n")
    scratch("scratch/try.yaml")
    scratch("new.yaml")

    assert paths(capsys, "HEAD", ".") == {"small.yaml": "unchanged", "new.yaml": "added"}


def test_a_tracked_recipe_counts_though_a_pattern_ignores_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As for git itself."""
    committed(MLP)
    Path(".gitignore").write_text("*.yaml\n")
    Path("small.yaml").write_text(edited(MLP, ("steps: 100", "steps: 200")))

    assert paths(capsys, "HEAD", ".") == {"small.yaml": "changed"}


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_that_is_ignored_as_a_whole_is_walked(capsys: pytest.CaptureFixture[str], inside: bool) -> None:
    """The negative controls: whoever names such a folder means it, and outside of git nothing is ignored."""
    if inside:
        committed(MLP, ignored="a/\nb/\n")
    scratch("a/one.yaml")
    scratch("b/one.yaml")
    Path("b/.gitignore").write_text("")

    assert paths(capsys, "a", "b") == {"one.yaml": "unchanged"}


def test_recipes_of_a_repository_inside_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """Git lists its folder alone."""
    committed(MLP)
    scratch("vendored/theirs.yaml")
    git("init", "-q", folder="vendored")

    assert paths(capsys, "HEAD", ".") == {"small.yaml": "unchanged", "vendored/theirs.yaml": "added"}


@pytest.mark.parametrize(("text", "said"), [(OWN_DATA, True), (MLP, False)])
@pytest.mark.parametrize("name", ["text", "markdown"])
def test_data_that_are_not_compared_are_said_to_be(
    capsys: pytest.CaptureFixture[str], text: str, said: bool, name: str
) -> None:
    """The recipe is unchanged and its corpus is not; of Python's own text nothing need be said."""
    committed(text)
    Path("corpus.txt").write_text("other " * 4000)
    assert diff_command("HEAD", ".", None, name) == 0

    assert ("ontents of data are not compared" in capsys.readouterr().out) == said


def test_the_summary_is_the_comment_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """It is appended, whatever is printed; a file that is none is refused."""
    committed(MLP)
    Path("small.yaml").write_text(edited(MLP, ("steps: 100", "steps: 200")))
    diff_command("HEAD", ".", None, "markdown")
    comment = capsys.readouterr().out
    Path("summary.md").write_text("before\n")

    assert diff_command("HEAD", ".", None, "json", summary=Path("summary.md")) == 0
    json.loads(capsys.readouterr().out)
    assert Path("summary.md").read_text() == f"before\n{comment}\n"

    with pytest.raises(UsageError, match="regular file"):
        diff_command("HEAD", ".", None, "json", summary=Path(os.devnull))


def test_a_full_summary_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub shows none of a summary that is too long."""
    committed(MLP)
    Path("summary.md").write_text("x" * (2**20 - 60))
    diff_command("HEAD", ".", None, "text", summary=Path("summary.md"))

    assert Path("summary.md").read_text().endswith("x### The summary of this step is full: see the log.\n\n")
