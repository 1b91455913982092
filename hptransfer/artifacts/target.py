"""`target.yaml`: the large run's configuration with its evidence. `scale` writes it; `load_plan` and `verify` read it.

A pattern of a group of parameters is a regular expression that matches whole names; values of a group are final: those
of this size, not of the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args

import yaml
from pydantic import BaseModel, Field, PrivateAttr, model_validator

from hptransfer.artifacts.base import Artifact
from hptransfer.artifacts.horizon import HorizonRecord, TimescaleRecord
from hptransfer.artifacts.known_values import (
    ClipNorm,
    Count,
    GaugeName,
    Group,
    ModelKind,
    MuonScale,
    OptimizerName,
    PrecisionName,
    RegisteredPrediction,
    ScheduleName,
    Share,
    VerdictName,
    require_one_optimizer,
)
from hptransfer.artifacts.scope import ScopeRecord, with_standings
from hptransfer.artifacts.spent import Spent
from hptransfer.errors import UsageError, printable
from hptransfer.parameterization.groups import OPTIONAL_FIELDS
from hptransfer.parameterization.roles import Role
from hptransfer.recipe.schema import Recipe
from hptransfer.schedule import DECAY_SHARE, Schedule, schedule_factor
from hptransfer.sizes import Size

_HEADER = """\
# The configuration of one training run, written by `{writer}`.
#
# parameters: one row per group of parameters. `pattern` is a regular expression that must match the whole name;
#   `init_std`, `learning_rate` (the peak), `weight_decay` (torch's: the decay per step is learning_rate * weight_decay)
#   and `eps` are final values for this size. `rules` and `sources` say where each comes from. With `own_init_std` the
#   model's own code draws, at that std, and `init_` multiplies it to `init_std`; without, `init_` draws anew. `kept` is
#   left as the model starts it, and the role `frozen` is neither touched nor trained.
# hyperparameters: the values at the base size, before any rule, moved where `horizon` says so; warmup holds at every
#   size. Multipliers of roles are in the rows below; those that are left out are 1.
# optimizer_values: betas and momentum for this size.
# absorbed, in a row: the factor that `forward` would have in the form with multipliers; it is in the row's values.
# verdict, extrapolation: what was measured, and how far this size lies beyond it.
# scope: whether the check reaches this size, axis by axis, what the values cost here, and what would be best.
# use: whether these are the tuned values or the predicted ones.
# prediction: the loss this run should end with, written before it; `hptransfer verify RECIPE LOSS` compares.
#
{usage}
#
"""

_USAGE = """\
# In a training script (the schedule must multiply every group's learning rate by the same factor):
#   plan = hptransfer.load_plan("target.yaml")
{logits}#   plan.init_(model, seed=0)  # a model fresh from its own code: build it after `torch.manual_seed`
#   optimizer = {optimizer}
#   scheduler = {schedule}"""
_LOGITS = "#   hptransfer.scale_logits(model, plan)  # the table that is looked up reads out, see `notes`\n"
_SCHEDULE = "torch.optim.lr_scheduler.LambdaLR(optimizer, plan.schedule)"
_UNSAID_SCHEDULE = "your own; nothing was said of it when the plan was saved"
_OWN_SCHEDULE = "your own, as in the runs that were tuned; what they did with betas, too"

_NO_MODEL = """\
# The recipe names no model, so there are no rows: give the program the values under `hyperparameters`. They are those
#   of the base size, which the program's own rules carry on, but for what `notes` say a law put where this size needs
#   it."""

_PREDICTED = """\
# use: predicted. Not what was tuned, but what the path of the ladder's optima predicts for this size: {names}.
#
"""
_NOT_COVERED = """\
# NOT COVERED: the check does not reach this size, see `scope`.
#
"""

_ACCEPTED = """\
# ACCEPTED: the check does not reach this size, and the recipe accepts that, see `scope`.
#
"""

_FORCED = """\
# FORCED: this file was written although the evidence does not support it.
{reasons}
#
"""

#: what the first version wrote as `format`; its content is that of format 1
_FIRST = "hptransfer-target/1"


