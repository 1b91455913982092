"""What the files for transformers say of everything alike: values of a run, sizes of the model, and all other keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.huggingface import flat
from hptransfer.roundtrip._huggingface_factors import factor_keys

#: TrainingArguments that Trainer trains otherwise by, and of which a plan says nothing
_OTHERWISE = ("label_smoothing_factor", "neftune_noise_alpha")
#: those that are read, and those that the written factory leaves without effect
_READ = frozenset(
    {
        "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "optim", "max_steps",
        "per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "fp16", "max_grad_norm", "warmup_steps",
        "lr_scheduler_type", "lr_scheduler_kwargs", "num_train_epochs", *_OTHERWISE,
    }
)  # fmt: skip
#: of reports, checkpoints, evaluation, data and memory
_HARMLESS = (
    "output_dir", "overwrite_", "do_", "eval_", "per_device_eval", "prediction_", "log", "report_to", "run_name",
    "save_", "load_best", "metric_", "greater_", "push_", "hub_", "project", "trackio", "disable_tqdm", "dataloader_",
    "data_seed", "seed", "use_cpu", "ddp_", "gradient_checkpointing", "torch_compile", "torch_empty", "remove_unused",
    "label_names", "include_", "resume_", "skip_memory", "past_index", "length_column", "restore_", "ignore_data",
    "batch_eval",
)  # fmt: skip
#: keys of a configuration that train nothing, or that are read in another way
_NO_MATTER = frozenset(
    {
        "_name_or_path", "_hptransfer", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache",
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "output_attentions", "output_hidden_states",
        "return_dict", "id2label", "label2id", "initializer_range", "chunk_size_feed_forward", "problem_type",
    }
)  # fmt: skip
#: name in `planned_values.MODEL_FACTS` -> keys of configurations
_FACTS: Mapping[str, tuple[str, ...]] = {
    "width": ("hidden_size", "n_embd"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "key_value_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "feed_forward": ("intermediate_size", "n_inner"),
    "vocabulary": ("vocab_size",),
    "rope_theta": ("rope_parameters.rope_theta", "rope_theta"),
    "norm_eps": ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"),
}


def argument_values(args: Any, model: nn.Module, *, built: bool) -> dict[str, float | str]:
    """Batch, duration and precision, by the names of `Reading.values`.

    Args:
        args: TrainingArguments that transformers made of the file.
        model: whose parameters Trainer is given.
        built: whether the files build it; of one of the user's own code the precision of its weights is not known.
    """
    values: dict[str, float | str] = {
        "batch_size": args.per_device_train_batch_size * args.gradient_accumulation_steps,
        "steps": args.max_steps,
    }
    weights = str(next(iter(model.parameters())).dtype).removeprefix("torch.")
    mixed = "bfloat16" if args.bf16 else "float16" if args.fp16 else ""
    if mixed:
        values["precision"] = mixed if weights == "float32" else f"{mixed}, with weights of {weights}"
    elif built:
        values["precision"] = weights if weights in ("float32", "float64") else f"weights of {weights}"
    return values


def unread_arguments(transformers: Any, content: Mapping[str, Any], args: Any) -> Iterator[str]:
    """Keys of training_args.json that are not compared, a sentence each.

    Args:
        transformers: the library, as it was imported.
        content: keys and values of training_args.json.
        args: TrainingArguments that transformers made of it.

    Raises:
        UsageError: Trainer would train otherwise by a key that no plan has.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(transformers.TrainingArguments)}
    changed = {key: value for key, value in content.items() if value != defaults.get(key)}
    otherwise = [f"{key}: {getattr(args, key)!r}" for key in _OTHERWISE if getattr(args, key, None)]
    if otherwise:
        raise UsageError(
            "training_args.json must change nothing of the loss or of the inputs that the tuned runs did not",
            received=", ".join(otherwise),
            hint="leave it out, or tune with it in a script of your own",
        )
    for key, value in changed.items():
        if key not in _READ and not key.startswith(_HARMLESS):
            yield f"training_args.json {key}: {value!r}, of which the plan says nothing"


def moved_base(base: Mapping[str, float], args: Any) -> Iterator[str]:
    """Values of training_args.json that all rows follow and that are not those that were written, a sentence each.

    Args:
        base: the written module's `BASE`, by row's quantity.
        args: TrainingArguments that transformers made of the file.
    """
    for key, name in (("learning_rate", "learning_rate"), ("weight_decay", "weight_decay"), ("eps", "adam_epsilon")):
        used = getattr(args, name)
        if key in base and used != base[key]:
            by = f", by {used / base[key]:.6g}" if base[key] else ""
            yield (
                f"training_args.json {name} {used!r}, written {base[key]!r}: it is the base's, which hptransfer_hf.py "
                f"scales to this size, so that {key} of every row moves with it{by}"
            )


