"""Judging a table of finished runs, whoever trained them: nothing is trained, printed or written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hptransfer.checking.table_exponents import exponents_of
from hptransfer.checking.table_target import TableTarget, answer_target
from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, log_coordinate
from hptransfer.results_table.cells import ResultTable
from hptransfer.results_table.column_names import hyperparameter_name
from hptransfer.results_table.columns import NamedColumns, TableColumns, infer_columns
from hptransfer.results_table.group import TableSlice, judge_group, slice_table
from hptransfer.results_table.prepare import TableForm, prepared_table
from hptransfer.results_table.results import Group, Results, runs_from_table
from hptransfer.results_table.rules import RowRules
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.exponents import AxisExponents
from hptransfer.transfer.judge import AxisReport
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """The runs of one group, judged.

    Attributes:
        name: value of the group column; None where all rows are one group.
        report: the judgement along the table's size.
        exponents: local exponents of the optimum, where the size is batch or tokens; None elsewhere.
        target: prediction for the wanted target and its judgement; None where none was asked for.
    """

    name: str | None
    report: AxisReport
    exponents: AxisExponents | None
    target: TableTarget | None


@dataclass(frozen=True, slots=True)
class JudgedSlice:
    """One hyperparameter of the table, judged on its own slice.

    Attributes:
        part: rows of the slice, and what is held still in them.
        roles: which column means what.
        results: what was counted and left out.
        groups: the judgement of every group, in order of appearance.
    """

    part: TableSlice
    roles: TableColumns
    results: Results
    groups: tuple[JudgedGroup, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all groups: any DRIFTS decides, then any INCONCLUSIVE."""
        return Verdict.combine(group.report.verdict for group in self.groups)

    @property
    def sentence(self) -> str:
        """The sentences of the groups that decided."""
        decided = [(group.name, group.report.sentence) for group in self.groups if group.report.verdict is self.verdict]
        return " ".join(sentence if name is None else f"{name}: {sentence}" for name, sentence in decided)


