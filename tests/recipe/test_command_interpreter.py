"""Whose interpreter a recipe of `init --from-command` names: no path of one machine where another word does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from hptransfer.commands.init import init_command
from hptransfer.recipe.command_guess import guessed_command


def test_the_interpreter_that_runs_here_has_a_word_of_its_own() -> None:
    """`{python}` is found on every machine; what is tried is what was typed."""
    command = guessed_command(f"{shlex.quote(sys.executable)} train.py --lr 0.01")

    assert command.words == ("{python}", "train.py", "--lr", "{learning_rate}")
    assert command.plain == (sys.executable, "train.py", "--lr", "0.01")


def test_another_interpreter_is_kept(tmp_path: Path) -> None:
    """The negative controls: a link to the same one from another environment, a bare word, another program."""
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    for word in (str(other), "python", "bash"):
        assert guessed_command(f"{word} train.py").words[0] == word


@pytest.mark.parametrize("absolute", [False, True])
def test_what_to_write_in_its_place_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], absolute: bool
) -> None:
    """A `python` without the program's packages, and one that only this machine has; the file is written, and said."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    word = str(fake) if absolute else "python"

    assert init_command(Path("r.yaml"), from_command=f"{word} train.py --lr 0.01", no_try=False) == 1
    said = capsys.readouterr().err
    assert f"`{word}` lacks a module; `{{python}}` in its place is the interpreter that runs hptransfer." in said
    assert "(r.yaml was written all the same)" in said
    assert Path("r.yaml").is_file()


def test_a_path_of_this_machine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the program worked, the word for it is told all the same; of a bare `python` nothing is."""
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\necho loss: 1.5\n")
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    for word, told in ((str(fake), True), ("python3", False)):
        assert init_command(Path(f"r{told}.yaml"), from_command=f"{word} train.py --seed 1", force=True) == 0
        assert (f"{fake} is this machine's" in capsys.readouterr().err) == told
