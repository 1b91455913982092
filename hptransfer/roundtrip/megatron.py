"""Megatron-LM: the arguments are read without a shell, and held against its own code or a record of its rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import HptransferError, UsageError
from hptransfer.export._megatron_flags import MUON_SCALES
from hptransfer.export.megatron import EXPORTER
from hptransfer.handover.manifest import read_manifest
from hptransfer.handover.megatron import (
    ATTENTION,
    COMMIT,
    Flags,
    Python,
    fan_in,
    fans,
    floors,
    floors_by_name,
    muon_factor,
    parameters,
    rate,
    read_flags,
    trained_by,
)
from hptransfer.handover.megatron_arguments import SAID_BY_ROWS, apart, array_words, require_usable, words_of
from hptransfer.handover.parts import Part
from hptransfer.handover.planned_values import model_facts, run_values
from hptransfer.handover.trained import Difference, Reading, Trained, at_rate_times
from hptransfer.parameterization.rules import SHAPE_FACTORS
from hptransfer.roundtrip._megatron_file import PYTHON, read_python
from hptransfer.roundtrip._megatron_own import available, own_rows

_ARGUMENTS = "megatron_args.sh"
#: weights of a model that Megatron's own code builds here, about; of a larger one the record is asked
_LARGEST = 2 * 10**8


class _Megatron:
    """Megatron-LM's own code where it can be imported; elsewhere a record of its rules, which tests pin to it."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        words = array_words(folder / _ARGUMENTS)
        flags, unknown = read_flags(words)
        if unknown:
            raise UsageError(
                "every flag in the array must be one whose effect is known here",
                received=", ".join(unknown),
                hint="leave it out of the array; a flag of your own command that contradicts the plan is not seen here",
            )
        require_usable(flags)
        written = read_flags(words_of(EXPORTER.export(target)[_ARGUMENTS], _ARGUMENTS))[0]
        if not target.parameters:
            # the ends have names of their own; whether they are one weight, the command says
            flags |= {"untie-embeddings-and-output-weights": True}
            written |= {"untie-embeddings-and-output-weights": True}
        file, stray = _python_beside(folder)
        python = None if file is None else read_python(file)
        try:
            rows, through = _rows(words, flags, file, python, target)
            schedule, rates = _schedule(flags, python), _rates(flags, python, rows)
        except HptransferError:
            _require_base(flags, written)
            raise
        values = _values(flags, python, target)
        unread = list(stray)
        if not target.parameters:
            unread += ["init and attention are your command's own; no row of the plan says them"]
            rows = tuple(replace(each, init_std=None) for each in rows if each.name != ATTENTION)
        return Reading(
            rows,
            f"{through}; {_switch(flags)}",
            unread=tuple(unread),
            schedule=schedule,
            counted=EXPORTER.about.counted(target),
            values=values,
            defaulted=frozenset(name for name in values if name in _FLAGS and not {*_FLAGS[name]} & set(flags)),
            rates=rates,
            others=_rest(flags, written, target, frozenset(values)),
        )


def _require_base(flags: Flags, written: Flags) -> None:
    """A wrong size, or a wrong base, is the cause of what contradicts itself in such a file."""
    if sizes := apart(flags, written, _SIZES):
        raise UsageError("the file's sizes must be the plan's", received=_said(sizes)) from None
    if bases := apart(flags, written, _SWITCH):
        once = written.width_mult == 1.0  # its values are final
        raise UsageError(
            "what --use-mup scales over must be the plan's",
            received=f"{_said(bases)}: "
            + (
                "the values are those of this size, and are scaled twice"
                if once
                else f"rates, eps and init are scaled by {flags.width_mult:g}, planned {written.width_mult:g}"
            ),
            hint="export again",
        ) from None


def _said(found: Sequence[Difference]) -> str:
    return "; ".join(each.sentence.partition(": ")[2] for each in found)


