"""What `lint --plan target.yaml` compares a foreign file with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import Role

#: relative difference of two values that are the same, written with few digits
SAME = 2e-3


@dataclass(frozen=True, slots=True)
class Planned:
    """The values of a plan that files of frameworks repeat.

    Attributes:
        learning_rate: at the base size; None where none was planned.
        rates: role -> distinct peak rates at the target.
        init_stds: distinct stds of hidden weights at the target.
        decays: role -> distinct coefficients of weight decay at the target.
        beta2: of Adam at the target; None for other optimizers.
        width: of the target, in units.
        base_width: where hyperparameters hold as they are.
        depth: of the target, in layers.
        base_depth: where hyperparameters hold as they are.
        model: model_type of a Hugging Face model; None for others.
        settings: of that model's configuration at this size.
    """

    learning_rate: float | None
    rates: Mapping[str, tuple[float, ...]]
    width: int
    base_width: int
    depth: int = 1
    base_depth: int = 1
    init_stds: tuple[float, ...] = ()
    decays: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    beta2: float | None = None
    model: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def width_mult(self) -> float:
        """Width over base width."""
        return self.width / self.base_width

    @property
    def hidden(self) -> tuple[float, ...]:
        """Rates of hidden weights that the rules moved away from the base's."""
        found = self.rates.get(Role.HIDDEN_WEIGHT.value, ())
        return tuple(rate for rate in found if self.learning_rate is not None and not same(rate, self.learning_rate))

    @property
    def several(self) -> bool:
        """Whether parameters are trained with more than one rate."""
        return len({rate for role, rates in self.rates.items() if role != Role.FROZEN for rate in rates}) > 1


def same(first: float | None, second: float | None) -> bool:
    """Whether two numbers are one, written with different precision.

    Args:
        first: number, or None, which equals nothing.
        second: to compare it with.
    """
    if first is None or second is None:
        return False
    return abs(first - second) <= SAME * max(abs(first), abs(second))


def read_planned(path: Path) -> Planned:
    """The values of a target's file.

    Args:
        path: of the `target.yaml` that `scale` wrote.

    Raises:
        UsageError: it is no target's file.
    """

    def missing() -> UsageError:
        return UsageError("the target's file must exist", received=str(path), hint="`hptransfer scale` writes it")

    return planned_of(TargetFile.read(path, missing=missing))


def planned_of(target: TargetFile) -> Planned:
    """The values of a target that files of frameworks repeat.

    Args:
        target: in any gauge; of a model that its trainer builds, the rates are those of muP for Adam.
    """
    rates: dict[str, list[float]] = {}
    decays: dict[str, list[float]] = {}
    for group in target.parameters:
        rates.setdefault(str(group.role), []).append(group.learning_rate)
        decays.setdefault(str(group.role), []).append(group.weight_decay)
    base = target.hyperparameters.get("learning_rate")
    ratio = target.size.width / target.base.width
    if not target.parameters and base is not None and target.parameterization != "standard" and _is_adam(target):
        rates = {Role.HIDDEN_WEIGHT.value: [base / ratio], Role.EMBEDDING.value: [base]}
    stds = [group.init_std for group in target.parameters if group.role == Role.HIDDEN_WEIGHT and group.init_std]
    hugging_face = target.model is not None and target.model.kind == "huggingface"
    return Planned(
        base,
        {role: tuple(dict.fromkeys(found)) for role, found in rates.items()},
        target.size.width,
        target.base.width,
        target.size.depth,
        target.base.depth,
        tuple(dict.fromkeys(stds)),
        {role: tuple(dict.fromkeys(found)) for role, found in decays.items()},
        target.optimizer_values.get("beta2", target.hyperparameters.get("beta2")) if _is_adam(target) else None,
        target.model.name if hugging_face and target.model is not None else None,
        dict(target.model.settings) if hugging_face and target.model is not None else {},
    )


def _is_adam(target: TargetFile) -> bool:
    return target.optimizer in {"adam", "adamw"}
