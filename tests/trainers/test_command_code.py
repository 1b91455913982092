"""Which files of a command are in a trial's key: those of the recipe's folder, and no others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hptransfer.errors import UsageError
from hptransfer.trainers import _command_code
from hptransfer.trainers._command_code import command_code
from tests.support.commands import command_recipe


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A recipe's folder with code, beside a file of somebody else's, to which links lead."""
    folder = tmp_path / "recipe"
    (folder / "lib" / "deep").mkdir(parents=True)
    for name in ("train.py", "lib/a.py", "lib/deep/b.py", "lib/.hidden.py", "lib/c.txt"):
        (folder / name).write_text("x = 1\n")
    (tmp_path / "secret.py").write_text("y = 2\n")
    (folder / "secret.py").symlink_to(tmp_path / "secret.py")
    (folder / "out").symlink_to(tmp_path)
    (folder / "inner").symlink_to(folder / "lib")
    os.mkfifo(folder / "pipe")
    return folder


def digested(root: Path, *words: str, **more: Any) -> set[str]:
    """Names of the files that count for a command."""
    recipe = command_recipe(
        {
            "command": [*words, "{width}", "{learning_rate}", "{seed}"],
            "results": {"stdout": r"loss (\S+)"},
        }
        | more
    )
    section: Any = recipe.trainer
    return set(command_code(section, root))


@pytest.mark.parametrize("cwd", [".", "/", "..", "../../../../../../../../proc", "out", "lib"])
def test_words_count_where_they_are_the_recipes(cwd: str, root: Path) -> None:
    """Whatever folder the program runs in: a stranger's recipe reads nothing else."""
    words = (
        "train.py",
        "secret.py",
        "pipe",
        "out/secret.py",
        "/etc/passwd",
        "etc/passwd",
        "kcore",
        "kmsg",
        "self/maps",
    )

    assert digested(root, *words, cwd=cwd) == {"train.py"}


def test_a_word_below_cwd_counts(root: Path) -> None:
    """The program sees it there."""
    assert digested(root, "a.py", cwd="lib") == {"lib/a.py"}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("train.py", {"train.py"}),
        ("*.py", {"train.py"}),
        ("lib/*.py", {"lib/a.py"}),
        ("lib/**/*.py", {"lib/a.py", "lib/deep/b.py"}),
        ("**/*.py", {"train.py", "lib/a.py", "lib/deep/b.py"}),
        ("**", {"train.py", "lib/a.py", "lib/deep/b.py", "lib/c.txt"}),
        ("inner/[ab].py", {"inner/a.py"}),
        ("lib/.*.py", {"lib/.hidden.py"}),
    ],
)
def test_patterns_are_those_of_glob_within_the_folder(pattern: str, found: set[str], root: Path) -> None:
    """Links out of it are not entered."""
    assert digested(root, "true", files=[pattern]) == found


@pytest.mark.parametrize("pattern", ["out/**/*", "out/*", "secret.py", "pipe"])
def test_a_pattern_that_leads_out_matches_nothing(pattern: str, root: Path) -> None:
    """And is refused as such."""
    with pytest.raises(UsageError, match="must match a file"):
        digested(root, "true", files=[pattern])


def test_modules_that_lie_elsewhere_do_not_count(root: Path) -> None:
    """A link to one is not followed."""
    (root / "train.py").write_text("import secret\nimport other\n")
    (root / "other.py").write_text("z = 1\n")

    assert digested(root, "train.py") == {"train.py", "other"}


def test_files_too_long_for_a_key_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them together, each once."""
    monkeypatch.setattr(_command_code, "LARGEST_FILE", 12)

    assert digested(root, "train.py", "train.py", "lib/c.txt") == {"train.py", "lib/c.txt"}
    with pytest.raises(UsageError, match="at most 1 GiB"):
        digested(root, "train.py", "lib/c.txt", "lib/a.py")
