"""Checking: whether tuned values carry over to larger sizes, as a library that prints and writes nothing.

check        `check(session, ...) -> CheckResult`: diagnostics, ladders and verdict
design       which trials a check begins with, and the slice that is judged
adaptive     further trials in rounds, where they shrink the deciding interval most
evaluation   what the losses were measured on, and their noise
result       what a check finds, part by part, and who listens
judge_table  `judge_table(path, question)`: a table of finished runs, judged
judge_coordinates  a coordinate check that other training recorded, judged
forecast     which trials a check wants, for forecasts and for `status`
"""

__all__ = [
    "adaptive",
    "check",
    "complete",
    "design",
    "diagnose",
    "expectations",
    "expected",
    "forecast",
    "judge_coordinates",
    "judge_mechanics",
    "judge_table",
    "rejudged",
    "result",
    "table_group",
    "table_target",
    "within_budget",
]
