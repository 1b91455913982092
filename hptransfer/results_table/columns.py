"""Which column of a table of finished runs means what: by the names people use, and only where that is obvious."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.readers import Cell, ResultTable, cell_text, distinct, is_missing

#: names of sizes by the axis they mean; the first axes are preferred where several vary together
_SIZES = {
    "width": "width d_model hidden_size hidden_dim model_dim n_embd n_embed embed_dim embedding_dim dim hidden",
    "depth": "depth n_layer n_layers num_layers layers num_hidden_layers n_blocks",
    "parameters": "n_params num_params params parameters n_parameters num_parameters model_size n_non_embedding size n",
    "compute": "flops compute total_flops",
    "tokens": "tokens n_tokens total_tokens train_tokens num_tokens d",
    "batch_size": "batch_size batch global_batch_size train_batch_size bs",
}
#: names of hyperparameters; the first are preferred where several vary
_VALUES = {
    "learning_rate": "learning_rate lr lr_base base_lr base_learning_rate peak_lr peak_learning_rate max_lr lr_max eta",
    "weight_decay": "weight_decay wd decay",
    "init_scale": "init_scale init_std initializer_range sigma",
    "warmup": "warmup warmup_steps warmup_ratio",
    "beta1": "beta1 adam_beta1",
    "beta2": "beta2 adam_beta2",
    "eps": "eps adam_eps epsilon",
    "momentum": "momentum",
}
_HELD_OUT = ("val", "valid", "validation", "eval", "test", "dev")
_ENDINGS = ("loss", "ce", "nll", "cross_entropy", "ce_loss", "xent")
#: names of losses: held-out data first, then what does not say, then training loss
_LOSSES = (
    {f"{prefix}{data}_{end}" for prefix in ("", "final_") for data in _HELD_OUT for end in _ENDINGS},
    {"loss", "final_loss", "nll", "ce", "cross_entropy", "global_loss"},
    {"train_loss", "training_loss", "final_train_loss"},
)
_SEEDS = "seed random_seed rng_seed init_seed run_seed"
_GROUPS = "param parameterization parametrization scheme"
#: names of columns that may hold sizes as labels
_MODELS = ("model", "model_name", "label", "scale", "size_label")
_LABEL = re.compile(r"\d+(?:\.\d+)?\s*[kmbgt]", re.IGNORECASE)
_LABEL_OR_NUMBER = re.compile(r"\D{0,8}\d+(?:\.\d+)?\s*[kmbgt]?", re.IGNORECASE)
_STATES = "state status run_state"
_STEPS = "step global_step iteration iter train_step epoch tokens_seen"
#: logarithms say their base, or they are not understood
_LOGARITHM = re.compile(r"log_?(2|10)_?(.+)")
_PREFIX = re.compile(r"^(?:(?:config|summary|params|hparams|hyperparameters|args|metrics|run|_wandb)[./])+", re.I)


@dataclass(frozen=True, slots=True)
class NamedColumns:
    """Columns the user named; None is to be inferred.

    Attributes:
        size: name of the column of sizes.
        value: name of the column of the hyperparameter.
        loss: name of the column of final losses.
        seed: name of the column of seeds.
        group: name of the column whose values are judged apart.
    """

    size: str | None = None
    value: str | None = None
    loss: str | None = None
    seed: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns that a judgement reads.

    Attributes:
        size: name of the column of sizes.
        axis: what the size is called in sentences: width, depth, parameters, ... or the column's own name.
        value: name of the column of the hyperparameter's values.
        hyperparameter: its name in sentences.
        base: 2 or 10 where the column holds logarithms of the hyperparameter (log2lr, log10_lr); None otherwise.
        loss: name of the column of final losses, nats.
        seed: column of seeds; None without one.
        group: column whose values are judged apart; None for one judgement.
        state: column that says how a run ended; None without one.
        inferred: what was inferred, one sentence each.
    """

    size: str
    axis: str
    value: str
    hyperparameter: str
    base: int | None
    loss: str
    seed: str | None
    group: str | None
    state: str | None
    inferred: tuple[str, ...]


