"""Recipes with a factory: its code is compared without being run; the model is built with `--trust` alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.consistent_evidence import forge_check, forge_search
from tests.support.kept_evidence import KEPT, Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """The recipe, its module beside it, and its evidence."""
    shutil.copy(KEPT / "evidence_net.py", tmp_path)
    return Kept(tmp_path, "own-factory")


def _edit(kept: Kept, old: str, new: str) -> None:
    path = kept.root / "evidence_net.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_without_trust_nothing_runs(kept: Kept) -> None:
    """What is left open is said; a module that writes a file when it is imported writes none."""
    _edit(kept, '"""Logits of', f'"""Of {kept.root}. Logits of')  # a docstring is no code
    canary = kept.root / "canary"
    validation = kept.validate()
    assert validation.errors == ()
    assert any("runs with `--trust` only" in note for note in validation.notes)
    assert any("were not counted again, because evidence_net:make runs" in note for note in validation.notes)

    _edit(kept, "import torch\n", f"import torch\nopen({str(canary)!r}, 'w').close()\n")
    assert "code of evidence_net: sha256" in kept.found()["evidence/stale-code"]
    assert not canary.exists()


def test_changed_code_is_named(kept: Kept) -> None:
    """Another activation; comments are none."""
    _edit(kept, "nn.Tanh()", "nn.ReLU()")
    assert "code of evidence_net: sha256" in kept.found()["evidence/stale-code"]


def test_code_that_cannot_be_read_is_an_error(kept: Kept) -> None:
    """It is not that of the evidence, whatever it is."""
    _edit(kept, "nn.Tanh()", "nn.Tanh(")
    assert "must be readable Python" in kept.found()["evidence/stale-code"]


def test_with_trust_the_model_is_read(kept: Kept) -> None:
    """In a process of its own; the target alone, which `scale` makes in its own process, is left open."""
    validation = kept.validate(trust=True)

    assert validation.errors == ()
    (left,) = [note for note in validation.notes if "evidence did not decide" in note]
    assert "whether target.yaml follows" in left


def test_with_trust_flops_are_counted_again(kept: Kept) -> None:
    """In that process too: without trust forged ones pass, and the level says that they were not counted."""

    def double(content: Any) -> None:
        for line in content["evidence"]["trials"]:
            line["flops"] *= 2

    forge_check(kept, double)
    forge_search(kept, double)
    assert "evidence/edited-trials" not in kept.found()
    found = kept.found(trust=True)["evidence/edited-trials"]
    assert "transfer.json: FLOPs must be those of the recipe's model" in found
