"""What a check of a recipe says of one target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from hptransfer.parameterization.tables import MEASURED
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import MODEL_AXES, Size
from hptransfer.transfer.axis_facts import AxisFacts
from hptransfer.transfer.coverage import HORIZON, Accepted, AxisCoverage, Ray, TargetReport, accepting
from hptransfer.transfer.horizon import CarriedExponent, carried_exponents, predict_carried
from hptransfer.transfer.law import LawValue, law_values
from hptransfer.transfer.prediction import Prediction
from hptransfer.transfer.target import Checked, judge_target

#: what a target is trained with: what was tuned at the proxy, or where the path of the ladder's optima leads
Use = Literal["tuned", "predicted"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a check says of one target.

    Attributes:
        laws: values that the target is trained with in place of the tuned ones; none where those are carried.
        scope: the judgement of the target; None without a check, or where the target is the proxy.
        prediction: of optimum and loss there; None without a check, or where none was asked for.
        exponents: by which values are moved along batch and tokens, used or not; none where laws carry them.
    """

    laws: tuple[LawValue, ...] = ()
    scope: TargetReport | None = None
    prediction: Prediction | None = None
    exponents: tuple[CarriedExponent, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing of the target lies where the check does not reach, unless the recipe accepts it."""
        return self.scope is None or self.scope.settled

    @property
    def bounded(self) -> bool:
        """Whether every law bounds what the target needs."""
        return all(law.bounded for law in self.laws)


def outlook_of(
    recipe: Recipe,
    facts: Mapping[str, Sequence[AxisFacts]],
    values: Mapping[str, float],
    size: Size,
    flops: Callable[[Size], float | None],
    *,
    use: Use = "tuned",
    at_proxy: bool = False,
) -> Outlook:
    """What a check of a recipe says of a target.

    Args:
        recipe: says what was tuned, what was checked, and what the target may lack.
        facts: checked hyperparameter, as octaves are counted of it -> what was found along every axis.
        values: the same hyperparameters -> their tuned values.
        size: width, depth, batch and tokens of the target.
        flops: of one run of a size; None where they are not known. Asked where tokens per parameter matter.
        use: what the target is trained with; where no rule is claimed it is what the ladder's law says.
        at_proxy: whether a prediction is wanted of the proxy itself too.
    """
    proxy, on_ray = recipe.proxy_size, recipe.on_ray(size)
    laws: list[LawValue] = []
    measured = recipe.parameterization.name == MEASURED
    if measured or use == "predicted":
        laws = law_values(facts, proxy=proxy, target=size, at=values)
    if not measured:
        laws = [replace(law, why="the predicted optimum is used instead of the tuned value") for law in laws]
    used = dict(values) | {law.name: law.estimate for law in laws}
    scope = scope_of(recipe, facts, used, size, flops, tuned=values, laws=laws)
    if laws:
        return Outlook(tuple(laws), scope, laws[0].prediction)
    exponents = tuple(
        each
        for name, axes in facts.items()
        for each in carried_exponents(axes, name, proxy=proxy, target=size, on_ray=on_ray)
    )
    name, axes = next(iter(facts.items()))
    prediction = predict_carried(axes, name, values[name], proxy=proxy, target=size, on_ray=on_ray, at_proxy=at_proxy)
    return Outlook((), scope, prediction, exponents)


def scope_of(
    recipe: Recipe,
    facts: Mapping[str, Sequence[AxisFacts]],
    values: Mapping[str, float],
    size: Size,
    flops: Callable[[Size], float | None],
    *,
    tuned: Mapping[str, float],
    laws: Sequence[LawValue] = (),
) -> TargetReport | None:
    """The judgement of a target; None where the target is the proxy.

    Args:
        recipe: says what was tuned, what was checked, and what the target may lack.
        facts: checked hyperparameter, as octaves are counted of it -> what was found along every axis.
        values: the same hyperparameters -> what the target is trained with, before it is moved along batch and tokens.
        size: width, depth, batch and tokens of the target.
        flops: of one run of a size; None where they are not known. Asked where tokens per parameter matter.
        tuned: the same hyperparameters -> their tuned values.
        laws: by which values were put where the path of the optima leads; others are moved along batch and tokens by
            the exponents that ladders measured.
    """
    proxy = recipe.proxy_size
    if size == proxy:
        return None
    checked = []
    for name, axes in facts.items():
        moves = _moves(recipe, name, axes, size)
        each = Checked(name, values[name], axes, {} if laws else moves)
        if laws:
            there = Checked(name, tuned[name], axes, moves).at(asdict(size))
            each = replace(each, tuned=2.0**there)
        checked.append(each)
    horizon = _horizon(recipe, size, flops)
    report = judge_target(
        checked,
        proxy=asdict(proxy),
        target=asdict(size),
        unchecked=[name for name in recipe.tune.space if name not in recipe.check.checked],
        horizon=None if recipe.ray is not None else horizon,
        rays=[] if recipe.ray is None or horizon is None else [Ray("tokens", HORIZON, *horizon, recipe.ray)],
    )
    if recipe.parameterization.name == MEASURED:
        report = _by_law(report, laws)
    return accepting(report, _accepted(recipe, facts, flops))


def _accepted(
    recipe: Recipe, facts: Mapping[str, Sequence[AxisFacts]], flops: Callable[[Size], float | None]
) -> Accepted:
    """What the recipe accepts holds for its own target: for that, and for what lies between it and what was checked."""
    names, own, proxy = recipe.sizes.target.accept, recipe.target_size(), recipe.proxy_size
    found: dict[str, tuple[float, float]] = {}
    for name in names:
        if name == HORIZON:
            before, after = _horizon(recipe, own, flops) or (1.0, 1.0)
            ends = [1.0, after / before]
        elif hasattr(own, name):
            ends = [getattr(proxy, name), getattr(own, name)]
            ends += [end for axes in facts.values() for each in axes if each.axis == name for end in each.span]
        else:
            ends = [0.0, math.inf]
        found[name] = (float(min(ends)), float(max(ends)))
    return found


def _moves(recipe: Recipe, name: str, axes: Sequence[AxisFacts], size: Size) -> dict[str, float]:
    """Axis -> octaves by which a value is moved along it, as its ladder measured."""
    on_ray = recipe.on_ray(size)
    found = carried_exponents(axes, name, proxy=recipe.proxy_size, target=size, on_ray=on_ray)
    return {each.axis: each.octaves.estimate for each in found}


def _horizon(recipe: Recipe, size: Size, flops: Callable[[Size], float | None]) -> tuple[float, float] | None:
    """Tokens per parameter of proxy and target, up to a factor; None where no axis of its own is needed for it.

    A run takes about six operations per parameter and token (Kaplan et al., arXiv 2001.08361).
    """
    proxy = recipe.proxy_size
    shaped = any(getattr(size, axis) != getattr(proxy, axis) for axis in MODEL_AXES)
    if size.tokens == proxy.tokens and recipe.ray is None:
        return None
    if recipe.on_ray(size):
        return 1.0, 1.0
    if not shaped:
        return float(proxy.tokens), float(size.tokens)
    before, after = flops(proxy), flops(size)
    if not before or not after:
        # what a shape's own tokens are is known along a ray at least
        return None if recipe.ray is None else (1.0, size.tokens / recipe.size(size.width, size.depth).tokens)
    return 6 * proxy.tokens**2 / before, 6 * size.tokens**2 / after


def _by_law(report: TargetReport, laws: Sequence[LawValue]) -> TargetReport:
    """Where no rule is claimed, a checked axis is covered if the law bounds every optimum along it."""
    bounded = all(law.bounded for law in laws)

    def stands(each: AxisCoverage) -> AxisCoverage:
        if each.largest is None or each.standing == "unchanged" or each.axis == HORIZON:
            return each
        if bounded:
            return replace(each, standing="covered", reason="is where the ladder's law puts a value of its own")
        return replace(each, standing="not covered", reason="is where the ladder's law leaves the value open")

    return replace(report, axes=tuple(stands(each) for each in report.axes))
