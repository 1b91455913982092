"""The recipe's `training` section: how one trial trains, for how long, and where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hptransfer.parameterization.parameter_count import CountedParameters
from hptransfer.recipe.numbers import Axis, Count, Fraction, NonNegative, Positive, Tokens
from hptransfer.recipe.registered import LOSSES, OPTIMIZERS, registered
from hptransfer.recipe.sections import Section, Setting
from hptransfer.schedule import DECAY_SHARE, Schedule

#: which norm of the gradient is bounded
ClipNorm = Literal["global", "scaled"]
#: fields that say how long a trial trains; the tokens of its size do as well
DURATION = ("steps", "tokens", "tokens_per_parameter", "counted_parameters")
#: fields that say where and how fast a trial trains, and change its loss by rounding alone
MACHINE = ("device", "trials_per_device", "compile")
#: of weights and arithmetic
Precision = Literal["float64", "float32", "bfloat16"]
#: where a trial trains
Device = Literal["auto", "cpu", "cuda", "mps"]


class Multipliers(Section):
    """Constants of single roles at the base size, which transfer by the same rules as what they multiply; 1: none.

    Norm gains and biases go with `hidden_learning_rate`, the readout's bias with `readout_learning_rate`, and a tied
    readout with the embedding. docs/parameterizations.md says what each covers.
    """

    embedding_learning_rate: Positive = 1.0
    """multiple of `learning_rate` for tables of embeddings"""
    input_learning_rate: Positive = 1.0
    """multiple of `learning_rate` for input layers: matrices whose inputs do not grow with the width"""
    hidden_learning_rate: Positive = 1.0
    """multiple of `learning_rate` for hidden weights, and for norm gains and biases"""
    readout_learning_rate: Positive = 1.0
    """multiple of `learning_rate` for the readout and its bias"""
    embedding_init: Positive = 1.0
    """multiple of the init std, in addition to `init_scale`, of tables of embeddings"""
    input_init: Positive = 1.0
    """of input layers"""
    hidden_init: Positive = 1.0
    """of hidden weights"""
    readout_init: Positive = 1.0
    """of the readout"""
    attention_multiplier: Positive = 1.0
    """multiplies attention logits, in addition to 1/sqrt(head_dim)"""
    output_multiplier: Positive = 1.0
    """multiplies the readout's product with its input, not its bias"""
    adam_learning_rate: Positive = 1.0
    """multiple of `learning_rate` for what AdamW trains where muon, adamh or muonh train the hidden weights: the ratio
    of the two rates"""


class Training(Section):
    """How one trial trains; hyperparameters are the base size's values, used where `tune.space` names none."""

    steps: Count | None = None
    """optimizer steps at the proxy; exactly one of `steps`, `tokens` and `tokens_per_parameter` says how long a trial
    trains"""
    tokens: Tokens | None = None
    """instead of `steps`: predicted positions over the whole run"""
    tokens_per_parameter: Positive | None = None
    """instead of `steps`: predicted positions for each parameter that counts, so that every size trains its own length
    and the ladder's sizes grow along width (or depth) and tokens together (docs/training.md)"""
    counted_parameters: CountedParameters = "without-embeddings"
    """which parameters count for `tokens_per_parameter`: all but tables of embeddings, so the readout counts; `hidden`:
    neither embeddings nor readout; `all`"""
    batch_size: Count = 64
    """examples (sequences) per step"""
    optimizer: Annotated[str, registered(OPTIMIZERS)] = "adamw"
    loss: Annotated[str, Field(max_length=200), registered(LOSSES)] = "next-token"
    """what training makes small and trials are compared by: a name, or your own `module:function`, called with the
    model and a batch (docs/data.md)"""
    loss_arguments: dict[str, Setting] = Field(default_factory=dict)
    """keyword arguments of the loss, for example `{mask_token: 103}` of `masked-token`; `{output: 0}` where the model
    returns several outputs: a place in a tuple, a key or an attribute"""
    learning_rate: Positive = 0.004
    weight_decay: NonNegative = 0.0
    """as torch's AdamW and SGD take it: the decay per step is learning_rate * weight_decay"""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    eps: Positive = 1e-8
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """of optimizers with a velocity, such as SGD; others do not use it"""
    init_scale: Positive = 1.0
    """multiplies every random init std"""
    multipliers: Multipliers = Multipliers()
    """of single roles"""
    schedule: Schedule = "linear"
    """after warmup: constant, down to `floor` (linear, cosine; wsd: constant and then linear), or as 1/sqrt(step); all
    are relative, so per-group learning rates keep their ratios (docs/training.md)"""
    floor: Fraction = 0.0
    """share of the peak to which the schedule falls instead of to zero"""
    decay_share: Fraction = DECAY_SHARE
    """of `wsd`: fraction of the steps over which the learning rate decays at the end"""
    warmup: Fraction = 0.1
    """fraction of the steps over which the learning rate rises linearly from zero"""
    warmup_steps: Count | None = None
    """instead of `warmup`: the same number of optimizer steps at every size"""
    warmup_tokens: Tokens | None = None
    """instead of `warmup`: the same number of predicted positions at every size"""
    accumulation: Axis = 1
    """parts into which each batch is split, one after the other, before a step is taken; the loss stays the same up to
    rounding, less memory is needed"""
    clip: Positive | None = None
    """largest norm of the gradient of a step; `clip_norm` says which norm"""
    clip_norm: ClipNorm = "global"
    """`global`: torch's, which changes with the size and the gauge, `plan` says so; `scaled`: each gradient relative to
    the size that the rules give it, so that one threshold means the same at every size and in every gauge
    (docs/training.md)"""
    precision: Precision = "float32"
    """of weights and arithmetic; bfloat16: weights, optimizer and losses are float32, `forward` is under torch's
    autocast"""
    device: Device = "auto"
    """where a trial trains; auto: a GPU of CUDA where there is one, else the processor. Recorded with each trial, no
    part of its identity"""
    trials_per_device: Annotated[int, Field(ge=1, le=64)] = 1
    """trials that share a GPU, where they fit; `--per-gpu` overrides it"""
    compile: bool = False
    """whether torch.compile compiles the model; recorded with each trial, no part of its identity"""
    evaluation_batches: Count = 16
    """fixed validation batches, the same for every trial"""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """processes that train one trial together, started by torchrun; the batch is split, the loss stays the same up to
    rounding, so this is no part of a trial's identity (docs/cluster.md)"""
