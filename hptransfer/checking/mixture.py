"""Whether the trials of a check were computed in one way: devices and compilers change losses by rounding, at least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hptransfer.trials.trial import Trial

#: what provenance says of how a trial was computed, and what people call it; a trial that says nothing is not counted
_COMPARED = {"device": "devices", "torch": "versions of torch"}


def mixtures(trials: Sequence[Trial]) -> tuple[str, ...]:
    """One sentence for each respect in which trials were computed in several ways.

    Args:
        trials: of a check, all sizes.
    """
    known = [trial for trial in trials if "device" in trial.provenance]
    found = {
        named: Counter(trial.provenance[key] for trial in known if key in trial.provenance)
        for key, named in _COMPARED.items()
    }
    found["settings of torch.compile"] = Counter(
        "compiled" if "compile" in trial.provenance else "not compiled" for trial in known
    )
    return tuple(
        f"Trials of this check mix {named}: {', '.join(f'{count} on {way}' for way, count in sorted(ways.items()))}; "
        "differences between sizes may come from that."
        for named, ways in found.items()
        if len(ways) > 1
    )
