"""Megatron-LM's own, unmodified code on a CPU: its arguments, model, init, parameter groups, optimizer and schedule.

Run in a process of its own by `own_rows`, for it starts torch.distributed and replaces what only a GPU has: triton,
torch.compile, and on Python 3.11 `typing.override`. `normal_` writes its std into the tensor, so that stds are exact.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch

from hptransfer.errors import MachineError
from hptransfer.handover.megatron import DEFAULTS

#: what the CPU's run asks beside the arguments under test
_CPU = (
    "--micro-batch-size", "1", "--transformer-impl", "local", "--use-cpu-initialization", "--no-persist-layer-norm",
    "--no-gradient-accumulation-fusion", "--no-masked-softmax-fusion", "--no-rope-fusion",
    "--tokenizer-type", "NullTokenizer",
    "--vocab-size", "255", "--make-vocab-size-divisible-by", "64",
)  # fmt: skip
_SECONDS = 600


class _Stub(ModuleType):
    """A module whose every name is there."""

    __path__: list[str] = []  # noqa: RUF012  # what import reads of a package
    __version__ = "3.4.0"

    def __getattr__(self, name: str) -> Any:
        """A stand-in; names of the language are missing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds triton."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """A spec of triton and what lies in it."""
        mine = fullname.partition(".")[0] == "triton"
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if mine else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """A stub."""
        return _Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """A stub has no code."""


def available() -> bool:
    """Whether Megatron-LM with its training code can be imported here, for example by PYTHONPATH."""
    try:
        return importlib.util.find_spec("megatron.training") is not None
    except ImportError:
        return False


def own_rows(
    arguments: Sequence[str],
    python: Path | None = None,
    *,
    checkout: Path | None = None,
    iterations: Sequence[int] = (),
) -> Mapping[str, Any]:
    """What Megatron's code makes of arguments.

    Args:
        arguments: of pretrain_gpt.py, those that an export writes.
        python: the exported Python file; None: none is used.
        checkout: of Megatron-LM; None where `megatron` can be imported as it is.
        iterations: steps, counted from 0, whose rates are wanted.

    Returns:
        "parameters": name -> shape, std or None, max_lr, weight_decay, eps or None, optimizer, and rates by iteration;
        "logits", "embedding" and "softmax_scale": factors in `forward`; "head_dim"; "values": betas, momentum, clip;
        "defaults": those of the flags that the record knows.

    Raises:
        MachineError: its code stopped.
    """
    asked = {
        "arguments": list(arguments),
        "python": None if python is None else str(python.resolve()),
        "iterations": list(iterations),
    }
    paths = [str(checkout)] if checkout is not None else []
    old = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *([old] if old else [])]), "RANK": "0"}
    environment |= {"WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "hptransfer.roundtrip._megatron_own", str(result)],
            input=json.dumps(asked), text=True, capture_output=True, env=environment, timeout=_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode or not result.is_file():
            raise MachineError(
                "Megatron-LM's own code must run on a CPU",
                received=" ".join(done.stderr.strip().splitlines()[-1:]),
                hint="take `megatron` off PYTHONPATH, to use the record of its rules",
            )
        found: Mapping[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def _prepared() -> dict[float, float]:
    """Replaces what needs a GPU; returns where `normal_` keeps its stds, by what a float32 tensor holds."""
    for name in ("torch._dynamo", "torch._dynamo.testing", "torch.utils.flop_counter", "torch._inductor"):
        importlib.import_module(name)
    if importlib.util.find_spec("triton") is None:
        sys.meta_path.insert(0, _Stubs())
    vars(torch)["compile"] = lambda model=None, **_: model if model is not None else (lambda function: function)
    vars(typing).setdefault("override", lambda method: method)
    seen: dict[float, float] = {}

    def filled(tensor: torch.Tensor, mean: float = 0.0, std: float = 1.0, generator: object = None) -> torch.Tensor:
        seen[float(torch.tensor(std, dtype=torch.float32))] = std
        return tensor.data.fill_(std)

    torch.nn.init.normal_ = filled
    # the exported file draws with the tensor's own method
    torch.Tensor.normal_ = filled  # type: ignore[method-assign,assignment]
    return seen


def _run(asked: Mapping[str, Any]) -> dict[str, Any]:
    seen = _prepared()
    arguments = importlib.import_module("megatron.training.arguments")
    training = importlib.import_module("megatron.training.training")
    utils = importlib.import_module("megatron.training.argument_utils")
    sys.argv = ["pretrain_gpt.py", *_CPU, *asked["arguments"]]
    args = arguments.parse_args()
    arguments.validate_args(args, {})
    if asked["python"] is not None:
        sys.path.insert(0, str(Path(asked["python"]).parent))
        importlib.import_module(Path(asked["python"]).stem).apply(args)
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
        importlib.import_module("megatron.core.parallel_state").initialize_model_parallel(1, 1)
        groups = importlib.import_module("megatron.core.process_groups_config").ProcessGroupCollection
        builder = importlib.import_module("megatron.training.models.gpt").GPTModelBuilder
        model = builder(utils.gpt_config_from_args(args)).build_model(groups.use_mpu_process_groups(), True, True)
        found = _read(model, args, training, seen, asked["iterations"])
        torch.distributed.destroy_process_group()
    return found


def _read(
    model: Any, args: Any, training: Any, seen: Mapping[float, float], iterations: Sequence[int]
) -> dict[str, Any]:
    """Stds of the model as it was built, and the groups that Megatron's optimizer and scheduler have."""
    own = importlib.import_module("megatron.core.optimizer")
    config, overrides = training.get_megatron_optimizer_config(args)
    if args.use_mup:
        switch = own.get_mup_config_overrides(
            config=config, mup_width_mult=model.config.mup_width_mult, optimizer_type=config.optimizer
        )
        overrides = {**overrides, **switch}
    groups, kind = _grouped(own, model, config, overrides)
    training.get_args = lambda: args
    optimizer = SimpleNamespace(param_groups=groups)
    scheduler = training.get_optimizer_param_scheduler(optimizer)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows: dict[str, dict[str, Any]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            spread = float(parameter.detach().max() - parameter.detach().min())
            value = float(parameter.detach().flatten()[0])
            rows[names[id(parameter)]] = {
                "shape": list(parameter.shape),
                "std": seen[value] if parameter.dim() > 1 and not spread else None,
                "max_lr": group["max_lr"],
                "min_lr": group["min_lr"],
                "weight_decay": group["weight_decay"],
                "eps": group.get("eps", config.adam_eps if group.get("optimizer") == "adam" else None),
                "optimizer": group.get("optimizer", kind),
                "rates": [],
            }
    taken = 0
    for iteration in iterations:
        scheduler.step((iteration - taken) * args.global_batch_size)
        taken = iteration
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rows[names[id(parameter)]]["rates"].append(group["lr"])
    attention = model.decoder.layers[0].self_attention.core_attention
    return {
        "parameters": rows,
        "logits": float(model._scale_logits(torch.ones((), dtype=torch.float64))),
        "embedding": float(model.config.mup_embedding_mult) if args.use_mup else 1.0,
        "head_dim": model.config.kv_channels,
        "softmax_scale": float(attention.softmax_scale or 1 / math.sqrt(model.config.kv_channels)),
        "values": {
            "beta1": args.adam_beta1, "beta2": args.adam_beta2, "clip": args.clip_grad,
            "momentum": args.muon_momentum if kind == "muon" else args.sgd_momentum,
        },
        "defaults": _defaults(),
    }  # fmt: skip


def _grouped(own: Any, model: Any, config: Any, overrides: dict[Any, Any]) -> tuple[list[dict[str, Any]], str]:
    """Groups of the optimizer that Megatron builds; of Muon, whose package needs a GPU, those that it is given."""
    if config.optimizer != "muon":
        groups = own._get_param_groups([model], config, overrides)
        optimizer, _ = own._get_megatron_optimizer_based_on_param_groups(
            config, [model], groups, skip_megatron_wrapping=True
        )
        return optimizer.param_groups, type(optimizer).__name__.lower()
    entry = importlib.import_module("megatron.core.optimizer.emerging_optimizers")._EMERGING_OPTIMIZERS["muon"]
    beside = {key: {"optimizer": config.muon_scalar_optimizer} for key in entry.default_param_overrides}
    return own._get_param_groups([model], config, {**overrides, **beside}), "muon"


def _defaults() -> dict[str, Any]:
    """Megatron's default of each flag that the record knows; False of one that takes no value."""
    arguments = importlib.import_module("megatron.training.arguments")
    parser = arguments.add_megatron_arguments(argparse.ArgumentParser(allow_abbrev=False))
    actions = {name: parser._option_string_actions[f"--{name}"] for name in DEFAULTS}
    return {name: False if action.nargs == 0 else action.default for name, action in actions.items()}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        content = _run(json.loads(sys.stdin.read()))
    place.write_text(json.dumps(content), encoding="utf-8")
