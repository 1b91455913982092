"""Keys and messages of single trials, computed in this process."""

from __future__ import annotations

from typing import Any

from hptransfer.engine.identity import identity_of
from hptransfer.trainers._tasks import run_trial
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec


def identity(spec: TrialSpec, fingerprint: str = "data") -> Identity:
    """The identity of a trial's recipe over data of this fingerprint."""
    return identity_of(spec.recipe, spec.root, fingerprint, None, None)


def key(spec: TrialSpec, fingerprint: str = "data") -> str:
    """The key of a trial."""
    return identity(spec, fingerprint).key(spec)


def trained(spec: TrialSpec) -> dict[str, Any]:
    """The record of a trial that the recipe's trainer trains here, on whatever data there are."""
    record: dict[str, Any] = run_trial(TrialMessage.of(spec, "k").payload())["trial"]
    return record
