"""Rules that tie several keys of a recipe together; each violation names the key that most likely has to change."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath
from typing import TypeVar

from pydantic import TypeAdapter

from hptransfer.hyperparameters import AVERAGES, MULTIPLIERS, log_coordinate
from hptransfer.recipe import suggestion
from hptransfer.recipe.registered import unread
from hptransfer.recipe.schema import (
    MODEL,
    Check,
    Count,
    Depth,
    GptModel,
    MlpModel,
    Model,
    ParameterizationChoice,
    Range,
    Shape,
    Target,
    TextFiles,
    Tokens,
    Training,
    Tune,
    Width,
)
from hptransfer.recipe.yaml.gate import KeyPath, Plain
from hptransfer.recipe.yaml.outline import SEARCHABLE, entry, without

T = TypeVar("T")


#: a power of depth is fitted through them
_FEWEST_DEPTHS = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule and the path of the value it is reported at (`elsewhere` when the recipe leaves that one out)."""

    path: KeyPath
    rule: str
    received: str
    hint: str | None = None
    elsewhere: KeyPath = ()


@dataclass(frozen=True)
class Draft:
    """The parts of a recipe that are valid by themselves, None for the others: rules judge what can be judged."""

    model: Model | None
    files: TextFiles | None
    training: Training | None
    parameterization: ParameterizationChoice | None
    base: Shape | None
    proxy: Shape | None
    widths: tuple[int, ...] | None
    depths: tuple[int, ...] | None
    batch_sizes: tuple[int, ...] | None
    tokens: tuple[int, ...] | None
    corner: bool
    target: Target | None
    space: dict[str, Range]
    searched: frozenset[str]
    tune: Tune | None
    check: Check | None

    @property
    def usual_tokens(self) -> int | None:
        """Predicted positions of a run that says nothing else; None where the parts are not valid."""
        if self.model is None or self.training is None:
            return None
        per_example = 1 if isinstance(self.model, MlpModel) else self.model.context
        return self.training.steps * self.training.batch_size * per_example

    @classmethod
    def of(cls, data: Plain, faulty: Collection[KeyPath] = (), unknown: Collection[KeyPath] = ()) -> Draft:
        """Read the valid parts.

        Args:
            data: the recipe as plain data.
            faulty: paths of the faults already found; parts they touch are left out.
            unknown: paths of keys that the schema does not have; they alone are left out.
        """
        data = without(data, unknown)

        def part(adapter: TypeAdapter[T], *path: str) -> T | None:
            value = entry(data, path)
            touched = any(fault[: len(path)] == path or path[: len(fault)] == fault for fault in faulty)
            return None if touched or value is None else adapter.validate_python(value)

        def absent(*path: str) -> bool:
            return entry(data, path) is None and not any(fault == path[: len(fault)] for fault in faulty)

        base = part(_SHAPE, "sizes", "base")
        ranges = {name: part(_RANGE, "tune", "space", name) for name in SEARCHABLE}
        space = entry(data, ("tune", "space"))
        misnamed = any(path[:2] == ("tune", "space") for path in unknown)
        return cls(
            model=part(MODEL, "model"),
            files=part(_FILES, "data") if entry(data, ("data", "kind")) == "text" else None,
            training=part(_TRAINING, "training"),
            parameterization=part(_PARAMETERIZATION, "parameterization"),
            base=base,
            proxy=base if absent("sizes", "proxy") else part(_SHAPE, "sizes", "proxy"),
            widths=part(_WIDTHS, "sizes", "widths"),
            depths=() if absent("sizes", "depths") else part(_DEPTHS, "sizes", "depths"),
            batch_sizes=() if absent("sizes", "batch_sizes") else part(_COUNTS, "sizes", "batch_sizes"),
            tokens=() if absent("sizes", "tokens") else part(_TOKENS, "sizes", "tokens"),
            corner=entry(data, ("sizes", "corner")) is True,
            target=part(_TARGET, "sizes", "target"),
            space={name: axis for name, axis in ranges.items() if axis is not None},
            searched=frozenset(space) if isinstance(space, dict) and not misnamed else frozenset(),
            tune=None if misnamed else part(_TUNE, "tune"),
            check=Check() if absent("check") else part(_CHECK, "check"),
        )


