"""The typed recipe. Every field documents its unit and range; `load.py` reads it from YAML and locates its faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union

from pydantic import Discriminator, Field, Tag

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NEGLIGIBLE_COST, NEGLIGIBLE_DOUBLINGS, HyperparameterName
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.roles import InitSource
from hptransfer.parameterization.rules import (
    BatchRuleName,
    Betas,
    Eps,
    Timescale,
    TorchMuonScale,
    UpdateRank,
    WeightDecay,
)
from hptransfer.parameterization.tables import ABSOLUTE, MEASURED, PARAMETERIZATIONS, covered_axes_of
from hptransfer.recipe.expect_section import Expect
from hptransfer.recipe.model_sections import ExternalModel, Model
from hptransfer.recipe.numbers import Count, Depth, NonNegative, Positive, Tokens, Width
from hptransfer.recipe.quantities import Duration, Memory
from hptransfer.recipe.registered import DATA_SOURCES, DIAGNOSTICS, SAMPLERS, registered
from hptransfer.recipe.sections import NAME, DataSection, ExternalData, Section, Setting
from hptransfer.recipe.trainer_sections import NamedTrainer, TrainerChoice
from hptransfer.recipe.training import Training
from hptransfer.sizes import SHAPE_LABEL, Size, SizeAxis, shape_label

# names from the lists that own them, as literals for messages and docs; a type checker cannot read them
if TYPE_CHECKING:
    ParameterizationName: TypeAlias = str
else:
    ParameterizationName = Literal[(*PARAMETERIZATIONS, MEASURED)]


class OwnData(DataSection):
    """A data source of one's own: from an installed package by its name, or `module:attribute` (docs/data.md)."""

    kind: Annotated[str, Field(max_length=200)]
    """name of the package's entry point, or `module:attribute`"""
    arguments: dict[str, Setting] = Field(default_factory=dict)
    """what the source is asked for; it checks them when a command needs the data, never `validate`"""


#: how findings and the page of docs call sections of data sources that do not ship
OWN_KIND = "module:attribute"
#: kind -> what its section holds; a source of the package brings its own
DATA_SECTIONS: Mapping[str, type[DataSection]] = MappingProxyType(
    {name: DATA_SOURCES.look_up(name).section for name in DATA_SOURCES.built_in} | {OWN_KIND: OwnData}
)


def _data_kind(data: object) -> str | None:
    """Which of `DATA_SECTIONS` a section or its raw data is to be read as; None where it does not say."""
    if not isinstance(data, Mapping | DataSection):
        return next(iter(DATA_SECTIONS))  # whose model says that it must be a mapping
    kind = data.kind if isinstance(data, DataSection) else data.get("kind")
    if not isinstance(kind, str):
        return None if kind is None else str(kind)
    return kind if kind in DATA_SECTIONS or not DATA_SOURCES.accepts(kind) else OWN_KIND


if TYPE_CHECKING:
    Data = DataSection
else:
    _TAGGED = tuple(Annotated[section, Tag(kind)] for kind, section in DATA_SECTIONS.items())
    Data = Annotated[Union[_TAGGED], Discriminator(_data_kind)]  # noqa: UP007  # made from the registry


