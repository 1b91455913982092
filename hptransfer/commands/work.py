"""What a worker process executes: one pool serves both kinds of task, so switching costs no restart."""

from __future__ import annotations

from hptransfer.commands.trial import fingerprint_of, run_coordinates, run_trial

ENTRY = "hptransfer.commands.work:work"


def work(payload: dict[str, object]) -> dict[str, object] | str:
    """Run the task that `payload["task"]` names: "trial" (the default), "coordinates" or "fingerprint"."""
    if payload.get("task") == "fingerprint":
        return fingerprint_of(payload)
    if payload.get("task") == "coordinates":
        return run_coordinates(payload)
    return run_trial(payload)
