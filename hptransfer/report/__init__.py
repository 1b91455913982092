"""Report: evidence and plans as terminal text, JSON and pictures."""

__all__ = [
    "adaptive",
    "curves",
    "diagnostics",
    "findings",
    "forecast",
    "interactions",
    "json_documents",
    "plan_diff",
    "plan_table",
    "progress",
    "results",
    "scale",
    "session",
    "status",
    "terminal",
]
