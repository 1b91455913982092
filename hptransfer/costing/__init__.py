"""What the whole journey costs, from arithmetic alone: tuning, checking, the target, and tuning at the target.

estimate  `estimate_costs(...)`: the rows of a cost table and what they rest on
forecast  what `run` would train, for its dry run
"""

__all__ = ["estimate", "forecast"]
