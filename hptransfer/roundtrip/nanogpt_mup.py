"""nanoGPT-mup: its own configurator, model, optimizer and schedule where a checkout is named, else the record of them.

The environment variable HPTRANSFER_NANOGPT_MUP names the checkout. Of its `train.py`, which trains when it is
imported, the assignments before the configurator are run, and the function `get_lr`; `model.py` is imported. None of it
is changed.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import io
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.nanogpt_mup import EXPORTER
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.nanogpt_mup import (
    COMPLETEP,
    COMPLETEP_DEFAULTS,
    DEFAULTS,
    FILE,
    applied,
    branch_named,
    factor_of,
    without_open,
)
from hptransfer.handover.planned_values import model_facts, run_values, tuned_names
from hptransfer.handover.switched import require_layers, unlike
from hptransfer.handover.trained import Reading, Trained
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.user_code import described_error

#: names a checkout of the framework, whose own code then reads the file
CHECKOUT = "HPTRANSFER_NANOGPT_MUP"
#: rows of the token table where none is known: no value depends on it
_VOCABULARY = 64
#: what the framework uses for all parameters alike -> its keys
_VALUES: Mapping[str, tuple[str, ...]] = {
    "beta1": ("beta1",),
    "beta2": ("beta2",),
    "clip": ("grad_clip",),
    "floor": ("min_lr",),
    "batch_size": ("batch_size", "gradient_accumulation_steps"),
    "steps": ("max_iters",),
}
#: sizes of its model, where the plan has them -> their keys
_SIZES: Mapping[str, tuple[str, ...]] = {
    "width": ("n_embd",),
    "layers": ("n_layer",),
    "heads": ("n_head",),
    "key_value_heads": ("n_head",),
    "head_dim": ("n_embd", "n_head"),
    "feed_forward": ("n_embd",),
    "gated": (),
}
#: keys that rows or the schedule say
_ROWS = frozenset(
    {
        "n_layer", "bias", "init_std", "learning_rate", "weight_decay", "adam_eps", "decay_lr", "warmup_iters",
        "lr_decay_iters", "mup_enabled", "mup_disable_attention_scaling", "mup_disable_hidden_lr_scaling",
        "mup_width_multiplier", "mup_input_alpha", "mup_output_alpha", "depth_alpha_enabled", "depth_multiplier",
        "depth_alpha_exp",
    }
)  # fmt: skip
#: without rows, what nothing says of these
_OPEN = frozenset({"bias", "mup_disable_attention_scaling", "decay_lr", "warmup_iters", "lr_decay_iters"})


class _NanoGptMup:
    """Sizes are the file's; of the plan only whether it has rows is asked, and where it has none what was tuned."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        path = folder / FILE
        exported_text(path)
        checkout = os.environ.get(CHECKOUT)
        try:
            reading = through_code(Path(checkout), path) if checkout else _recorded(path, target)
        except UsageError:
            raise
        except Exception as error:  # the file may have been edited into anything
            raise UsageError(
                "nanoGPT-mup must take the exported configuration", received=f"{path}: {described_error(error)}"
            ) from error
        written = _assigned(path)
        if not target.parameters:
            reading = _open(reading, target, written)
        else:
            keys = {**_VALUES, **_SIZES}
            defaulted = frozenset(name for name in reading.values if set(keys[name]) - set(written))
            reading = replace(reading, defaulted=defaulted)
        return replace(_with_rest(reading, target, written), counted=EXPORTER.about.counted(target))


def _with_rest(reading: Reading, target: TargetFile, used: Mapping[str, Any]) -> Reading:
    """With what neither rows nor values say, where it is not as it was written; keys of the user's own are unread."""
    known = {**DEFAULTS, **COMPLETEP_DEFAULTS}
    written: dict[str, Any] = {}
    # the exporter's own text, which assigns literals
    exec(EXPORTER.export(target)[FILE], written)  # noqa: S102  # the exporter's own text
    planned = {*run_values(target), *model_facts(target)} & {*reading.values}
    said = {key for name in planned for key in {**_VALUES, **_SIZES}[name]}
    said |= _ROWS if target.parameters else _ROWS - _OPEN
    if target.training is None or target.training.schedule not in ("linear", "cosine", "wsd"):
        said.add("min_lr")
    keys = [key for key in known if key in used or key in written]
    here, there = ({key: {**known, **each}[key] for key in keys} for each in (used, written))
    own = sorted({*used} - {*known})
    unread = () if not own else (f"{', '.join(own)}: no keys whose effect is known here",)
    return replace(
        reading, others=tuple(unlike(here, there, lambda key: key in said)), unread=(*reading.unread, *unread)
    )


