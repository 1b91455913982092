"""Files of tokens, byte by byte as their writers lay them out.

nanoGPT (github.com/karpathy/nanoGPT, data/shakespeare/prepare.py): uint16 alone, `np.array(ids, np.uint16).tofile`.
llm.c (github.com/karpathy/llm.c, dev/data/data_common.py): 256 int32, of which magic, version and number of tokens;
then uint16 (magic 20240520, version 1) or uint32 (20240801, version 7). modded-nanogpt (data/fineweb.py): the first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from hptransfer.data.base import SplitTokens, read_data
from hptransfer.data.tokens import TokenFiles
from hptransfer.errors import RecipeError, UsageError
from hptransfer.testing.data_sources import DataSourceConformance
from hptransfer.trainers._data import require_vocabulary
from hptransfer.training.data import load_batches
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained
from tests.support.recipe_texts import MLP, edited, load_text


def nanogpt(tokens: list[int]) -> bytes:
    """The file's bytes."""
    return struct.pack(f"<{len(tokens)}H", *tokens)


def llm_c(tokens: list[int], magic: int = 20240520, version: int = 1, letter: str = "H") -> bytes:
    """The file's bytes."""
    header = struct.pack("<256i", magic, version, len(tokens), *[0] * 253)
    return header + struct.pack(f"<{len(tokens)}{letter}", *tokens)


def read(folder: Path, **section: Any) -> SplitTokens:
    """What is read of a section over files of the folder."""
    content = read_data(TokenFiles.model_validate({"kind": "tokens", "vocabulary": 200_000} | section), folder)
    assert isinstance(content, SplitTokens)
    return content


class TestTokens(DataSourceConformance):
    """nanoGPT's two files."""

    def section(self, folder: Path) -> dict[str, Any]:
        """Fifty tokens and ten."""
        (folder / "train.bin").write_bytes(nanogpt(list(range(1000, 1050))))
        (folder / "val.bin").write_bytes(nanogpt(list(range(10))))
        files = {"train": ["train.bin"], "validation": ["val.bin"]}
        return {"kind": "tokens", "dtype": "uint16", "vocabulary": 50257, **files}

    def changed(self, folder: Path) -> dict[str, Any]:
        """One token of the validation file."""
        section = self.section(folder)
        (folder / "val.bin").write_bytes(nanogpt([*range(9), 99]))
        return section


del DataSourceConformance


def test_nanogpts_file(tmp_path: Path) -> None:
    """Tokens above 255 are one token each, not two bytes; the tail validates."""
    (tmp_path / "train.bin").write_bytes(nanogpt([50256, 11, 300, 65535, 7, 8, 9, 10, 12, 13]))

    found = read(tmp_path, train=["train.bin"], dtype="uint16", validation_fraction=0.2)

    assert [part.tolist() for part in found.train] == [[50256, 11, 300, 65535, 7, 8, 9, 10]]
    assert [part.tolist() for part in found.validation] == [[12, 13]]


@pytest.mark.parametrize(
    ("magic", "version", "letter", "largest"), [(20240520, 1, "H", 50256), (20240801, 7, "I", 128255)]
)
def test_llm_cs_files(tmp_path: Path, magic: int, version: int, letter: str, largest: int) -> None:
    """The header says the type, and is no token; several files are several parts, sorted by name."""
    (tmp_path / "t_2.bin").write_bytes(llm_c([3, largest], magic, version, letter))
    (tmp_path / "t_1.bin").write_bytes(llm_c([1, 2, largest], magic, version, letter))
    (tmp_path / "v.bin").write_bytes(llm_c([5, 6], magic, version, letter))

    found = read(tmp_path, train=["t_*.bin"], validation=["v.bin"])

    assert [part.tolist() for part in found.train] == [[1, 2, largest], [3, largest]]
    assert [part.tolist() for part in found.validation] == [[5, 6]]


def test_windows_stay_within_files(tmp_path: Path) -> None:
    """Every window of context + 1 tokens of either file is drawn, and none that reaches from one into the other."""
    (tmp_path / "a.bin").write_bytes(nanogpt([0, 1, 2, 3]))
    (tmp_path / "b.bin").write_bytes(nanogpt([10, 11, 12]))
    (tmp_path / "c.bin").write_bytes(nanogpt([20, 21]))  # too short for a window
    (tmp_path / "v.bin").write_bytes(nanogpt([30, 31, 32, 33]))
    section = {"kind": "tokens", "train": ["[abc].bin"], "validation": ["v.bin"], "dtype": "uint16", "vocabulary": 40}
    batches = load_batches(TokenFiles.model_validate(section), tmp_path)

    drawn = {tuple(row) for row in batches.batch(0, 0, 200, 2).tolist()}
    validated = [tuple(row) for batch in batches.validation_batches(1, 2, 2) for row in batch.tolist()]

    assert drawn == {(0, 1, 2), (1, 2, 3), (10, 11, 12)}
    assert validated == [(30, 31, 32), (31, 32, 33)]


