"""A small valid recipe, and ways to break it."""

from __future__ import annotations

from pathlib import Path

from hptransfer.errors import Finding, RecipeError
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.rule_text import BASES

#: the recipe over which the examples of rules are laid
MLP = BASES["mlp"]

GPT = MLP.replace("{kind: mlp}", "{kind: gpt, head_dim: 16}").replace("{name: mup}", "{name: completep}")

#: the same with a configuration of transformers
LLAMA = MLP.replace(
    "{kind: mlp}",
    "{kind: huggingface, config: llama, settings: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
    "num_attention_heads: 4, num_key_value_heads: 4, head_dim: 16, vocab_size: 256}}",
)


def edited(text: str, *changes: tuple[str, str]) -> str:
    """`text` with replacements, each of which must apply."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def load_text(folder: Path, text: str | bytes) -> LoadedRecipe:
    """The recipe in `text`, loaded from a file in `folder`."""
    file = folder / "recipe.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_recipe(file)


def faults(folder: Path, text: str | bytes) -> tuple[Finding, ...]:
    """All findings on `text`; empty when it is a valid recipe."""
    try:
        load_text(folder, text)
    except RecipeError as error:
        return error.findings
    return ()


def spots(findings: tuple[Finding, ...]) -> list[tuple[int | None, int | None]]:
    """(line, column) of every finding."""
    return [(found.place.line, found.place.column) for found in findings if found.place]


def described(finding: Finding) -> str:
    """A finding on one line: `line:column rule | received | hint`."""
    assert finding.place is not None
    return f"{finding.place.line}:{finding.place.column} {finding.rule} | {finding.received} | {finding.hint}"