_FILES = TypeAdapter(TextFiles)
_TRAINING = TypeAdapter(Training)
_PARAMETERIZATION = TypeAdapter(ParameterizationChoice)
_SHAPE = TypeAdapter(Shape)
_TARGET = TypeAdapter(Target)
_WIDTHS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[Width, ...])
_DEPTHS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[Depth, ...])
_COUNTS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[Count, ...])
_TOKENS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[Tokens, ...])
_RANGE = TypeAdapter(Range)
_CHECK = TypeAdapter(Check)
_TUNE = TypeAdapter(Tune)


def violations(draft: Draft) -> Iterator[Violation]:
    """Every violation, in the recipe's order of sections."""
    for rule in _RULES:
        yield from rule(draft)


def _heads(draft: Draft) -> Iterator[Violation]:
    """Attention needs whole heads, and rotary positions turn pairs of numbers."""
    if not isinstance(draft.model, GptModel):
        return
    head_dim = draft.model.head_dim
    if draft.model.positions == "rotary" and head_dim % 2:
        hint = f"write {head_dim + 1}, or `positions: learned`"
        yield Violation(
            ("model", "head_dim"), "`head_dim % 2 == 0` must hold for rotary positions", f"head_dim={head_dim}", hint
        )
    for path, width in _all_widths(draft):
        if width % head_dim:
            below, above = width - width % head_dim, width + head_dim - width % head_dim
            hint = f"write {above}" + (f" or {below}" if below else "") + ", or change `model.head_dim`"
            received = f"width={width}, head_dim={head_dim}"
            yield Violation(path, "`width % head_dim == 0` must hold for gpt", received, hint)


def _all_widths(draft: Draft) -> Iterator[tuple[KeyPath, int]]:
    if draft.base:
        yield ("sizes", "base", "width"), draft.base.width
    if draft.proxy and draft.proxy is not draft.base:
        yield ("sizes", "proxy", "width"), draft.proxy.width
    for index, width in enumerate(draft.widths or ()):
        yield ("sizes", "widths", index), width
    if draft.target:
        yield ("sizes", "target", "width"), draft.target.width


def _data_files(draft: Draft) -> Iterator[Violation]:
    """Recipes come from strangers' pull requests too: they read below their own folder only."""
    for index, pattern in enumerate(draft.files.files if draft.files else ()):
        pure = PurePosixPath(pattern.replace("\\", "/"))
        if pure.is_absolute() or PureWindowsPath(pattern).drive or ".." in pure.parts or not pattern.strip():
            rule = "`data.files` must be patterns below the recipe's folder, without `..`"
            hint = "move the files below the recipe's folder, or the recipe above the files"
            yield Violation(("data", "files", index), rule, f'"{pattern}"', hint)


#: parameterizations with a residual exponent to choose, and those that scale residual branches
_WITH_ALPHA = frozenset({"completep", "complete-d-p"})
_WITH_BRANCHES = _WITH_ALPHA | {"depth-mup"}


def _parameterization(draft: Draft) -> Iterator[Violation]:
    choice = draft.parameterization
    if choice is None:
        return
    if choice.alpha is not None and choice.name not in _WITH_ALPHA:
        hint = "delete `alpha`, or write `name: completep`"
        rule = "`alpha` belongs to completep and complete-d-p only"
        yield Violation(("parameterization", "alpha"), rule, f"name={choice.name}", hint)
    if choice.name in _WITH_BRANCHES and draft.model is not None and draft.model.kind == "mlp":
        rule = f"{choice.name} needs residual blocks, and an mlp has none"
        yield Violation(
            ("parameterization", "name"), rule, f"{choice.name} with mlp", "write `name: mup`, or `model: {kind: gpt}`"
        )


