"""`hptransfer lint` as users call it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from hptransfer.linting.foreign.base import FOREIGN_RULES
from hptransfer.linting.foreign_files import lint_file
from hptransfer.linting.reading.files import read_foreign
from hptransfer.linting.reading.text import MAX_BYTES
from tests.support.exported import llama_target

WRONG = "python pretrain_gpt.py --hidden-size 192 --num-layers 4 --mup-base-hidden-size 64\n"
RIGHT = "python pretrain_gpt.py --hidden-size 192 --num-layers 4 --lr 0.1\n"


def lint(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, ["lint", *map(str, arguments)])


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A script with an error."""
    (tmp_path / "wrong.sh").write_text(WRONG)
    return tmp_path / "wrong.sh"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    """A script with none."""
    (tmp_path / "right.sh").write_text(RIGHT)
    return tmp_path / "right.sh"


def test_text(wrong: Path, right: Path) -> None:
    """Each finding with its place and hint, sound files by name, a count; errors are exit status 1."""
    result = lint(wrong, right)

    assert result.exit_code == 1
    assert f"error: {wrong}:1:57: flags of muP are given with `--use-mup`" in result.stdout
    assert "hint: add `--use-mup`" in result.stdout
    assert f"{right}: nothing found (megatron)" in result.stdout
    assert result.stdout.endswith("2 files checked: 1 error, 0 warnings\n")


def test_a_warning_is_no_error(tmp_path: Path) -> None:
    """Exit status 0."""
    (tmp_path / "run.sh").write_text("python pretrain_gpt.py --num-layers 4 --optimizer muon\n")
    result = lint(tmp_path / "run.sh")

    assert result.exit_code == 0
    assert "warning:" in result.stdout


def test_json(wrong: Path) -> None:
    """One document, by either option."""
    document = json.loads(lint(wrong, "--json").stdout)

    assert document == json.loads(lint(wrong, "--format", "json").stdout)
    assert (document["errors"], document["files"][0]["framework"]) == (1, "megatron")
    assert document["files"][0]["findings"][0]["code"] == "megatron/mup-switched-off"
    assert document["files"][0]["findings"][0]["line"] == 1


def test_github(wrong: Path) -> None:
    """An annotation at the line."""
    assert "::error file=" in lint(wrong, "--format", "github").stdout


def test_plan(tmp_path: Path, right: Path) -> None:
    """A target's file decides what a script alone cannot."""
    (tmp_path / "target.yaml").write_text(llama_target("mup").to_yaml("plan.optimizer(model)"), "utf-8")
    right.write_text(RIGHT.replace("0.1", "0.01"))
    result = lint(right, "--plan", tmp_path / "target.yaml")

    assert lint(right).exit_code == 0
    assert result.exit_code == 1
    assert "a rate of the base size is scaled by something" in result.stdout


def test_no_plan_is_a_usage_error(tmp_path: Path, right: Path) -> None:
    """The target's file must be there."""
    assert lint(right, "--plan", tmp_path / "none.yaml").exit_code == 2


def test_an_unknown_framework_is_a_usage_error(right: Path) -> None:
    """With the names that there are."""
    result = lint(right, "--framework", "nothing")

    assert result.exit_code == 2
    assert all(name in result.output for name in FOREIGN_RULES.built_in)


# Files that nobody should hand over.


def fifo(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("none.sh", lambda path: None, "No such file"),
        ("folder.sh", Path.mkdir, "folder.sh: a folder"),
        ("pipe.sh", fifo, "no regular file"),
        ("loop.sh", lambda path: path.symlink_to(path), "symbolic links"),
        ("large.sh", lambda path: path.write_text("x" * (MAX_BYTES + 1)), "longer than"),
        ("latin.sh", lambda path: path.write_bytes(b"x --y \xe4\n"), "byte 0xe4 at offset 6"),
        ("null.sh", lambda path: path.write_bytes(b"x --y \0\n"), "null byte"),
        ("wide.yaml", lambda path: path.write_bytes("a: 1".encode("utf-16")), "byte 0xff"),
        ("empty.sh", lambda path: path.write_text(""), "nothing in it names one"),
        ("a.toml", lambda path: path.write_text("x = 1"), "a.toml"),
        ("deep.json", lambda path: path.write_text("[" * 100_000), "deep.json"),
        ("deep.yaml", lambda path: path.write_text("[" * 100_000), "deep.yaml"),
        ("deep.py", lambda path: path.write_text("-" * 100_000 + "1"), "deep.py"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, right: Path, name: str, make: object, said: str) -> None:
    """A clear finding and exit status 2; the other files are checked all the same."""
    make(tmp_path / name)  # type: ignore[operator]  # each maker takes a path
    result = lint(tmp_path / name, right)

    assert result.exit_code == 2
    assert said in result.stdout
    assert "nothing found (megatron)" in result.stdout
    assert "Traceback" not in result.output


def test_what_a_file_says_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """Escapes and bidi marks are printed as their codes, in every format."""
    path = tmp_path / "run.sh"
    path.write_text(
        "python pretrain_gpt.py --mup-width-mult 'x\x1b[31m\u202e\x07' --num-layers 4 --micro-batch-size 1\n"
    )
    for form in ("text", "json", "github"):
        printed = lint(path, "--format", form).stdout
        assert not {"\x1b", "\u202e", "\x07"} & set(printed)
    assert r"x\x1b[31m\u202e\x07" in lint(path).stdout


def test_python_is_never_run(tmp_path: Path) -> None:
    """A file that would leave a trace if it were."""
    trace = tmp_path / "trace"
    path = tmp_path / "config.py"
    path.write_text(f"import torch, pathlib\npathlib.Path({str(trace)!r}).touch()\nraise SystemExit(7)\n")

    assert lint(path).exit_code == 0
    assert not trace.exists()


@pytest.mark.parametrize("ending", [".sh", ".py", ".yaml", ".json"])
def test_random_bytes(tmp_path: Path, ending: str) -> None:
    """Any content is a finding or none, never a defect."""
    pick = random.Random(ending)
    path = tmp_path / f"random{ending}"
    for count in range(200):
        path.write_bytes(pick.randbytes(60) if count % 2 else bytes(pick.choices(b" \n\t:-[]{}()'\"=$\\#,ab01.", k=80)))
        result = lint_file(path, "torch" if count % 3 else None)
        assert result.unavailable or result.framework is not None


def test_damaged_examples(tmp_path: Path) -> None:
    """Every example of every rule, cut and spliced: the readers and rules stand it."""
    pick = random.Random(2)
    for name in FOREIGN_RULES.built_in:
        for rule in FOREIGN_RULES.look_up(name).rules:
            path = tmp_path / rule.example.name
            text = rule.example.wrong
            for _ in range(20):
                at, cut = pick.randrange(len(text)), pick.randrange(8)
                path.write_text(
                    text[:at] + pick.choice(["", "[", "'", "\n", "1e999", "${x", "*", "**x"]) + text[at + cut :]
                )
                lint_file(path, name)


def test_a_file_is_read_by_its_ending(tmp_path: Path) -> None:
    """A script without one by its first line."""
    (tmp_path / "run").write_text("#!/bin/bash\n" + RIGHT)
    (tmp_path / "other").write_text("#!/usr/bin/env python3\nimport torch\n")

    assert [read_foreign(tmp_path / name).form for name in ("run", "other")] == ["shell", "python"]