def test_a_token_outside_the_vocabulary_is_named_with_its_place(tmp_path: Path) -> None:
    """File, token and position; the largest allowed one is taken."""
    (tmp_path / "train.bin").write_bytes(nanogpt([1, 49_999, 3, 50_256, 4, 50_300]))

    with pytest.raises(UsageError, match=r"below `data\.vocabulary`") as caught:
        read(tmp_path, train=["train.bin"], dtype="uint16", vocabulary=50_000)
    assert caught.value.findings[0].received == "train.bin: token 50,256 at position 3, vocabulary=50,000"
    assert read(tmp_path, train=["train.bin"], dtype="uint16", vocabulary=50_301).vocabulary == 50_301


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """The digest is remembered per process by size and time of change alone."""
    (tmp_path / "train.bin").write_bytes(nanogpt([1, 2, 3, 4]))
    before = read(tmp_path, train=["train.bin"], dtype="uint16").fingerprint
    (tmp_path / "train.bin").write_bytes(nanogpt([1, 2, 3, 5]))

    assert read(tmp_path, train=["train.bin"], dtype="uint16").fingerprint != before


@pytest.mark.parametrize(
    ("content", "section", "rule", "received"),
    [
        (nanogpt([5, 6] * 600), {}, "needs `data.dtype`", "train.bin: the first numbers are 393221, 393221"),
        (llm_c([1, 2]), {"dtype": "uint32"}, "must be that of the files", "its header says uint16"),
        (llm_c([1, 2, 3])[:-2], {}, "must be whole", "train.bin: 1,028 bytes, 3 tokens by its header"),
        (nanogpt([1, 2, 3])[:-1], {"dtype": "uint16"}, "must be whole", "train.bin: 5 bytes, tokens of 2 bytes"),
        (nanogpt([1]), {"dtype": "uint16"}, "at least two", "train.bin: 1"),
        (llm_c([1, 2, 3]), {"validation": ["*.bin"]}, "either train or validate", "train.bin does both"),
    ],
)
def test_files_that_cannot_be_what_is_said(
    tmp_path: Path, content: bytes, section: dict[str, Any], rule: str, received: str
) -> None:
    """A type that nobody said, a contradiction, a cut file, an empty one, validation on training data."""
    (tmp_path / "train.bin").write_bytes(content)

    with pytest.raises(UsageError, match=rule) as caught:
        read(tmp_path, train=["train.bin"], **section)
    assert received in str(caught.value.findings[0].received)


def tokens_recipe(section: str, vocabulary: str = "") -> str:
    """A recipe's text with this `data` section, and a vocabulary of the model."""
    model = ("kind: mlp", f"kind: mlp{vocabulary}")
    return edited(MLP, ("{kind: stdlib-text}", section), model)


TOKENS = "{kind: tokens, train: [train.bin], dtype: uint16, vocabulary: 1000}"


def test_a_trial_trains_on_tokens(tmp_path: Path) -> None:
    """A repeated sequence of tokens above 255 is learned: far below ln 1000, which nothing learned would be."""
    (tmp_path / "train.bin").write_bytes(nanogpt([997, 300, 999, 4, 555] * 400))
    recipe = load_text(tmp_path, tokens_recipe(TOKENS, ", vocabulary: 1000")).recipe

    answer = trained(TrialSpec(recipe, tmp_path, recipe.size(16, 2, tokens=64 * 60), {"learning_rate": 0.03}, 0))

    assert answer["state"] == "complete"
    assert answer["loss"] < 2
    assert answer["provenance"]["evaluation"].startswith("1,024 examples of tokens validation, sha256 ")
    assert answer["provenance"]["unit"] == "nats"


def test_a_built_in_model_with_too_few_tokens_is_a_fault_of_the_recipe(tmp_path: Path) -> None:
    """Said by `validate`, which reads no data, with the line to add."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, tokens_recipe(TOKENS))

    (finding,) = caught.value.findings
    assert finding.received == "256 in the model, 1000 in the data"
    assert finding.hint == "write `vocabulary: 1000` in `model`"


def test_tokens_given_as_text_are_refused(tmp_path: Path) -> None:
    """NanoGPT's train.bin, read as bytes, trains to a loss that means nothing."""
    (tmp_path / "train.bin").write_bytes(nanogpt([1000, 11, 1001] * 100))
    data = load_text(tmp_path, tokens_recipe("{kind: text, files: [train.bin]}")).recipe.data

    with pytest.raises(UsageError, match="must be text") as caught:
        read_data(data, tmp_path)

    finding = caught.value.findings[0]
    assert finding.received == "train.bin: a NUL byte at position 3"
    assert "kind: tokens, train: [train.bin], dtype: uint16" in str(finding.hint)


def test_two_ways_to_validate_contradict_each_other(tmp_path: Path) -> None:
    """Files and a share of the training files."""
    section = TOKENS.replace("dtype", "validation: [v.bin], validation_fraction: 0.1, dtype")

    with pytest.raises(RecipeError, match=r"only one of `data\.validation` and `data\.validation_fraction`"):
        load_text(tmp_path, tokens_recipe(section, ", vocabulary: 1000"))


def test_a_model_without_a_row_for_every_token_is_refused() -> None:
    """Models of one's own are not known before a worker builds them; an index error would say less."""
    small, large = nn.Embedding(256, 4), nn.Sequential(nn.Embedding(1000, 4), nn.Linear(4, 1000))

    with pytest.raises(UsageError, match="an embedding for every token") as caught:
        require_vocabulary(small, 1000)
    assert caught.value.findings[0].received == ("`data.vocabulary` is 1,000; the longest axis of a parameter is 256")
    require_vocabulary(large, 1000)
    require_vocabulary(small, None)