def _ladders(draft: Draft) -> Iterator[Violation]:
    for name, values, at_proxy in (
        ("widths", draft.widths, draft.proxy and draft.proxy.width),
        ("depths", draft.depths, draft.proxy and draft.proxy.depth),
        ("batch_sizes", draft.batch_sizes, draft.training and draft.training.batch_size),
        ("tokens", draft.tokens, draft.usual_tokens),
    ):
        if not values:
            continue
        path: KeyPath = ("sizes", name)
        received = f"[{', '.join(str(value) for value in values[:12])}{', ...' if len(values) > 12 else ''}]"
        if any(low >= high for low, high in pairwise(values)):
            ordered = ", ".join(str(value) for value in sorted(set(values))[:12])
            yield Violation(path, f"`sizes.{name}` must increase strictly", received, f"write [{ordered}]")
        elif len(values) < 2:
            hint = "add larger ones: a ladder that spans at least a factor of 8 shows whether the optimum moves"
            yield Violation(path, f"`sizes.{name}` must have at least 2 entries", received, hint)
        if at_proxy and at_proxy not in values:
            what = "tokens" if name == "tokens" else name[:-1].replace("_", " ")
            rule = f"`sizes.{name}` must contain the proxy's {what}"
            yield Violation(
                path,
                rule,
                f"{received}; the proxy's is {at_proxy}",
                f"add {at_proxy}: drift is measured from the proxy",
            )


def _token_ladder(draft: Draft) -> Iterator[Violation]:
    if draft.tokens and draft.model and draft.training:
        step = draft.training.batch_size * (1 if isinstance(draft.model, MlpModel) else draft.model.context)
        if draft.tokens[0] < step:
            rule = "`sizes.tokens` must be enough for one optimizer step each"
            hint = "tokens count predicted positions over the whole run"
            yield Violation(("sizes", "tokens"), rule, f"{draft.tokens[0]}, one step takes {step}", hint)


def _corner(draft: Draft) -> Iterator[Violation]:
    if draft.corner and draft.depths == ():
        rule = "`sizes.corner` needs a ladder of depths beside the one of widths"
        hint = "add `sizes.depths`, or leave `corner` out"
        yield Violation(("sizes", "corner"), rule, "no `sizes.depths`", hint)


def _target(draft: Draft) -> Iterator[Violation]:
    target = draft.target
    if target is None:
        return
    others = [("base", draft.base)] + ([("proxy", draft.proxy)] if draft.proxy is not draft.base else [])
    for name, shape in others:
        for axis in ("width", "depth") if shape else ():
            mine, theirs = getattr(target, axis), getattr(shape, axis)
            if mine < theirs:
                rule = f"`target.{axis} >= {name}.{axis}` must hold"
                hint = f"transfer goes from small to large: write a target {axis} of at least {theirs}"
                yield Violation(("sizes", "target", axis), rule, f"target.{axis}={mine}, {name}.{axis}={theirs}", hint)
    if draft.model and draft.training and target.tokens is not None:
        per_example = 1 if isinstance(draft.model, MlpModel) else draft.model.context
        step = (target.batch_size or draft.training.batch_size) * per_example
        if target.tokens < step:
            rule = "`target.tokens` must be enough for one optimizer step"
            received = f"tokens={target.tokens}, one step takes {step}"
            yield Violation(
                ("sizes", "target", "tokens"), rule, received, "tokens count predicted positions over the whole run"
            )