def normalized_column_name(name: str) -> str:
    """A column's name without W&B's prefixes, case and separators: `config.optimizer.LR` is `optimizer_lr`."""
    bare = re.sub(r"[./]value$", "", _PREFIX.sub("", name.strip()))
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def infer_columns(table: ResultTable, asked: NamedColumns) -> TableColumns:
    """Take the columns the user named and infer the others.

    Args:
        table: the table as it was read.
        asked: the columns that the user named.

    Raises:
        UsageError: a named column does not exist, or one is needed and several or none could be meant.
    """
    for option, column in (("size", asked.size), ("value", asked.value), ("loss", asked.loss)):
        _require(table, option, column)
    _require(table, "seed", asked.seed)
    _require(table, "group", asked.group)
    said: list[str] = []
    size = asked.size or _labelled_size(table, said) or _inferred(table, "size", _SIZES, said)
    value = asked.value or _inferred(table, "value", _VALUES, said)
    loss = asked.loss or _loss(table, said)
    seed = asked.seed or _optional(table, "seed", _SEEDS, said)
    group = asked.group or _optional(table, "group", _GROUPS, said, varying=True)
    state = _optional(table, "state", _STATES, said)
    used = [column for column in (size, value, loss, seed, group) if column is not None]
    if len(set(used)) < len(used):
        raise UsageError(
            "every column can have one meaning", received=", ".join(used), hint="name them with --...-column"
        )
    return TableColumns(
        size=size,
        axis=canonical_column(size, _SIZES) or ("parameters" if normalized_column_name(size) in _MODELS else size),
        value=value,
        hyperparameter=canonical_column(value, _VALUES) or value,
        base=_base(value),
        loss=loss,
        seed=seed,
        group=group,
        state=state,
        inferred=tuple(said),
    )


def infer_loss(table: ResultTable) -> str:
    """The column of losses.

    Raises:
        UsageError: none, or several could be meant.
    """
    return _loss(table, [])


def is_training_loss(name: str) -> bool:
    """Whether a column's name says that its losses are those of the training data."""
    return normalized_column_name(name) in _LOSSES[2]


def infer_step(table: ResultTable) -> str | None:
    """The column that orders the rows of one run's history; None without one."""
    return _optional(table, "step", _STEPS, [], varying=True)


def infer_seed(table: ResultTable) -> str | None:
    """The column that tells runs apart which differ in their seed alone; None without one."""
    return _optional(table, "seed", _SEEDS, [])


def setting_columns(table: ResultTable) -> list[str]:
    """The columns that are settings of a run by their name: sizes, hyperparameters, and all of W&B's `config.`."""
    return [
        name
        for name in table.columns
        if canonical_column(name, _SIZES)
        or canonical_column(name, _VALUES)
        or name.lower().startswith(("config.", "config/"))
    ]


def canonical_column(name: str, names: dict[str, str]) -> str | None:
    """The key whose names contain this column's name, whole or after its last dot or slash.

    Args:
        name: name of a column.
        names: key -> the names that people write for it, separated by spaces.
    """
    whole, last = (
        normalized_column_name(name),
        normalized_column_name(re.split(r"[./]", re.sub(r"[./]value$", "", name))[-1]),
    )
    logarithm = _LOGARITHM.fullmatch(last)
    for candidate in (whole, last, logarithm[2] if logarithm else ""):
        for key, synonyms in names.items():
            if candidate in synonyms.split():
                return key
    return None


def _base(name: str) -> int | None:
    """The base of the logarithms in a column, by its name."""
    logarithm = _LOGARITHM.fullmatch(normalized_column_name(re.split(r"[./]", name)[-1]))
    return int(logarithm[1]) if logarithm else None


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


