"""What a column of a table is by its name: a setting of the run, its length, a measurement, a circumstance.

A name decides nothing alone where the cells speak against it: see `settings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto

from hptransfer.results_table.cells import Cell, cell_text, distinct, number_in
from hptransfer.results_table.column_names import hyperparameter_name, normalized_column_name, size_name, words_of


class ColumnKind(Enum):
    """What a column is by its name."""

    SEED = auto()  # tells runs apart that differ in nothing else
    PROGRESS = auto()  # how long a run trained
    COMPUTE = auto()  # what a size and a length amount to
    PARAMETERS = auto()  # what a shape amounts to
    SETTING = auto()
    MEASURED = auto()  # a loss, an accuracy, a norm, memory, a speed
    CLOCK = auto()  # when, for how long, and what happened on the way
    CIRCUMSTANCE = auto()  # where and with which code
    BOOKKEEPING = auto()  # who, which folder, which job
    UNKNOWN = auto()


_SEEDS = words_of("seed rng replicate replica repeat rep")
_PROGRESS = words_of(
    "step steps global_step global_steps iteration iterations iter iters train_step train_steps training_steps "
    "num_steps n_steps total_steps max_steps optimizer_steps update updates num_updates n_updates epoch epochs "
    "num_epochs n_epochs num_train_epochs train_epochs training_iteration iterations_since_restore tokens_seen "
    "seen_tokens tokens_trained tokens_processed samples_seen examples_seen n_iter n_iters max_iters"
)
_CLOCKS = words_of(
    "runtime duration elapsed timestamp walltime created updated started ended finished date datetime best skipped "
    "spikes nans overflows restarts retries requeues attempts"
)
_METERS = words_of(
    "time second seconds secs sec hours minutes mins wall clock throughput mfu hfu tflops utilization utilisation util "
    "speed latency memory mem vram energy power watts kwh cost price dollars usd carbon"
)
#: what metrics end in; a setting such as z_loss can end so too, and then it takes few values
_METRICS = words_of(
    "loss ce nll xent cross_entropy ppl perplexity bpb bpc bits error err acc accuracy f1 auc auroc auprc bleu rouge "
    "reward return returns score elbo mse mae rmse fid wer cer kl entropy regret top1 top5 variance var std stderr sd "
    "evals"
)
_LOSS_STATISTIC = re.compile(r".*_?loss_(mean|std|sd|var|min|max|ema|avg|final|last|best|smooth\w*|se|stderr)")
_MEASURED_NORM = re.compile(
    r".*(grads?|gradients?|gnorm|param|params|parameter|weight|weights|update|updates|act|activation|activations|logit|"
    r"logits|hidden)_?(l1|l2|rms)?_?(norm|rms|mean|std|max|abs)(_\w+)?"
)
#: words of settings that are tuned, switched or chosen
_SETTINGS = words_of(
    "dropout drop smoothing clip clipping coef coeff lambda alpha beta gamma tau temperature decay eps multiplier mult "
    "schedule scheduler optimizer optimiser activation nonlinearity initialization initializer warmup cooldown anneal "
    "annealing momentum nesterov ema augmentation augment precision dtype amp batch batchsize accumulation context "
    "seqlen vocab vocabulary heads experts attention rope bias tied tie residual parameterization parametrization mup "
    "mupc completep sp ntk mixed"
)
_LIMITING = words_of("max min clip clipping limit budget target threshold coef coeff weight fn type kind name")
#: namespaces in which trackers keep what was measured
_MEASURED_PREFIX = re.compile(
    r"^(summary|metrics?|system|perf|timing|throughput|_wandb|train|training|val|valid|validation|eval|evaluation|"
    r"test|dev)[./]",
    re.I,
)
_SETTING_PREFIX = re.compile(r"^(config|params|hparams|hyperparameters|args|cfg|flags)[./]", re.I)
_CIRCUMSTANCES = words_of(
    "commit git sha revision version torch_version cuda_version python_version library_version gpu gpus gpu_type "
    "gpu_name gpu_model device devices device_name hardware accelerator cluster partition machine_type num_gpus n_gpus "
    "gpu_count n_devices num_devices world_size num_nodes n_nodes nnodes sweep sweep_id os platform"
)
_BOOKKEEPING = words_of(
    "user username author owner host hostname node nodes node_ip ip pid rank local_rank job jobid slurm notes note "
    "comment comments description url link entity artifact_uri logdir done wandb summary config"
)
_MACHINES = words_of("host hostname node machine server worker")
_BOOKKEEPING_END = words_of("id uuid uri url dir directory folder logdir hash")
#: what the names of sizes are, where they are no settings
_OF_SIZES = {
    "compute": ColumnKind.COMPUTE,
    "tokens": ColumnKind.PROGRESS,
    "parameters": ColumnKind.PARAMETERS,
    "millions of parameters": ColumnKind.PARAMETERS,
    "billions of parameters": ColumnKind.PARAMETERS,
}
#: data and models are settings even where a path names them
_WHAT_IS_TRAINED = words_of("data dataset train tokenizer config model corpus vocab")


def column_kind(name: str) -> ColumnKind:
    """What the name of a column says; `UNKNOWN` where it says nothing.

    Args:
        name: name of a column that has no role in the judgement.
    """
    normalized, last = normalized_column_name(name), normalized_column_name(re.split(r"[./]", name)[-1])
    words = set(normalized.split("_"))
    if _SEEDS & words:
        return ColumnKind.SEED
    if (normalized in _PROGRESS or last in _PROGRESS) and "best" not in words:
        return ColumnKind.PROGRESS
    size = size_name(name)
    if size is not None or hyperparameter_name(name) is not None:
        return _OF_SIZES.get(size or "", ColumnKind.SETTING)
    if _MEASURED_PREFIX.match(name):
        return ColumnKind.CLOCK if _CLOCKS & words else ColumnKind.MEASURED
    return _by_words(normalized, words, config=_SETTING_PREFIX.match(name) is not None)


def is_meter(name: str) -> bool:
    """Whether a column's name says that it measures time, memory or cost, which a size alone may fix.

    Args:
        name: name of a column.
    """
    return bool(_METERS & set(normalized_column_name(name).split("_")))


def tells_seeds(cells: Iterable[Cell]) -> bool:
    """Whether cells of a column that is called a seed are numbers, single letters, or one text with a number.

    Other texts (c4 and pile in `seed_data`) are what they say, and no seeds.

    Args:
        cells: what stands in the rows of that column.
    """
    texts = [text for cell in distinct(list(cells)) if (text := cell_text(cell))]
    stems = {re.sub(r"\d+", "#", text.lower()) for text in texts}
    return len(stems) <= 1 or all(len(text) == 1 or number_in(text) is not None for text in texts)


def _by_words(normalized: str, words: set[str], *, config: bool) -> ColumnKind:
    """The kind by the words in a name; what a configuration holds is no measurement."""
    end, limiting = normalized.rpartition("_")[2], bool(_LIMITING & words)
    kept_by = normalized in _BOOKKEEPING or end in _BOOKKEEPING_END
    machine = bool(_MACHINES & words) and not {"n", "num", "count", "type", "state"} & words
    meter = bool(_METERS & words) or _MEASURED_NORM.fullmatch(normalized) is not None
    metric = end in _METRICS or _LOSS_STATISTIC.fullmatch(normalized) is not None
    found = (
        (normalized in _CIRCUMSTANCES or end in ("commit", "sha", "version"), ColumnKind.CIRCUMSTANCE),
        (machine or (kept_by and not _WHAT_IS_TRAINED & words), ColumnKind.BOOKKEEPING),
        (config, ColumnKind.SETTING),
        (bool(_CLOCKS & words) and not limiting, ColumnKind.CLOCK),
        ((meter or metric) and not limiting, ColumnKind.MEASURED),
        (bool(_SETTINGS & words), ColumnKind.SETTING),
    )
    return next((kind for holds, kind in found if holds), ColumnKind.UNKNOWN)