_End = Annotated[float, Field(allow_inf_nan=True)] | None


class _Record(BaseModel):
    """A part of the file: unknown keys, loose types and numbers that are not finite are errors."""

    model_config = Artifact.model_config | {"strict": True}


class VerdictRecord(_Record):
    """What the check found, and what speaks against writing the file."""

    verdict: VerdictName
    """TRANSFERS, DRIFTS or INCONCLUSIVE; null: never checked"""
    sentence: str
    forced: bool
    """whether the file was written in spite of `objections`"""
    objections: tuple[str, ...]
    """why it should not have been written; empty unless forced"""
    axes: tuple[Mapping[str, Any], ...]
    """per checked axis what transfer.json says, with `sizes` as plain numbers"""


class ExtrapolationRecord(_Record):
    """How far the target lies beyond what was trained along one axis of size."""

    axis: str
    """width, depth, batch_size (examples per step) or tokens (predicted positions over the whole run)"""
    target: int
    """the target's value on the axis"""
    checked_up_to: int | None
    """the largest value that was trained; null: none"""
    factor: float | None
    """`target / checked_up_to`"""
    sentence: str


class TrainingRecord(_Record):
    """What a trainer needs besides rows and hyperparameters."""

    steps: Count
    """optimizer steps"""
    batch_size: Count
    """examples per step"""
    schedule: ScheduleName
    """`own`: the training function's or the program's, of which nothing is known"""
    warmup: Share | None
    """fraction of the steps; null: the schedule is its own"""
    clip: float | None
    """largest norm of a step's gradient; null: none"""
    clip_norm: ClipNorm = "global"
    """`global`: torch's; `scaled`: each gradient over the group's `gradient_size`"""
    floor: Share = 0.0
    """share of the peak to which the schedule falls"""
    decay_share: Share | None = None
    """of the schedule `wsd`: fraction of the steps over which it decays; null: another schedule"""
    precision: PrecisionName = "float32"
    """of the runs that were tuned"""

    @classmethod
    def of(cls, recipe: Recipe, size: Size, warmup: float) -> Self:
        """What a recipe's `training` section says of a run.

        Args:
            recipe: gives steps, schedule, clipping and precision.
            size: width, depth, batch and tokens of the run.
            warmup: share of the steps, where the recipe gives no other length.
        """
        training = recipe.training
        return cls(
            steps=recipe.steps(size),
            batch_size=size.batch_size,
            schedule=training.schedule,
            warmup=recipe.warmup_share(size, warmup),
            clip=training.clip,
            clip_norm=training.clip_norm,
            floor=training.floor,
            decay_share=training.decay_share if training.schedule == "wsd" else None,
            precision=training.precision,
        )

    def factor(self, step: int) -> float:
        """Learning rate of a step as a share of the peak; after the last step, that of the last step.

        Args:
            step: optimizer steps taken before, from 0.

        Raises:
            UsageError: the schedule is not one of this version.
        """
        known = get_args(Schedule)
        if self.schedule not in known or self.warmup is None:
            raise UsageError(f"`training.schedule` must be one of {', '.join(known)}", received=self.schedule)
        schedule = cast("Schedule", self.schedule)
        share = DECAY_SHARE if self.decay_share is None else self.decay_share
        step = min(step, self.steps - 1)
        return schedule_factor(schedule, step, self.steps, self.warmup, floor=self.floor, decay_share=share)


class ModelRecord(_Record):
    """The model of the target, as the recipe names it, at this size."""

    kind: ModelKind
    """`gpt`, `mlp`, `huggingface`, `factory`; `external`: the trainer builds it"""
    name: str | None = None
    """`huggingface`: the model_type; `factory`: `module:function`"""
    settings: Mapping[str, bool | int | float | str | None] = Field(default_factory=dict)
    """its configuration at this size; keys of one inside another are written `text_config.hidden_size`"""
    task: str | None = None
    """`huggingface`: what stands on top, `causal-lm` for example; null: not said"""
    config_values: Mapping[str, float | list[float]] = Field(default_factory=dict)
    """`huggingface`: keys of the configuration that hold multipliers of `forward`, with their values at this size; they
    are in no `settings`"""
    head_dims: tuple[int, int] | None = None
    """`huggingface`: width of an attention head at the base and at this size, where heads grow; null: they do not"""