def _open(reading: Reading, target: TargetFile, written: Mapping[str, Any]) -> Reading:
    """Without what the user's own configuration decides, which is named before the file."""
    rows = without_open(reading.parameters, tuned_names(target) | ({"weight_decay"} & set(written)))
    stds = {row.name: row.init_std if "init_std" in written else None for row in reading.parameters}
    # the program's own attention is what the runs had
    rows = (
        replace(row, init_std=stds[row.name], multiplier=1.0 if "c_attn" in row.name else row.multiplier)
        for row in rows
    )
    values = {name: value for name, value in reading.values.items() if set(_VALUES.get(name, "?")) <= set(written)}
    unread = (
        "init_std, heads, attention, biases, schedule and what else was not tuned: they are in the configuration that "
        "the runs had, which is no part of the export",
    )
    return replace(reading, parameters=tuple(rows), values=values, unread=unread, schedule=None)


def _assigned(path: Path) -> dict[str, Any]:
    """What the file itself sets."""
    values: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), values)  # noqa: S102  # as its configurator does
    return {name: value for name, value in values.items() if not name.startswith("__")}


def _values(config: Mapping[str, Any]) -> dict[str, float | str]:
    values = {name: float(math.prod(config[key] for key in keys)) for name, keys in _VALUES.items()}
    width, heads = config["n_embd"], config["n_head"]
    sizes: dict[str, float | str] = {
        "width": float(width),
        "layers": float(config["n_layer"]),
        "heads": float(heads),
        "key_value_heads": float(heads),
        "head_dim": width / heads,
        "feed_forward": 4.0 * width,
        "gated": "no",
    }
    return {**values, "floor": values["floor"] / config["learning_rate"], **sizes}


# By the record.


def _recorded(path: Path, target: TargetFile) -> Reading:
    branch = branch_named(target.parameterization)
    config = {**DEFAULTS, **(COMPLETEP_DEFAULTS if branch is COMPLETEP else {}), **_assigned(path)}
    require_layers(config["n_layer"], "n_layer")
    rows = tuple(applied(config, branch))
    if target.parameters:
        # the plan's model divides by sqrt(head_dim); see `forward_factors`
        head_dim = config["n_embd"] / config["n_head"]
        own = config["mup_enabled"] and not config["mup_disable_attention_scaling"]
        rows = tuple(_attention(row, head_dim**-0.5 if own else 1.0) for row in rows)
    return Reading(
        rows,
        f"hptransfer's record of nanoGPT-mup {branch.commit} (branch {branch.name}), pinned to what its code returned; "
        f"{CHECKOUT}=CHECKOUT runs a checkout's own",
        schedule=lambda step: factor_of(config, step),
        values=_values(config),
    )


def _attention(row: Trained, factor: float) -> Trained:
    """Attention logits go with queries and keys, so their factor is said of the matrix that makes them."""
    return replace(row, multiplier=row.multiplier * factor) if row.name.endswith("attn.c_attn.weight") else row


# Through the framework's own code.


