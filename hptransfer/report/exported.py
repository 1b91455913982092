"""An exported file against its plan, in words."""

from __future__ import annotations

from hptransfer.scaling.verify_export import ExportVerification


def describe_verification(found: ExportVerification) -> str:
    """The comparison for a person: the finding first, a line for each difference, then what it rests on.

    Args:
        found: an exported file against its plan.
    """
    word = "AS PLANNED" if found.holds else "DIFFERS"
    count = sum(max(1, len(each.names)) for each in found.differences)
    clauses = [f"{count} value{'s differ' if count > 1 else ' differs'}"] if found.differences else []
    clauses += ["the schedule differs"] if found.schedule else []
    said = " and ".join(clauses) or "no difference"
    said += f"; steps as the framework counts them: {found.counted}" if found.counted else ""
    lines = [
        f"{word}: {found.folder} ({found.exporter}) against {found.plan}: {found.parameters} parameters, {said}",
        *(f"  {each.sentence}" for each in found.differences),
        *([f"  schedule: {found.schedule}"] if found.schedule else []),
        f"read back through {found.through}",
        f"plan: sha256 {found.plan_sha256[:16]}, of rows, hyperparameters, sizes and schedule",
        *([f"not compared: {', '.join(found.not_compared)}"] if found.not_compared else []),
        *(f"not read back: {each}" for each in found.unread),
        *(f"edited since it was written: {name}" for name in found.changed),
        *(
            [f"{found.plan} has changed since this was exported, or is another target's file"]
            if found.plan_changed
            else []
        ),
        *([found.standing] if found.standing else []),
    ]
    return "\n".join(lines)