def _processes(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is not None and training.processes > training.batch_size:
        yield Violation(
            ("training", "processes"),
            "`processes <= batch_size` must hold: each process takes at least one example of a batch",
            f"processes={training.processes}, batch_size={training.batch_size}",
        )


def _space(draft: Draft) -> Iterator[Violation]:
    for name, axis in draft.space.items():
        path: KeyPath = ("tune", "space", name)
        received = f"low={axis.low:g}, high={axis.high:g}"
        if axis.low >= axis.high:
            hint = f"to keep one value, write `training.{name}` and leave `{name}` out of `tune.space`"
            yield Violation((*path, "low"), "`low < high` must hold", received, hint)
        logarithmic = axis.scale == "log" and name not in AVERAGES
        positive = logarithmic or name in {"learning_rate", "init_scale", "eps", *MULTIPLIERS}
        if positive and axis.low <= 0:
            reason = "on a log scale" if logarithmic else f"for `{name}`"
            hint = f"write a small positive number, for example {axis.high / 256:.2g}"
            yield Violation((*path, "low"), f"`low > 0` must hold {reason}", received, hint)
        if name == "warmup" and axis.high > 1:
            rule = "`high <= 1` must hold for `warmup`, a fraction of the steps"
            yield Violation((*path, "high"), rule, received, "write 0.1 for a tenth of the steps")
        if name in AVERAGES and axis.high >= 1:
            rule = f"`high < 1` must hold for `{name}`, a weight of what was before"
            yield Violation((*path, "high"), rule, received, "write for example 0.99")
            continue
        fine = axis.scale != "log" or not (axis.low > 0 or name in AVERAGES) or axis.low >= axis.high
        if not fine and draft.check and _grid_values(name, axis, draft.check.spacing) < 2:
            rule = "a log range must hold at least 2 values of the grid"
            spacing = f"the grid is at multiples of {draft.check.spacing:g} octaves (`check.spacing`)"
            yield Violation(
                (*path, "high"), rule, f"{received}; {spacing}", "widen the range, or make the spacing finer"
            )


def _grid_values(name: str, axis: Range, spacing: float) -> int:
    """How many 2^(k * spacing), k an integer, lie in the range; rounding keeps bounds that are such points."""
    first = math.ceil(round(log_coordinate(name, axis.low) / spacing, 9))
    last = math.floor(round(log_coordinate(name, axis.high) / spacing, 9))
    return last - first + 1


#: of the built-in models: multipliers that concern no parameter, and why
_NO_SUCH_PART = {
    "mlp": {"attention_multiplier": "an mlp has no attention"},
    "gpt": dict.fromkeys(("input_learning_rate", "input_init"), "a gpt has no input layer, only tables of embeddings"),
}


def _without_effect(draft: Draft) -> Iterator[Violation]:
    """What nothing reads must be neither searched nor set."""
    searched = {name: ("tune", "space", name) for name in draft.space}
    absent = _NO_SUCH_PART.get(draft.model.kind, {}) if draft.model else {}
    given = draft.training.multipliers if draft.training else None
    for name in MULTIPLIERS:
        if name in absent and given is not None and getattr(given, name) != 1:
            path: KeyPath = ("training", "multipliers", name)
            rule = f"`{name}` must multiply something in the model"
            yield Violation(path, rule, f"{getattr(given, name):g}; {absent[name]}", "delete the line")
    for name, path in searched.items():
        if name in absent:
            yield Violation(path, f"`{name}` must multiply something in the model", absent[name], "delete the line")
        if draft.training and name in unread(draft.training.optimizer):
            rule, hint = f"`{name}` must be read by the optimizer to be searched", "delete the line"
            yield Violation(path, rule, f"optimizer={draft.training.optimizer}", hint)


#: values around an optimum: a parabola and one more on each side
FEWEST_ON_A_LINE = 5
#: seeds after which an exact signed-rank test can call a value worse at the level 0.1: the smallest p is 2^-4
FEWEST_PAIRS = 4


def _seeds(draft: Draft) -> Iterator[Violation]:
    tune = draft.tune
    if tune is None:
        return
    if tune.order == "one-at-a-time" and len(tune.space) > 1:
        fewest = FEWEST_ON_A_LINE * (tune.seeds or 1) * len(tune.space) + 1
        if tune.trials < fewest:
            rule = "`trials >= 5 * seeds * hyperparameters + 1` must hold for one at a time: a line each, then together"
            received = f"trials={tune.trials}, {len(tune.space)} hyperparameters"
            yield Violation(("tune", "trials"), rule, received, f"use {fewest} trials", ("tune", "order"))
        return
    if tune.seeds is None or len(tune.space) > 1:
        return
    fewest = FEWEST_ON_A_LINE * tune.seeds
    if tune.trials < fewest:
        rule = "`trials >= 5 * seeds` must hold: further seeds train the five values around the optimum"
        received = f"trials={tune.trials}, seeds={tune.seeds}"
        yield Violation(("tune", "trials"), rule, received, f"use {fewest} trials or fewer seeds", ("tune", "seeds"))


def _checked(draft: Draft, check: Check) -> Iterator[Violation]:
    """Every checked hyperparameter must be searched, on a log scale, and named once."""
    several = bool(check.hyperparameters)
    if several and "hyperparameter" in check.model_fields_set:
        rule, received = "only one of `hyperparameter` and `hyperparameters` can be given", "both"
        yield Violation(("check", "hyperparameters"), rule, received, "delete `hyperparameter`")
    for index, name in enumerate(check.checked):
        key: KeyPath = ("check", "hyperparameters", index) if several else ("check", "hyperparameter")
        if name in check.checked[:index]:
            yield Violation(key, "`check.hyperparameters` must differ", name, "delete one")
            continue
        if draft.searched and name not in draft.searched:
            searched = sorted(draft.searched & set(SEARCHABLE))
            hint = f"add `{name}` to `tune.space`"
            if searched:
                hint += f", or check one that is searched ({suggestion.hint(name, searched, 'searched')})"
            received = f"{name}, but `tune.space` has {', '.join(sorted(draft.searched))}"
            rule = f"`check.{key[1]}` must be in `tune.space`"
            yield Violation(key, rule, received, hint, elsewhere=("tune", "space"))
        axis = draft.space.get(name)
        if axis is not None and axis.scale != "log":
            rule = "the checked hyperparameter must have a log scale: its grid and its drift are counted in octaves"
            yield Violation(("tune", "space", name, "scale"), rule, f"{name}: {axis.scale}", "write `scale: log`")


def _enqueued(draft: Draft) -> Iterator[Violation]:
    """Optuna takes enqueued values as they are, whatever the range says."""
    for index, values in enumerate(draft.tune.enqueue if draft.tune else ()):
        path: KeyPath = ("tune", "enqueue", index)
        searched = draft.tune.space if draft.tune else {}
        if set(values) != set(searched):
            rule = "`tune.enqueue` must give one value for each hyperparameter of `tune.space`, and no others"
            received = ", ".join(sorted(values)) or "nothing"
            yield Violation(path, rule, received, f"give {', '.join(sorted(searched))}")
        for name, value in values.items():
            axis = searched.get(name)
            if axis is not None and not axis.low <= value <= axis.high:
                rule = f"`low <= value <= high` of `tune.space.{name}` must hold for enqueued values"
                received = f"{value:g}, with low={axis.low:g}, high={axis.high:g}"
                yield Violation((*path, name), rule, received, "widen the range, or leave the value out")


def _linearisation(draft: Draft) -> Iterator[Violation]:
    """Laziness in depth is a slope over depths of blocks that add up."""
    if draft.check is None or not draft.check.coordinate.linearisation:
        return
    place = ("check", "coordinate", "linearisation")
    if isinstance(draft.model, MlpModel):
        rule = "distance from linearisation is measured on residual blocks"
        yield Violation(place, rule, "a model of kind mlp", "its layers do not add up: delete the line")
    elif draft.depths is not None and len(draft.depths) < _FEWEST_DEPTHS:
        rule = f"distance from linearisation needs at least {_FEWEST_DEPTHS} entries in `sizes.depths`"
        hint = "for example [4, 8, 16]; below depth 4 what attention and MLP of one block do to each other dominates"
        yield Violation(place, rule, f"{len(draft.depths)} depths", hint, elsewhere=("sizes", "depths"))


def _check(draft: Draft) -> Iterator[Violation]:
    if draft.check is None:
        return
    yield from _checked(draft, draft.check)
    if draft.check.octaves < draft.check.spacing:
        received = f"octaves={draft.check.octaves:g}, spacing={draft.check.spacing:g}"
        yield Violation(
            ("check", "octaves"), "`octaves >= spacing` must hold", received, "the grid needs values on both sides"
        )
    steps: Sequence[int] = draft.check.coordinate.steps
    if any(early >= late for early, late in pairwise(steps)):
        received = f"[{', '.join(map(str, steps[:12]))}]"
        yield Violation(("check", "coordinate", "steps"), "`check.coordinate.steps` must increase strictly", received)


def _early_stopping(draft: Draft) -> Iterator[Violation]:
    tune = draft.tune
    if tune is not None and tune.early_stopping == "seeds" and (tune.seeds or 1) <= FEWEST_PAIRS:
        rule = f"`seeds > {FEWEST_PAIRS}` must hold for `early_stopping: seeds`: no fewer show that a value is worse"
        received = f"seeds={tune.seeds}" if tune.seeds is not None else "`tune.seeds` is missing"
        hint = f"add `seeds: {2 * FEWEST_PAIRS}`, or delete `early_stopping`"
        yield Violation(("tune", "early_stopping"), rule, received, hint)


_RULES: tuple[Callable[[Draft], Iterator[Violation]], ...] = (
    _heads,
    _data_files,
    _parameterization,
    _ladders,
    _token_ladder,
    _corner,
    _target,
    _processes,
    _space,
    _without_effect,
    _seeds,
    _early_stopping,
    _enqueued,
    _linearisation,
    _check,
)