def through_code(checkout: Path, path: Path) -> Reading:
    """What a checkout's code makes of a configuration.

    Args:
        checkout: a folder with its `train.py`, `model.py` and `configurator.py`.
        path: of the configuration that is read.

    Raises:
        UsageError: there is no such checkout.
    """
    code = _Code.of(checkout)
    config = code.configured(path)
    arguments = {field.name: config[field.name] for field in fields(code.model.GPTConfig) if field.name in config}
    arguments["vocab_size"] = _VOCABULARY
    if "n_head" not in _assigned(path):
        # heads of the user's own configuration: no value but attention's depends on them
        arguments["n_head"] = 1
    with recorded_init() as record, contextlib.redirect_stdout(io.StringIO()):
        model = code.model.GPT(code.model.GPTConfig(**arguments))
        stds = record.stds(model)
        optimizer = code.optimizer(model, config)
    factors = code.forward_factors(arguments)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows = [
        Trained(
            names[id(parameter)],
            stds[names[id(parameter)]],
            # the loop of train.py: `param_group['lr'] = lr * param_group.get('lr_scale', 1.0)`
            config["learning_rate"] * group.get("lr_scale", 1.0),
            group["weight_decay"],
            group["eps"],
            factors(names[id(parameter)]),
        )
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    return Reading(
        tuple(rows),
        f"nanoGPT-mup in {checkout.name}: its configurator, model, init, optimizer and schedule",
        schedule=code.schedule(config),
        values=_values(config),
    )


def defaults_of(checkout: Path) -> dict[str, Any]:
    """What a checkout's `train.py` sets before any configuration is read.

    Args:
        checkout: a folder with the framework's code.

    Raises:
        UsageError: there is no such checkout.
    """
    return _Code.of(checkout).defaults()


@dataclass(frozen=True, slots=True)
class _Code:
    """A checkout's code.

    Attributes:
        train: syntax tree of its `train.py`.
        configurator: source text of its `configurator.py`.
        model: its `model.py`, which was imported.
    """

    train: ast.Module
    configurator: str
    model: ModuleType

    @classmethod
    def of(cls, checkout: Path) -> _Code:
        """The code in a folder."""
        files = [checkout / name for name in ("train.py", "configurator.py", "model.py")]
        name = "_hptransfer_nanogpt_mup"
        spec = importlib.util.spec_from_file_location(name, files[2])
        if not all(file.is_file() for file in files) or spec is None or spec.loader is None:
            raise UsageError(f"{CHECKOUT} must name a checkout of EleutherAI/nanoGPT-mup", received=str(checkout))
        module = importlib.util.module_from_spec(spec)
        # a dataclass looks its module up
        with patch.dict(sys.modules, {name: module}):
            spec.loader.exec_module(module)
        return cls(ast.parse(files[0].read_text(encoding="utf-8")), files[1].read_text(encoding="utf-8"), module)

    def defaults(self) -> dict[str, Any]:
        """The assignments of `train.py` before its configurator."""
        first = next(at for at, node in enumerate(self.train.body) if "configurator.py" in ast.unparse(node))
        plain: list[ast.stmt] = [node for node in self.train.body[:first] if isinstance(node, ast.Assign)]
        values: dict[str, Any] = {"torch": torch}
        exec(compile(ast.Module(plain, []), "train.py", "exec"), values)  # noqa: S102  # as train.py runs itself
        return values

    def configured(self, path: Path) -> dict[str, Any]:
        """The values of `train.py` with a configuration over them: its assignments, then its configurator."""
        values = self.defaults()
        quiet = contextlib.redirect_stdout(io.StringIO())
        with patch.object(sys, "argv", ["train.py", str(path)]), quiet, warnings.catch_warnings():
            # it opens the file and leaves closing it to the interpreter
            warnings.simplefilter("ignore", ResourceWarning)
            exec(compile(self.configurator, "configurator.py", "exec"), values)  # noqa: S102  # as train.py does
        return values

    def optimizer(self, model: Any, config: Mapping[str, Any]) -> torch.optim.Optimizer:
        """What `train.py` calls; the branch completep has one argument more."""
        given = {"betas": (config["beta1"], config["beta2"]), "device_type": "cpu"}
        names = inspect.signature(model.configure_optimizers).parameters
        found: torch.optim.Optimizer = model.configure_optimizers(
            **{name: given[name] if name in given else config[name] for name in names}
        )
        return found

    def schedule(self, config: dict[str, Any]) -> Callable[[int], float]:
        """`get_lr` of `train.py` over the peak; 1 where the rate does not fall."""
        function = next(node for node in self.train.body if isinstance(node, ast.FunctionDef) and node.name == "get_lr")
        scope = {**config, "math": math}
        exec(compile(ast.Module([function], []), "train.py", "exec"), scope)  # noqa: S102  # a function of train.py
        peak = config["learning_rate"]
        return lambda step: scope["get_lr"](step) / peak if config["decay_lr"] else 1.0

    def forward_factors(self, arguments: Mapping[str, Any]) -> Callable[[str], float]:
        """What `forward` multiplies by, seen in a small model with the same switches, in float64."""
        small = {**arguments, "n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 4, "dropout": 0.0}
        scales: list[float] = []
        own = torch.nn.functional.scaled_dot_product_attention

        def seen(*tensors: Any, **settings: Any) -> Any:
            scales.append(settings["scale"])
            return own(*tensors, **settings)

        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.model.GPT(self.model.GPTConfig(**small)).double()
            tokens = torch.zeros((1, 2), dtype=torch.long)
            with _inputs(model) as into, patch.object(torch.nn.functional, "scaled_dot_product_attention", seen):
                read_out, _ = model(tokens, tokens)
                last, _ = model(tokens)
        logits, looked_up = _ratio(read_out[0, -1], last[0, -1]), _ratio(into["block"], into["sum"])
        heads = arguments["n_embd"] // arguments["n_head"]
        own_scale = math.isclose(scales[0], 1 / 8)
        branch = float(getattr(model.transformer.h[0], "residual_scaling", 1.0))
        # over 1/sqrt(head_dim), which models of a plan have
        attention = heads**-0.5 if own_scale else scales[0] * math.sqrt(8)

        def factor(name: str) -> float:
            if name.endswith("wte.weight"):
                return logits
            if name.endswith("wpe.weight"):
                return looked_up
            if ".c_proj." in name:
                return branch
            return attention if name.endswith("c_attn.weight") else 1.0

        return factor


def _ratio(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of tensors that a factor tells apart: where the other is largest, so that rounding is smallest."""
    at = other.detach().abs().argmax()
    return float((one.flatten()[at] / other.flatten()[at]).detach())


@contextlib.contextmanager
def _inputs(model: Any) -> Iterator[dict[str, torch.Tensor]]:
    """What is looked up, and what the first block gets of it."""
    found: dict[str, torch.Tensor] = {}
    # the model multiplies in place what the dropout returned, so a copy is kept
    sums = model.transformer.drop.register_forward_hook(lambda _, __, out: found.update(sum=out.detach().clone()))
    blocks = model.transformer.h[0].register_forward_pre_hook(
        lambda _, inputs: found.update(block=inputs[0].detach().clone())
    )
    try:
        yield found
    finally:
        sums.remove()
        blocks.remove()


READER = _NanoGptMup()
