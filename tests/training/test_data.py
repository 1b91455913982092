"""Corpora: which bytes, which split, which batches."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from hptransfer.errors import MachineError, UsageError
from hptransfer.recipe.schema import StdlibText, TextFiles
from hptransfer.training.data import Corpus, load_corpus, split, stdlib_files


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
    corpus = load_corpus(StdlibText(kind="stdlib-text"), Path())

    assert len(corpus.train) > 2_000_000
    assert 0.02 < len(corpus.validation) / len(corpus.train) < 0.3
    assert b"import " in corpus.train.tobytes()


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

    corpus = load_corpus(text("*.txt"), write(tmp_path, files))

    train, validation = set(corpus.train.tolist()) - {0}, set(corpus.validation.tolist()) - {0}
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
    corpus = load_corpus(text("one.txt"), write(tmp_path, {"one.txt": bytes(range(100))}))

    assert corpus.train.tolist() == list(range(90))
    assert corpus.validation.tolist() == list(range(90, 100))


def test_fingerprint_changes_with_content_and_with_the_split(tmp_path: Path) -> None:
    """One changed byte, or the same bytes split elsewhere, is another corpus; the same again is the same."""
    files = {f"{index}.txt": b"some text" for index in range(10)}
    first = load_corpus(text("*.txt"), write(tmp_path / "first", files))
    again = load_corpus(text("*.txt"), write(tmp_path / "again", files))
    edited = load_corpus(text("*.txt"), write(tmp_path / "edited", files | {"3.txt": b"some texT"}))
    halved = load_corpus(TextFiles(kind="text", files=("*.txt",), validation_fraction=0.5), tmp_path / "first")

    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, edited.fingerprint, halved.fingerprint}) == 3


def test_patterns_may_recurse_and_overlap(tmp_path: Path) -> None:
    """`**` goes into folders; a file that two patterns match is read once; folders are no files."""
    write(tmp_path, {"a.txt": b"first", "deep/er/b.txt": b"other"})

    corpus = load_corpus(text("**/*.txt", "a.txt", "**"), tmp_path)

    assert sorted([corpus.train.tobytes(), corpus.validation.tobytes()]) == [b"first", b"other"]


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    """The first pattern without a file is the user's error, though another one matches."""
    write(tmp_path, {"a.txt": b"text"})

    with pytest.raises(UsageError) as caught:
        load_corpus(text("*.txt", "*.md"), tmp_path)

    assert caught.value.findings[0].received == "*.md"
    assert str(tmp_path) in str(caught.value.findings[0].hint)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_single_file_without_text(tmp_path: Path, content: bytes) -> None:
    """Fewer than two bytes cannot be split."""
    with pytest.raises(UsageError, match="data must hold text"):
        load_corpus(text("a.txt"), write(tmp_path, {"a.txt": content}))


def test_an_unreadable_file_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is no traceback."""

    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, {"a.txt": b"text"})
    monkeypatch.setattr(Path, "read_bytes", refuse)

    with pytest.raises(MachineError, match="must be readable"):
        load_corpus(text("a.txt"), tmp_path)


def test_too_little_text_for_one_window(corpus: Corpus) -> None:
    """A context longer than the text is refused, with both numbers."""
    with pytest.raises(UsageError, match="context \\+ 1 bytes") as caught:
        corpus.batch(0, 0, batch_size=1, context=5000)

    assert "context=5000" in str(caught.value.findings[0].received)
    with pytest.raises(UsageError, match="validation text"):
        next(corpus.validation_batches(1, 1, context=1000))


def test_batches_are_a_pure_function_of_seed_and_step(corpus: Corpus) -> None:
    """The order in which batches are asked for does not matter; seed and step do."""
    late_first = [corpus.batch(3, step, 8, 5) for step in (7, 2)]

    assert torch.equal(corpus.batch(3, 2, 8, 5), late_first[1])
    assert torch.equal(corpus.batch(3, 7, 8, 5), late_first[0])
    assert not torch.equal(corpus.batch(4, 7, 8, 5), late_first[0])
    assert not torch.equal(corpus.batch(2, 3, 8, 5), corpus.batch(3, 2, 8, 5))


def test_batches_are_windows_of_the_training_text(corpus: Corpus) -> None:
    """Each row is a contiguous piece of the training bytes, one byte longer than the context."""
    batch_BxC1 = corpus.batch(0, 0, 16, 20)

    assert batch_BxC1.shape == (16, 21)
    assert batch_BxC1.dtype == torch.int64
    assert all(bytes(row) in corpus.train.tobytes() for row in batch_BxC1.tolist())


def test_windows_reach_both_ends() -> None:
    """A text with exactly two windows yields both: no byte is out of reach."""
    two = Corpus(np.arange(6, dtype=np.uint8), np.arange(6, dtype=np.uint8), "")

    starts = corpus_starts = set(two.batch(0, 0, 100, 4)[:, 0].tolist())
    ends = {int(row[-1]) for batch in two.validation_batches(1, 2, 4) for row in batch}

    assert starts == corpus_starts == {0, 1}
    assert ends == {4, 5}


def test_windows_are_drawn_uniformly(corpus: Corpus) -> None:
    """First bytes of many windows follow the frequencies of the text; a chi-squared test at 6 sigma."""
    counts = np.zeros(4)
    quarter = len(corpus.train) / 4
    positions = Corpus(np.arange(256, dtype=np.uint8), corpus.validation, "")
    for step in range(100):
        first = positions.batch(0, step, 64, 3)[:, 0].numpy()
        counts += np.histogram(first, bins=4, range=(0, 253))[0]

    expected = counts.sum() / 4
    assert quarter > 0
    assert ((counts - expected) ** 2 / expected).sum() < 3 + 6 * np.sqrt(6)  # chi2 with 3 degrees: mean 3, variance 6


def test_validation_batches_do_not_depend_on_anything_but_their_shape(corpus: Corpus) -> None:
    """Two calls give the same windows, spread over the whole validation text."""
    first, second = (torch.cat(list(corpus.validation_batches(4, 8, 5))) for _ in range(2))

    assert torch.equal(first, second)
    assert bytes(first[0].tolist()) == corpus.validation[:6].tobytes()
    assert bytes(first[-1].tolist()) == corpus.validation[-6:].tobytes()
