"""Records what lm-engine's own code makes of files of the format lm-engine, for tests on machines without it.

`python -m benchmarks.lm_engine_golden CHECKOUT > tests/data/lm_engine.json`: CHECKOUT is a folder with the sources of
open-lm-engine/lm-engine at commit 36bad91e, outside this repository. They are imported unmodified, on a CPU: argument
classes, model (on the meta device under `recorded_init`), groups, optimizer and schedule; forward factors are measured
in a small model with the same switches, in float64.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml

from hptransfer.export.base import export_target
from hptransfer.handover.lm_engine import FILE
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.scaling.groups import in_gauge
from tests.support.switched import CASES, DEEP_CASES

COMMIT = "36bad91e0f59e5cfafd692f71b6cbcf3e13ff7ed"
STEPS = (0, 1, 5, 9, 10, 11, 37, 55, 69, 70, 71, 99, 100)
#: case -> ((key path, value), ...): switches that the exporter never writes, so that the record is pinned there too
EDITS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "no groups": (("optimizer_args.params_group_method", None),),
    "no switch": (
        ("optimizer_args.params_group_method", None),
        ("model_args.pretrained_config.init_method", "normal"),
        ("model_args.pretrained_config.m_width", None),
        ("model_args.pretrained_config.m_emb", None),
        ("model_args.pretrained_config.m_residual", None),
    ),
    "other factors": (
        ("model_args.pretrained_config.m_emb", 12.0),
        ("model_args.pretrained_config.m_residual", 0.22),
        ("model_args.pretrained_config.use_depth_scaled_init", True),
        ("model_args.pretrained_config.tie_word_embeddings", True),
    ),
    "fan_in": (
        ("model_args.pretrained_config.init_method", "fan_in"),
        ("model_args.pretrained_config.embedding_init_method", "fan_in"),
    ),
    "defaults": (("optimizer_args.class_args", {"lr": 0.01}),),
    "no optimizer arguments": (("optimizer_args.class_args", ...), ("lr_scheduler_args.lr_decay_factor", ...)),
}


def edited(config: dict[str, Any], edits: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """A copy with values replaced; `...` removes a key.

    Args:
        config: content of a file.
        edits: (path of keys, value).
    """
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for path, value in edits:
        *sections, key = path.split(".")
        section = copy
        for name in sections:
            section = section[name]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return copy


def exported(target: Any) -> dict[str, Any]:
    """The content of the file that is written for a target."""
    found: dict[str, Any] = yaml.safe_load(export_target("lm-engine", in_gauge(target, None, "multipliers"))[FILE])
    return found


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every case with its file."""
    for name, target in {**CASES, **DEEP_CASES}.items():
        yield name, exported(target())
    for name, edits in EDITS.items():
        yield f"wider, {name}", edited(exported(CASES["wider"]()), edits)


class _Container(list[Any]):
    """One model, as lm-engine's containers hold several."""


def _wrapped(model: Any) -> Any:
    model.has_teacher_model = lambda: False
    return model


def recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """What lm-engine makes of a file's content."""
    sections, models_of, optimization = (
        importlib.import_module(f"lm_engine.{name}") for name in ("arguments", "models.gpt_base", "optimization")
    )
    kind, model_class = models_of.GPTBaseConfig, models_of.GPTBaseForCausalLM
    arguments = sections.ModelArgs(**config["model_args"])
    optimizer = sections.OptimizerArgs(**config["optimizer_args"])
    scheduler = sections.LRSchedulerArgs(**config["lr_scheduler_args"])
    training = sections.TrainingParameters(**config["training_parameters"])
    settings = dict(arguments.pretrained_config)
    with recorded_init() as record:
        model = _wrapped(model_class(kind(**settings)))
        stds = record.stds(model)
        models = _Container([model])
        built = optimization.get_optimizer_container(
            optimizer.class_name, optimizer.class_args, models, optimizer.params_group_method, False
        )
    (own,) = list(built)
    betas, factors = own.param_groups[0]["betas"], _forward(kind, model_class, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows = {}
    for group in own.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            rows[name] = [stds[name], group["lr"], group["weight_decay"], group["eps"]]
    peaks = [group["lr"] for group in own.param_groups]
    container = optimization.get_scheduler_container(
        models, built, scheduler.num_warmup_steps, scheduler.num_constant_steps, scheduler.num_decay_steps,
        training.num_training_steps, scheduler.lr_decay_style, scheduler.lr_decay_factor, {}, False,
    )  # fmt: skip
    (one,) = list(container)
    schedule = {}
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            shares = {group["lr"] / peak for group, peak in zip(own.param_groups, peaks, strict=True)}
            assert max(shares) - min(shares) < 1e-12
            schedule[str(step)] = max(shares)
        own.step()
        one.step()
    return {
        "config": config,
        "rows": rows,
        "betas": list(betas),
        "clip": training.gradient_clipping,
        "factors": factors,
        "schedule": schedule,
    }


def _forward(config: Any, model: Any, settings: Mapping[str, Any]) -> dict[str, float]:
    """What `forward` multiplies by, seen in a small model with the same switches."""
    scales: list[float] = []
    own = torch.nn.functional.scaled_dot_product_attention

    def seen(*tensors: Any, **given: Any) -> Any:
        scales.append(given["scale"])
        return own(*tensors, **given)

    torch.manual_seed(0)
    built = model(config(**settings)).double().eval()
    caught: dict[str, torch.Tensor] = {}
    block = built.transformer.h["0"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(torch.nn.functional, "scaled_dot_product_attention", seen))
        watched = {"table": built.transformer.wte, "mixer": block.sequence_mixer, "mlp": block.mlp_block}
        for name, module in watched.items():
            hook = module.register_forward_hook(
                lambda _, __, out, name=name: caught.update({name: out.detach().clone()})
            )
            stack.callback(hook.remove)
        for name, module in (("in", block), ("middle", block.ln_2), ("next", built.transformer.h["1"])):
            hook = module.register_forward_pre_hook(
                lambda _, given, name=name: caught.update({name: given[0].detach().clone()})
            )
            stack.callback(hook.remove)
        out = built(torch.arange(4)[None])
        table = caught["table"] + (built.transformer.wpe.weight[:4] if hasattr(built.transformer, "wpe") else 0)
        read = built.transformer.wte if built._tied_word_embeddings else built.lm_head
        logits = torch.nn.functional.linear(out.last_hidden_state, read.weight)
    return {
        "embedding": _ratio(caught["in"], table),
        "attention branch": _ratio(caught["middle"] - caught["in"], caught["mixer"]),
        "mlp branch": _ratio(caught["next"] - caught["middle"], caught["mlp"]),
        "logits": _ratio(out.logits, logits),
        "attention": scales[0],
    }


def _ratio(one: torch.Tensor, other: torch.Tensor) -> float:
    at = other.abs().argmax()
    return float((one.flatten()[at] / other.flatten()[at]).detach())


def as_text(content: Mapping[str, Any]) -> str:
    """JSON with a row of numbers on one line.

    Args:
        content: of the file that is written.
    """
    text = json.dumps(content, indent=1)
    return re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda row: "[" + " ".join(row[1].split()) + "]", text)


def main() -> None:
    """Print the JSON."""
    sys.path.insert(0, str(Path(sys.argv[1]).resolve()))
    content = {
        "source": "open-lm-engine/lm-engine, unmodified",
        "commit": COMMIT,
        "command": "python -m benchmarks.lm_engine_golden CHECKOUT > tests/data/lm_engine.json",
        "torch": torch.__version__,
        "cases": {name: recorded(config) for name, config in configurations()},
    }
    print(as_text(content))


if __name__ == "__main__":
    main()