class ParameterizationChoice(Section):
    """Which published table scales the hyperparameters."""

    name: ParameterizationName
    alpha: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """completep and complete-d-p: residual branches scale as depth^-alpha (default 1)"""
    weight_decay: WeightDecay | None = None
    """how weight decay follows the learning rate (docs/parameterizations.md); default: the parameterization's own"""
    eps: Eps | None = None
    """how Adam's eps follows the size of gradients; default: the parameterization's own"""
    batch_rule: BatchRuleName | None = None
    """what follows the batch size; default: the parameterization's own"""
    token_exponent: Annotated[float, Field(ge=-1, le=1)] | None = None
    """x in learning_rate * tokens^-x at a fixed batch; default: the parameterization's own, usually no rule"""
    betas: Betas | None = None
    """how Adam's betas follow batch and duration where the batch rule moves them"""
    muon_scale: TorchMuonScale | None = None
    """muon: the factor of a matrix's shape by which torch's Muon multiplies its rate, torch's `adjust_lr_fn`; the rule
    of the rate goes with it; default: original"""
    gauge: Gauge = "plain"
    """where the factors of `forward` live: `plain`, in init and rates, so that the model stays as it is; `multipliers`,
    in a model whose `forward` multiplies as Table 8 of Tensor Programs V has it; `unit`, in one whose inits
    keep their base values. The logits of a tied table are multiplied by a hook in `plain`"""
    update_rank: UpdateRank | None = None
    """adamh, muonh: whether updates move a matrix in as many directions as it has, or in a fixed number; default: fixed
    for adamh, full for muonh"""
    init: InitSource | None = None
    """own: scale the init that the model's own code draws, so that at the base the model starts as it does without a
    plan; rule: draw every parameter anew, at std 1/sqrt(fan-in) at the base, embeddings at 1; default: own for
    factory and huggingface, rule for gpt and mlp, and for u-mup, which draws at std 1"""
    decay_vectors: bool | None = None
    """false: gains, biases and other vectors are not decayed, as nanoGPT and CompleteP's code do; default: they are"""
    decay_timescale: Timescale | None = None
    """held: weight decay follows batch and tokens so that it averages over the same share of the run at every size,
    batch / (learning rate * weight decay * tokens); default: what the rules of rate and decay make of it
    (docs/training.md)"""


class Shape(Section):
    """A model size."""

    width: Width
    depth: Depth


#: what a target may lack cover in: an axis, or a hyperparameter that was tuned and not checked
Acceptable: TypeAlias = Literal[SizeAxis, "tokens_per_parameter", HyperparameterName]


class Target(Section):
    """The expensive run; batch and tokens default to the proxy's."""

    width: Width
    depth: Depth
    batch_size: Count | None = None
    tokens: Tokens | None = None
    """predicted positions over the whole run"""
    accept: Annotated[tuple[Acceptable, ...], Field(max_length=64, strict=False)] = ()
    """axes (width, depth, batch_size, tokens, tokens_per_parameter) and tuned hyperparameters for which this target may
    lie where no check reaches, and no larger one; where others do, `scale` and `check` end with status 3
    (docs/verdicts.md)"""


class Sizes(Section):
    """Where rules are anchored (base), where tuning happens (proxy), where transfer is measured, where it must hold."""

    base: Shape
    proxy: Shape | None = None
    """default: the base"""
    widths: Annotated[tuple[Width, ...], Field(min_length=1, strict=False)]
    """ladder at the proxy's depth"""
    depths: Annotated[tuple[Depth, ...], Field(strict=False)] = ()
    """ladder at the proxy's width; empty: depth is not checked"""
    batch_sizes: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """ladder at the proxy's shape and tokens, the tuned values moved by the batch rule; empty: not checked"""
    tokens: Annotated[tuple[Tokens, ...], Field(strict=False)] = ()
    """ladder of predicted positions at the proxy's shape and batch, moved by the token rule; empty: not checked"""
    corner: bool = False
    """also ask what the tuned value costs at the largest width and depth together, which no single ladder shows; needs
    `depths`"""
    target: Target
    parameters: Annotated[dict[Annotated[str, Field(pattern=SHAPE_LABEL)], Count], Field(max_length=1024)] = Field(
        default_factory=dict
    )
    """for `training.tokens_per_parameter`: how many parameters count at a size, as `w64-d2: 41000`; default: counted in
    the model"""


class Range(Section):
    """One axis of the search space."""

    low: NonNegative
    high: Positive
    scale: Literal["log", "linear"] = "log"
    """a log scale of beta1, beta2 and momentum is one of their horizon 1 / (1 - beta)"""


class Tune(Section):
    """The search on the proxy."""

    space: Annotated[dict[HyperparameterName, Range], Field(min_length=1)]
    """searched hyperparameters of `training` (learning_rate, weight_decay, init_scale, warmup, beta1, beta2, eps,
    momentum) and of its `multipliers`"""
    order: Literal["joint", "one-at-a-time"] = "joint"
    """joint: all at once; one-at-a-time: the learning rate first, then each other one around it, then what was best of
    each together, as u-muP does; it needs fewer trials where hyperparameters do not interact"""
    trials: Annotated[int, Field(ge=1, le=4096)] = 16
    """total number of finished search trials, over all interruptions"""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """first seed of the search"""
    seeds: Annotated[int, Field(ge=1, le=100)] | None = None
    """train the values around the optimum with this many seeds, because one seed's optimum is partly its own; part of
    `trials`; default 3 for one searched hyperparameter (where `trials` allows), 1 for more"""
    confirm_seeds: Annotated[int, Field(ge=1, le=100)] = 2
    """fresh seeds trained at the recommended values, besides `trials`"""
    sampler: Annotated[str, registered(SAMPLERS)] = "auto"
    """what chooses the next values (docs/search.md); the recommendation is always the minimum of a fitted mean"""
    enqueue: Annotated[tuple[dict[HyperparameterName, NonNegative], ...], Field(max_length=64, strict=False)] = ()
    """sets of values to try first, for example an earlier run's: one value for each searched hyperparameter"""


