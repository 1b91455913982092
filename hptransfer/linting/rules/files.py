"""Files that the recipe names."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

from hptransfer.data._files import files_matching
from hptransfer.data.base import SEPARATOR, cut_at, held_out
from hptransfer.data.text import TextFiles
from hptransfer.data.tokens import SHARE, TokenFiles, mapped, require_below
from hptransfer.errors import Finding, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.rule_text import Explanation

#: bytes of each file that are looked at
LOOKED_AT = 2**20


def _no_data(loaded: LoadedRecipe) -> Iterator[Finding]:
    data = loaded.recipe.data
    folder = loaded.path.parent
    keys = {TextFiles: ("files",), TokenFiles: ("train", "validation")}.get(type(data), ())
    patterns = ((key, index, pattern) for key in keys for index, pattern in enumerate(getattr(data, key) or ()))
    for key, index, pattern in patterns:
        names = glob.iglob(pattern, root_dir=folder, recursive=True)  # as training reads them
        if any((folder / name).is_file() for name in names):
            continue
        place = loaded.place(("data", key, index), value=True)
        hint = f"patterns are relative to the recipe's folder, {folder.as_posix()}/"
        yield Finding(f"`data.{key}` must match files", f'"{pattern}" matches none', hint, place)


def _text(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Text by the sizes of its files, and by the first bytes of each."""
    data, context = loaded.recipe.data, loaded.recipe.model.context
    files = _found(loaded, "files") if isinstance(data, TextFiles) else {}
    if not isinstance(data, TextFiles) or not files:
        return
    place = loaded.place(("data", "files"))
    for name, path in files.items():
        with path.open("rb") as stream:
            position = stream.read(LOOKED_AT).find(SEPARATOR)
        if position >= 0:
            hint = (
                f"for files of tokens write `data: {{kind: tokens, train: [{name}], dtype: uint16, vocabulary: 50257}}`"
            )
            received = f"{name}: a NUL byte at position {position:,}"
            yield Finding("files of `kind: text` must be text, without NUL bytes", received, hint, place)
            return
    for part, length in text_lengths({name: path.stat().st_size for name, path in files.items()}, data).items():
        if length < context + 1:
            rule = f"the {part} text must hold at least context + 1 bytes"
            hint = "add files, or make `model.context` smaller"
            yield Finding(rule, f"{length} bytes in {len(files)} file(s), context={context}", hint, place)


def text_lengths(sizes: Mapping[str, int], data: TextFiles) -> dict[str, int]:
    """Bytes of the parts into which files of text are split.

    Args:
        sizes: bytes of each file, at least one.
        data: says which share validates.
    """
    if len(sizes) == 1:
        (length,) = sizes.values()
        cut = cut_at(length, data.validation_fraction) if length > 1 else length
        return {"training": cut, "validation": length - cut}
    kept = held_out(sizes, data.validation_fraction)
    parts = {"training": [name for name in sizes if name not in kept], "validation": sorted(kept)}
    return {part: sum(sizes[name] for name in names) + len(names) - 1 for part, names in parts.items()}


def _tokens(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Files of tokens by their headers and sizes, and by the first tokens of each."""
    data, context = loaded.recipe.data, loaded.recipe.model.context
    if not isinstance(data, TokenFiles):
        return
    files = {key: _found(loaded, key) for key in ("train", "validation")}
    for name in files["train"].keys() & files["validation"].keys():
        yield Finding(
            "files must either train or validate", f"{name} does both", None, loaded.place(("data", "validation"))
        )
    for key, found in files.items():
        lengths = []
        for name, path in found.items():
            try:
                tokens = mapped(name, path, data.dtype)
                require_below(name, tokens[: LOOKED_AT // tokens.itemsize], data.vocabulary)
            except UsageError as error:
                yield from (
                    Finding(each.rule, each.received, each.hint, loaded.place(("data", key))) for each in error.findings
                )
                return
            lengths.append(len(tokens))
        share = data.validation_fraction or SHARE
        parts = {key: lengths}
        if data.validation is None and key == "train":
            cuts = [cut_at(length, share) for length in lengths]
            parts = {"train": cuts, "validation": [all_ - cut for all_, cut in zip(lengths, cuts, strict=True)]}
        for part, each in parts.items():
            if each and max(each) < context + 1:
                rule = f"one file's {'training' if part == 'train' else part} tokens must hold at least context + 1"
                hint = "add files, or make `model.context` smaller"
                yield Finding(rule, f"{max(each):,} tokens, context={context}", hint, loaded.place(("data", key)))


def _found(loaded: LoadedRecipe, key: str) -> dict[str, Path]:
    """Files of one list of patterns; none where a pattern matches nothing, which another rule says."""
    patterns = getattr(loaded.recipe.data, key, None)
    try:
        return files_matching(patterns or (), loaded.root, key)
    except UsageError:
        return {}


RULES = (
    FunctionRule(
        "recipe/no-data",
        "each pattern of files in `data` matches a file",
        _no_data,
        level="error",
        explanation=Explanation(
            "HPT210",
            "Every command that trains would end before the first trial.",
            "name files that are there, relative to the recipe's folder",
            "data: {kind: text, files: [none.txt]}",
            "data: {kind: text, files: ['*.yaml']}",
            at="^none.txt",
        ),
    ),
    FunctionRule(
        "recipe/unusable-text",
        "files of text are text, and training and validation hold at least one example each",
        _text,
        level="error",
        explanation=Explanation(
            "HPT211",
            "Training reads examples of `model.context` + 1 bytes from each part, and ends where there is none.",
            "add files, or make `model.context` smaller",
            "model: {kind: mlp, context: 4096}\ndata: {kind: text, files: ['*.yaml']}",
            "model: {kind: mlp, context: 16}\ndata: {kind: text, files: ['*.yaml']}",
            at="^files",
        ),
    ),
    FunctionRule(
        "recipe/unusable-tokens",
        "files of tokens are whole, their first tokens lie in the vocabulary, training and validation hold an example",
        _tokens,
        level="error",
        explanation=Explanation(
            "HPT212",
            "A token beyond the vocabulary, or a file of another type, ends the first trial or trains on other tokens.",
            "write the `dtype` and the `vocabulary` that the files were written with",
            (
                "model: {kind: mlp, vocabulary: 32768}\n"
                "data: {kind: tokens, train: ['*.yaml'], dtype: uint16, vocabulary: 256}"
            ),
            (
                "model: {kind: mlp, vocabulary: 32768}\n"
                "data: {kind: tokens, train: ['*.yaml'], dtype: uint16, vocabulary: 32768}"
            ),
            at="^train",
        ),
    ),
)
