"""Models of transformers: which keys of a configuration follow width and depth, per family, and building them.

Nothing is ever downloaded.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.errors import HptransferError, MachineError, UsageError
from hptransfer.models.config_families import ConfigFamily, read_family
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.sections import Setting
from hptransfer.user_code import raised_in


def family_of(model: HuggingFaceModel) -> ConfigFamily:
    """The family of a recipe's model, with what the recipe says itself.

    Raises:
        UsageError: an unknown `config`, and keys for width, depth or the task are not given.
    """
    known = None
    if not (model.follow_width and model.depth_key and model.task):
        load_transformers()
        known = read_family(model.config, model.task)
        if known is None:
            raise UsageError(
                "`follow_width` (the width first), `depth_key` and `task` must be given for a configuration whose "
                "class does not say them",
                received=f"config: {model.config}",
                hint="for example `follow_width: [hidden_size, intermediate_size, num_attention_heads]`, "
                "`depth_key: num_hidden_layers`, `task: causal-lm`",
            )
    keys = model.follow_width or (known and (known.width, *known.following)) or ()
    given = bool(model.follow_width)
    return ConfigFamily(
        width=keys[0],
        following=tuple(keys[1:]),
        needed=tuple(keys[1:]) if given or known is None else known.needed,
        depth=model.depth_key or (known.depth if known else ""),
        task=model.task or (known.task if known else ""),
        heads=known.heads if known else ("num_attention_heads", "head_dim"),
        depths=known.depths if known and not model.depth_key else (),
    )


def settings_at(settings: Mapping[str, Setting], family: ConfigFamily, width: int, depth: int) -> dict[str, Setting]:
    """The settings with width and depth replaced, and what follows the width in proportion.

    Args:
        settings: keys and values of one size, for example copied from a `config.json`.
        family: keys of the configuration that are the width, follow it, or count layers.
        width: wanted value of the family's width key.
        depth: wanted number of layers.

    Raises:
        UsageError: a key that must follow is missing, or does not come out whole.
    """
    reference = settings.get(family.width)
    missing = [key for key in (family.width, *family.needed) if settings.get(key) is None]
    if missing or not isinstance(reference, int) or reference < 1:
        raise UsageError(
            "`settings` must give the width of one size and what follows it, as a `config.json` does",
            received=f"without {', '.join(missing)}" if missing else f"{family.width}: {reference!r}",
            hint=f"write {', '.join((family.width, *family.needed))} of any one size; they set the proportions",
        )
    following = {key: settings[key] for key in family.following if settings.get(key) is not None}
    scaled = {key: _scaled(key, value, width, reference, family.width) for key, value in following.items()}
    return {**settings, **scaled, family.width: width, **dict.fromkeys((family.depth, *family.depths), depth)}


def _scaled(key: str, value: Setting, width: int, reference: int, width_key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError("a setting that follows the width must be a whole number", received=f"{key}: {value!r}")
    whole, rest = divmod(value * width, reference)
    if rest or not whole:
        raise UsageError(
            f"`{key}` must be a whole number at every width",
            received=f"{value} * {width} / {reference} = {value * width / reference:g} at {width_key} {width}",
            hint=_nearest(value, width, reference, key),
        )
    return whole


def _nearest(value: int, width: int, reference: int, key: str) -> str:
    from math import gcd

    step = reference // gcd(value, reference)
    return f"use a width that is a multiple of {step}, or leave `{key}` out of `follow_width`"


def head_dim(settings: Mapping[str, Setting], family: ConfigFamily) -> int | None:
    """Width of one attention head, None where the settings do not say it.

    Args:
        settings: keys and values of one size.
        family: which keys hold the width and the heads.
    """
    heads_key, dim_key = family.heads
    explicit = settings.get(dim_key) if dim_key else None
    if isinstance(explicit, int):
        return explicit
    width, heads = settings.get(family.width), settings.get(heads_key)
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None


def head_dims(settings: Mapping[str, Setting], family: ConfigFamily, base: int, size: int) -> tuple[int, int] | None:
    """Width of one head at two widths; no weight's shape shows it. None where the settings do not say it.

    Args:
        settings: keys and values of one size; they set the proportions.
        family: which keys hold the width and the heads.
        base: width of the base.
        size: width that is planned for.
    """
    below = head_dim(settings_at(settings, family, base, 1), family)
    above = head_dim(settings_at(settings, family, size, 1), family)
    return None if below is None or above is None else (below, above)


if TYPE_CHECKING:
    from torch import nn

#: task -> the class of transformers that puts its head on top
CLASSES: Mapping[str, str] = {
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "speech-seq2seq": "AutoModelForSpeechSeq2Seq",
    "masked-lm": "AutoModelForMaskedLM",
    "image-classification": "AutoModelForImageClassification",
    "sequence-classification": "AutoModelForSequenceClassification",
    "base": "AutoModel",
}


def build_huggingface(model: HuggingFaceModel, width: int, depth: int) -> nn.Module:
    """The model at a width and depth, with random weights; under the current torch device.

    Args:
        model: the recipe's `model` section of kind huggingface.
        width: value of the family's width key, at least 1.
        depth: number of layers, at least 1.

    Raises:
        UsageError: the family, a setting or a size cannot be built.
        MachineError: transformers is not installed.
    """
    family = family_of(model)
    settings = settings_at(model.settings, family, width, depth)
    transformers = load_transformers()
    try:
        config = transformers.AutoConfig.for_model(model.config, **nested(settings))
        built: nn.Module = getattr(transformers, CLASSES[family.task]).from_config(config)
    except HptransferError:
        raise
    except Exception as error:  # a model's code may raise anything about settings that it was never built with
        raise UsageError(
            "transformers must be able to build the model from its settings",
            received=f"{model.config} at width {width}, depth {depth}: {_first_line(error)}",
        ) from error
    return built


def _first_line(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    at = raised_in(error)
    return f"{'' if at is None else f'{Path(at.file).name}:{at.line} in {at.function}: '}{type(error).__name__}: {said}"


def load_transformers() -> Any:
    """The library, which is told to stay offline.

    Raises:
        MachineError: it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a configuration is all it needs
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MachineError(
            "`model.kind: huggingface` needs transformers",
            received=str(error),
            hint="pip install 'hptransfer[hf]', or in a checkout: .venv/bin/pip install -e '.[hf]'",
        ) from error