class Criteria(Section):
    """What counts as transfer; every bound that is set must hold at every checked size (docs/verdicts.md)."""

    cost: Positive | None = NEGLIGIBLE_DOUBLINGS
    """doublings of compute that would buy back what the proxy's value loses (where compute is not known a doubling of
    the width counts as two of them, one of another size as one); null, for no such bound, goes with `deviations` or
    `regret` only"""
    deviations: Positive | None = None
    """that loss in standard deviations of one run between seeds; the bound that holds where growing gains nothing that
    can be measured"""
    drift: Positive | None = None
    """octaves of the optimum per doubling of the size: the whole 95% interval must lie inside +-drift; default: any"""
    regret: Positive | None = None
    """that loss as a fraction of the size's best loss, which depends on how the loss is written; `tune` takes values
    within it for equally good, 0.0025 by default"""
    noise: Positive | None = None
    """standard deviation of one run in the unit of the loss where it is known; default: from the runs"""

    @property
    def plateau(self) -> float:
        """Share of the loss within which values count as equally good."""
        return NEGLIGIBLE_COST if self.regret is None else self.regret


class CoordinateCheck(Section):
    """The cheap check before the ladder: slopes of activation changes against size."""

    steps: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (1, 3, 10)
    seeds: Annotated[int, Field(ge=2, le=100)] = 3
    tolerance: Positive = 0.15
    """|slope| + 1.96 standard errors must stay below it"""


class Check(Section):
    """The transfer check."""

    hyperparameter: HyperparameterName = "learning_rate"
    hyperparameters: Annotated[tuple[HyperparameterName, ...], Field(max_length=32, strict=False)] = ()
    """instead of `hyperparameter`: a slice through the tuned point and a verdict for each, the worst one overall; each
    costs as many trials as one alone"""
    spacing: Annotated[float, Field(ge=0.03125, le=4)] = 0.5
    """octaves between neighbouring grid values at their finest, one grid for all sizes"""
    octaves: Annotated[float, Field(gt=0, le=16)] = 2.0
    """how far the grid reaches to each side of the tuned value; it is extended where an optimum lies on its edge"""
    seeds: Annotated[int, Field(ge=1, le=100)] = 2
    """per value to begin with"""
    adaptive: bool = False
    """begin with values an octave apart and spend further trials where they shrink the deciding interval most; default:
    the whole grid with all seeds at once"""
    max_trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """trials of an adaptive check in all; default: three times those it begins with"""
    criteria: Criteria = Criteria()
    coordinate: CoordinateCheck = CoordinateCheck()
    diagnostics: Annotated[tuple[Annotated[str, registered(DIAGNOSTICS)], ...], Field(max_length=32, strict=False)] = ()
    """measured in addition, on request (docs/verdicts.md): a diagnostic's name, or a `module:attribute` of one's own;
    `check --diagnostic` asks for one once"""

    @property
    def checked(self) -> tuple[HyperparameterName, ...]:
        """Every hyperparameter that is checked, at least one."""
        return self.hyperparameters or (self.hyperparameter,)

    @property
    def first_step(self) -> int:
        """Values of the lattice from one that a check begins with to the next: an octave where it refines by itself."""
        return max(1, round(1 / self.spacing)) if self.adaptive else 1