def configuration_values(used: Any, planned: Any, names: list[str], said: frozenset[str]) -> dict[str, float | str]:
    """Sizes and constants of the model by the names of `MODEL_FACTS`, where its other keys are the recipe's.

    Args:
        used: configuration of the model that the files build.
        planned: configuration of the recipe's model at this size.
        names: full names of the model's parameters.
        said: names of facts that the plan says, which are compared one by one.

    Raises:
        UsageError: another key differs.
    """
    keys, wanted = _spread(used), _spread(planned)
    read = _NO_MATTER | factor_keys(str(used.model_type)) | {key for name in said for key in _FACTS.get(name, ())}
    apart = [
        f"{key} {keys.get(key)!r}, planned {wanted.get(key)!r}"
        for key in sorted(keys.keys() | wanted.keys())
        if key.rpartition(".")[2] not in read and key not in read and keys.get(key) != wanted.get(key)
    ]
    if apart:
        raise UsageError(
            "config.json must be the configuration of the recipe's model at this size",
            received=", ".join(apart),
            hint="export again, or plan the model that is to be trained",
        )
    found: dict[str, float | str] = {}
    for name, candidates in _FACTS.items():
        value = next((keys[key] for key in candidates if isinstance(keys.get(key), int | float)), None)
        if value is not None:
            found[name] = value
    if "heads" in found and "width" in found:
        found.setdefault("key_value_heads", found["heads"])
        found.setdefault("head_dim", int(found["width"]) // int(found["heads"]))
    if "width" in found:
        found.setdefault("feed_forward", 4 * int(found["width"]))  # GPT-2's, where `n_inner` is null
    return found | {"gated": "yes" if any("gate_proj" in name for name in names) else "no"}


def _spread(config: Any) -> dict[str, Any]:
    """Keys of a configuration, those of its rotary positions with their place."""
    found: dict[str, Any] = {}
    for key, value in flat(config.to_dict()).items():
        if key == "rope_parameters" and isinstance(value, Mapping):
            found |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            found[key] = value
    return found


def trained_by(optimizer: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every group with the class that steps it, and what the class does that it would not by itself.

    Args:
        optimizer: that Trainer made, or one that steps several.
    """
    for part in getattr(optimizer, "parts", [optimizer]):
        kind = type(part)
        known = _own_defaults(kind)
        for group in part.param_groups:
            changed = [
                f"{key}={group.get(key)!r}"
                for key, value in known.items()
                if key not in _OF_GROUPS and (key != "eps" or kind is torch.optim.Muon) and group.get(key) != value
            ]
            ours = kind in (torch.optim.AdamW, torch.optim.SGD, torch.optim.Muon)
            name = kind.__name__.lower() if ours or kind.__module__.startswith("torch.optim") else kind.__qualname__
            yield group, f"{name}({', '.join(changed)})" if changed else name


#: what is compared by itself, and what changes no result
_OF_GROUPS = frozenset(
    {
        "params", "lr", "initial_lr", "weight_decay", "betas", "momentum", "adjust_lr_fn",
        "foreach", "fused", "capturable", "differentiable",
    }
)  # fmt: skip


def _own_defaults(kind: Any) -> dict[str, Any]:
    """A group as torch's own class makes it; empty of any other class."""
    if kind not in (torch.optim.AdamW, torch.optim.SGD, torch.optim.Muon):
        return {}
    group: dict[str, Any] = kind([nn.Parameter(torch.zeros(2, 2, device="cpu"))]).param_groups[0]
    return group


def shared(groups: list[dict[str, Any]], key: str, entry: int | None = None) -> float | str | None:
    """A value of all groups that have it; where they differ all of them, as text; None where none has it.

    Args:
        groups: of one or more optimizers.
        key: that torch's groups may have.
        entry: position in a value that is a tuple.
    """
    found = dict.fromkeys(
        (group[key] or "original" if key == "adjust_lr_fn" else group[key] if entry is None else group[key][entry])
        for group in groups
        if key in group
    )
    values: list[float | str] = list(found)
    return None if not values else values[0] if len(values) == 1 else " and ".join(map(str, values))
