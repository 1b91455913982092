"""The three outcomes."""

from __future__ import annotations

import itertools

import pytest

from hptransfer.transfer.verdict import Verdict


@pytest.mark.parametrize(
    ("verdict", "status"),
    # the exit statuses promised in docs/architecture.md
    [(Verdict.TRANSFERS, 0), (Verdict.DRIFTS, 1), (Verdict.INCONCLUSIVE, 3)],
)
def test_each_verdict_owns_its_exit_status(verdict: Verdict, status: int) -> None:
    """0 it holds, 1 it does not hold, 3 inconclusive."""
    assert verdict.exit_status == status


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["TRANSFERS"], "TRANSFERS"),
        (["TRANSFERS", "TRANSFERS"], "TRANSFERS"),
        (["TRANSFERS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "DRIFTS"], "DRIFTS"),
        (["TRANSFERS", "DRIFTS"], "DRIFTS"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_axes_combine_to_the_worst(parts: list[str], whole: str) -> None:
    """Any DRIFTS decides, then any INCONCLUSIVE, whatever the order."""
    for order in itertools.permutations(parts):
        assert Verdict.combine(Verdict[part] for part in order) is Verdict[whole]


def test_a_verdict_is_its_word() -> None:
    """In JSON and in text a verdict is the plain word."""
    assert f"{Verdict.DRIFTS}" == "DRIFTS"


def test_a_sentence_needs_all_its_facts() -> None:
    """A missing number is an error of the caller, not a hole in the sentence."""
    with pytest.raises(KeyError):
        Verdict.TRANSFERS.sentence(subject="learning_rate", axis="width")
