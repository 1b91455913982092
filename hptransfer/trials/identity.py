"""What determines a trial, as a key; and what all trials of one experiment share, as a digest."""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.trials.spec import TrialSpec


@dataclass(frozen=True, slots=True)
class Identity:
    """Keys of trials of one recipe and its data.

    Attributes:
        experiment: sha256 (hex) of what all trials share: rules, code, data, model and training.
        fingerprint: sha256 (hex) of the data.
    """

    experiment: str
    fingerprint: str

    @property
    def digest(self) -> str:
        """The experiment's sha256 (hex), as files of results carry it."""
        return self.experiment

    def key(self, spec: TrialSpec) -> str:
        """The key of a wanted trial, sha256 (hex)."""
        return spec.key(self.fingerprint)
