"""Models of transformers, built from a configuration; nothing is ever downloaded."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hptransfer.errors import MachineError, UsageError
from hptransfer.models.hf_families import family_of, settings_at
from hptransfer.recipe.schema import HuggingFaceModel

if TYPE_CHECKING:
    from torch import nn

#: task -> the class of transformers that puts its head on top
CLASSES: Mapping[str, str] = {
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "image-classification": "AutoModelForImageClassification",
    "sequence-classification": "AutoModelForSequenceClassification",
    "base": "AutoModel",
}


def build_huggingface(model: HuggingFaceModel, width: int, depth: int) -> nn.Module:
    """The model at a width and depth, with random weights; under the current torch device.

    Raises:
        UsageError: the family, a setting or a size is not possible.
        MachineError: transformers is not installed.
    """
    family = family_of(model)
    settings = settings_at(model.settings, family, width, depth)
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.for_model(model.config, **settings)
        built: nn.Module = getattr(transformers, CLASSES[family.task]).from_config(config)
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise UsageError(
            "transformers must be able to build the model from its settings",
            received=f"{model.config} at width {width}, depth {depth}: {_first_line(error)}",
        ) from error
    return built


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _transformers() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a configuration is all it needs
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MachineError(
            "`model.kind: huggingface` needs transformers",
            received=str(error),
            hint="install the extra `hf`",
        ) from error
