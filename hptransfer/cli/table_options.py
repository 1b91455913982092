"""Options of `judge` that say how a table of finished runs is read; each is inferred where that is obvious."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.cli.options import Column

if TYPE_CHECKING:
    from hptransfer.checking.judge_table import TableQuestion


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """Which column means what, as `TableQuestion` has it.

    Attributes:
        size_column: name of the column of sizes.
        value_column: names of columns of hyperparameters, each judged on its own slice.
        loss_column: name of the column of final losses.
        seed_column: name of the column of seeds.
        group_column: name of the column whose values are judged apart.
        compute_column: name of the column of training compute.
        log_base: base of the logarithms that the value column holds.
    """

    size_column: Column = None
    value_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable: a slice and a verdict each.", show_default=False),
    ] = None
    loss_column: Column = None
    seed_column: Column = None
    group_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A verdict per value; `source` is the file.", show_default=False),
    ] = None
    compute_column: Column = None
    log_base: Annotated[
        str | None,
        typer.Option(metavar="2|e|10|none", help="The value column holds such logarithms.", show_default=False),
    ] = None


@dataclass(frozen=True, slots=True)
class FormOptions:
    """How files become one table with a row per run, as `TableForm` has it.

    Attributes:
        run_column: name of the column that names the run of each row.
        wide: what columns that are called by numbers mean.
        name_pattern: what names of runs or columns mean.
        study: names of studies of an Optuna database.
        decimal: mark that separates decimals, a point or a comma.
    """

    run_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Rows are steps: take the last one of each run.", show_default=False),
    ] = None
    wide: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Columns called by numbers are values of NAME.", show_default=False),
    ] = None
    name_pattern: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="What names say: 'w{width}-lr{lr}-s{seed}'.", show_default=False),
    ] = None
    study: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of an Optuna database; repeatable.", show_default=False),
    ] = None
    decimal: Annotated[str | None, typer.Option(metavar=".|,", help="What separates decimals.", show_default=False)] = (
        None
    )


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How rows are read where the table cannot say, as `RowRules` has it.

    Attributes:
        maximize: whether more of the loss column is better.
        within: COLUMN=PERCENT to which values are equal.
        repeats: what rows equal in size, value and seed are.
        ignore_column: that are no settings.
        complete: column of steps by which shorter runs are left out.
    """

    maximize: Annotated[
        bool | None,
        typer.Option("--maximize/--minimize", help="Whether more of the loss column is better.", show_default=False),
    ] = None
    within: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=PERCENT", help="Values this close are one; repeatable.", show_default=False),
    ] = None
    repeats: Annotated[
        str | None,
        typer.Option(
            metavar="mean|seeds", help="What rows equal in size, value, seed are. Default: refused.", show_default=False
        ),
    ] = None
    ignore_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Has no effect on training; repeatable.", show_default=False),
    ] = None
    complete: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of steps: keep each size's longest runs.", show_default=False),
    ] = None


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """What counts as transfer, as `TransferCriteria` has it.

    Attributes:
        cost: doublings that a value may cost, or "off".
        deviations: standard deviations of one run between seeds that it may cost.
        drift: octaves per doubling by which the optimum may move.
        regret: fraction of the loss that a value may cost.
        noise: standard deviation of one run where it is known.
    """

    cost: Annotated[
        str | None,
        typer.Option(metavar="DOUBLINGS|off", help="That a value may cost. Default: 0.5.", show_default=False),
    ] = None
    deviations: Annotated[
        float | None, typer.Option(help="Deviations between seeds that it may cost.", show_default=False)
    ] = None
    drift: Annotated[float | None, typer.Option(help="Octaves per doubling. Default: any.", show_default=False)] = None
    regret: Annotated[float | None, typer.Option(help="Fraction of the loss. Default: any.", show_default=False)] = None
    noise: Annotated[float | None, typer.Option(help="Of one run, where it is known.", show_default=False)] = None


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Everything that `judge` asks about a table.

    Attributes:
        columns: options that say which column means what.
        form: options that say how files become one table.
        rows: options that say how rows are read.
        bounds: options that say what counts as transfer.
        where: conditions COLUMN=VALUE that rows must meet.
        transferred: value that is carried over, own unit.
        target: a size, or NAME=SIZE for each axis, to judge and to predict optimum and loss for.
    """

    columns: ColumnOptions
    form: FormOptions
    rows: RowOptions
    bounds: BoundOptions
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Keep such rows; repeatable.", show_default=False),
    ] = None
    transferred: Annotated[
        float | None, typer.Option(help="The value carried over. Default: smallest size's.", show_default=False)
    ] = None
    target: Annotated[
        str | None,
        typer.Option(metavar="SIZE|NAME=SIZE,...", help="A target to judge and predict for.", show_default=False),
    ] = None

    @property
    def given(self) -> bool:
        """Whether any of them was given."""
        return self != TableOptions(ColumnOptions(), FormOptions(), RowOptions(), BoundOptions())

    def question(self) -> TableQuestion:
        """What is asked of the table.

        Raises:
            UsageError: an option has another form.
        """
        from hptransfer.checking.judge_table import TableQuestion, parse_conditions, parse_criteria
        from hptransfer.checking.table_target import parse_target
        from hptransfer.results_table.columns import NamedColumns
        from hptransfer.results_table.prepare import TableForm
        from hptransfer.results_table.rules import row_rules

        named, form, rows, asked = self.columns, self.form, self.rows, self.bounds
        return TableQuestion(
            NamedColumns(
                size=named.size_column,
                loss=named.loss_column,
                seed=named.seed_column,
                group=named.group_column,
                compute=named.compute_column,
                log_base=named.log_base,
            ),
            tuple(named.value_column or ()),
            TableForm(form.run_column, form.wide, form.name_pattern, tuple(form.study or ()), form.decimal),
            parse_conditions(self.where or ()),
            self.transferred,
            None if self.target is None else parse_target(self.target),
            parse_criteria(
                asked.cost,
                deviations=asked.deviations,
                drift=asked.drift,
                regret=asked.regret,
                noise=asked.noise,
            ),
            rules=row_rules(rows.maximize, rows.within, rows.repeats, rows.ignore_column, rows.complete),
        )
