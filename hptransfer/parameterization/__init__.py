"""Parameterizations as data: (role, quantity) -> powers of the width, depth, batch and token multipliers.

Pure standard library. It is given names, shapes and roles, and returns a `Plan`.

    roles    what a parameter is for
    rules    what a rule is; tables: the published ones, one module per paper; options: where they disagree
    gauge    where multipliers live: in `forward`, or in init and optimizer
    plan     `plan(...) -> Plan`, on plan_parameter, batch_and_duration, role_multipliers and notes
    planned  a plan as a value
    groups   rows of a plan under one pattern of names, and as Markdown
    applied_rules     a model's rules as exact exponents, without the size: what identifies a trial
    role_multipliers  which parameters each tuned constant concerns
    document the reference page of all tables, docs/parameterizations.md
"""

__all__ = ["applied_rules", "gauge", "groups", "plan", "role_multipliers", "role_presets", "roles", "rules", "tables"]
