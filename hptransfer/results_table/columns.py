"""Which column of a table of finished runs means what: by the names people use, and only where that is obvious."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from hptransfer.errors import Place, UsageError
from hptransfer.hyperparameters import log_name
from hptransfer.results_table.cells import (
    Cell,
    ResultTable,
    cell_text,
    distinct,
    is_missing,
    labels_of,
    number_in,
)
from hptransfer.results_table.column_names import (
    BASES,
    GROUPS,
    LABEL_OR_NUMBER,
    LOSSES,
    MODELS,
    OPTUNA,
    PERPLEXITIES,
    RUNS,
    SEEDS,
    SIZES,
    STATES,
    STEPS,
    VALUES,
    baseless_logarithm_in,
    canonical_column,
    is_size_name,
    is_value_name,
    logarithm_in,
    normalized_column_name,
)
from hptransfer.results_table.free_columns import bound_columns
from hptransfer.results_table.objective import check_direction, more_is_better

#: what columns that are called by numbers may be, where a role has no column
_WIDE = {"size": "width", "value": "lr", "loss": "seed"}
#: labels that count parameters
_COUNTED = re.compile(r"\d ?[kmbgt](?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """Columns the user named; None is to be inferred.

    Attributes:
        size: name of the column of sizes.
        value: name of the column of the hyperparameter.
        loss: name of the column of final losses.
        seed: name of the column of seeds.
        group: name of the column whose values are judged apart.
        compute: name of the column of training compute, in any unit.
        log_base: what the value column holds: "2", "10" or "e" for logarithms, "none" for values; None is to be
            inferred from its name.
    """

    size: str | None = None
    value: str | None = None
    loss: str | None = None
    seed: str | None = None
    group: str | None = None
    compute: str | None = None
    log_base: str | None = None

    def __post_init__(self) -> None:
        if self.log_base not in (None, "none", *BASES):
            rule = "`--log-base` takes 2, e, 10 or none"
            raise UsageError(rule, received=self.log_base, hint="--log-base 10")


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns that a judgement reads.

    Attributes:
        size: name of the column of sizes.
        axis: what the size is called in sentences: width, depth, parameters, ... or the column's own name.
        value: name of the column of the hyperparameter's values.
        hyperparameter: its name in sentences; of a beta or momentum that of its horizon, `1/(1 - beta2)`.
        base: of the logarithms where the column holds those of the hyperparameter (log2lr, ln_lr); None otherwise.
        size_base: the same of the column of sizes.
        loss: name of the column of final losses, nats, or of another objective.
        seed: column of seeds; None without one.
        group: column whose values are judged apart; None for one judgement.
        state: column that says how a run ended; None without one.
        compute: column of training compute, in any unit; None without one.
        parameters: column of parameter counts, which may be the size's own; None without one.
        tokens: column of training tokens, which may be the size's own; None without one.
        inferred: what was inferred, one sentence each.
        maximize: whether more of the objective is better.
        searched: columns of several hyperparameters whose combination the value column numbers; empty for one.
    """

    size: str
    axis: str
    value: str
    hyperparameter: str
    base: float | None
    loss: str
    seed: str | None
    group: str | None
    state: str | None
    inferred: tuple[str, ...]
    size_base: float | None = None
    compute: str | None = None
    parameters: str | None = None
    tokens: str | None = None
    maximize: bool = False
    searched: tuple[str, ...] = ()