class Budget(Section):
    """What may be spent; options of `tune`, `check` and `run` override it.

    A limit that is reached before there is an answer ends the command with exit status 3; the same command continues
    once the limit is raised.
    """

    trials: Count | None = None
    """finished trials of all commands together (search, confirmation, check), over all interruptions"""
    flops: Positive | None = None
    """floating point operations of those trials; none is started that would go beyond"""
    time: Duration | None = None
    """wall time of one command, as `90s`, `30m`, `2h` or `1d`; the same command again has it anew"""
    trial_time: Duration | None = None
    """wall time of one trial; one that takes longer is killed with all its processes and counts as failed (timeout)"""
    trial_memory: Memory | None = None
    """resident memory of one trial, all its processes together, as `500MB` or `4GB`; one that holds more is killed and
    counts as failed (out of memory)"""


class Objective(Section):
    """The number that trials are compared by, and what it is measured on: predictions hold for it alone."""

    name: Annotated[str, Field(min_length=1, max_length=80)] = "loss"
    """what a function reports, or a command's results call it"""
    unit: Annotated[str, Field(max_length=40)] | None = None
    """for example `nats`; default: that of the built-in trainer's loss"""
    direction: Literal["minimize", "maximize"] = "minimize"
    """an objective that is maximized is compared, printed and stored with its sign changed"""
    evaluation: Annotated[str, Field(max_length=200)] = ""
    """what it is measured on, in your words, for example `10,000 held-out documents`; default: the data's evaluation
    set"""

    @property
    def sign(self) -> Literal[1, -1]:
        """What a value of the objective is multiplied by to be what is minimized."""
        return -1 if self.direction == "maximize" else 1


def predictions_per_example(model: Model, data: Data | None) -> int:
    """What one example counts for: what the data say, else 1 for a context-window MLP and the context for a decoder.

    Of data that only the trainer reads it is what `data` says, else 1, or the `context` of a model of kind external.

    Args:
        model: the recipe's `model` section.
        data: its `data` section; None where it is not valid.
    """
    said = None if data is None else data.predictions()
    if isinstance(data, ExternalData) and model.kind != "external":
        return said or 1  # a model's context says nothing of data that only the trainer reads
    return said or (1 if model.kind == "mlp" else model.context)


