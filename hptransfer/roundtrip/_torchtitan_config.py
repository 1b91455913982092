"""The configuration of a run of torchtitan, as an exported file gives it: what it says of model and training."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.torchtitan import FILE
from hptransfer.roundtrip._as_written import edited, written_anew
from hptransfer.user_code import described_error


def configured(module: ModuleType) -> tuple[Any, tuple[str, ...]]:
    """What the file's `hptransfer_target` returns, and what was not torchtitan's own of it.

    Without what a trainer imports (torchdata, datasets) its configuration is one with the same defaults; where the
    schedule is the trainer's own, `applied` is called on that.

    Args:
        module: the exported file, imported.

    Raises:
        UsageError: the configuration is without the file's model.
    """
    unread: tuple[str, ...] = ()
    try:
        config = module.hptransfer_target()
    except NotImplementedError as error:
        config = module.applied(_bare())
        unread = (f"hptransfer_target() itself was not run, applied() was: {described_error(error)}",)
    except ImportError as error:
        with _stand_ins():
            config = module.hptransfer_target()
        unread = (
            "hptransfer_target() was run with a stand-in for torchtitan's Trainer.Config and data loader, which could "
            f"not be imported: {described_error(error)}; `pip install {PACKAGES}` has it run itself",
        )
    if getattr(config, "model_spec", None) is None:
        raise UsageError(
            "hptransfer_target() must return a configuration with the file's model",
            received="one without a model: applied() was not called on it",
            hint="return applied(Trainer.Config(...))",
        )
    return config, unread


def _bare(**given: object) -> SimpleNamespace:
    """A trainer's configuration with its defaults, as far as anything here asks for it."""
    from torchtitan.components.optimizer import LRSchedulersContainer, OptimizersContainer
    from torchtitan.config import TrainingConfig
    from torchtitan.distributed.activation_checkpoint import SelectiveAC

    defaults = {
        "model_spec": None,
        "optimizer": OptimizersContainer.Config(),
        "training": TrainingConfig(),
        "activation_checkpoint": SelectiveAC.Config(),
        "lr_scheduler": LRSchedulersContainer.Config(),
    }
    return SimpleNamespace(**(defaults | given))


#: what torchtitan's Trainer imports and an installation without its own dependencies lacks
PACKAGES = "torchdata 'datasets<4.8' tensorboard"


def _stand_ins() -> Any:
    """Modules that need packages which are not there, with what the file takes from them."""
    trainer: Any = ModuleType("torchtitan.trainer")
    trainer.Trainer = SimpleNamespace(Config=_bare)
    data: Any = ModuleType("torchtitan.hf_datasets.text_datasets")
    data.HuggingFaceTextDataLoader = SimpleNamespace(Config=SimpleNamespace)
    package = ModuleType("torchtitan.hf_datasets")
    modules = {each.__name__: each for each in (trainer, data)}
    # the package above imports what is missing, too
    return patch.dict(sys.modules, {package.__name__: package, **modules})


#: fields of a run's training that change no value, or that are compared as values
_TRAINING = frozenset(
    {
        "steps",
        "global_batch_size",
        "local_batch_size",
        "seq_len",
        "max_norm",
        "mixed_precision_param",
        "enable_cpu_offload",
        "disable_cuda_graphs",
        "gc_freq",
        "gc_debug",
    }
)
#: of a group, values of the plan, and what changes no value
_GROUP = frozenset({"lr", "weight_decay", "eps", "betas", "momentum", "adjust_lr_fn", "foreach", "fused", "capturable"})


def edits(config: Any, target: TargetFile) -> Iterator[str]:
    """What the file has otherwise than it was written, besides the plan's values.

    Args:
        config: that the file gave.
        target: of which it was written.
    """
    module = written_anew("torchtitan", FILE, target)
    anew, _ = configured(module)
    for clause in edited(config.model_spec.model, anew.model_spec.model, {"param_init"}):
        yield f"model: {clause}"
    functions = ("parallelize_fn", "post_optimizer_build_fn", "state_dict_adapter")
    used, written = ({name: getattr(each.model_spec, name) for name in functions} for each in (config, anew))
    yield from (f"model_spec: {clause}" for clause in edited(used, written))
    skipped = {"param_groups", "implementation"}
    yield from (f"optimizer: {clause}" for clause in edited(config.optimizer, anew.optimizer, skipped))
    others = {each.optimizer_name: each.optimizer_kwargs for each in anew.optimizer.param_groups}
    for group in config.optimizer.param_groups:
        there = others.get(group.optimizer_name, group.optimizer_kwargs)
        for clause in edited(group.optimizer_kwargs, there, _GROUP):
            yield f"the group {group.pattern}: {clause}"
    yield from (f"training: {clause}" for clause in edited(config.training, anew.training, _TRAINING))
    for name in ("loss", "override"):
        if hasattr(config, name) and hasattr(anew, name):
            yield from (f"{name}: {clause}" for clause in edited(getattr(config, name), getattr(anew, name)))


def facts(config: Any) -> dict[str, float | str]:
    """Sizes of the model, by the names of `planned_values.MODEL_FACTS`; the layers are compared with what was written.

    Args:
        config: that the file gave.
    """
    model = config.model_spec.model
    block = model.layers[0]
    attention, mlp = block.attention, block.feed_forward
    return {
        "width": model.dim,
        "layers": len(model.layers),
        "heads": attention.n_heads,
        "key_value_heads": attention.n_kv_heads or attention.n_heads,
        "head_dim": attention.head_dim or model.dim // attention.n_heads,
        "feed_forward": mlp.w1.out_features,
        "vocabulary": model.vocab_size,
        "gated": "yes",  # its FeedForward always is
        "rope_theta": float(attention.rope.theta),
        "norm_eps": float(model.norm.eps),
    }


def run_facts(config: Any, target: TargetFile) -> dict[str, float | str]:
    """Duration, batch and precision of a run.

    Args:
        config: that the file gave.
        target: whose precision torchtitan may not have: it has no float64.
    """
    training = config.training
    found: dict[str, float | str] = {
        "steps": training.steps,
        "batch_size": training.global_batch_size,
        "sequence_length": training.seq_len,
        "floor": float(config.lr_scheduler.min_lr_factor),
    }
    if target.training is None or target.training.precision != "float64":
        found["precision"] = training.mixed_precision_param
    return found
