"""Records what Cerebras modelzoo's own code makes of files of the format cerebras, for tests on machines without it.

`python -m benchmarks.cerebras_golden CHECKOUT WHEEL > tests/data/cerebras.json`: CHECKOUT is a folder with the sources
of Cerebras/modelzoo at commit f1fd1e0, WHEEL one with the unpacked wheel of cerebras_pytorch 2.10.0, both outside this
repository. modelzoo's configuration, model, init, forward and groups of rates are imported unmodified, and from the
wheel its optimizers, schedulers and the matching of names; the rest of the wheel (compiler, cluster), modelzoo's
trainer and torchvision are stubs, and annotations for the compiler are identities. Stds are read on
the meta device under `recorded_init`, forward factors are measured in float64.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch
import yaml

from benchmarks.lm_engine_golden import STEPS, as_text, edited
from hptransfer.export.base import export_target
from hptransfer.handover.cerebras import FILE
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.scaling.groups import in_gauge
from tests.support.switched import CASES

COMMIT = "f1fd1e091dc67917b91ec213ecd63e48fd144477"
_MODEL, _ADAMW = "trainer.init.model", "trainer.init.optimizer.AdamW"
_CUT = {"name": "truncated_normal", "mean": 0.0, "std": 0.08, "a": -0.16, "b": 0.16}
#: case -> ((key path, value), ...): what the exporter never writes, so that the record is pinned there too
EDITS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "no switch": ((f"{_MODEL}.mup_base_hidden_size", ...), (f"{_MODEL}.mup_base_filter_size", ...)),
    "no initializers": (
        *((f"{_MODEL}.{name}_initializer", ...) for name in ("embedding", "output_layer", "ffn", "ffn_output_layer")),
        (f"{_MODEL}.initializer", ...),
    ),
    "neither": (
        (f"{_MODEL}.mup_base_hidden_size", ...),
        (f"{_MODEL}.mup_base_filter_size", ...),
        *((f"{_MODEL}.{name}_initializer", ...) for name in ("embedding", "output_layer", "ffn", "ffn_output_layer")),
        (f"{_MODEL}.initializer", ...),
    ),
    "its sample": (
        (f"{_MODEL}.initializer", _CUT),
        (f"{_MODEL}.embedding_initializer", _CUT),
        (f"{_MODEL}.output_layer_initializer", _CUT),
        (f"{_MODEL}.ffn_initializer", ...),
        (f"{_MODEL}.ffn_output_layer_initializer", ...),
        (f"{_MODEL}.embeddings_scale", 10.0),
    ),
    "other logits": ((f"{_MODEL}.scale_output_logits_by_d", False), (f"{_MODEL}.output_logits_alpha", 2.0)),
    "attention by sqrt": ((f"{_MODEL}.scale_qk_dot_by_d", False), (f"{_MODEL}.attention_logits_alpha", 1.0)),
    "attention unsaid": ((f"{_MODEL}.scale_qk_dot_by_d", ...), (f"{_MODEL}.attention_logits_alpha", ...)),
    "own rates": ((f"{_ADAMW}.adjust_learning_rate", {"embedding": 2.0, "decoder_attention": 0.25}),),
    "defaults": tuple((f"{_ADAMW}.{key}", ...) for key in ("betas", "eps", "weight_decay")),
}


class _Anything(type):
    """A class whose attributes are classes too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(name)


def _stub(name: str) -> Any:
    if not name[0].isupper():
        return MagicMock(name=name)
    own = {"__init__": lambda *_, **__: None, "__class_getitem__": classmethod(lambda cls, _: cls)}
    return _Anything(name, (), own)


