"""What `static` decides without torch, and what it says that it left open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import Validation, validate
from tests.support.recipe_texts import GPT, LLAMA, MLP, edited

OWN = edited(MLP, ("{kind: mlp}", "{kind: factory, factory: 'some_net:build'}"))


def checked(folder: Path, text: str, *levels: str) -> Validation:
    """The recipe in `text` at the levels, `static` where none is named."""
    (folder / "recipe.yaml").write_text(text)
    return validate(str(folder / "recipe.yaml"), ValidationOptions(levels or ("static",)))


#: what was called valid on 2026-11-28 -> code and level of what says it now
ACCEPTED = [
    (edited(LLAMA, ("intermediate_size", "intermediat_size")), "recipe/unknown-setting", "error"),
    (edited(LLAMA, ("config: llama", "config: lllama")), "recipe/unknown-config", "error"),
    (edited(OWN, ("build'}", "build', residual_writers: ['layers[']}")), "recipe/model-pattern", "error"),
    (edited(OWN, ("build'}", "build', roles: {'(a+)+b': readout}}")), "recipe/model-pattern", "error"),
    (edited(MLP, ("tune:", "budget: {trials: 8}\ntune:\n  trials: 16")), "recipe/budget-trials", "error"),
    (edited(MLP, ("tune:", "budget: {trials: 30}\ntune:\n  trials: 16")), "recipe/budget-trials", "error"),
    (edited(MLP, ("tune:", "check: {max_trials: 50}\ntune:")), "recipe/max-trials", "error"),
    (edited(MLP, ("{width: 1024, depth: 4}", "{width: 256, depth: 2}")), "advice/no-transfer", "warning"),
    (edited(MLP, ("{width: 1024, depth: 4}", "{width: 64, depth: 2}")), "advice/no-transfer", "warning"),
    (edited(MLP, ("[64, 128, 256, 512]", "[64, 512]")), "advice/short-ladder", "warning"),
    (edited(MLP, ("{name: mup}", "{name: mup, eps: published}"), ("steps: 100", "steps: 100\n  optimizer: sgd")),
     "recipe/option-not-known", "error"),
    (edited(MLP, ("{name: mup}", "{name: mup, batch_rule: sde}"), ("steps: 100", "steps: 100\n  optimizer: lion")),
     "recipe/option-not-known", "error"),
    (edited(MLP, ("{name: mup}", "{name: u-mup}")), "recipe/no-residual-blocks", "error"),
    (edited(LLAMA, ("{kind: stdlib-text}", "{kind: tokens, train: ['*.bin'], vocabulary: 50257, dtype: uint16}")),
     "recipe/small-vocabulary", "error"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "level"), ACCEPTED)
def test_what_was_accepted_is_said(tmp_path: Path, text: str, code: str, level: str) -> None:
    """Each with a hint, at a line of the file; an error where no evidence can come, else a warning."""
    result = checked(tmp_path, text)

    found, *_ = [each for each in (*result.errors, *result.warnings) if each.code == code]
    assert found in (result.errors if level == "error" else result.warnings)
    assert found.hint
    assert found.place is not None
    assert found.place.line is not None


@pytest.mark.parametrize("text", [MLP, GPT, LLAMA, OWN])
def test_sound_recipes_have_no_finding(tmp_path: Path, text: str) -> None:
    """Negative control of all of them."""
    result = checked(tmp_path, text)

    assert result.errors + result.warnings == ()


@pytest.mark.parametrize(("budget", "errors"), [(17, 1), (18, 1), (18 + 3 * 8 * 2 - 1, 1), (18 + 3 * 8 * 2, 0)])
def test_the_least_budget(tmp_path: Path, budget: int, errors: int) -> None:
    """16 trials and 2 confirmations; then at least 8 values with 2 seeds at each of three widths beside the proxy."""
    assert len(checked(tmp_path, edited(MLP, ("tune:", f"budget: {{trials: {budget}}}\ntune:"))).errors) == errors


def text_of(folder: Path, content: bytes, more: str = "") -> Validation:
    """A recipe on one file of text."""
    (folder / "a.txt").write_bytes(content)
    return checked(folder, edited(MLP, ("{kind: stdlib-text}", f"{{kind: text, files: ['*.txt']{more}}}")))


def test_text_that_is_too_short(tmp_path: Path) -> None:
    """Sixteen bytes hold no window of 16 and the byte after it; 200 do on both sides, with a share of 0.1."""
    (*_, found) = text_of(tmp_path, b"sixteen bytes...").errors
    assert found.received == "2 bytes in 1 file(s), context=16"
    assert text_of(tmp_path, b"x" * 160).errors != ()  # 16 of them validate
    assert text_of(tmp_path, b"x" * 170).errors == ()  # 17 do
    assert text_of(tmp_path, b"x" * 160, ", validation_fraction: 0.5").errors == ()


def test_text_in_several_files(tmp_path: Path) -> None:
    """Files are held out whole: each side needs one that is long enough."""
    (tmp_path / "b.txt").write_bytes(b"y" * 17)
    assert text_of(tmp_path, b"x" * 17).errors == ()
    (tmp_path / "b.txt").write_bytes(b"y" * 16)
    assert [error.code for error in text_of(tmp_path, b"x" * 17).errors] == ["recipe/unusable-text"]


def test_binary_is_no_text(tmp_path: Path) -> None:
    """As training would refuse it."""
    (found,) = text_of(tmp_path, b"x" * 500 + b"\0" + b"x" * 500).errors
    assert found.received == "a.txt: a NUL byte at position 500"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (np.arange(400, dtype="<u2") % 256, None),
        (np.arange(400, dtype="<u2"), "token 256 at position 256"),
        (np.arange(401, dtype="u1"), "401 bytes, tokens of 2 bytes"),
        (np.zeros(20, dtype="<u2"), "2 tokens, context=16"),
    ],
)
def test_files_of_tokens(tmp_path: Path, tokens: np.ndarray, said: str | None) -> None:
    """Whole, below the vocabulary, and long enough on both sides."""
    (tmp_path / "train.bin").write_bytes(tokens.tobytes())
    section = "{kind: tokens, train: [train.bin], dtype: uint16, vocabulary: 256}"

    errors = checked(tmp_path, edited(MLP, ("{kind: stdlib-text}", section))).errors

    assert (errors == ()) if said is None else any(said in str(error.received) for error in errors)


def test_what_static_leaves_open_is_said(tmp_path: Path) -> None:
    """Of a built-in model the tables decide everything; of others each open question names the level."""
    assert checked(tmp_path, GPT).outcomes[0][1].undecided == ()
    assert checked(tmp_path, LLAMA).outcomes[0][1].undecided == (
        "whether every parameter of huggingface llama has a rule, at every size (level shapes)",
    )
    (tmp_path / "long.txt").write_bytes(b"x" * (2**20 + 1))
    text = edited(OWN, ("{kind: stdlib-text}", "{kind: text, files: [long.txt]}"), ("build'}", "build', queries: [q]}"))
    text = edited(
        text, ("steps: 100", "steps: 100\n  loss: 'my_losses:loss'"), ("tune:", "budget: {flops: 1e9}\ntune:")
    )
    said = " ".join(checked(tmp_path, text).outcomes[0][1].undecided)
    for word in ("some_net:build", "my_losses:loss", "beyond its first 1 MiB", "budget.flops", "each pattern"):
        assert word in said


def test_what_a_later_level_is_asked_is_not_left_open(tmp_path: Path) -> None:
    """`shapes` decides it, or says itself why it cannot; what only `full` decides is said all the same."""
    (tmp_path / "long.txt").write_bytes(b"x" * (2**20 + 1))
    text = edited(LLAMA, ("{kind: stdlib-text}", "{kind: text, files: [long.txt]}"))
    said = checked(tmp_path, text, "static", "shapes").outcomes[0][1].undecided

    assert said == ("whether each file of `data` is text beyond its first 1 MiB (every command that trains)",)
    assert len(checked(tmp_path, text).outcomes[0][1].undecided) == 2


_COUNT = """
import json, sys
from hptransfer.commands.validate import validate_command
status = validate_command(sys.argv[1:])
heavy = {"torch", "transformers", "optuna", "scipy", "some_net"}
print(json.dumps({"status": status, "heavy": sorted(heavy & sys.modules.keys())}))
"""


def test_static_imports_no_torch(tmp_path: Path) -> None:
    """In a fresh process, with recipes of every kind of model, a budget and files of tokens."""
    (tmp_path / "train.bin").write_bytes(bytes(1000))
    (tmp_path / "some_net.py").write_text("raise SystemExit('it ran')\n")
    tokens = "{kind: tokens, train: [train.bin], dtype: uint16, vocabulary: 256}"
    texts = [MLP, GPT, LLAMA, OWN, edited(MLP, ("{kind: stdlib-text}", tokens))]
    texts.append(edited(MLP, ("tune:", "budget: {trials: 500}\ntune:")))
    files = [tmp_path / f"r{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)

    command = [sys.executable, "-c", _COUNT, *map(str, files)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert json.loads(ended.stdout.splitlines()[-1]) == {"status": 0, "heavy": []}


def test_shapes_asks_for_flops(tmp_path: Path) -> None:
    """6 weights per prediction, 100 steps of 64: what 18 trials and the first of the check take lies far above 1e9."""
    (tmp_path / "recipe.yaml").write_text(edited(MLP, ("tune:", "budget: {flops: 1e9}\ntune:")))
    asked = ValidationOptions(("static", "shapes"))
    (found,) = validate(str(tmp_path / "recipe.yaml"), asked).errors
    assert found.code == "recipe/budget-flops"
    (tmp_path / "recipe.yaml").write_text(edited(MLP, ("tune:", "budget: {flops: 1e15}\ntune:")))
    assert validate(str(tmp_path / "recipe.yaml"), asked).errors == ()