def _python_beside(folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """The Python file where the export has one; one that lies there besides is told of, and not read."""
    file = folder / PYTHON
    if PYTHON in read_manifest(folder).files:
        return file, ()
    if not file.exists():
        return None, ()
    return None, (
        f"{PYTHON} beside the arguments is no part of this export, which is flags alone: delete it, and see that "
        "pretrain_gpt.py does not import it",
    )


def _rows(
    words: Sequence[str], flags: Flags, file: Path | None, python: Python | None, target: TargetFile
) -> tuple[tuple[Trained, ...], str]:
    """What each parameter is trained with, and who said so."""
    # Megatron's code builds the whole model in memory
    small = 12 * flags["num-layers"] * flags["hidden-size"] ** 2 <= _LARGEST
    if small and target.parameters and flags["lr-decay-iters"] is not None and available():
        rows, through = (
            _of(own_rows(words, file)),
            "Megatron-LM's own arguments, model, init, groups and optimizer on a CPU",
        )
    else:
        rows, through = tuple(trained_by(flags, python)), f"hptransfer's record of Megatron-LM {COMMIT}"
    return tuple(_as_planned(rows, flags, target)), through


def _rest(flags: Flags, written: Flags, target: TargetFile, said: frozenset[str]) -> tuple[Difference, ...]:
    """Flags that no row and no compared value has, where they are not as the plan's export has them."""
    compared = said & {*run_values(target), *model_facts(target)}
    names = {*flags, *written} - {flag for name in compared for flag in _FLAGS[name]}
    names -= SAID_BY_ROWS if target.parameters else SAID_BY_ROWS - _OPEN
    return tuple(apart(flags, written, sorted(names)))


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


#: what is compared for all parameters alike -> its flags
_FLAGS: Mapping[str, tuple[str, ...]] = {
    "beta1": ("adam-beta1",), "beta2": ("adam-beta2",), "momentum": ("sgd-momentum", "muon-momentum"),
    "clip": ("clip-grad",), "floor": ("min-lr",), "batch_size": ("global-batch-size",), "steps": ("train-iters",),
    "sequence_length": ("seq-length",), "muon_scale": ("muon-scale-mode", "muon-extra-scale-factor"),
    "width": ("hidden-size",), "layers": ("num-layers",), "heads": ("num-attention-heads",),
    "key_value_heads": ("group-query-attention", "num-query-groups"), "head_dim": ("kv-channels",),
    "feed_forward": ("ffn-hidden-size",), "gated": ("swiglu",), "rope_theta": ("rotary-base",),
    "norm_eps": ("norm-epsilon",),
}  # fmt: skip
#: what `--use-mup` scales by
_SWITCH = ("use-mup", "mup-base-hidden-size", "mup-base-head-dim")
_SIZES = ("num-layers", "hidden-size", "ffn-hidden-size", "num-attention-heads", "kv-channels", "num-query-groups")
#: of flags that rows say, those that without rows nothing says
_OPEN = frozenset(
    {"mup-base-head-dim", "mup-attn-scale-power", "mup-embedding-mult", "init-method-std", "embedding-init-method-std"}
)


def _values(flags: Flags, python: Python | None, target: TargetFile) -> dict[str, float | str]:
    """Values that hold for all parameters; without rows, those alone that the files must say."""
    optimizer = {"sgd": ("momentum",), "adam": ("beta1", "beta2")}.get(
        flags["optimizer"], ("beta1", "beta2", "momentum")
    )
    own = {"momentum": f"{flags['optimizer']}-momentum"}
    searched = target.provenance.intervals
    found: dict[str, float | str] = {}
    for name in (*optimizer, "clip", "batch_size", "steps", "sequence_length"):
        flag = own.get(name, _FLAGS[name][0])
        open_ = not target.parameters and searched is not None and flag not in flags and name not in searched
        if flags[flag] is not None and not open_:
            found[name] = float(flags[flag])
    if flags["lr-decay-style"] != "constant" and (target.parameters or "min-lr" in flags):
        most, least = _slowest(flags, python)
        found["floor"] = least / most
    if flags["optimizer"] == "muon":
        mode, factor = flags["muon-scale-mode"], flags["muon-extra-scale-factor"]
        named = {each: name for name, each in MUON_SCALES.items()}
        found["muon_scale"] = named.get((mode, factor), f"{mode} times {factor:g}")
    return found | (_model(flags) if target.parameters else {})


def _model(flags: Flags) -> dict[str, float | str]:
    heads = flags["num-attention-heads"]
    found: dict[str, float | str] = {
        "width": flags["hidden-size"],
        "layers": flags["num-layers"],
        "feed_forward": fan_in(flags, Part.DOWN) if heads is not None else 0,
        "gated": "yes" if flags["swiglu"] else "no",
        "norm_eps": flags["norm-epsilon"],
    }
    if heads is not None:
        groups = flags["num-query-groups"] if flags["group-query-attention"] else heads
        found |= {"heads": heads, "key_value_heads": groups, "head_dim": flags.head_dim}
    if flags["position-embedding-type"] == "rope":
        found["rope_theta"] = flags["rotary-base"]
    return found


def _slowest(flags: Flags, python: Python | None) -> tuple[float, float]:
    """The largest and smallest rate of the group whose smallest is the largest share of its peak."""
    return max(floors(flags, python), key=lambda group: group[1] / group[0] if group[0] else 0.0)


def _schedule(flags: Flags, python: Python | None) -> Callable[[int], float] | None:
    """The factor of that group."""
    if flags["train-iters"] is None and flags["lr-decay-iters"] is None:
        return None
    most, least = _slowest(flags, python)
    return lambda iteration: rate(flags, most, least, iteration) / most


def _rates(flags: Flags, python: Python | None, rows: Sequence[Trained]) -> Callable[[int], Mapping[str, float]] | None:
    """The rate of every parameter at a step, since each group has a smallest rate of its own."""
    if flags["train-iters"] is None and flags["lr-decay-iters"] is None:
        return None
    ends = floors_by_name(flags, python)

    def rates(iteration: int) -> Mapping[str, float]:
        shares = {each: rate(flags, *each, iteration) / each[0] for each in set(ends.values()) if each[0]}
        return {row.name: row.learning_rate * shares.get(ends.get(row.name, (0.0, 0.0)), 0.0) for row in rows}

    return rates


READER = _Megatron()
