"""What a column of a table is by its name: a setting of the run, its length, a measurement, a circumstance.

A name decides nothing alone where the cells speak against it: see `settings`.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from hptransfer.results_table.column_names import hyperparameter_name, normalized_column_name, size_name


class ColumnKind(Enum):
    """What a column is by its name."""

    SEED = auto()  # tells runs apart that differ in nothing else
    PROGRESS = auto()  # how long a run trained
    COMPUTE = auto()  # what a size and a length amount to
    PARAMETERS = auto()  # what a shape amounts to
    SETTING = auto()
    MEASURED = auto()  # a loss, an accuracy, a norm, memory, a speed
    CLOCK = auto()  # when, and for how long
    CIRCUMSTANCE = auto()  # where and with which code
    BOOKKEEPING = auto()  # who, which folder, which job
    UNKNOWN = auto()


_SEEDS = frozenset("seed rng replicate replica repeat rep".split())
_PROGRESS = frozenset(
    "step steps global_step global_steps iteration iterations iter iters train_step train_steps training_steps "
    "num_steps n_steps total_steps max_steps optimizer_steps update updates num_updates n_updates epoch epochs "
    "num_epochs n_epochs num_train_epochs train_epochs training_iteration iterations_since_restore tokens_seen "
    "seen_tokens tokens_trained tokens_processed samples_seen examples_seen n_iter n_iters max_iters".split()
)
_CLOCKS = frozenset(
    "runtime duration elapsed timestamp walltime created updated started ended finished date datetime".split()
)
_METERS = frozenset(
    "time second seconds secs sec hours minutes mins wall clock throughput mfu hfu tflops utilization utilisation util speed latency eta_s "
    "memory mem vram energy power watts kwh cost price dollars usd carbon".split()
)
#: what metrics end in; a setting such as z_loss can end so too, and then it takes few values
_METRICS = frozenset(
    "loss ce nll xent cross_entropy ppl perplexity bpb bpc bits error err acc accuracy f1 auc auroc auprc bleu rouge "
    "reward return returns score elbo mse mae rmse fid wer cer kl entropy regret top1 top5 variance var std stderr sd "
    "skipped spikes nans overflows restarts retries requeues attempts evals".split()
)
_LOSS_STATISTIC = re.compile(r".*_?loss_(mean|std|sd|var|min|max|ema|avg|final|last|best|smooth\w*|se|stderr)")
_MEASURED_NORM = re.compile(
    r".*(grads?|gradients?|gnorm|param|params|parameter|weight|weights|update|updates|act|activation|activations|logit|"
    r"logits|hidden)_?(l1|l2|rms)?_?(norm|rms|mean|std|max|abs)(_\w+)?"
)
#: words of settings that are tuned, switched or chosen
_SETTINGS = frozenset(
    "dropout drop smoothing clip clipping coef coeff lambda alpha beta gamma tau temperature decay eps multiplier mult "
    "schedule scheduler optimizer optimiser activation nonlinearity initialization initializer warmup cooldown anneal "
    "annealing momentum nesterov ema augmentation augment precision dtype amp batch batchsize accumulation context "
    "seqlen vocab vocabulary heads experts attention rope bias tied tie residual parameterization parametrization mup "
    "mupc completep sp ntk mixed".split()
)
_LIMITING = frozenset("max min clip clipping limit budget target threshold coef coeff weight fn type kind name".split())
#: namespaces in which trackers keep what was measured
_MEASURED_PREFIX = re.compile(
    r"^(summary|metrics?|system|perf|timing|throughput|_wandb|train|training|val|valid|validation|eval|evaluation|"
    r"test|dev)[./]",
    re.I,
)
_SETTING_PREFIX = re.compile(r"^(config|params|hparams|hyperparameters|args|cfg|flags)[./]", re.I)
_CIRCUMSTANCES = frozenset(
    "commit git sha revision version torch_version cuda_version python_version library_version gpu gpus gpu_type "
    "gpu_name gpu_model device devices device_name hardware accelerator cluster partition machine_type num_gpus n_gpus "
    "gpu_count n_devices num_devices world_size num_nodes n_nodes nnodes sweep sweep_id os platform".split()
)
_BOOKKEEPING = frozenset(
    "user username author owner host hostname node nodes node_ip ip pid rank local_rank job jobid slurm notes note "
    "comment comments description url link entity artifact_uri logdir done wandb summary config".split()
)
_MACHINES = frozenset("host hostname node machine server worker".split())
_BOOKKEEPING_END = frozenset("id uuid uri url dir directory folder logdir hash".split())
#: data and models are settings even where a path names them
_WHAT_IS_TRAINED = frozenset("data dataset train tokenizer config model corpus vocab".split())


def column_kind(name: str) -> ColumnKind:
    """What the name of a column says; `UNKNOWN` where it says nothing.

    Args:
        name: name of a column that has no role in the judgement.
    """
    normalized = normalized_column_name(name)
    tokens = normalized.split("_")
    if _SEEDS & set(tokens) or tokens[-1] == "seeds":
        return ColumnKind.SEED
    last = normalized_column_name(re.split(r"[./]", name)[-1])
    if normalized in _PROGRESS or last in _PROGRESS:
        return ColumnKind.PROGRESS
    size = size_name(name)
    if size is not None and (size == "compute" or size.endswith("parameters")):
        return ColumnKind.COMPUTE if size == "compute" else ColumnKind.PARAMETERS
    if size == "tokens":
        return ColumnKind.PROGRESS
    if size is not None or hyperparameter_name(name) is not None:
        return ColumnKind.SETTING
    if _SETTING_PREFIX.match(name):
        return _by_words(normalized, tokens, config=True)
    if _MEASURED_PREFIX.match(name):
        return ColumnKind.CLOCK if _CLOCKS & set(tokens) else ColumnKind.MEASURED
    return _by_words(normalized, tokens, config=False)


def _by_words(normalized: str, tokens: list[str], *, config: bool) -> ColumnKind:
    """The kind by the words in a name; what a configuration holds is no measurement."""
    if normalized in _CIRCUMSTANCES or tokens[-1] in ("commit", "sha", "version"):
        return ColumnKind.CIRCUMSTANCE
    if not _WHAT_IS_TRAINED & set(tokens) and (normalized in _BOOKKEEPING or tokens[-1] in _BOOKKEEPING_END):
        return ColumnKind.BOOKKEEPING
    if _MACHINES & set(tokens) and not {"n", "num", "count", "type", "state"} & set(tokens):
        return ColumnKind.BOOKKEEPING
    if config:
        return ColumnKind.SETTING
    limiting = bool(_LIMITING & set(tokens))
    if not limiting and _CLOCKS & set(tokens):
        return ColumnKind.CLOCK
    if not limiting and (_METERS & set(tokens) or _MEASURED_NORM.fullmatch(normalized)):
        return ColumnKind.MEASURED
    if (tokens[-1] in _METRICS and not limiting) or _LOSS_STATISTIC.fullmatch(normalized):
        return ColumnKind.MEASURED
    return ColumnKind.SETTING if _SETTINGS & set(tokens) else ColumnKind.UNKNOWN