class UsedRecord(_Record):
    """A hyperparameter whose tuned value was not carried to this size."""

    value: float
    """used instead, at the base size, own unit"""
    low: float | None
    """end of the 95% interval of the optimum at this size; null: open"""
    high: float | None
    """other end; null: open"""
    basis: str
    """what it follows from"""


class UseRecord(_Record):
    """What this size is trained with."""

    use: Literal["tuned", "predicted"]
    """tuned: what the proxy's search found; predicted: where the path of the ladder's optima leads"""
    predicted: Mapping[str, UsedRecord] = Field(default_factory=dict)
    """hyperparameter -> what is used instead of the tuned value; empty where tuned values are"""


class ProvenanceRecord(_Record):
    """Where the values come from."""

    written: str
    """ISO 8601, UTC"""
    versions: Mapping[str, str]
    """of packages whose versions can change a run, when the file was written"""
    recipe_hash: str
    """sha256 (hex) of what evidence rests on in the recipe"""
    identity: str = ""
    """sha256 (hex) of the rules, code and data that the evidence was gathered under; empty: not known"""
    data_fingerprint: str | None
    """sha256 (hex) of the corpus"""
    seeds: Mapping[str, int]
    """first seed of the search; numbers of seeds of confirmation, check and coordinate check"""
    tuned_at: Mapping[str, int] | None
    """the proxy's size: width, depth, examples per step, tokens"""
    intervals: Mapping[str, tuple[_End, _End]] | None
    """tuned hyperparameter -> ends of its interval, own unit; null (at first: infinite) where it is open"""
    tuned_with: Mapping[str, Any]
    """provenance in tuned.yaml"""


