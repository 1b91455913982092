from __future__ import annotations

import pytest

from hptransfer.recipe.suggestion import closest, hint


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("trails", ["space", "trials", "seed"], "trials"),
        ("lgo", ["low", "log"], "log"),  # a transposition beats a substitution and an insertion
        ("gtp", ["mlp", "gpt"], "gpt"),
        ("muP", ["standard", "mup"], "mup"),
        ("lr", ["learning_rate", "eps"], "learning_rate"),
        ("lr", ["low", "high"], None),
        ("xyz", ["low", "high"], None),
        ("a" * 1000, ["low"], None),
    ],
)
def test_closest(word: str, candidates: list[str], meant: str | None) -> None:
    """Near words and common synonyms are recognised, far ones are not guessed at."""
    assert closest(word, candidates) == meant


def test_hint_lists_at_most_a_dozen() -> None:
    """A long list of what is allowed is cut, and says so."""
    text = hint("zzzzzz", [f"name{i}" for i in range(15)], "keys")

    assert text.startswith("keys: `name0`")
    assert text.endswith("`name11` and 3 more")
