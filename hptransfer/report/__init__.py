"""Report: evidence and plans as terminal text, JSON and pictures."""

__all__ = [
    "check",
    "findings",
    "forecast",
    "plan_diff",
    "plan_table",
    "prediction",
    "results",
    "status",
    "tracking",
    "tune",
]