class TargetFile(Artifact):
    """The content of `target.yaml`."""

    model_config = Artifact.model_config | {"strict": True}

    FORMAT: ClassVar[int] = 1
    WRITER: ClassVar[str] = "hptransfer scale"

    recipe: str
    """its name"""
    verdict: VerdictRecord
    scope: ScopeRecord | None = None
    """whether the check reaches this size, axis by axis; null: it is the proxy's, or there was no check"""
    use: UseRecord | None = None
    """null: planned in Python"""
    extrapolation: tuple[ExtrapolationRecord, ...]
    parameterization: str
    """name with its exponents, for example completep(alpha=1)"""
    gauge: GaugeName
    """where multipliers live; `plain`: none in `forward`, and logits of a tied table are multiplied by `scale_logits`;
    others: `forward` multiplies by each group's `multiplier`"""
    optimizer: OptimizerName
    options: Mapping[str, bool | float | str] = Field(default_factory=dict)
    """named choices among published rules (`weight_decay`, `eps`, ...), defaults filled in; empty where nothing was
    planned"""
    base: Size
    """at which hyperparameters hold as they are: width, depth, examples per step, tokens over the whole run"""
    size: Size
    """of this run"""
    hyperparameters: Mapping[str, float]
    """values at the base size; multipliers of roles that are left out are 1"""
    optimizer_values: Mapping[str, float] = Field(default_factory=dict)
    """betas and momentum at this size"""
    muon_scale: MuonScale = None
    """muon: the factor of a matrix's shape by which the optimizer multiplies the rates below, torch's `adjust_lr_fn`"""
    model: ModelRecord | None = None
    """null: planned in Python, or written before it was said"""
    training: TrainingRecord | None = None
    """null: planned in Python, and nothing was said of it"""
    notes: tuple[str, ...]
    """what a reader must know: choices among published rules, what no rule covers"""
    parameters: tuple[Group, ...]
    provenance: ProvenanceRecord
    horizon: tuple[HorizonRecord, ...] = ()
    """batch and tokens where they are not those of the checked runs: the measured exponent and what it moved, or what
    is published and was not applied"""
    decay_timescale: tuple[TimescaleRecord, ...] = ()
    """over how much of the run decoupled weight decay averages; empty where nothing decays"""
    prediction: RegisteredPrediction = None
    """registered before the run: content, date and sha256, see `hptransfer.transfer.prediction`; null: no check"""
    spent: Spent | None = None
    """null: written before costs were counted"""

    @model_validator(mode="after")
    def _one_optimizer(self) -> Self:
        require_one_optimizer(self.optimizer, self.parameters)
        return self

    @classmethod
    def parse(cls, text: str, path: Path) -> Self:
        """The content of the file's text; see `read`.

        Args:
            text: YAML with its header.
            path: of the file, for messages.
        """
        return super().parse(text.replace(f"format: {_FIRST}", f"format: {cls.FORMAT}", 1), path)

    @classmethod
    def upgraded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Plain data with what later versions say of a target.

        Args:
            data: of a file with this format's number.
        """
        return with_standings(data, "scope")

    #: the content that this is in another gauge
    _written: TargetFile | None = PrivateAttr(default=None)

    @property
    def as_written(self) -> TargetFile:
        """What the file says, of which this is another gauge's form; itself where it is in that of the file."""
        return self._written or self

    def in_form(self, update: Mapping[str, Any]) -> TargetFile:
        """The same target in another form, which remembers what the file says.

        Args:
            update: fields whose values are others in that form.
        """
        moved = self.model_copy(update=update)
        moved._written = self.as_written
        return moved

    @property
    def scales_logits(self) -> bool:
        """Whether a hook must multiply logits of a tied table: the factor is in no weight, and not in `forward`."""
        tied = [group for group in self.parameters if group.role == Role.TIED_EMBEDDING]
        return self.gauge == "plain" and any(group.multiplier != 1 for group in tied)

    @property
    def caution(self) -> str | None:
        """What whoever trains by a forced file must know, one sentence; None for others."""
        if not self.verdict.forced:
            return None
        reasons = printable("; ".join(self.verdict.objections))
        return f"FORCED: it was written although the evidence does not support it: {reasons}"

    @property
    def document(self) -> dict[str, Any]:
        """The content as plain data, in the order in which the file has it."""
        data = self.model_dump(mode="json")
        for row in data["parameters"]:
            for name in OPTIONAL_FIELDS:
                if row[name] is None:
                    del row[name]
        return data

    def to_yaml(self, optimizer: str, writer: str = WRITER) -> str:
        """The file's text: a header that explains it, then YAML whose floats read back bit for bit.

        Args:
            optimizer: Python expression that makes the optimizer from `plan` and `model`, for the header.
            writer: what writes the file.
        """
        training, logits = self.training, _LOGITS if self.scales_logits else ""
        schedule = _SCHEDULE if training is not None and training.warmup is not None else _OWN_SCHEDULE
        told = _UNSAID_SCHEDULE if training is None else schedule
        usage = _USAGE.format(optimizer=optimizer, schedule=told, logits=logits)
        header = _HEADER.format(writer=writer, usage=usage if self.parameters else _NO_MODEL)
        if self.use is not None and self.use.use == "predicted":
            header += _PREDICTED.format(names=", ".join(self.use.predicted))
        if self.scope is not None and not self.scope.covered:
            header += _ACCEPTED if self.scope.accepted else _NOT_COVERED
        if self.verdict.forced:
            reasons = "\n".join(f"#   {' '.join(objection.split())}" for objection in self.verdict.objections)
            header += _FORCED.format(reasons=reasons)
        return header + yaml.dump(self.document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes every row out in full, so that each can be read and edited by itself."""

    def ignore_aliases(self, data: object) -> bool:
        """Never use `&name` and `*name`."""
        return True

    def represent_sequence(
        self, tag: str, sequence: Iterable[object], flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        """Shapes and other short lists of numbers go on one line."""
        items = list(sequence)
        short = all(isinstance(item, int | float) for item in items)
        return super().represent_sequence(tag, items, flow_style=short or flow_style)