def section_of(
    config: Any, *, follow_width: Sequence[str] = (), depth_key: str | None = None, task: str | None = None
) -> HuggingFaceModel:
    """A configuration of transformers as a recipe's section; lists (one entry per layer) are left to its defaults.

    Args:
        config: a `PretrainedConfig` of any family that transformers knows.
        follow_width: keys that follow the width, the width itself first; a key inside another one is written
            "text_config.hidden_size"; empty takes the family's.
        depth_key: key that counts layers; None takes the family's.
        task: what stands on top; None takes the family's.

    Raises:
        UsageError: the configuration has no such key, or there is no such task.
    """
    asked = (*follow_width, *(() if depth_key is None else (depth_key,)))
    family = read_family(config.model_type, task if task in CLASSES else None)
    keys = (*asked, *((family.width, *family.following, family.depth, *family.depths) if family else ()))
    whole = flat(config.to_dict())
    for key in asked:
        if key not in whole:
            near = get_close_matches(key, whole, 1)
            raise UsageError(
                "`follow_width` and `depth_key` must name keys of the configuration",
                received=f"{key}, of {config.model_type}",
                hint=f"did you mean `{near[0]}`?" if near else None,
            )
    if task is not None and task not in CLASSES:
        raise UsageError(f"`task` must be one of {', '.join(CLASSES)}", received=task)
    # `to_diff_dict` leaves out those at their default, and keys that set proportions must be given
    given = flat(config.to_diff_dict()) | {key: whole[key] for key in keys if whole.get(key) is not None}
    settings: dict[str, Setting] = {
        key: value
        for key, value in given.items()
        if isinstance(value, bool | int | float | str) and key.rpartition(".")[2] not in _OF_FILES
    }
    return HuggingFaceModel.model_validate(
        {
            "kind": "huggingface",
            "config": config.model_type,
            "settings": settings,
            "follow_width": tuple(follow_width),
            "depth_key": depth_key,
            "task": task,
        }
    )


#: keys of a file, not of a model
_OF_FILES = ("model_type", "transformers_version", "dtype", "torch_dtype", "_name_or_path")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration's keys, those of configurations inside it with their place: "text_config.hidden_size".

    Args:
        settings: as a `config.json` has them.
        prefix: place of the settings, with a dot at its end; empty for the outermost.
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and key.endswith("config"):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`.

    Args:
        settings: by key, those of configurations inside it with their place.
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *parts, last = key.split(".")
        inner = found
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found
