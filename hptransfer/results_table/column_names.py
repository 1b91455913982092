"""The names that people give to columns of sizes, hyperparameters, losses and seeds, and what else names say."""

from __future__ import annotations

import math
import re

#: names of sizes by the axis they mean; the first axes are preferred where several vary together
SIZES = {
    "width": "width d_model hidden_size hidden_dim model_dim n_embd n_embed embed_dim embedding_dim dim hidden",
    "width multiplier": "width_mult width_multiplier width_factor width_ratio",
    "depth": "depth n_layer n_layers num_layers layers num_hidden_layers n_blocks",
    "parameters": "n_params num_params params parameters n_parameters num_parameters total_params model_size "
    "non_embedding_params n_non_embedding n_params_non_embedding non_embedding_parameters num_non_embedding_params n",
    "millions of parameters": "params_millions parameters_millions params_m n_params_m params_in_millions "
    "million_params millions_of_parameters",
    "billions of parameters": "params_billions parameters_billions params_b n_params_b params_in_billions "
    "billion_params billions_of_parameters",
    "compute": "flops compute total_flops train_flops training_flops flops_total total_compute total_flos "
    "train_compute petaflops pflops total_pflops exaflops eflops teraflops tflops total_tflops gflops pf_days "
    "pflop_days petaflop_days pflops_days",
    "tokens": "tokens n_tokens total_tokens train_tokens training_tokens num_tokens tokens_total tokens_seen d",
    "batch_size": "batch_size batch global_batch_size train_batch_size bs",
    "size": "size",
}
#: names of hyperparameters; the first are preferred where several vary
VALUES = {
    "learning_rate": "learning_rate lr lr_base base_lr base_learning_rate peak_lr peak_learning_rate max_lr lr_max eta",
    "weight_decay": "weight_decay wd decay",
    "init_scale": "init_scale init_std initializer_range sigma",
    "warmup": "warmup warmup_steps warmup_ratio",
    "beta1": "beta1 adam_beta1",
    "beta2": "beta2 adam_beta2",
    "eps": "eps adam_eps epsilon",
    "momentum": "momentum",
}
HELD_OUT = ("val", "valid", "validation", "eval", "test", "dev")
ENDINGS = ("loss", "ce", "nll", "cross_entropy", "ce_loss", "xent")
#: names of losses: held-out data first, then what does not say, then training loss
LOSSES = (
    {f"{prefix}{data}_{end}" for prefix in ("", "final_") for data in HELD_OUT for end in ENDINGS},
    {"loss", "final_loss", "nll", "ce", "cross_entropy", "global_loss"},
    {"train_loss", "training_loss", "final_train_loss"},
)
#: names of monotone functions of the loss, of which less is better too; a column called a loss goes first
PERPLEXITIES = tuple(
    {f"{prefix}{name}" for prefix in prefixes for name in ("perplexity", "ppl", "bpb", "bpc", "bits_per_byte")}
    for prefixes in (
        [f"{prefix}{data}_" for prefix in ("", "final_") for data in HELD_OUT],
        ["", "final_"],
        ["train_", "training_", "final_train_"],
    )
)
SEEDS = "seed random_seed rng_seed init_seed run_seed"
GROUPS = "param parameterization parametrization scheme"
#: what keys in the names of runs are called as columns, beside the names above
KEYS = {"w": "width", "s": "seed", "seed": "seed", "lr": "lr", "wd": "wd", "bs": "batch_size"}
#: names of columns that may hold sizes as labels
MODELS = ("model", "model_name", "label", "scale", "size_label")
LABEL_OR_NUMBER = re.compile(r"\D{0,8}\d+(?:\.\d+)?\s*[kmbgt]?", re.IGNORECASE)
STATES = "state status run_state"
STEPS = "step global_step iteration iter train_step epoch tokens_seen"
#: names of columns that name a run
RUNS = "run run_id run_name name experiment experiment_name exp_name job_id run_uuid trial_id study_name"
#: logarithms that say their base: log2lr, log10(lr), ln_lr, lr_log2, "lr (log10)"
_LOGARITHM = re.compile(r"(?:log_?(?P<base>2|10)_?|(?P<natural>ln|loge|log_e)_)(?P<of>.+)")
_LOGARITHM_AFTER = re.compile(r"(?P<of>.+?)_(?:log_?(?P<base>2|10)|(?P<natural>ln|loge|log_e))")
#: logarithms that do not: log_lr, logLR, lr_log
_BASELESS = re.compile(r"log_(?P<before>.+)|(?P<after>.+)_log|log(?P<glued>.+)")
BASES = {"2": 2.0, "10": 10.0, "e": math.e}
_PREFIX = re.compile(r"^(?:(?:config|summary|params|hparams|hyperparameters|args|metrics|run|_wandb)[./])+", re.I)
#: what Optuna's `trials_dataframe()` puts before the names of parameters and of attributes
OPTUNA = re.compile(r"^(?:params|user_attrs|system_attrs)_")


