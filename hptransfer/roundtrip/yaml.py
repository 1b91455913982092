"""Plain YAML: the file by itself, safely parsed, and an optimizer of torch that is built from it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.yaml_keys import yaml_content
from hptransfer.errors import UsageError
from hptransfer.export.yaml import EXPORTER
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.trained import EXACT, Reading, Trained
from hptransfer.parameterization.groups import collapsed_names
from hptransfer.schedule import schedule_factor

#: optimizers of a plan that torch has
_IN_TORCH: Mapping[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "muon": torch.optim.Muon,
}


class _Yaml:
    """Of the plan it is asked alone which of two rows of a parameter, which the file has twice, is not the plan's."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        path = folder / "plan.yaml"
        try:
            content = yaml_content(exported_text(path))
            return _reading(content, {each.name: each for each in EXPORTER.trained(target)})
        except UsageError:
            raise
        except Exception as error:  # the file may have been edited into anything
            raise UsageError(
                "plan.yaml must be as `hptransfer scale --format yaml` writes it",
                received=f"{path}: {type(error).__name__}: {error}",
                hint="export again",
            ) from error


def _reading(content: dict[str, Any], planned: Mapping[str, Trained]) -> Reading:
    by_name: dict[str, dict[str, Any]] = {}
    for group in content["groups"]:
        for name in group["names"]:
            if name in by_name or not re.fullmatch(group["pattern"], name):
                raise UsageError("a name must be in the one group whose pattern it matches", received=name)
            by_name[name] = {key: group[key] for key in content["parameters"][name]}
    if by_name.keys() != content["parameters"].keys():
        apart = collapsed_names(sorted(by_name.keys() ^ content["parameters"].keys()))
        raise UsageError(
            "`groups` and `parameters` of plan.yaml must name the same of each",
            received=f"{apart} in one of them alone",
            hint="export again",
        )
    odd = [name for name, row in content["parameters"].items() if row != by_name[name]]
    for name in odd:  # whoever reads either section trains by it, so that the edited one is compared
        if name in planned and _trained(name, by_name[name], by_name[name]) == planned[name]:
            by_name[name] = content["parameters"][name]
    trained = {name: row for name, row in by_name.items() if row["learning_rate"] is not None}
    given: Mapping[str, Any] = content["optimizer"]
    if all(row["optimizer"] in _IN_TORCH for row in trained.values()):
        rows = _through_torch(trained, given)
        through = f"torch {torch.__version__}: optimizers that were built from the file"
        unread: tuple[str, ...] = ()
    else:
        rows = tuple(_trained(name, row, row) for name, row in trained.items())
        through = "the file itself"
        unread = (f"torch has no optimizer {given['name']}, so none was built from the file",)
    if odd:
        unread += (
            f"`groups` and `parameters` of plan.yaml do not say the same of {collapsed_names(odd)}: what is not the "
            "plan's was compared",
        )
    training = content["training"]
    values: dict[str, float | str] = {
        name: float(value) for name, value in given.items() if name in ("beta1", "beta2", "momentum")
    }
    if "adjust_lr_fn" in given:
        values["muon_scale"] = given["adjust_lr_fn"]
    if training is not None:
        values |= {name: training[name] for name in ("batch_size", "steps")}
    if training is not None and training["schedule"]["shape"] != "own":
        values |= {"clip": float(training["clip"] or 0.0), "floor": float(training["schedule"]["floor"])}
        values |= {"warmup_steps": training["schedule"]["warmup_steps"], "precision": training["precision"]}
    return Reading(rows, through, unread=unread, schedule=_schedule(training), values=values)


def _through_torch(trained: Mapping[str, dict[str, Any]], given: Mapping[str, Any]) -> tuple[Trained, ...]:
    """What torch's own optimizers make of the rows."""
    rows: list[Trained] = []
    for kind in dict.fromkeys(row["optimizer"] for row in trained.values()):
        groups = [
            {
                "params": [torch.nn.Parameter(torch.empty(1, 1, device="meta"))],
                "lr": row["learning_rate"],
                "weight_decay": row["weight_decay"],
                "hptransfer": (name, row),
                **({} if row["eps"] is None or kind in ("sgd", "muon") else {"eps": row["eps"]}),
            }
            for name, row in trained.items()
            if row["optimizer"] == kind
        ]
        shared: dict[str, Any] = {}
        if kind in ("adam", "adamw"):
            shared = {"betas": (given["beta1"], given["beta2"])}
        elif "momentum" in given:
            shared = {"momentum": given["momentum"]}
        optimizer: Any = _IN_TORCH[kind](groups, **shared)
        for group in optimizer.param_groups:
            name, row = group["hptransfer"]
            rows.append(_trained(name, row, group))
    return tuple(rows)


def _trained(name: str, row: Mapping[str, Any], group: Mapping[str, Any]) -> Trained:
    """A parameter's values, the trained ones from where they are used.

    Args:
        name: full name of the parameter.
        row: what the file says.
        group: of an optimizer, or the row itself.
    """
    start = row["init"]
    std = {"scale": lambda: start["own_std"] * start["factor"], "draw": lambda: start["std"]}.get(start["how"])
    return Trained(
        name,
        None if std is None else float(std()),
        float(group.get("lr", row["learning_rate"])),
        float(group["weight_decay"]),
        None if row["eps"] is None else float(group.get("eps", row["eps"])),
        float(row["multiplier"]),
        row["optimizer"],
        start["value"] if start["how"] == "fill" else None if std is None else 0.0,
    )


def _schedule(training: Mapping[str, Any] | None) -> Callable[[int], float] | None:
    """The formula, after a comparison with the table."""
    if training is None or training["schedule"]["shape"] == "own":
        return None
    said, steps = training["schedule"], training["steps"]

    def factor(step: int) -> float:
        share = {} if said["decay_steps"] is None else {"decay_share": said["decay_steps"] / steps}
        at = min(step, steps - 1)
        return schedule_factor(said["shape"], at, steps, said["warmup_steps"] / steps, floor=said["floor"], **share)

    for step, written in said["factors"].items():
        if not math.isclose(factor(step), written, rel_tol=EXACT, abs_tol=EXACT):
            raise UsageError(
                "`schedule.factors` of plan.yaml must be what its formula gives",
                received=f"step {step}: {written!r}, by the formula {factor(step)!r}",
                hint="edit both, or export again",
            )
    return factor


READER = _Yaml()