class Recipe(Section):
    """A whole recipe."""

    name: Annotated[str, Field(pattern=NAME, max_length=80)]
    """names the run folder, runs/<name>/"""
    description: str = ""
    model: Model = ExternalModel()
    """must be given where the trainer is `torch`"""
    data: Data = ExternalData(kind="external")
    """must be given where the trainer is `torch`"""
    trainer: TrainerChoice = NamedTrainer()
    """who trains: `torch`, `{function: "module:function"}`, `{command: [...]}`, or your own (docs/trainers.md)"""
    objective: Objective = Objective()
    training: Training
    parameterization: ParameterizationChoice
    sizes: Sizes
    tune: Tune
    check: Check = Check()
    budget: Budget = Budget()
    expect: Expect | None = None

    @property
    def predictions_per_example(self) -> int:
        """Predicted positions in one example; see `predictions_per_example`."""
        return predictions_per_example(self.model, self.data)

    @property
    def evaluation_examples(self) -> int:
        """Size of the fixed evaluation set on which every trial's loss is measured."""
        return self.data.evaluation_examples or self.training.evaluation_batches * self.training.batch_size

    @property
    def proxy(self) -> Shape:
        """The shape that is tuned."""
        return self.sizes.proxy or self.sizes.base

    @property
    def proxy_size(self) -> Size:
        """The size that is tuned, with the recipe's batch and duration."""
        return self.size(self.proxy.width, self.proxy.depth)

    @property
    def init_source(self) -> InitSource:
        """Whose init the plan scales: what the recipe says, or what its model and parameterization take by default."""
        own = self.model.kind in ("factory", "huggingface") and self.parameterization.name not in ABSOLUTE
        return self.parameterization.init or ("own" if own else "rule")

    @property
    def covers(self) -> frozenset[str]:
        """Axes ("width", "depth") for which the parameterization has a rule."""
        return covered_axes_of(self.parameterization.name, self.training.optimizer)

    @property
    def base_size(self) -> Size:
        """The size at which the hyperparameters hold as they are, with the recipe's batch and duration."""
        return self.size(self.sizes.base.width, self.sizes.base.depth)

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Width and depth of every size that the recipe names; a shape may come twice."""
        sizes, proxy = self.sizes, self.proxy
        yield sizes.base.width, sizes.base.depth
        yield proxy.width, proxy.depth
        yield from ((width, proxy.depth) for width in sizes.widths)
        yield from ((proxy.width, depth) for depth in sizes.depths)
        if sizes.corner:
            yield sizes.widths[-1], sizes.depths[-1]
        yield sizes.target.width, sizes.target.depth

    def size(self, width: int, depth: int, *, batch_size: int | None = None, tokens: int | None = None) -> Size:
        """A size with the recipe's batch and duration where none is given.

        Args:
            width: of the model, as its kind counts it.
            depth: number of layers that repeat.
            batch_size: examples per step; None for the recipe's.
            tokens: predicted positions over the whole run; None for the recipe's duration at the recipe's batch.

        Raises:
            UsageError: the duration follows the number of parameters, and that is not known (`engine.durations`).
        """
        batch = batch_size or self.training.batch_size
        return Size(width, depth, batch, tokens or self._usual_tokens(width, depth))

    def target_size(
        self,
        width: int | None = None,
        depth: int | None = None,
        batch_size: int | None = None,
        tokens: int | None = None,
    ) -> Size:
        """The target with what the caller changes.

        Args:
            width: of the model; None for the recipe's target, as for the three that follow.
            depth: number of layers that repeat.
            batch_size: examples per optimizer step.
            tokens: predicted positions over the whole run.

        Raises:
            UsageError: a value below 1.
        """
        target = self.sizes.target
        changed = {"width": width, "depth": depth, "batch_size": batch_size, "tokens": tokens}
        for name, value in changed.items():
            if value is not None and value < 1:
                raise UsageError(f"`{name} >= 1` must hold", received=f"{name}={value}")
        return self.size(
            width or target.width,
            depth or target.depth,
            batch_size=batch_size or target.batch_size,
            tokens=tokens or target.tokens,
        )

    @property
    def ray(self) -> str | None:
        """What tokens are in proportion to where they grow with the model; None where they do not."""
        ratio = self.training.tokens_per_parameter
        return None if ratio is None else f"{ratio:g} tokens per parameter"

    def on_ray(self, size: Size) -> bool:
        """Whether the tokens of a size are those that the recipe gives a model of its shape.

        Args:
            size: of any shape whose number of parameters is known.
        """
        return self.ray is not None and size.tokens == self._usual_tokens(size.width, size.depth)

    def _usual_tokens(self, width: int, depth: int) -> int:
        """Predicted positions of a run that says nothing else.

        Raises:
            UsageError: they follow the number of parameters, which is not known.
        """
        training, per_step = self.training, self.training.batch_size * self.predictions_per_example
        if training.steps is not None:
            return training.steps * per_step
        if training.tokens is not None:
            return training.tokens
        count = self.sizes.parameters.get(shape_label(width, depth))
        if training.tokens_per_parameter is None or count is None:
            raise UsageError(
                "the number of parameters must be known where `training.tokens_per_parameter` says how long to train",
                received=f"no count for {shape_label(width, depth)}",
                hint=f"write it in the recipe: `sizes.parameters: {{{shape_label(width, depth)}: 1000000}}`",
            )
        # whole steps, so that a size says what is trained
        return max(1, round(training.tokens_per_parameter * count / per_step)) * per_step

    def warmup_share(self, size: Size, share: float) -> float:
        """Share of the steps of a run over which its learning rate rises, in [0, 1].

        Args:
            size: batch and tokens of the run.
            share: value of the hyperparameter `warmup`, which holds where the recipe gives neither steps nor tokens.

        Raises:
            UsageError: the warmup is longer than the run.
        """
        training, steps = self.training, self.steps(size)
        if training.warmup_steps is not None:
            rising = training.warmup_steps
        elif training.warmup_tokens is not None:
            rising = round(training.warmup_tokens / (size.batch_size * self.predictions_per_example))
        else:
            return share
        if rising > steps:
            raise UsageError(
                "a warmup must end within the run",
                received=f"{rising} steps of warmup, {steps} steps at {size.label}",
                hint="make `warmup_steps` or `warmup_tokens` smaller, or write `warmup` as a fraction of the steps",
            )
        return rising / steps

    def steps(self, size: Size) -> int:
        """Optimizer steps of a run of a size, at least 1.

        Args:
            size: its examples per step and its tokens count.
        """
        return max(1, round(size.tokens / (size.batch_size * self.predictions_per_example)))
