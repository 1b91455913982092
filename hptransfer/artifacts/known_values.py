"""Values in files that must be one of a list: checked where a file is read, so that no reader meets another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import gauge_named
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Init, Role
from hptransfer.parameterization.rules import HIDDEN_ONLY, SHAPE_FACTORS
from hptransfer.parameterization.tables import FAMILIES
from hptransfer.recipe.registered import OPTIMIZERS
from hptransfer.recipe.training import Precision
from hptransfer.schedule import Schedule
from hptransfer.verdict import Verdict


def _one_of(known: Iterable[str]) -> Callable[[str | None], str | None]:
    names = tuple(known)

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise ValueError(f"it must be one of {', '.join(names)}")
        return value

    return check


def _optimizer(value: str) -> str:
    """One that rules are known for, or that a recipe may name."""
    if value not in FAMILIES and not OPTIMIZERS.accepts(value):
        raise ValueError(f"it must be one of {', '.join(dict.fromkeys((*FAMILIES, *OPTIMIZERS.names)))}")
    return value


def _at_least(least: float) -> Callable[[float], float]:
    def check(value: float) -> float:
        if not value >= least:
            raise ValueError(f"it must be at least {least}")
        return value

    return check


def _gauge(value: str) -> str:
    try:
        gauge_named(value)
    except UsageError as error:
        raise ValueError(error.findings[0].rule) from None
    return value


def _group(group: ParameterGroup) -> ParameterGroup:
    """A row's values that must be one of a list; its pattern is a regular expression."""
    checks: tuple[tuple[str, Callable[[Any], Any], Any], ...] = (
        ("role", _one_of(Role), group.role),
        ("init", _one_of(get_args(Init)), group.init),
        ("optimizer", _optimizer, group.optimizer),
        ("pattern", re.compile, group.pattern),
        ("count", _at_least(1), group.count),
        *((("shape", _at_least(1), length)) for length in group.shape),
        *((name, _at_least(0), getattr(group, name)) for name in ("init_std", "learning_rate", "weight_decay", "eps")),
    )
    for name, check, value in checks:
        try:
            if value is not None:
                check(value)
        except (ValueError, re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{name} {str(value)[:80]!r}: {error}") from None
    return group


def require_one_optimizer(optimizer: str, groups: Iterable[ParameterGroup]) -> None:
    """Rows are for the plan's optimizer, but where it trains hidden weights alone and leaves the others to another.

    Args:
        optimizer: of the whole plan.
        groups: the rows of that plan.

    Raises:
        ValueError: a row is for another.
    """
    if FAMILIES.get(optimizer) in HIDDEN_ONLY:
        return
    for group in groups:
        if group.optimizer not in (None, optimizer):
            raise ValueError(f"the row {group.pattern} is for {group.optimizer}, and optimizer is {optimizer!r}")


class _Open(BaseModel):
    """A part of a prediction: what is read of it has this form, and more may be there."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Ends(_Open):
    estimate: float
    low: float | None
    high: float | None


class _Objective(_Open):
    evaluation: str | None = None
    direction: str | None = None


class _Prediction(_Open):
    loss: _Ends | None
    basis: list[str]
    written: str
    target: dict[str, float]
    objective: _Objective = Field(default_factory=_Objective)


def _prediction(content: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The form of a prediction; its content stays as it is, for its hash is of that."""
    if content is None:
        return None
    try:
        _Prediction.model_validate(dict(content))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    return content


ScheduleName = Annotated[str, AfterValidator(_one_of(("own", *get_args(Schedule))))]
ClipNorm = Annotated[str, AfterValidator(_one_of(("global", "scaled")))]
PrecisionName = Annotated[str, AfterValidator(_one_of(get_args(Precision)))]
ModelKind = Annotated[str, AfterValidator(_one_of(("gpt", "mlp", "huggingface", "factory", "external")))]
VerdictName = Annotated[str | None, AfterValidator(_one_of(each.value for each in Verdict))]
MuonScale = Annotated[str | None, AfterValidator(_one_of(SHAPE_FACTORS))]
OptimizerName = Annotated[str, AfterValidator(_optimizer)]
GaugeName = Annotated[str, AfterValidator(_gauge)]
Group = Annotated[ParameterGroup, AfterValidator(_group)]
RegisteredPrediction = Annotated[Mapping[str, Any] | None, AfterValidator(_prediction)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
