"""What `lint --plan target.yaml` compares a foreign file with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import RecipeError, UsageError
from hptransfer.export.base import EXPORTERS
from hptransfer.parameterization.roles import Role
from hptransfer.recipe.load import load_recipe

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
        weight_decay: at the base size; None where none was planned.
        trained: name of a parameter in the format of the file at hand -> "learning_rate" and "weight_decay" that it is
            to be trained with; empty where the file is no export.
        path: of the target's file; None where it was not read from one.
        target: that the values are of; None where they are said one by one.
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
    weight_decay: float | None = None
    trained: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    path: Path | None = None
    target: TargetFile | None = field(default=None, repr=False, compare=False)

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

    def in_format(self, exporter: str | None) -> Planned:
        """The same with what a format trains each parameter with, in its names.

        Args:
            exporter: name of the format; None for a file that is no export.
        """
        target = self.target
        if target is None or not target.parameters or exporter not in EXPORTERS.built_in:
            return self
        trained = getattr(found := EXPORTERS.look_up(exporter), "trained", None)
        # in another gauge the values would have to be moved first, which `verify --export` does
        if trained is None or found.gauge not in {"plain", target.gauge}:
            return self
        try:
            rows = {
                each.name: {
                    "learning_rate": each.learning_rate,
                    **({} if each.weight_decay is None else {"weight_decay": each.weight_decay}),
                }
                for each in trained(target)
            }
        except UsageError:  # the format cannot hold this plan: the file is of another
            return self
        return replace(self, trained=rows)


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

    try:
        target = TargetFile.read(path, missing=missing)
    except UsageError:
        _refuse_recipe(path)
        raise
    return replace(planned_of(target), path=path)


def _refuse_recipe(path: Path) -> None:
    """Says of a recipe that it is one."""
    try:
        load_recipe(str(path))
    except (UsageError, RecipeError):
        return
    raise UsageError(
        "`--plan` takes the target.yaml that `hptransfer scale` writes",
        received=f"{path}, which is a recipe",
        hint=f"`hptransfer scale {shlex.quote(str(path))}` says where it writes the target.yaml",
    ) from None


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
        target.hyperparameters.get("weight_decay"),
        target=target,
    )


def _is_adam(target: TargetFile) -> bool:
    return target.optimizer in {"adam", "adamw"}
