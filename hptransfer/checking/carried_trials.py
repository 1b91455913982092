"""The trials that `transfer.json` carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hptransfer.artifacts.carried import Carried, CarriedPhase
from hptransfer.engine.flops import AskedCosts
from hptransfer.engine.session import Session
from hptransfer.trials.trial import Phase, Trial


def carried_by(session: Session, ladders: Mapping[str, Sequence[Trial]], costs: AskedCosts) -> Carried:
    """Every finished trial of the recipe, those of the ladders among them.

    Args:
        session: in which the check ran.
        ladders: checked hyperparameter -> trials of its ladder.
        costs: FLOPs by size that the judgement of the target asked for.
    """
    store = session.store
    phases: dict[str, CarriedPhase] = dict.fromkeys((each.key for each in store.trials(phase=Phase.SEARCH)), "search")
    phases |= dict.fromkeys((each.key for each in store.trials(phase=Phase.CONFIRM)), "confirm")
    trials = {trial.key: trial for trial in store.trials()}
    trials |= {trial.key: trial for ladder in ladders.values() for trial in ladder if trial.key not in trials}
    carried = ((trial, phases.get(key, "check")) for key, trial in trials.items())
    return Carried.of(session.identity, carried, groups=ladders, costs=costs.asked)