class _Module(types.ModuleType):
    """A module in which every name is there."""

    __path__: list[str] = []  # noqa: RUF012  # what the import system asks of a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _stub(name)
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stubs of what needs a CS system; optimizers, schedulers and the matching of names from the wheel."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name == "cerebras.pytorch.utils.utils" or name.startswith("cerebras.pytorch.optim"):
            file = self.wheel.joinpath(*name.split("."))
            package = file.is_dir()
            file = file / "__init__.py" if package else file.with_suffix(".py")
            places = [str(file.parent)] if package else None
            return importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
        stubs = ("cerebras.pytorch", "cerebras.appliance", "cerebras.modelzoo.trainer", "multiprocess", "torchvision")
        if any(name == stub or name.startswith(f"{stub}.") for stub in stubs):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: the module was made whole."""


def prepared(checkout: Path, wheel: Path) -> None:
    """Makes modelzoo importable.

    Args:
        checkout: folder with modelzoo's sources.
        wheel: folder with the unpacked wheel of cerebras_pytorch.
    """
    sys.meta_path.insert(0, _Finder(wheel))
    sys.path.insert(0, str(checkout / "src"))
    package, backend = (importlib.import_module(f"cerebras.pytorch{part}") for part in ("", ".backend"))
    package.step_closure, package._generating_docs = (lambda function: function), False  # type: ignore[attr-defined]  # a stub
    package.use_cs = backend.use_cs = lambda: False  # type: ignore[attr-defined]  # a stub
    package.current_pol, package.make_constant = (lambda: 0), (lambda tensor: tensor)  # type: ignore[attr-defined]  # a stub
    # annotations for the compiler
    for name, file in (("kernel_annotater", "kernel"), ("groups_annotater", "num_kv_groups")):
        setattr(importlib.import_module(f"cerebras.pytorch.utils.{file}"), name, lambda _: lambda function: function)
    ranges = importlib.import_module("cerebras.modelzoo.common.utils.model.attn_mask_ranges")
    ranges.mask_range = lambda _: lambda function: function  # type: ignore[attr-defined]  # a stub
    rotations = importlib.import_module("cerebras.modelzoo.layers.RotaryPositionEmbeddingHelper")
    rotations.wafer_instruction_tuning = lambda **_: lambda function: function  # type: ignore[attr-defined]  # a stub
    package.optim = importlib.import_module("cerebras.pytorch.optim")  # type: ignore[attr-defined]  # a stub


def exported(target: Any) -> dict[str, Any]:
    """The content of the file that is written for a target."""
    found: dict[str, Any] = yaml.safe_load(export_target("cerebras", in_gauge(target, None, "multipliers"))[FILE])
    return found


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every case with its file."""
    for name, target in CASES.items():
        yield name, exported(target())
    for name, edits in EDITS.items():
        yield f"wider, {name}", edited(exported(CASES["wider"]()), edits)


def recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """What modelzoo makes of a file's content."""
    configure_param_groups = importlib.import_module("cerebras.modelzoo.common.optim_utils").configure_param_groups
    gpt2 = importlib.import_module("cerebras.modelzoo.models.nlp.gpt2.model")
    llama = importlib.import_module("cerebras.modelzoo.models.nlp.llama.model")
    optim = importlib.import_module("cerebras.pytorch.optim")

    init = config["trainer"]["init"]
    model_class, config_class = (
        (llama.LlamaModel, llama.LlamaModelConfig)
        if init["model"]["name"] == "llama"
        else (gpt2.Gpt2Model, gpt2.GPT2ModelConfig)
    )

    def built() -> Any:
        # it changes what it is given
        settings = json.loads(json.dumps(init["model"]))
        return model_class(config_class(**settings, compute_eval_metrics=False))

    with recorded_init() as record:
        model = built()
        stds = record.stds(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    given = dict(init["optimizer"]["AdamW"])
    adjusted = {key: given.pop(key) for key in ("adjust_learning_rate",) if key in given}
    groups = configure_param_groups(
        model,
        {
            "weight_decay": optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["weight_decay"],
            **given,
            **adjusted,
        },
    )
    optimizer = optim.AdamW(groups, **given)
    rows = {
        names[id(parameter)]: [
            stds[names[id(parameter)]],
            group.get("adjust_learning_rate", 1.0),
            group["weight_decay"],
            group["eps"],
        ]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return {
        "config": config,
        "rows": rows,
        "betas": list(optimizer.param_groups[0]["betas"]),
        "factors": _forward(built()),
        "rates": _rates(optim, optimizer, init["schedulers"][0]),
    }


def _rates(optim: Any, optimizer: Any, given: Mapping[str, Any]) -> dict[str, list[float]]:
    """Step -> rate of a group over its factor, smallest and largest: equal where the schedule keeps ratios."""

    def made(each: Mapping[str, Any]) -> Any:
        ((name, arguments),) = each.items()
        kind = getattr(optim.lr_scheduler, name)
        if name != "SequentialLR":
            return kind(optimizer, **arguments)
        stages = arguments["schedulers"]
        lengths = [next(iter(stage.values()))["total_iters"] for stage in stages[:-1]]
        # the sums that modelzoo's trainer fills in
        milestones = [sum(lengths[: at + 1]) for at in range(len(lengths))]
        return kind(optimizer, schedulers=[made(stage) for stage in stages], milestones=milestones)

    factors = [group.get("adjust_learning_rate", 1.0) for group in optimizer.param_groups]
    scheduler = optim.lr_scheduler.ScalePerParamLR(optimizer, made(given))
    optimizer.step = lambda: None
    rates = {}
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            each = [float(group["lr"]) / factor for group, factor in zip(optimizer.param_groups, factors, strict=True)]
            rates[str(step)] = [min(each), max(each)]
        optimizer.step()
        scheduler.step()
    return rates


def _forward(model: Any) -> dict[str, float]:
    """What `forward` multiplies by, in float64."""
    inner = model.model.double().eval()
    caught: dict[str, torch.Tensor] = {}
    attention = inner.transformer_decoder.layers[0].self_attn
    own, logits = attention.calculate_attention_logits, []

    def seen(q: torch.Tensor, k: torch.Tensor, *given: Any) -> torch.Tensor:
        found: torch.Tensor = own(q, k, *given)
        caught["q"], caught["k"] = q.detach(), k.detach()
        logits.append(found.detach().clone())  # what masks it works in place
        return found

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(attention, "calculate_attention_logits", seen))
        stack.enter_context(patch.object(inner.embedding_layer, "forward", _kept(inner.embedding_layer, caught)))
        for name, module in (("in", inner.transformer_decoder), ("read", inner.lm_head)):
            hook = module.register_forward_pre_hook(
                lambda _, given, name=name: caught.update({name: given[0].detach().clone()})
            )
            stack.callback(hook.remove)
        key = attention.proj_k_dense_layer.register_forward_hook(
            lambda _, __, out: caught.update(projected=out.detach().clone())
        )
        stack.callback(key.remove)
        out = inner(torch.arange(4, dtype=torch.int32)[None], attention_mask=torch.ones(1, 4, dtype=torch.int32))
    plain = torch.nn.functional.linear(caught["read"], inner.lm_head.weight)
    # rotations keep the norm, so what k was multiplied by shows in it
    shrunk = float(caught["k"].norm() / caught["projected"].norm())
    groups = caught["k"].repeat_interleave(caught["q"].shape[1] // caught["k"].shape[1], dim=1)
    product = torch.matmul(caught["q"], groups.transpose(-1, -2))
    return {
        "embedding": _ratio(caught["in"], caught["table"]),
        "logits": _ratio(out, plain),
        "attention": _ratio(logits[0], product) * shrunk,
    }


def _kept(layer: Any, caught: dict[str, torch.Tensor]) -> Any:
    own = layer.forward

    def forward(*inputs: Any, **given: Any) -> torch.Tensor:
        found: torch.Tensor = own(*inputs, **given)
        caught["table"] = found.detach().clone()
        return found

    return forward


def _ratio(one: torch.Tensor, other: torch.Tensor) -> float:
    at = other.abs().argmax()
    return float((one.flatten()[at] / other.flatten()[at]).detach())


def main() -> None:
    """Print the JSON."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    prepared(Path(sys.argv[1]), Path(sys.argv[2]))
    content = {
        "source": "Cerebras/modelzoo with cerebras_pytorch 2.10.0, unmodified; compiler, cluster and trainer are stubs",
        "commit": COMMIT,
        "command": "python -m benchmarks.cerebras_golden CHECKOUT WHEEL > tests/data/cerebras.json",
        "torch": torch.__version__,
        "cases": {name: recorded(config) for name, config in configurations()},
    }
    print(as_text(content))


if __name__ == "__main__":
    main()