def words_of(text: str) -> frozenset[str]:
    """The words of a list that is written with spaces between them."""
    return frozenset(text.split())


def normalized_column_name(name: str) -> str:
    """A column's name without W&B's prefixes, case and separators: `config.optimizer.LR` is `optimizer_lr`."""
    bare = re.sub(r"[./]value$", "", _PREFIX.sub("", name.strip()))
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


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
    logarithm = logarithm_in(name)
    of = logarithm[1] if logarithm else baseless_logarithm_in(name) or ""
    for candidate in (whole, last, OPTUNA.sub("", last), of):
        for key, synonyms in names.items():
            if candidate in synonyms.split():
                return key
    return None


def size_name(name: str) -> str | None:
    """What a size is called in sentences (width, depth, parameters, ...), by the name of its column; None for others.

    Args:
        name: name of any column, prefixes included.
    """
    return canonical_column(name, SIZES)


def hyperparameter_name(name: str) -> str | None:
    """What a hyperparameter is called in sentences, by the name of its column; None for other columns.

    Args:
        name: name of any column, prefixes included.
    """
    return canonical_column(name, VALUES)


def is_size_name(name: str) -> bool:
    """Whether a column is called as sizes are.

    Args:
        name: name of a column.
    """
    return canonical_column(name, SIZES) is not None


def is_value_name(name: str) -> bool:
    """Whether a column is called as a hyperparameter is.

    Args:
        name: name of a column.
    """
    return canonical_column(name, VALUES) is not None


def keys_in_names() -> dict[str, str]:
    """What keys in the names of runs, such as `w` in w64-lr0.001, are called as columns."""
    synonyms = " ".join([*SIZES.values(), *VALUES.values(), SEEDS]).split()
    written = {name: name for name in synonyms if len(name) > 1}
    logarithms = [f"log{base}{mark}{name}" for base in (2, 10) for mark in ("", "_") for name in ("lr", "wd")]
    return written | {name: name for name in logarithms} | KEYS


def logarithm_in(name: str) -> tuple[float, str] | None:
    """(base, of what) where a column's name says that it holds logarithms, and their base."""
    last = OPTUNA.sub("", normalized_column_name(re.split(r"[./]", re.sub(r"[./]value$", "", name))[-1]))
    match = _LOGARITHM.fullmatch(last) or _LOGARITHM_AFTER.fullmatch(last)
    return (math.e if match["natural"] else float(match["base"]), match["of"]) if match else None


def baseless_logarithm_in(name: str) -> str | None:
    """Of what a column holds logarithms by its name, where the name does not say their base."""
    last = OPTUNA.sub("", normalized_column_name(re.split(r"[./]", name)[-1]))
    match = _BASELESS.fullmatch(last)
    if match is None or logarithm_in(name):
        return None
    if (of := match["before"] or match["after"]) is not None:
        return of
    known = " ".join([*SIZES.values(), *VALUES.values()]).split()
    return match["glued"] if match["glued"] in known else None