def infer_columns(table: ResultTable, asked: NamedColumns, *, maximize: bool | None = None) -> TableColumns:
    """Take the columns the user named and infer the others.

    Args:
        table: the table as it was read.
        asked: the columns that the user named.
        maximize: whether more of the objective is better; None where the user did not say.

    Raises:
        UsageError: a named column does not exist, or one is needed and several or none could be meant.
    """
    for option, column in (("size", asked.size), ("value", asked.value), ("loss", asked.loss)):
        _require(table, option, column)
    for option, column in (("seed", asked.seed), ("group", asked.group), ("compute", asked.compute)):
        _require(table, option, column)
    said: list[str] = []
    size = asked.size or _labelled_size(table, said) or _inferred(table, "size", SIZES, said)
    _say_labels(table, size, said)
    value = asked.value or _inferred(table, "value", VALUES, said, size)
    loss = asked.loss or (_more_is_better(table, said) if maximize else None) or _loss(table, said)
    if maximize is None and loss in table.maximized:
        maximize = True
    else:
        higher = more_is_better(normalized_column_name(loss))
        check_direction(table.name, loss, higher=higher, maximize=maximize, inferred=asked.loss is None)
    seed = asked.seed or _optional(table, "seed", SEEDS, said)
    group = asked.group or _optional(table, "group", GROUPS, said, varying=True)
    state = _optional(table, "state", STATES, said)
    base, size_base = _base_of_values(table, value, asked.log_base, said), _base_of_sizes(table, size, said)
    compute = asked.compute or _count(table, "compute", said)
    parameters, tokens = _count(table, "parameters", []), _count(table, "tokens", [])
    if compute is None and parameters is not None and tokens is not None:
        said.append(f"compute: 6 x {parameters} x {tokens}, an estimate; --compute-column names what was counted")
    used = [column for column in (size, value, loss, seed, group) if column is not None]
    if len(set(used)) < len(used):
        raise UsageError(
            "every column can have one meaning", received=", ".join(used), hint="name them with --...-column"
        )
    return TableColumns(
        size=size,
        axis=_axis(table, size),
        value=value,
        hyperparameter=log_name(canonical_column(value, VALUES) or value),
        base=base,
        loss=loss,
        seed=seed,
        group=group,
        state=state,
        inferred=tuple(said),
        size_base=size_base,
        compute=compute,
        parameters=parameters,
        tokens=tokens,
        maximize=bool(maximize),
    )


def infer_loss(table: ResultTable) -> str:
    """The column of losses.

    Raises:
        UsageError: none, or several could be meant.
    """
    return _loss(table, [])


def is_training_loss(name: str) -> bool:
    """Whether a column's name says that its losses are those of the training data."""
    return normalized_column_name(name) in LOSSES[2] | PERPLEXITIES[2]


def infer_step(table: ResultTable) -> str | None:
    """The column that orders the rows of one run's history; None without one."""
    return _optional(table, "step", STEPS, [], varying=True)


def infer_seed(table: ResultTable) -> str | None:
    """The column that tells runs apart which differ in their seed alone; None without one."""
    return _optional(table, "seed", SEEDS, [])


def setting_columns(table: ResultTable) -> list[str]:
    """The columns that are settings of a run by their name: sizes, hyperparameters, and all of W&B's `config.`."""
    return [
        name
        for name in table.columns
        if is_size_name(name) or is_value_name(name) or name.lower().startswith(("config.", "config/"))
    ]


def run_columns(table: ResultTable) -> list[str]:
    """The columns that name a run, the most usual name first.

    Args:
        table: as it was read.
    """
    order = RUNS.split()
    found = [name for name in table.columns if normalized_column_name(name) in order]
    return sorted(found, key=lambda name: order.index(normalized_column_name(name)))


def _base_of_values(table: ResultTable, column: str, asked: str | None, said: list[str]) -> float | None:
    """The base of the logarithms in the value column, by the user's word or by its name."""
    if asked is not None:
        return BASES.get(asked)
    hint = "`--log-base 10`, `--log-base 2` or `--log-base e`; `--log-base none` where these are no logarithms"
    return _base_by_name(table, column, "value", "logarithms", hint, said)


def _base_of_sizes(table: ResultTable, column: str, said: list[str]) -> float | None:
    """The base of the logarithms in the column of sizes, by its name."""
    hint = "rename it to log2_width, log10_width or ln_width, whichever it is"
    return _base_by_name(table, column, "size", "logarithms of sizes", hint, said)


def _base_by_name(table: ResultTable, column: str, role: str, what: str, hint: str, said: list[str]) -> float | None:
    """The base that a column's name says; None where it speaks of no logarithms."""
    logarithm = logarithm_in(column)
    if logarithm is not None:
        said.append(f"{role}: {column} holds logarithms to base {_base_text(logarithm[0])}, which are converted")
        return logarithm[0]
    if baseless_logarithm_in(column) is not None:
        raise UsageError(
            f"{what} must say their base",
            received=f"column {column}",
            hint=hint,
            place=Place(table.name, 1),
            code="results/log-base",
        )
    return None


