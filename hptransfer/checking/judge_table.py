"""Judging a table of finished runs, whoever trained them: nothing is trained, printed or written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hptransfer.checking.joint_cost import Together
from hptransfer.checking.judge_together import JudgedTogether, judge_together
from hptransfer.checking.table_exponents import exponents_of_joint
from hptransfer.checking.table_group import JudgedGroup, judge_alone
from hptransfer.checking.table_target import answer_target
from hptransfer.errors import Place, UsageError
from hptransfer.results_table.cells import ResultTable
from hptransfer.results_table.columns import NamedColumns, TableColumns, infer_columns
from hptransfer.results_table.combinations import combine_columns
from hptransfer.results_table.prepare import TableForm, prepared_table
from hptransfer.results_table.results import Results, runs_from_table
from hptransfer.results_table.rules import RowRules
from hptransfer.results_table.slices import TableSlice, slice_table
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.verdict import Verdict


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
        together: group -> what its hyperparameters do together, where they were judged by one joint fit; else empty.
    """

    sources: tuple[Path, ...]
    notes: tuple[str, ...]
    slices: tuple[JudgedSlice, ...]
    together: Mapping[str | None, Together] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Over all hyperparameters and their combinations: any DRIFTS decides, then any INCONCLUSIVE."""
        alone = [each.verdict for each in self.slices]
        return Verdict.combine([*alone, *(each.verdict for each in self.together.values())])

    @property
    def exit_status(self) -> int:
        """The verdict's; 3 where values carry over and a target that was asked for is not covered."""
        asked = [group.target for each in self.slices for group in each.groups]
        if self.verdict is Verdict.TRANSFERS and any(each is not None and not each.scope.settled for each in asked):
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
        if bounds["cost"] is None and deviations is None and regret is None:
            raise UsageError(
                "`--cost off` needs another bound on what a value may cost",
                received=f"--cost {cost}",
                hint="add `--deviations` with standard deviations of one run between seeds, or `--regret` with a "
                "fraction of the loss",
            )
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
    if len(asked.values) > 1:
        return _judged_several(sources, table, asked)
    part = TableSlice(asked.values[0] if asked.values else None, table, {}, 0)
    return TableJudgement(sources, table.notes, (_judged(part, asked),))


def _judged_several(sources: tuple[Path, ...], table: ResultTable, asked: TableQuestion) -> TableJudgement:
    """Each hyperparameter with the others at their best where the runs show that, else on a slice of its own."""
    _require_columns(table, asked)
    found = combine_columns(table, asked.values, asked.columns, maximize=asked.rules.maximize)
    read = runs_from_table(found.table, found.roles, None, asked.rules)
    groups = [
        judge_together(
            group.points,
            found,
            criteria=asked.criteria,
            compute=group.compute,
            limits=(*group.limits, *table.limits),
        )
        for group in read.groups
    ]
    together = [group for group in groups if group is not None]
    if len(together) < len(groups):
        slices = slice_table(table, asked.values, found, {group.name: group.points for group in read.groups})
        return TableJudgement(sources, table.notes, tuple(_judged(part, asked) for part in slices))
    notes = (*read.notes, *(note for group in together for note in group.notes))
    results = replace(_counted(read, table), notes=notes)
    results = replace(results, rows=len(table) + sum(table.left_out.values()))
    results = replace(results, dropped={**found.left_out, **results.dropped})
    judged = []
    for index, column in enumerate(asked.values):
        part = TableSlice(column, table, {}, 0, tuple(other for other in asked.values if other != column))
        roles = infer_columns(table, replace(asked.columns, value=column), maximize=asked.rules.maximize)
        here = tuple(
            _of_joint(group.name, each, index, table, roles, asked)
            for group, each in zip(read.groups, together, strict=True)
        )
        judged.append(JudgedSlice(part, roles, results, here))
    names = [group.name for group in read.groups]
    combined = dict(zip(names, (each.together for each in together), strict=True))
    return TableJudgement(sources, table.notes, tuple(judged), combined)


def _of_joint(
    name: str | None, found: JudgedTogether, index: int, table: ResultTable, roles: TableColumns, asked: TableQuestion
) -> JudgedGroup:
    """One hyperparameter of a group that was judged with the others at their best."""
    report, target = found.reports[index], None
    if asked.target is not None:
        facts, lost = found.carried.facts[index], found.carried.lost
        target = answer_target(asked.target, table, roles, report, facts=facts, together=lost, judged=asked.values)
    return JudgedGroup(name, report, exponents_of_joint(report), target)


def _counted(found: Results, table: ResultTable) -> Results:
    """What was counted and left out, by reading as well."""
    dropped = Counter(table.left_out) + Counter(found.dropped)
    return replace(found, rows=found.rows + sum(table.left_out.values()), dropped=dict(dropped))


def _require_columns(table: ResultTable, asked: TableQuestion) -> None:
    named = [*asked.values, *([] if asked.columns.group is None else [asked.columns.group])]
    for column in named:
        if named.count(column) > 1 or column not in table.columns:
            rule = "each --value-column, and the --group-column, must name a column of its own of the table"
            raise UsageError(rule, received=column, place=Place(table.name, 1), code="results/no-column")


def _judged(part: TableSlice, asked: TableQuestion) -> JudgedSlice:
    table = part.table
    roles = infer_columns(table, replace(asked.columns, value=part.value), maximize=asked.rules.maximize)
    found = runs_from_table(table, roles, asked.where, asked.rules)
    limits = (*table.limits, *_limits(part, roles))
    groups = tuple(
        judge_alone(
            table,
            replace(group, limits=(*group.limits, *limits)),
            roles,
            transferred=asked.transferred,
            target=asked.target,
            criteria=asked.criteria,
        )
        for group in found.groups
    )
    return JudgedSlice(part, roles, _counted(found, table), groups)


def _limits(part: TableSlice, roles: TableColumns) -> tuple[str, ...]:
    """What a slice cannot show."""
    if not part.held:
        return ()
    others = " and ".join(part.held)
    return (
        f"{part.value} was varied while {others} kept one value: these runs cannot show where the best "
        f"{roles.hyperparameter} goes when {others} is tuned along with it.",
    )
