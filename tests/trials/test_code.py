"""Digests of the user's own modules: what they import locally, nothing of how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.trials.code import code_digests

MODEL = '''\
"""A model."""
import json
import torch
from torch import nn

from parts import blocks
from parts.norms import Norm as N


def build(width, depth):
    """Builds."""
    import late
    return blocks.stack(width, depth)  # all of it
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a model that spreads over several modules."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "blocks.py").write_text("from . import norms\nfrom ..outside import nothing\nSIZE = 4\n")
    (tmp_path / "parts" / "norms.py").write_text("class Norm:\n    pass\n")
    (tmp_path / "late.py").write_text("import model\n")
    (tmp_path / "unused.py").write_text("X = 1\n")
    return tmp_path


def test_every_local_module_that_is_imported_counts(folder: Path) -> None:
    """Whichever way it is imported, and in circles; neither torch nor the standard library nor what nobody imports."""
    assert list(code_digests("model:build", folder)) == ["late", "model", "parts", "parts.blocks", "parts.norms"]


def test_comments_formatting_and_docstrings_do_not_count(folder: Path) -> None:
    """The same program, written another way."""
    before = code_digests("model:build", folder)
    rewritten = (
        MODEL.replace("  # all of it", "")
        .replace('"""Builds."""', '"""Makes it."""\n')
        .replace("(width, depth):", "(\n        width,\n        depth,\n):")
    )
    (folder / "model.py").write_text(rewritten.replace('"""A model."""\n', ""))

    assert code_digests("model:build", folder) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model.py", MODEL.replace("blocks.stack", "blocks.tower")),
        ("parts/norms.py", "class Norm:\n    eps = 1e-5\n"),
        ("parts/blocks.py", "from . import norms\nSIZE = 4.0\n"),
    ],
)
def test_another_program_has_another_digest(folder: Path, file: str, text: str) -> None:
    """In the module itself, or in one that it imports; 4 is not 4.0."""
    before = code_digests("model:build", folder)
    (folder / file).write_text(text)
    after = code_digests("model:build", folder)

    assert {name for name in before if before[name] != after[name]} == {file[:-3].replace("/", ".")}


def test_installed_modules_have_no_digest(tmp_path: Path) -> None:
    """Of a library, of the standard library, of this package, and of what does not exist."""
    for reference in ("torch.nn:Linear", "json:loads", "hptransfer.models.mlp:Mlp", "nowhere:build"):
        assert code_digests(reference, tmp_path) == {}


def test_code_that_does_not_parse_is_a_usage_error(folder: Path) -> None:
    """With the file's name and what Python says."""
    (folder / "late.py").write_text("def broken(:\n")
    with pytest.raises(UsageError, match="readable Python") as caught:
        code_digests("model:build", folder)

    assert "late.py" in str(caught.value.findings[0].received)


def test_what_a_package_offers_counts(folder: Path) -> None:
    """`from parts import *` imports the modules that `__all__` names."""
    (folder / "parts" / "__init__.py").write_text('__all__ = ["extra"]\n')
    (folder / "parts" / "extra.py").write_text("X = 1\n")

    assert "parts.extra" in code_digests("model:build", folder)


def test_a_local_module_with_a_name_of_the_standard_library_counts(folder: Path) -> None:
    """Python takes the file of the recipe's folder first."""
    (folder / "late.py").write_text("import this\n")
    (folder / "this.py").write_text("X = 1\n")

    assert "this" in code_digests("model:build", folder)


def test_code_that_nests_too_deeply_is_digested_as_it_stands(folder: Path) -> None:
    """An expression of two thousand terms is no fault of the user's."""
    (folder / "late.py").write_text(f"X = {' + '.join(['1'] * 2000)}\n")
    before = code_digests("model:build", folder)["late"]
    (folder / "late.py").write_text(f"X = {' + '.join(['1'] * 2001)}\n")

    assert code_digests("model:build", folder)["late"] != before
