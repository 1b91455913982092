"""Parameterizations as data: (role, quantity) -> powers of the width, depth, batch and token multipliers.

Pure standard library. It is given names, shapes and roles, and returns a `Plan`.

roles             what a parameter is for
role_presets      roles by name, for families of models
rules             what a rule is, and the named choices where published rules disagree
tables            the published rules, one module per paper
gauge             where multipliers live: in `forward`, or in init and optimizer
plan              `plan(...) -> Plan`, made of `plan_parameter`, `batch_and_duration` and `notes`
option_faults     options that no plan could follow, before a model is read
role_multipliers  which parameters each tuned constant concerns
groups            rows of a plan under one pattern of names, and as Markdown
applied_rules     a model's rules as exact exponents, without the size: what identifies a trial
"""

__all__ = [
    "applied_rules",
    "batch_and_duration",
    "decay_timescale",
    "gauge",
    "gradient_size",
    "groups",
    "moved_multiplier",
    "notes",
    "option_faults",
    "parameter_count",
    "plan",
    "plan_parameter",
    "published_horizons",
    "role_multipliers",
    "role_presets",
    "roles",
    "rules",
    "tables",
]
