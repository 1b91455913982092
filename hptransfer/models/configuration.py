"""A configuration of transformers, named by its type or a local file, as a recipe's section; nothing is downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.models.config_families import read_family
from hptransfer.models.huggingface import (
    CLASSES,
    family_of,
    flat,
    load_transformers,
    section_of,
    settings_at,
)
from hptransfer.models.ladder import builds
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.sections import Setting
from hptransfer.recipe.size_names import named

#: keys that grow in proportion to a width, by the last part of their name
_FOLLOWING = re.compile(
    r"(moe_|shared_expert_)?intermediate_size|n_inner|((encoder|decoder)_)?ffn_dim|d_ff|d_inner|ffn_hidden_size"
    r"|(num_|n_)?(attention_)?heads?|((encoder|decoder)_)attention_heads|num_key_value_heads|num_kv_heads"
)
_KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")
_HEADS = re.compile(r"(num_|n_)?(attention_)?heads?|encoder_attention_heads")
#: task -> the list of transformers that names its families
_LISTS = {
    "causal-lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "masked-lm": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "image-classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "sequence-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "base": "MODEL_MAPPING_NAMES",
}
#: number of bytes
_BYTES = 256


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration as a recipe names it.

    Attributes:
        section: what a recipe says of it.
        width: its own, the value of the key of the width.
        depth: its own number of layers.
        heads_key: key of the number of attention heads; None where there is none.
        changed: settings that differ from the configuration -> its own value.
        remarks: sentences on what was chosen.
    """

    section: HuggingFaceModel
    width: int
    depth: int
    heads_key: str | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def heads(self, width: int) -> int:
        """Number of attention heads at a width; 2 where it has none.

        Args:
            width: value of the key of the width.
        """
        if self.heads_key is None:
            return 2
        value = settings_at(self.section.settings, family_of(self.section), width, 1).get(self.heads_key)
        return value if isinstance(value, int) else 2


def configured(named_as: str) -> Configured:
    """A configuration's section, with the keys that follow the width.

    Args:
        named_as: a `model_type` such as "llama", a `config.json`, or a folder that has one.

    Raises:
        UsageError: there is none, or its keys of width and depth are not known.
        MachineError: transformers is not installed.
    """
    config = _loaded(named_as)
    whole = {key: value for key, value in flat(config.to_dict()).items() if _is_whole(value)}
    known = read_family(config.model_type)
    width = known.width if known else _key("width", whole, config.model_type)
    depth = known.depth if known else _key("depth", whole, config.model_type)
    place = width.rpartition(".")[0]
    following = [key for key in known.following if key in whole] if known else []
    following = following or [
        key for key in whole if key.rpartition(".")[0] == place and _FOLLOWING.fullmatch(key.rpartition(".")[2])
    ]
    task = known.task if known else _task(config.model_type)
    section = section_of(config, follow_width=(width, *following), depth_key=depth, task=task)
    section, changed = _of_bytes(section, config)
    chosen, remarks = _fixed_where_needed(section, whole[width])
    heads = next((key for key in chosen.follow_width if _HEADS.fullmatch(key.rpartition(".")[2])), None)
    return Configured(chosen, whole[width], whole[depth], heads, changed, remarks)


def _loaded(named_as: str) -> Any:
    """The configuration, from transformers' own defaults or from a local file."""
    transformers = load_transformers()
    path = Path(named_as)
    file = path / "config.json" if path.is_dir() else path
    known = list(import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING_NAMES)
    if file.is_file():
        try:
            data = json.loads(file.read_text("utf-8"))
            return transformers.AutoConfig.for_model(data.pop("model_type"), **data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                "a configuration must be a `config.json` of a family that transformers knows",
                received=f"{file}: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            ) from error
    if named_as in known:
        return transformers.AutoConfig.for_model(named_as)
    near = get_close_matches(named_as, known, 1)
    raise UsageError(
        "`--huggingface` must name a model_type, a local `config.json` or a folder that has one",
        received=named_as,
        hint=f"did you mean `{near[0]}`?" if near else "nothing is downloaded: save the file, and name it",
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _key(size: str, whole: Mapping[str, int], family: str) -> str:
    """The key of a size; of configurations inside it that of the text goes first."""
    last = {key: key.rpartition(".")[2] for key in whole}
    ranked = [key for name in named(size, dict.fromkeys(last.values())) for key in whole if last[key] == name]
    ranked.sort(key=lambda key: (key.count("."), not key.startswith("text_config.")))
    if not ranked:
        raise UsageError(
            f"the configuration must have a key that is its {size}",
            received=f"{family}: {', '.join(list(whole)[:20])}",
            hint="write the recipe by hand, with `follow_width` and `depth_key` (docs/models.md)",
        )
    return ranked[0]


def _task(family: str) -> str:
    lists = import_module("transformers.models.auto.modeling_auto")
    return next((task for task in CLASSES if family in getattr(lists, _LISTS[task], ())), "base")


def _of_bytes(section: HuggingFaceModel, config: Any) -> tuple[HuggingFaceModel, dict[str, Any]]:
    """The section with a vocabulary of bytes and special tokens in it, and the configuration's own values."""
    changes: dict[str, Setting] = {}
    for place, holder in (("", config), ("text_config.", getattr(config, "text_config", None))):
        own: Any = getattr(holder, "vocab_size", None)
        if _is_whole(own) and own > _BYTES and section.task in ("causal-lm", "masked-lm"):
            changes[f"{place}vocab_size"] = _BYTES
            for number, name in enumerate(("pad_token_id", "bos_token_id", "eos_token_id")):
                token: Any = getattr(holder, name, None)
                if _is_whole(token) and token >= _BYTES:
                    changes[f"{place}{name}"] = number
    whole = flat(config.to_dict())
    changed = {key: whole.get(key) for key in changes}
    return section.model_copy(update={"settings": {**section.settings, **changes}}), changed


def _fixed_where_needed(section: HuggingFaceModel, width: int) -> tuple[HuggingFaceModel, tuple[str, ...]]:
    """Keys that need not follow stay out where the widths that can be built are then far smaller."""
    keys = section.follow_width
    fewer = tuple(key for key in keys if key.rpartition(".")[2] not in _KEY_VALUE_HEADS)
    forms = [section, section.model_copy(update={"follow_width": fewer})] if fewer != keys else [section]
    steps = [next((step for step in range(8, width + 1, 8) if builds(form, step, 1)), width) for form in forms]
    if len(forms) > 1 and 4 * steps[1] <= steps[0]:
        return forms[1], ("key and value heads stay as many as they are: with them, only large widths could be built",)
    return section, ()