def _base_text(base: float) -> str:
    return "e" if base == math.e else f"{base:g}"


def _count(table: ResultTable, role: str, said: list[str]) -> str | None:
    """A column that counts compute, parameters or tokens, all of it numbers; it has no say in the verdict."""
    for name in table.columns:
        if canonical_column(name, {role: SIZES[role]}) is None or logarithm_in(name) or not _filled(table, name):
            continue
        numbers = [number_in(cell, suffixes=True) for cell in distinct(table.columns[name])]
        if all(number is not None and 0 < number < math.inf for number in numbers):
            said.append(f"{role}: column {name}")
            return name
    return None


def _require(table: ResultTable, option: str, column: str | None) -> None:
    if column is None or column in table.columns:
        return
    close = get_close_matches(column, table.columns, n=1)
    suggestion = f"did you mean `{close[0]}`?" if close else f"its columns are {', '.join(table.columns)}"
    raise UsageError(
        f"the --{option}-column must be a column of the table",
        received=column,
        hint=suggestion[:400],
        place=Place(table.name, 1),
        code="results/no-column",
    )


def _inferred(table: ResultTable, role: str, names: dict[str, str], said: list[str], size: str | None = None) -> str:
    """The column of a needed role: the one that varies; where several vary, the one preferred by `names`.

    Of columns that are functions of each other and the size (lr and log2lr, a base rate and the rate of each width) it
    is the one that varies freely.
    """
    known = {name: key for name in table.columns if (key := canonical_column(name, names)) is not None}
    order = list(names)
    found = sorted((name for name in known if _filled(table, name)), key=lambda name: order.index(known[name]))
    varying = [name for name in found if len(distinct(table.columns[name])) > 1]
    bound = {} if size is None else bound_columns(table, varying, size, known)
    varying = [name for name in varying if name not in bound]
    chosen = (varying or found)[:1]
    if not chosen:
        _ambiguous(table, role, [])
    same = [name for name in varying if known[name] == known[chosen[0]] and not _same(table, name, chosen[0])]
    if len(same) > 1:
        _ambiguous(table, role, same)
    others = [name for name in varying if name != chosen[0]]
    aside = [f"{', '.join(others)} vary too"] if others else []
    aside += [f"{', '.join(follow)} follows from it"] if (follow := [name for name, of in bound.items() if of]) else []
    said.append(f"{role}: column {chosen[0]}" + (f" ({'; '.join(aside)})" if aside else ""))
    return chosen[0]


def _axis(table: ResultTable, size: str) -> str:
    """What the size is called: by the column's name, or by labels that count parameters (70M, pythia-1.4b)."""
    known = canonical_column(size, SIZES)
    if known not in (None, "size"):
        return str(known)
    labels = [cell_text(cell) for cell in distinct(table.columns[size])]
    counted = all(_COUNTED.search(label) for label in labels)
    return "parameters" if counted and (known == "size" or normalized_column_name(size) in MODELS) else size


def _labelled_size(table: ResultTable, said: list[str]) -> str | None:
    """A column of models that are called by their size (70M, 1.4B), where no column is called a size."""
    if any(canonical_column(name, SIZES) and len(distinct(cells)) > 1 for name, cells in table.columns.items()):
        return None
    for name, cells in table.columns.items():
        if normalized_column_name(name) in MODELS and len(labels_of(cells)) > 1:
            said.append(f"size: column {name}")
            return name
    return None


def _say_labels(table: ResultTable, size: str, said: list[str]) -> None:
    """What the numbers in labels are read as."""
    texts = [cell for cell in distinct(table.columns[size]) if number_in(cell, suffixes=True) is None]
    labels = labels_of(table.columns[size]) if texts else {}
    if labels:
        listed = ", ".join(f"{label} is {number:g}" for label, number in list(labels.items())[:6])
        said.append(f"size: the number in each label of {size} ({listed}{', ...' if len(labels) > 6 else ''})")