def _inferred(table: ResultTable, role: str, names: dict[str, str], said: list[str]) -> str:
    """The column of a needed role: the one that varies; where several vary, the one preferred by `names`."""
    known = {name: key for name in table.columns if (key := canonical_column(name, names)) is not None}
    order = list(names)
    found = sorted((name for name in known if _filled(table, name)), key=lambda name: order.index(known[name]))
    varying = [name for name in found if len(distinct(table.columns[name])) > 1]
    chosen = (varying or found)[:1]
    if not chosen:
        _ambiguous(table, role, [])
    same = [name for name in varying if known[name] == known[chosen[0]] and not _same(table, name, chosen[0])]
    if len(same) > 1:
        _ambiguous(table, role, same)
    others = [name for name in varying if name != chosen[0]]
    also = f" ({', '.join(others)} vary too)" if others else ""
    said.append(f"{role}: column {chosen[0]}{also}")
    return chosen[0]


def _labelled_size(table: ResultTable, said: list[str]) -> str | None:
    """A column of models that are called by their size (70M, 1.4B), where no column is called a size."""
    if any(canonical_column(name, _SIZES) and len(distinct(cells)) > 1 for name, cells in table.columns.items()):
        return None
    for name, cells in table.columns.items():
        labels = [cell_text(cell) for cell in distinct(cells)]
        if (
            normalized_column_name(name) in _MODELS
            and len(labels) > 1
            and all(_LABEL.fullmatch(label) for label in labels)
        ):
            said.append(f"size: column {name}")
            return name
    return None


def _same(table: ResultTable, left: str, right: str) -> bool:
    """Whether two columns are copies of each other; the chosen one itself counts as different, to be listed."""
    return left != right and [cell_text(c) for c in table.columns[left]] == [cell_text(c) for c in table.columns[right]]


def _loss(table: ResultTable, said: list[str]) -> str:
    for tier, names in enumerate(_LOSSES):
        found = [name for name in table.columns if normalized_column_name(name) in names and _filled(table, name)]
        distinct_ones = [name for name in found[1:] if not _same(table, name, found[0])]
        if distinct_ones:
            _ambiguous(table, "loss", found)
        if found:
            note = " (training loss: it rewards memorising; held-out loss is better evidence)" if tier == 2 else ""
            said.append(f"loss: column {found[0]}{note}")
            return found[0]
    ending = [
        name
        for name in table.columns
        if re.search(r"_(loss|ce|nll)$", normalized_column_name(name)) and _filled(table, name)
    ]
    if len(ending) != 1:
        _ambiguous(table, "loss", ending)
    said.append(f"loss: column {ending[0]}")
    return ending[0]


def _optional(table: ResultTable, role: str, names: str, said: list[str], *, varying: bool = False) -> str | None:
    found = [name for name in table.columns if canonical_column(name, {role: names}) and _filled(table, name)]
    if varying:
        found = [name for name in found if len(distinct(table.columns[name])) > 1]
    if not found:
        return None
    said.append(f"{role}: column {found[0]}")
    return found[0]


def _filled(table: ResultTable, name: str) -> bool:
    cells: Iterable[Cell] = table.columns[name]
    return any(not is_missing(cell) for cell in cells)


def _ambiguous(table: ResultTable, role: str, found: Sequence[str]) -> NoReturn:
    listed = ", ".join(found or table.columns)[:400]
    hint = f"add --{role}-column NAME"
    if (
        not found
        and role in ("size", "loss")
        and sum(_LABEL_OR_NUMBER.fullmatch(name) is not None for name in table.columns) > 1
    ):
        hint = "one row per run is needed: turn columns that are called by a size into rows of size, value and loss"
    raise UsageError(
        f"the column of the {role} must be named where it is not obvious",
        received=f"several could be meant: {listed}" if found else f"none with values is called so: {listed}",
        hint=hint,
        place=Place(table.name, 1),
        code="results/ambiguous-column",
    )
