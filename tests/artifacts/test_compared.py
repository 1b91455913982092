"""Two records compared field by field."""

from __future__ import annotations

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