def _same(table: ResultTable, left: str, right: str) -> bool:
    """Whether two columns are copies of each other; the chosen one itself counts as different, to be listed."""
    return left != right and [cell_text(c) for c in table.columns[left]] == [cell_text(c) for c in table.columns[right]]


def _optuna_values(table: ResultTable) -> bool:
    """Whether a table is what Optuna's `trials_dataframe()` gives: its `value` is the objective."""
    known = {"number", "value", "state"} <= set(table.columns)
    return known and any(name.startswith("params_") for name in table.columns)


def _more_is_better(table: ResultTable, said: list[str]) -> str | None:
    """The column of which more is better; None without one, refused where several could be meant."""
    found = _upside_down(table)
    if len(found) > 1:
        _ambiguous(table, "loss", found)
    said.extend(f"objective: column {name}" for name in found)
    return found[0] if found else None


def _upside_down(table: ResultTable) -> list[str]:
    """Columns that could be the objective if it is maximised."""
    return [name for name in table.columns if more_is_better(normalized_column_name(name)) and _filled(table, name)]


def _loss(table: ResultTable, said: list[str]) -> str:
    if _optuna_values(table) and _filled(table, "value"):
        note = "" if table.trials else "; an export does not say the direction, lower is taken for better"
        said.append(f"loss: column value, Optuna's objective{note}")
        return "value"
    for tier, names in enumerate((*LOSSES, *PERPLEXITIES)):
        found = [name for name in table.columns if _bare_loss(name) in names and _filled(table, name)]
        distinct_ones = [name for name in found[1:] if not _same(table, name, found[0])]
        if distinct_ones:
            _ambiguous(table, "loss", found)
        if found:
            of_training = tier % len(LOSSES) == 2
            note = " (training loss: it rewards memorising; held-out loss is better evidence)" if of_training else ""
            said.append(f"loss: column {found[0]}{note}")
            return found[0]
    ending = [
        name
        for name in table.columns
        if re.search(r"_(loss|ce|nll)$", normalized_column_name(name)) and _filled(table, name)
    ]
    if len(ending) != 1:
        _ambiguous(table, "loss", ending or _upside_down(table))
    said.append(f"loss: column {ending[0]}")
    return ending[0]


def _bare_loss(name: str) -> str:
    return OPTUNA.sub("", normalized_column_name(name))


def _optional(table: ResultTable, role: str, names: str, said: list[str], *, varying: bool = False) -> str | None:
    found = [name for name in table.columns if canonical_column(name, {role: names}) and _filled(table, name)]
    if varying:
        found = [name for name in found if len(distinct(table.columns[name])) > 1]
    if not found:
        return None
    # what Optuna itself says comes before what its users' attributes are called
    chosen = min(found, key=lambda name: OPTUNA.match(name) is not None)
    said.append(f"{role}: column {chosen}")
    return chosen


def _filled(table: ResultTable, name: str) -> bool:
    cells: Iterable[Cell] = table.columns[name]
    return any(not is_missing(cell) for cell in cells)


def _ambiguous(table: ResultTable, role: str, found: Sequence[str]) -> NoReturn:
    listed = ", ".join(found or table.columns)[:400]
    hint = f"add --{role}-column NAME" if not found else f"add `--{role}-column {shlex.quote(found[0])}`, or another"
    if not found and role in _WIDE and sum(LABEL_OR_NUMBER.fullmatch(name) is not None for name in table.columns) > 1:
        hint = (
            f"`--wide {_WIDE[role]}` turns columns that are called by {_WIDE[role]} into rows, one row per run; or add "
            f"--{role}-column NAME"
        )
    if role == "loss" and found and all(more_is_better(normalized_column_name(name)) for name in found):
        hint = f"if higher is better, add `--loss-column {shlex.quote(found[0])} --maximize`"
    raise UsageError(
        f"the column of the {role} must be named where it is not obvious",
        received=f"{'several could be' if len(found) > 1 else 'this could be'} meant: {listed}"
        if found
        else f"none with values is called so: {listed}",
        hint=hint,
        place=Place(table.name, 1),
        code="results/ambiguous-column",
    )
