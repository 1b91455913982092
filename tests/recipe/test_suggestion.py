from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptransfer.recipe.suggestion import closest, distance, hint


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("kitten", "sitting", 3),  # the textbook example of Levenshtein distance
        ("ca", "abc", 3),  # optimal string alignment; unrestricted Damerau-Levenshtein gives 2
        ("trails", "trials", 1),  # one transposition
        ("", "abc", 3),
        ("same", "same", 0),
    ],
)
def test_distance(a: str, b: str, edits: int) -> None:
    """Known distances."""
    assert distance(a, b) == edits


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distance_is_symmetric(a: str, b: str) -> None:
    """Editing back takes as many steps, and only equal words are at distance zero."""
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)


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
