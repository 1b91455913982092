"""Megatron-LM: the arguments are read without a shell, and held against its own code or a record of its rules."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.megatron import (
    ATTENTION,
    COMMIT,
    Flags,
    Python,
    fans,
    floors,
    muon_factor,
    parameters,
    rate,
    read_flags,
    trained_by,
)
from hptransfer.handover.parts import Part
from hptransfer.handover.trained import Reading, Trained, at_rate_times
from hptransfer.parameterization.rules import SHAPE_FACTORS
from hptransfer.roundtrip._megatron_own import available, own_rows
from hptransfer.roundtrip.torch import load_module

_ARRAY = re.compile(r"^HPTRANSFER_ARGS=\(\n(.*?)^\)$", re.DOTALL | re.MULTILINE)
_PYTHON = "hptransfer_megatron.py"
#: weights of a model that Megatron's own code builds here, about; of a larger one the record is asked
_LARGEST = 2 * 10**8


class _Megatron:
    """Megatron-LM's own code where it can be imported; elsewhere a record of its rules, which tests pin to it."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        text = _array(folder / "megatron_args.sh")
        flags, unknown = read_flags(text)
        file = folder / _PYTHON
        python = _python(file) if file.is_file() else None
        _require_sizes(flags)
        if not target.parameters:
            # the ends have names of their own; whether they are one weight, the command says
            flags |= {"untie-embeddings-and-output-weights": True}
        # Megatron's code builds the whole model in memory
        small = 12 * flags["num-layers"] * flags["hidden-size"] ** 2 <= _LARGEST
        own = small and bool(target.parameters) and flags["lr-decay-iters"] is not None and available()
        if own:
            said = own_rows(shlex.split(text, comments=True), None if python is None else file)
            rows, through = _of(said), "Megatron-LM's own arguments, model, init, groups and optimizer on a CPU"
        else:
            rows, through = tuple(trained_by(flags, python)), f"hptransfer's record of Megatron-LM {COMMIT}"
        rows = tuple(_as_planned(rows, flags, target))
        unread = [f"{word} is none of the flags that are read" for word in unknown]
        if not target.parameters:
            unread += ["init and attention are your command's own; no row of the plan says them"]
            rows = tuple(replace(each, init_std=None) for each in rows if each.name != ATTENTION)
        return Reading(
            rows,
            f"{through}; {_switch(flags)}",
            unread=tuple(unread),
            schedule=_schedule(flags, python),
            values={name: float(flags[flag]) for name, flag in _values(flags, target).items()},
            defaulted=frozenset(name for name, flag in _values(flags, target).items() if flag not in flags),
        )


def _array(path: Path) -> str:
    """The text between the brackets of the array."""
    try:
        found = _ARRAY.search(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError("the exported arguments must exist", received=str(error), hint="export again") from None
    if found is None:
        raise UsageError(
            "the file must hold the array that was written, `HPTRANSFER_ARGS=(` to `)`, each on a line of its own",
            received=str(path),
        )
    return found[1]


def _python(path: Path) -> Python:
    """What the Python file adds; it is imported, and imports no Megatron by that."""
    module = load_module(path)
    try:
        overrides = [
            (tuple(map(str, names)), {str(key): float(value) for key, value in values.items()})
            for names, values in module.OVERRIDES
        ]
        return Python(overrides, {int(inputs): float(std) for inputs, std in module.OUTPUT_STD.items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            "the exported Python file must hold OVERRIDES and OUTPUT_STD as they were written",
            received=f"{path}: {error}",
        ) from None


def _require_sizes(flags: Flags) -> None:
    missing = [name for name in ("num-layers", "hidden-size", "lr") if flags[name] is None]
    if missing:
        raise UsageError("Megatron-LM must be given its sizes and its rate", received=f"no --{', --'.join(missing)}")


def _of(said: Mapping[str, Any]) -> tuple[Trained, ...]:
    """Rows of what Megatron's own code returned."""
    rows = []
    tied = "output_layer.weight" not in said["parameters"]
    for name, row in said["parameters"].items():
        is_table, is_end = name.startswith("embedding.word"), name == "output_layer.weight"
        factor = said["logits"] if is_end or (is_table and tied) else 1.0
        multiplier = factor * (said["embedding"] if is_table else 1.0)
        optimizer = {"adam": "adamw"}.get(row["optimizer"], row["optimizer"])
        rows.append(Trained(name, row["std"], row["max_lr"], row["weight_decay"], row["eps"], multiplier, optimizer))
    dim = said["head_dim"]
    return (*rows, Trained(ATTENTION, None, 0.0, 0.0, None, said["softmax_scale"] * dim**0.5))


def _as_planned(rows: Sequence[Trained], flags: Flags, target: TargetFile) -> list[Trained]:
    """Rates of Muon as the plan counts them, over its own factor of the shape."""
    parts: Mapping[str, Part] = {name: part for part, name in parameters(flags)}
    ours: Callable[[int, int], float] = SHAPE_FACTORS[target.muon_scale or "original"]
    found = []
    for each in rows:
        ratio = 1.0
        if each.optimizer == "muon" and target.parameters and each.name in parts:
            sides = fans(flags, parts[each.name])
            ratio = muon_factor(flags, *sides) / ours(*sides)
        # the product of both is what decays per step, which no factor of the shape moves
        found.append(at_rate_times(each, ratio))
    return found


def _switch(flags: Flags) -> str:
    """What `--use-mup` comes to."""
    if not flags["use-mup"]:
        return "without --use-mup: nothing is scaled"
    if flags.width_mult == 1.0:
        return "--use-mup at a width growth of 1: no rate, eps or init is scaled"
    return f"--use-mup at a width growth of {flags.width_mult:g}"


def _values(flags: Flags, target: TargetFile) -> dict[str, str]:
    """Value that holds for all parameters -> its flag; without rows, those alone that the files must say."""
    found = {"clip": "clip-grad"}
    if flags["optimizer"] == "sgd":
        found["momentum"] = "sgd-momentum"
    else:
        found |= {"beta1": "adam-beta1", "beta2": "adam-beta2"}
    if flags["optimizer"] == "muon":
        found["momentum"] = "muon-momentum"
    searched = target.provenance.intervals
    if target.parameters or searched is None:
        return found
    return {name: flag for name, flag in found.items() if flag in flags or name in searched}


def _schedule(flags: Flags, python: Python | None) -> Callable[[int], float] | None:
    """The factor of the group whose smallest rate is the largest share of its peak."""
    if flags["train-iters"] is None and flags["lr-decay-iters"] is None:
        return None
    most, least = max(floors(flags, python), key=lambda group: group[1] / group[0] if group[0] else 0.0)
    return lambda iteration: rate(flags, most, least, iteration) / most


READER = _Megatron()
