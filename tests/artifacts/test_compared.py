"""Two records compared field by field."""

from __future__ import annotations

import pytest

from hptransfer.artifacts.compared import differences


def test_long_texts_are_shown_where_they_differ() -> None:
    """Two sentences that begin alike for longer than is shown would be shown as the same."""
    alike = "It is undecided whether learning_rate 0.08498 tuned at width 16 carries over to width 64"
    (found,) = differences({"sentence": f"{alike}."}, {"sentence": f"{alike}, and the check FAILS."})

    assert str(found) == (
        'sentence "...ies over to width 64.", computed again "...ies over to width 64, and the check FAILS."'
    )
    assert found.in_words


def test_what_is_no_sentence_is_a_fact() -> None:
    """Verdicts, numbers, names, and a sentence that is left out."""
    written = {"verdict": "DRIFTS", "value": 1.0, "limits": ["one seed says little"], "decides": None}
    again = {"verdict": "TRANSFERS", "value": 2.0, "limits": [], "decides": "more trials at width 64"}

    assert [each.in_words for each in differences(written, again)] == [False] * 4


@pytest.mark.parametrize(
    ("written", "again"),
    [
        ("at most 0.43 doublings", "at most 0.44 doublings"),
        ("the cost is 1.3e+07 here", "the cost is 1.4e+07 here"),
        ("a loss of 2.083e0 nats", "a loss of 2.084 nats"),
    ],
)
def test_a_last_digit_may_round_otherwise(written: str, again: str) -> None:
    """One unit of the last digit, with an exponent too."""
    assert list(differences(written, again)) == []


@pytest.mark.parametrize(
    ("written", "again"),
    [
        ("at width 1e9 it holds", "at width 1024 it holds"),
        ("costs 0e9 doublings", "costs 0.43 doublings"),
        ("costs 0e0 doublings", "costs 0.43 doublings"),
        ("costs 1. doublings", "costs 0.43 doublings"),
        ("at width 1025 it holds", "at width 1024 it holds"),
        ("costs 0.45 doublings", "costs 0.43 doublings"),
        ("at width 1e9999 it holds", "at width 1024 it holds"),
        ("at width -1e9999 it holds", "at width 1.5e+03 it holds"),
        ("at width 1024 it holds", "at width 1e9999 it holds"),
        (f"at width 1e{'9' * 5000} it holds", "at width 1.5e+03 it holds"),
        (f"at width {'9' * 5000} it holds", "at width 1.5e+03 it holds"),
        (f"at width 1.{'9' * 5000} it holds", "at width 1.5e+03 it holds"),
        ("at width 1e-9999 it holds", "at width 0.5 it holds"),
        ("at width ١٠٢٤ it holds", "at width 1024 it holds"),
    ],
)
def test_a_file_chooses_no_precision(written: str, again: str) -> None:
    """An exponent or a missing digit in the file widens nothing, and what no float holds is another number."""
    (found,) = differences(written, again)

    assert found.in_words


def test_a_name_that_looks_like_a_number_is_itself() -> None:
    """A recipe's own names stand in sentences; one that no float holds is compared as text."""
    assert not list(differences("it is of 1e9999 here", "it is of 1e9999 here"))
