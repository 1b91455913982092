"""Records what Megatron-Bridge's unmodified code makes of exported files, which hptransfer's record is pinned to.

    git --git-dir BRIDGE archive 067f987d src | tar x -C FOLDER
    git --git-dir MEGATRON archive 2a75ac12 megatron | tar x -C FOLDER
    python -W ignore -m benchmarks.record_megatron_bridge FOLDER > tests/data/megatron_bridge.json

2a75ac12 is the Megatron-LM that Bridge's commit has as its submodule. FOLDER lies outside the repository, and none of
the code in it is copied. Of each plan the exported file is imported, and its `bridge(config)` called, on Bridge's own
`GPTModelProvider`, `OptimizerConfig` and `SchedulerConfig`, which have the flags' values by `FIELDS`; then Bridge's
`finalize`, `provide`, `_calculate_scheduler_steps` and `setup_optimizer` run on a CPU. Stubbed are triton,
torch.compile, and the packages of `STUBBED`, which are not installed here; Bridge's `__init__` is left out.
omegaconf is the real one: `pip install --target FOLDER omegaconf`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import yaml

from hptransfer.handover.megatron import Flags, read_flags
from hptransfer.handover.megatron_arguments import array_words
from hptransfer.roundtrip._megatron_own import _prepared, _Stubs
from tests.support.exported import write_export
from tests.support.megatron import ARGUMENTS, OVERRIDES, flags_target, plan, with_floor

BRIDGE, MEGATRON = "067f987d", "2a75ac12"
ITERATIONS = (0, 1, 5, 9, 10, 11, 40, 80, 90, 99)
STUBBED = ("transformer_engine", "datasets")
#: of tests.support.megatron
PLANS = ("mup", "completep", "mup, sgd", "mup, decay per step", "mup, the tables' init", "gpt2, completep")
#: part of Bridge's configuration -> flag -> field; every other flag that is written is in `_inverted` or `_shaped`
FIELDS: Mapping[str, Mapping[str, str]] = {
    "model": {
        "num-layers": "num_layers", "hidden-size": "hidden_size", "ffn-hidden-size": "ffn_hidden_size",
        "num-attention-heads": "num_attention_heads", "kv-channels": "kv_channels", "seq-length": "seq_length",
        "normalization": "normalization", "norm-epsilon": "layernorm_epsilon", "qk-layernorm": "qk_layernorm",
        "add-qkv-bias": "add_qkv_bias", "swiglu": "gated_linear_unit", "rotary-base": "rotary_base",
        "position-embedding-type": "position_embedding_type", "attention-dropout": "attention_dropout",
        "hidden-dropout": "hidden_dropout", "use-mup": "use_mup", "mup-base-hidden-size": "mup_base_hidden_size",
        "mup-base-head-dim": "mup_base_head_dim", "mup-attn-scale-power": "mup_attn_scale_power",
        "mup-output-mult": "mup_output_mult", "mup-embedding-mult": "mup_embedding_mult",
        "init-method-std": "init_method_std", "embedding-init-method-std": "embedding_init_method_std",
    },
    "optimizer": {
        "optimizer": "optimizer", "lr": "lr", "min-lr": "min_lr", "weight-decay": "weight_decay",
        "adam-beta1": "adam_beta1", "adam-beta2": "adam_beta2", "adam-eps": "adam_eps",
        "sgd-momentum": "sgd_momentum", "clip-grad": "clip_grad",
    },
    "scheduler": {
        "lr-decay-style": "lr_decay_style", "lr-warmup-iters": "lr_warmup_iters", "lr-decay-iters": "lr_decay_iters",
        "lr-wsd-decay-style": "lr_wsd_decay_style", "lr-wsd-decay-iters": "lr_wsd_decay_iters",
    },
}  # fmt: skip


class _Missing(_Stubs):
    """Finds what `STUBBED` names."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """A spec of a stubbed package and what lies in it."""
        if fullname.partition(".")[0] not in STUBBED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)


def fields(flags: Flags) -> dict[str, dict[str, Any]]:
    """The flags' values by part and field of Bridge's configuration.

    Args:
        flags: those of an exported file.

    Raises:
        ValueError: a flag has no field here.
    """
    found = {part: {field: flags[flag] for flag, field in own.items() if flag in flags} for part, own in FIELDS.items()}
    model = found["model"]
    shaped = {"max-position-embeddings", "group-query-attention", "num-query-groups", "train-iters"}
    shaped |= {"global-batch-size", "untie-embeddings-and-output-weights", "disable-bias-linear", "no-bias-gelu-fusion"}
    if left := {*flags} - shaped - {flag for own in FIELDS.values() for flag in own}:
        raise ValueError(f"no field of {sorted(left)}")
    model["add_bias_linear"] = not flags["disable-bias-linear"]
    model["share_embeddings_and_output_weights"] = not flags["untie-embeddings-and-output-weights"]
    model["num_query_groups"] = (
        flags["num-query-groups"] if flags["group-query-attention"] else flags["num-attention-heads"]
    )
    if flags["swiglu"]:
        model["activation_func"] = torch.nn.functional.silu
    return found


def recorded(folder: Path, seen: Mapping[float, float], *, called: bool = True) -> dict[str, Any]:
    """What Bridge's code makes of an exported folder.

    Args:
        folder: with the arguments, and the Python file where there is one.
        seen: where `normal_` keeps its stds, by what a float32 tensor holds.
        called: whether `bridge(config)` of the file is; else, the mistake of a user who forgets it.
    """
    flags = read_flags(array_words(folder / ARGUMENTS))[0]
    values = fields(flags)
    config_module = importlib.import_module("megatron.bridge.training.config")
    optim = importlib.import_module("megatron.bridge.training.optim")
    models = importlib.import_module("megatron.bridge.models.gpt_provider")
    model = models.GPTModelProvider(
        **values["model"], vocab_size=256, transformer_layer_spec=models.local_layer_spec, use_cpu_initialization=True,
        gradient_accumulation_fusion=False, persist_layer_norm=False, masked_softmax_fusion=False,
        bias_activation_fusion=False, apply_rope_fusion=False,
    )  # fmt: skip
    config = SimpleNamespace(
        model=model,
        optimizer=config_module.OptimizerConfig(**values["optimizer"]),
        # as Bridge's recipes have it, until the exported file sets it
        scheduler=config_module.SchedulerConfig(
            **values["scheduler"], start_weight_decay=0.033, end_weight_decay=0.033
        ),
        train=SimpleNamespace(
            train_iters=flags["train-iters"], global_batch_size=flags["global-batch-size"], train_samples=None
        ),
        optimizer_config_override_provider=config_module.OptimizerConfigOverrideProvider(),
    )
    said: dict[str, Any] = {"arguments": " ".join(array_words(folder / ARGUMENTS))}
    if (folder / OVERRIDES).exists():
        exported = _imported(folder / OVERRIDES)
        if called:
            exported.bridge(config)
        said["python"] = {"overrides": exported.OVERRIDES, "output_std": exported.OUTPUT_STD}
    else:
        config.scheduler.start_weight_decay = config.scheduler.end_weight_decay = flags["weight-decay"]
    for part in (config.model, config.optimizer, config.scheduler):
        part.finalize()
    config_module.ConfigContainer._calculate_scheduler_steps(config)
    model._pg_collection = importlib.import_module(
        "megatron.core.process_groups_config"
    ).ProcessGroupCollection.use_mpu_process_groups()
    built = model.provide(pre_process=True, post_process=True)
    built.ddp_config = config_module.DistributedDataParallelConfig(use_distributed_optimizer=False)
    optimizer, scheduler = optim.setup_optimizer(
        config.optimizer, config.scheduler, [built],
        optimizer_config_override_provider=config.optimizer_config_override_provider,
    )  # fmt: skip
    said["reloaded"] = _reloaded(model)
    return {**said, **_read(built, optimizer, scheduler, config, seen)}


def _reloaded(model: Any) -> dict[str, Any]:
    """Some fields of the model's configuration as a checkpoint's run_config.yaml has it, instantiated again."""
    container = importlib.import_module("megatron.bridge.training.utils.config_utils")._ConfigContainerBase
    utils = importlib.import_module("megatron.training.config.yaml_utils")
    with utils.safe_yaml_representers():
        text = yaml.safe_dump(container._convert_value_to_dict(model))
    # the name of what stands here for the function that draws
    filled = torch.nn.init.normal_
    text = text.replace(f"{filled.__module__}.{filled.__qualname__}", "torch.nn.init.normal_")
    found = importlib.import_module("megatron.bridge.utils.instantiate_utils").instantiate(yaml.safe_load(text))
    return {name: getattr(found, name) for name in ("hidden_size", "mup_base_hidden_size", "mup_output_mult")}


def _imported(file: Path) -> ModuleType:
    module = ModuleType(file.stem)
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), vars(module))  # noqa: S102  # an import
    return module


def _read(
    model: Any, optimizer: Any, scheduler: Any, config: SimpleNamespace, seen: Mapping[float, float]
) -> dict[str, Any]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows: dict[str, dict[str, Any]] = {}
    taken = 0
    for iteration in ITERATIONS:
        scheduler.step((iteration - taken) * config.train.global_batch_size)
        taken = iteration
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                spread = float(parameter.detach().max() - parameter.detach().min())
                row = rows.setdefault(
                    names[id(parameter)],
                    {
                        "shape": list(parameter.shape),
                        "std": seen[float(parameter.detach().flatten()[0])]
                        if parameter.dim() > 1 and not spread
                        else None,
                        "max_lr": group["max_lr"],
                        "min_lr": group["min_lr"],
                        "eps": group.get("eps"),
                        "weight_decay": group["weight_decay"],
                        "rates": [],
                    },
                )
                if row["weight_decay"] != group["weight_decay"]:
                    raise ValueError(f"the decay of {names[id(parameter)]} moves")
                row["rates"].append(group["lr"])
    inner = optimizer.chained_optimizers[0].optimizer
    attention = model.decoder.layers[0].self_attention.core_attention
    return {
        "optimizer": type(inner).__name__.lower(),
        "parameters": rows,
        "logits": float(model._scale_logits(torch.ones((), dtype=torch.float64))),
        "embedding": float(model.config.mup_embedding_mult) if model.config.use_mup else 1.0,
        "head_dim": model.config.kv_channels,
        "softmax_scale": float(attention.softmax_scale or 1 / math.sqrt(model.config.kv_channels)),
    }


def main(folder: Path) -> None:
    """Prints the record of all plans as JSON.

    Args:
        folder: with `src` of Megatron-Bridge and `megatron` of Megatron-LM.
    """
    said = {
        "repositories": {"NVIDIA-NeMo/Megatron-Bridge": BRIDGE, "NVIDIA/Megatron-LM": MEGATRON},
        "command": "python -W ignore -m benchmarks.record_megatron_bridge FOLDER",
        "stubbed": ["triton", "torch.compile", *STUBBED],
        "iterations": ITERATIONS,
    }
    # the frameworks print
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as place:
        # before what a GPU has is replaced, for a plan's model is built on the way
        folders = {name: write_export(Path(place) / name, "megatron", with_floor(plan(name), 0.1)) for name in PLANS}
        folders["flags alone"] = write_export(Path(place) / "flags", "megatron", with_floor(flags_target(), 0.1))
        seen = _ready(folder)
        torch.distributed.init_process_group("gloo", init_method=f"file://{place}/store", rank=0, world_size=1)
        importlib.import_module("megatron.core.parallel_state").initialize_model_parallel(1, 1)
        found = {name: recorded(export, seen) for name, export in folders.items()}
        planted = recorded(folders["mup"], seen, called=False)
        torch.distributed.destroy_process_group()
    print(json.dumps({**said, "sets": found, "bridge(config) left out": planted}, indent=None, separators=(",", ":")))


def _ready(folder: Path) -> dict[float, float]:
    """Both frameworks can be imported; returns where `normal_` keeps its stds."""
    sys.path.insert(0, str(folder))
    seen = _prepared()
    tensor = torch.tensor

    def on_cpu(*given: Any, **named: Any) -> torch.Tensor:
        return tensor(*given, **named | ({"device": "cpu"} if named.get("device") == "cuda" else {}))

    # the optimizer's wrapper keeps a scale of 1 on the GPU
    vars(torch)["tensor"] = on_cpu
    # Megatron-LM knows by itself that Transformer Engine is missing
    for name in ("megatron.core.optimizer", "megatron.core.models.gpt", "megatron.training.config"):
        importlib.import_module(name)
    sys.meta_path.insert(0, _Missing())
    bridge = ModuleType("megatron.bridge")
    bridge.__path__ = [str(folder / "src" / "megatron" / "bridge")]
    sys.modules["megatron.bridge"] = bridge
    return seen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
