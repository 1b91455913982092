"""What the tables say of a parameterization's options before any model is read: what no plan could follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from hptransfer.errors import Finding, UsageError
from hptransfer.parameterization.batch_and_duration import batch_rule
from hptransfer.parameterization.plan import require_known, require_relevant
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import ParameterizationSpec, find_table, table_beside


def option_faults(
    parameterization: ParameterizationSpec, optimizer: str, given: Options
) -> Iterator[tuple[str, Finding]]:
    """Each option that a plan would refuse, by its name, as `plan` would refuse it.

    Args:
        parameterization: name and alpha, a combination that has a table.
        optimizer: name of the optimizer, a key of `FAMILIES`.
        given: the options that were chosen; None where nothing was.

    Raises:
        UsageError: no table is known for the combination, or alpha lies outside its range.
    """
    table, _ = find_table(parameterization, optimizer)
    other = table_beside(table, given)
    tables = [table] if other is None else [table, other]
    defaults = table.defaults if other is None else table.defaults.filled(other.defaults)
    for name in (field.name for field in fields(Options) if getattr(given, field.name) is not None):
        alone = Options(**{name: getattr(given, name)})
        try:
            require_relevant(tables, alone)
            require_known(tables, alone.filled(defaults))
            for each in tables:
                batch_rule(each.family, alone.filled(defaults))
        except UsageError as error:
            yield name, error.findings[0]