@dataclass(frozen=True, slots=True)
class TableJudgement:
    """A table of finished runs, judged.

    Attributes:
        sources: paths of the table's files, as the user named them.
        notes: what was decided on the way from the files to one row per run, one sentence each.
        slices: one per hyperparameter, at least one.
    """

    sources: tuple[Path, ...]
    notes: tuple[str, ...]
    slices: tuple[JudgedSlice, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all hyperparameters: any DRIFTS decides, then any INCONCLUSIVE."""
        return Verdict.combine(each.verdict for each in self.slices)

    @property
    def exit_status(self) -> int:
        """The verdict's; 3 where values carry over and a target that was asked for is not covered."""
        asked = [group.target for each in self.slices for group in each.groups]
        if self.verdict is Verdict.TRANSFERS and any(each is not None and not each.scope.covered for each in asked):
            return Verdict.INCONCLUSIVE.exit_status
        return self.verdict.exit_status


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """What is asked of a table.

    Attributes:
        columns: of size, loss, seed and group as the user names them; None is to be inferred. The column of the
            hyperparameter stands in `values`.
        values: columns of hyperparameters; none is inferred; with several each is judged on its own slice, on which
            the others keep one combination of values.
        form: how the files become one table with a row per run.
        where: column -> value that rows must have there.
        transferred: value that is carried over, own unit; None for the estimated optimum of the smallest size.
        target: size to judge and to predict optimum and loss for, or sizes by the name of the axis, the table's own
            among them; None for none.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        rules: what is said about rows and columns where the table itself cannot say.
    """

    columns: NamedColumns = field(default_factory=NamedColumns)
    values: Sequence[str] = ()
    form: TableForm = field(default_factory=TableForm)
    where: Mapping[str, str] = field(default_factory=dict)
    transferred: float | None = None
    target: float | Mapping[str, float] | None = None
    criteria: TransferCriteria | None = None
    rules: RowRules = field(default_factory=RowRules)

    def __post_init__(self) -> None:
        if self.transferred is not None and not (math.isfinite(self.transferred) and self.transferred > 0):
            raise UsageError("`--transferred` must be positive and finite", received=str(self.transferred))
        sizes = self.target.values() if isinstance(self.target, Mapping) else [self.target]
        if any(size is not None and not (math.isfinite(size) and size > 0) for size in sizes):
            raise UsageError("`--target` must be positive and finite", received=str(self.target))
        if self.transferred is not None and len(self.values) > 1:
            raise UsageError("`--transferred` belongs to one --value-column", received=f"{len(self.values)} columns")


def parse_conditions(texts: Sequence[str]) -> dict[str, str]:
    """Column -> value that rows must have there.

    Args:
        texts: COLUMN=VALUE each, as a user writes them.

    Raises:
        UsageError: one of them has another form.
    """
    conditions = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (equals and column.strip()):
            raise UsageError("`--where` takes COLUMN=VALUE, or COLUMN= for empty cells", received=text)
        conditions[column.strip()] = value.strip()
    return conditions


def parse_criteria(
    cost: str | None = None,
    *,
    deviations: float | None = None,
    drift: float | None = None,
    regret: float | None = None,
    noise: float | None = None,
) -> TransferCriteria:
    """What counts as transfer, from options.

    Args:
        cost: doublings as a user writes them, or "off"; None for the default.
        deviations: of one run between seeds; None for no such bound.
        drift: octaves per doubling; None for no such bound.
        regret: fraction of the loss; None for no such bound.
        noise: standard deviation of one run in the unit of the loss; None: from the runs.

    Raises:
        UsageError: a bound is not positive, or none is left.
    """
    bounds: dict[str, float | None] = {"deviations": deviations, "drift": drift, "regret": regret, "noise": noise}
    if cost is not None:
        try:
            bounds["cost"] = None if cost.strip().lower() == "off" else float(cost)
        except ValueError:
            raise UsageError("`--cost` takes a number of doublings, or off", received=cost) from None
    return TransferCriteria(**bounds)


def judge_table(paths: Path | Sequence[Path], question: TableQuestion | None = None) -> TableJudgement:
    """Judge a table of finished runs.

    Args:
        paths: a file with a row per run (.csv, .tsv, .md, .jsonl, .json, .parquet, or an Optuna database), or several
            that are judged as one table.
        question: which columns, rows and values; None infers all of it.

    Raises:
        UsageError: a table cannot be read or understood.
        InconclusiveError: a size diverged at every value.
    """
    asked = question or TableQuestion()
    sources = (paths,) if isinstance(paths, Path) else tuple(paths)
    table = prepared_table(sources, asked.form, asked.columns, asked.values, asked.where, asked.rules)
    slices = slice_table(table, asked.values, asked.columns.group)
    return TableJudgement(sources, table.notes, tuple(_judged(part, asked) for part in slices))


def _judged(part: TableSlice, asked: TableQuestion) -> JudgedSlice:
    table = part.table
    roles = infer_columns(table, replace(asked.columns, value=part.value), maximize=asked.rules.maximize)
    found = runs_from_table(table, roles, asked.where, asked.rules)
    dropped = Counter(table.left_out) + Counter(found.dropped)
    results = replace(found, rows=found.rows + sum(table.left_out.values()), dropped=dict(dropped))
    groups = tuple(
        _judged_group(replace(group, limits=(*group.limits, *table.limits)), table, roles, asked)
        for group in results.groups
    )
    return JudgedSlice(part, roles, results, groups)


def _judged_group(group: Group, table: ResultTable, roles: TableColumns, asked: TableQuestion) -> JudgedGroup:
    report = judge_group(group, roles, transferred=_transferred(roles, asked), criteria=asked.criteria)
    wanted = None if asked.target is None else answer_target(asked.target, table, roles, report)
    return JudgedGroup(group.name, report, exponents_of(group, roles), wanted)


def _transferred(roles: TableColumns, asked: TableQuestion) -> float | None:
    """The value that is carried over in the unit that is judged: of a beta or momentum its horizon."""
    name = hyperparameter_name(roles.value)
    if asked.transferred is None or name not in AVERAGES:
        return asked.transferred
    if not asked.transferred < 1:
        raise UsageError(f"`--transferred` of {roles.value} must be below 1", received=f"{asked.transferred:g}")
    return float(2.0 ** log_coordinate(name, asked.transferred))
