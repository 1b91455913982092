from __future__ import annotations

import glob
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer import matching as module
from hptransfer.errors import UsageError
from hptransfer.matching import Bounds, Matches, leads_out, matching, remembered


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with names of every sort, and no links."""
    root = tmp_path_factory.mktemp("tree")
    for name in (
        "a.txt",
        "b.txt",
        ".hidden.txt",
        "c.bin",
        "x/a.txt",
        "x/y/a.txt",
        "x/y/z/b.txt",
        ".git/a.txt",
        "[q].txt",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "empty").mkdir()
    return root


PARTS = st.sampled_from(
    ["*", "**", "x", "y", "a.txt", "*.txt", "?.txt", "[ab].txt", "[!a]*", ".*", ".git", "z", "[[]q].txt"]
)


@given(st.lists(PARTS, min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_it_matches_as_glob_does(tree: Path, parts: list[str]) -> None:
    """Where there are no links, files are those that Python's glob finds, trusted or not."""
    pattern = "/".join(parts)
    expected = sorted(
        {
            name
            for name in glob.glob(pattern, root_dir=tree, recursive=True)
            if (tree / name).is_file() and name[-1] != "/"
        }
    )

    assert matching(pattern, tree, trusted=False) == Matches(tuple(expected), ())
    assert matching(pattern, tree, trusted=True) == Matches(tuple(expected), ())


@pytest.mark.parametrize("trusted", [False, True])
def test_any_folders_are_not_looked_for_through_links(tmp_path: Path, trusted: bool) -> None:
    """`**` beside a link to the root of the machine, and six of them with a link to their own folder, end at once."""
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "a.txt").write_text("a")
    started = time.monotonic()

    assert matching("**/a.txt", tmp_path, trusted=trusted).files == ("a.txt",)
    assert matching("**/" * 6 + "x", tmp_path, trusted=trusted).files == ()
    assert matching("**/" * 60 + "a.txt", tmp_path, trusted=trusted).files == ("a.txt",)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("out", "/etc/passwd"),
        ("out", "/nowhere/at/all"),
        ("out", "../secret"),
        ("out", "../missing"),
        ("out", "in/../../secret"),
        ("out", "first"),  # a link to a link that leads out
        ("out", "folder/secret"),  # through a linked folder
    ],
)
def test_a_link_that_leads_out_is_named_whether_or_not_there_is_something(
    tmp_path: Path, link: str, target: str
) -> None:
    """What is said of a link is read from the link: it is the same for a file that exists and for one that does not."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "recipes"
    (root / "in").mkdir(parents=True)
    (root / "first").symlink_to("../secret")
    (root / "folder").symlink_to("..")
    (root / link).symlink_to(target)

    assert matching("o*", root, trusted=False) == Matches((), ("out",))
    assert matching("out", root, trusted=False) == Matches((), ("out",))
    assert matching("folder/*", root, trusted=False) == Matches((), ("folder",))
    assert leads_out("out", root)


def test_a_trusted_folders_links_are_followed(tmp_path: Path) -> None:
    """Data often lie on another disk; the folder above them is linked as well as a file."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.bin").write_text("a")
    root = tmp_path / "recipes"
    root.mkdir()
    (root / "data").symlink_to(tmp_path / "disk")
    (root / "one.bin").symlink_to(tmp_path / "disk" / "a.bin")

    assert matching("data/*.bin", root, trusted=True).files == ("data/a.bin",)
    assert matching("*.bin", root, trusted=True).files == ("one.bin",)
    assert matching("*.bin", root, trusted=False) == Matches((), ("one.bin",))


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    """A link that stays inside is a name like others; also where the folder itself is reached through one."""
    (tmp_path / "real" / "x").mkdir(parents=True)
    (tmp_path / "real" / "x" / "a.txt").write_text("a")
    (tmp_path / "real" / "y").symlink_to("x")
    (tmp_path / "real" / "b.txt").symlink_to("x/../y/a.txt")
    (tmp_path / "real" / "c.txt").symlink_to(tmp_path / "real" / "x" / "a.txt")
    (tmp_path / "linked").symlink_to("real")

    for root in (tmp_path / "real", tmp_path / "linked"):
        assert matching("y/*.txt", root, trusted=False) == Matches(("y/a.txt",), ())
        assert matching("*.txt", root, trusted=False) == Matches(("b.txt", "c.txt"), ())


def test_loops_and_special_files_match_nothing(tmp_path: Path) -> None:
    """A link to itself, a pipe and a folder are no files."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "folder").mkdir()

    for trusted in (False, True):
        assert matching("*", tmp_path, trusted=trusted) == Matches((), ())


def test_bounds_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More names, or deeper folders, than may be looked at are an error that says which; a search is not repeated."""
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text("")
    deep = tmp_path / "/".join("d" * 12)
    deep.mkdir(parents=True)
    monkeypatch.setattr(module, "STRANGERS", Bounds(entries=1000, depth=10, seconds=5.0))

    with pytest.raises(UsageError, match="more than 10 deep") as deeper:
        matching("**/*.txt", tmp_path, trusted=False)
    assert deeper.value.findings[0].code == "path/limits"
    monkeypatch.setattr(module, "STRANGERS", Bounds(entries=15, depth=10, seconds=5.0))
    with remembered():
        for _ in range(2):
            with pytest.raises(UsageError, match="there are more names"):
                matching("*.txt", tmp_path, trusted=False)
            (tmp_path / "19.txt").unlink(missing_ok=True)
    monkeypatch.setattr(module, "STRANGERS", Bounds(entries=10**6, depth=50, seconds=-1.0))
    for number in range(400):
        (tmp_path / f"more-{number}.txt").write_text("")
    with pytest.raises(UsageError, match="took longer"):
        matching("*.txt", tmp_path, trusted=False)


@pytest.mark.parametrize("pattern", ["a\0b", "x/" * 5000 + "y", "*" * 2000, "[" * 100, "a" * 300, "\ud800"])
def test_odd_patterns_match_nothing(tmp_path: Path, pattern: str) -> None:
    """Zero bytes, endless paths and names that no file can have are no faults of ours."""
    (tmp_path / "b").write_text("b")

    assert matching(pattern, tmp_path, trusted=False).outside == ()


def test_stars_in_a_row_are_matched_soon(tmp_path: Path) -> None:
    """A pattern that makes a naive matcher go back and forth for ever ends at once."""
    (tmp_path / ("a" * 200)).write_text("")
    started = time.monotonic()

    assert matching("*a" * 40 + "b", tmp_path, trusted=False).files == ()
    assert time.monotonic() - started < 1
