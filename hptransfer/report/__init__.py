"""Report: evidence and plans as terminal text, JSON and pictures; nothing here trains or judges.

tune        a search and its recommendation
check       a check, part by part; its figures and `transfer.json`
results     the judgement of a table of runs; `results_terminal` draws it
coordinates  a coordinate check that other training recorded
prediction  what was predicted
scaled      what `scale` wrote
plan_table  a plan in the terminal and as JSON
plan_diff   two plans side by side
forecast    what a command would take
status      how far a run is
findings    findings about recipes, a file per format
rules       the rules as text, as a page and for programs
tracking    `session_of(options)`: a session whose trials and results go to the user's trackers too
"""

__all__ = [
    "check",
    "columns",
    "compared",
    "coordinates",
    "cost",
    "exported",
    "findings",
    "forecast",
    "plan_diff",
    "plan_table",
    "results",
    "results_terminal",
    "rules",
    "scaled",
    "status",
    "summary",
    "terminal",
    "tracking",
    "tune",
    "verified",
]
