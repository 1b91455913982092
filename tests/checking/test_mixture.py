"""Trials that were computed in several ways are named in the report."""

from __future__ import annotations

from hptransfer.checking.mixture import mixtures
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState


def trial(number: int, **provenance: str) -> Trial:
    """A finished trial with this provenance."""
    return Trial(str(number), Size(16, 2, 8, 64), {}, 0, TrialState.COMPLETE, 2.0, provenance=provenance)


def test_one_way_is_no_finding() -> None:
    """Neither are trials of programs that say nothing of their device."""
    same = [trial(n, device="cpu", torch="2.13.0") for n in range(3)]

    assert mixtures(same) == ()
    assert mixtures([*same, trial(9)]) == ()


def test_devices_compilers_and_versions_are_compared() -> None:
    """Each respect has its own sentence, with numbers."""
    found = mixtures(
        [
            trial(1, device="cpu", torch="2.13.0"),
            trial(2, device="cpu", torch="2.13.0"),
            trial(3, device="cuda NVIDIA H200", torch="2.14.0", compile="yes"),
        ]
    )

    assert [sentence.partition(";")[0] for sentence in found] == [
        "Trials of this check mix devices: 2 on cpu, 1 on cuda NVIDIA H200",
        "Trials of this check mix versions of torch: 2 on 2.13.0, 1 on 2.14.0",
        "Trials of this check mix settings of torch.compile: 1 on compiled, 2 on not compiled",
    ]
