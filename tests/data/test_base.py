"""The text of a recipe: which bytes, which split, which fingerprint."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from hptransfer.data.base import DATA_SOURCES, SplitText, read_data, split
from hptransfer.data.stdlib_text import StdlibText, stdlib_files
from hptransfer.data.text import TextFiles
from hptransfer.errors import MachineError, UsageError
from hptransfer.recipe.sections import DataSection


def read_text(data: DataSection, root: Path) -> SplitText:
    """The bytes of a section of text."""
    content = read_data(data, root)
    assert isinstance(content, SplitText)
    return content


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Files under `root` by relative name."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def text(*patterns: str) -> TextFiles:
    """A `data` section of these patterns."""
    return TextFiles(kind="text", files=patterns)


def test_stdlib_is_megabytes_of_python() -> None:
    """The running Python carries well over 2 MB of top-level modules, split near the fraction asked for."""
    corpus = read_text(StdlibText(kind="stdlib-text"), Path())

    assert len(corpus.train) > 2_000_000
    assert 0.02 < len(corpus.validation) / len(corpus.train) < 0.3
    assert b"import " in corpus.train


def test_stdlib_files_belong_to_the_language_and_not_to_the_machine() -> None:
    """Generated modules such as _sysconfigdata, which hold an installation's paths, are left out."""
    names = list(stdlib_files())

    assert {"argparse.py", "typing.py", "ast.py"} <= set(names)
    assert not any(name.startswith("_sysconfigdata") for name in names)
    assert names == sorted(names)
    assert all(name.removesuffix(".py") in sys.stdlib_module_names for name in names)


def test_a_python_without_sources_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation stripped of its sources gets exit status 4 and another way to go on."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))

    with pytest.raises(MachineError) as caught:
        stdlib_files()

    assert caught.value.exit_status == 4
    assert "kind: text" in str(caught.value.findings[0].hint)


def test_split_is_by_file(tmp_path: Path) -> None:
    """Every file lies whole on one side, and both sides have some."""
    files = {f"{index:02}.txt": bytes([65 + index]) * 50 for index in range(20)}

    corpus = read_text(text("*.txt"), write(tmp_path, files))

    train, validation = set(corpus.train) - {0}, set(corpus.validation) - {0}
    assert train | validation == set(range(65, 85))
    assert not train & validation
    assert len(validation) == 2  # a tenth of 20 files


def test_split_depends_on_names_and_not_on_contents() -> None:
    """Editing a file does not move any file to the other side."""
    before = {f"{index}.txt": b"a" for index in range(10)}
    after = dict.fromkeys(before, b"bbbb")

    assert [len(part.split(b"\0")) for part in split(before, 0.3)] == [7, 3]
    kept = [part.count(b"bbbb") for part in split(after, 0.3)]
    assert kept == [7, 3]


def test_files_are_separated() -> None:
    """A NUL byte stands between files, so one file's end is not glued to the next one's start."""
    train, validation = split({"a": b"aa", "b": b"bb", "c": b"cc"}, 0.01)

    assert len(validation) == 2
    assert len(train) == 5
    assert train[2] == 0


def test_a_single_file_is_cut_and_its_tail_validates(tmp_path: Path) -> None:
    """One file cannot be split by file; its last tenth validates."""
    corpus = read_text(text("one.txt"), write(tmp_path, {"one.txt": bytes(range(1, 101))}))

    assert list(corpus.train) == list(range(1, 91))
    assert list(corpus.validation) == list(range(91, 101))


def test_fingerprint_changes_with_content_and_with_the_split(tmp_path: Path) -> None:
    """One changed byte, or the same bytes split elsewhere, is another corpus; the same again is the same."""
    files = {f"{index}.txt": b"some text" for index in range(10)}
    first = read_text(text("*.txt"), write(tmp_path / "first", files))
    again = read_text(text("*.txt"), write(tmp_path / "again", files))
    edited = read_text(text("*.txt"), write(tmp_path / "edited", files | {"3.txt": b"some texT"}))
    halved = read_text(TextFiles(kind="text", files=("*.txt",), validation_fraction=0.5), tmp_path / "first")

    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, edited.fingerprint, halved.fingerprint}) == 3


def test_patterns_may_recurse_and_overlap(tmp_path: Path) -> None:
    """`**` goes into folders; a file that two patterns match is read once; folders are no files."""
    write(tmp_path, {"a.txt": b"first", "deep/er/b.txt": b"other"})

    corpus = read_text(text("**/*.txt", "a.txt", "**"), tmp_path)

    assert sorted([corpus.train, corpus.validation]) == [b"first", b"other"]


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    """The first pattern without a file is the user's error, though another one matches."""
    write(tmp_path, {"a.txt": b"text"})

    with pytest.raises(UsageError) as caught:
        read_text(text("*.txt", "*.md"), tmp_path)

    assert caught.value.findings[0].received == "*.md"
    assert str(tmp_path) in str(caught.value.findings[0].hint)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_single_file_without_text(tmp_path: Path, content: bytes) -> None:
    """Fewer than two bytes cannot be split."""
    with pytest.raises(UsageError, match="data must hold text"):
        read_text(text("a.txt"), write(tmp_path, {"a.txt": content}))


def test_an_unreadable_file_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is no traceback."""

    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, {"a.txt": b"text"})
    monkeypatch.setattr("hptransfer.data.text.open_regular", refuse)

    with pytest.raises(MachineError, match="must be readable"):
        read_text(text("a.txt"), tmp_path)


def test_reading_text_needs_no_torch() -> None:
    """Commands that train nothing know the data's fingerprint without waiting for torch."""
    script = (
        "import sys, hptransfer.data.base, hptransfer.tuning.tune, hptransfer.checking.check\n"
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("raised", [SystemExit(0), ValueError("no luck")])
def test_whatever_a_source_raises_is_a_users_error(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    """`sys.exit()` would end the command in silence."""

    def read(*_: object) -> SplitText:
        raise raised

    monkeypatch.setattr(DATA_SOURCES.look_up("text"), "read", read, raising=False)
    with pytest.raises(UsageError, match="must give data"):
        read_text(text("*.txt"), Path())
