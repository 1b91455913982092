"""What the evidence says: three outcomes, each with its sentence and exit status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of an equivalence test; INCONCLUSIVE is an answer, not a failure.

    Attributes:
        exit_status: what a command that was asked for the verdict exits with.
        template: the sentence users read, to be filled in by `sentence`.
    """

    exit_status: int
    template: str

    def __new__(cls, value: str, exit_status: int, template: str) -> Verdict:
        """Give the member its text value and attach what it owns."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.exit_status = exit_status
        member.template = template
        return member

    TRANSFERS = ("TRANSFERS", 0, "{subject} tuned at {axis} {reference} {reason}.")
    DRIFTS = (
        "DRIFTS",
        1,
        "{subject} tuned at {axis} {reference} does not carry over to {axis} {largest}: {reason}.",
    )
    INCONCLUSIVE = (
        "INCONCLUSIVE",
        3,
        "It is undecided whether {subject} tuned at {axis} {reference} carries over to {axis} {largest}: {reason}.",
    )

    def sentence(self, **facts: str | int) -> str:
        """The sentence with its facts.

        Args:
            facts: `subject`, `axis`, `reference`, `reason`, and `largest` unless it is TRANSFERS.

        Raises:
            KeyError: a fact that the template names is missing.
        """
        return self.template.format(**facts)

    @classmethod
    def combine(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """One verdict over several axes: any DRIFTS decides, then any INCONCLUSIVE; nothing judged is INCONCLUSIVE."""
        seen = set(verdicts)
        if cls.DRIFTS in seen:
            return cls.DRIFTS
        return cls.TRANSFERS if seen == {cls.TRANSFERS} else cls.INCONCLUSIVE
