"""Which keys of a configuration of transformers follow its width and its depth, read from the configuration's class.

Configurations name alike things alike: what counts heads has `heads` in its name, what is a feed-forward width is an
`intermediate_size`, a `ffn_dim` or one of a few others. So a family is read by rule; what cannot be read is asked for.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

#: names of the width, of which the first that a configuration has is taken
_WIDTH = ("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_dim", "dim")
#: names of the number of layers, in the same order
_DEPTH = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks", "depth")
#: of a decoder, and of an encoder beside it
_DECODER_DEPTH = ("decoder_layers", "num_decoder_layers")
_ENCODER_DEPTH = ("encoder_layers", "num_encoder_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
_DECODER_HEADS = ("decoder_attention_heads", "num_decoder_attention_heads")
_HEAD_DIM = ("head_dim", "d_kv", "d_head", "dim_head", "attention_head_size", "attention_head_dim", "kv_channels")

#: widths of feed-forward layers, of experts and of other inner layers
_FEED_FORWARD = re.compile(
    r"(.+_)?(intermediate_size|ffn_dim|ffn_hidden_size|feed_forward_size)|intermediate_size_\w+|"
    r"d_ff|dff|dim_ff|d_inner|n_inner"
)
#: numbers of heads; heads keep their width, as the plan's rule for attention assumes
_HEAD_COUNT = re.compile(r"(.+_)?(n|num)_(.+_)?heads?|(.+_)?attention_heads")
#: of keys and values: in many families fewer than heads and fixed
_SHARED_HEADS = re.compile(r".*(key_value_heads|kv_heads)")
#: inner widths of layers that are no attention
_INNER = re.compile(r"mamba_d_ssm|attention_hidden_size|lru_width|word_embed_proj_dim|output_embedding_size")
#: sizes that follow the width where a configuration has them equal to it
_SIZE = re.compile(r".+_(size|dim|width)")
#: counted but no width of the model: batches, vocabularies, windows, ranks
_NOT_A_WIDTH = re.compile(
    r".*(vocab|window|rank|chunk|block|patch|head_dim|head_size|image|kernel|state|conv|max_|per_).*"
)
#: tasks that one configuration can stand for, tried in this order; see `huggingface.CLASSES`
_TASKS: Mapping[str, str] = {
    "seq2seq-lm": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "speech-seq2seq": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "masked-lm": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "causal-lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "image-classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "sequence-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "base": "MODEL_MAPPING_NAMES",
}
_ENCODER_DECODER = frozenset({"seq2seq-lm", "speech-seq2seq"})


@dataclass(frozen=True, slots=True)
class ConfigFamily:
    """Keys of one `model_type`.

    Attributes:
        width: the key that is the width; the first of those that follow it.
        following: keys that grow in proportion to the width, where the settings give them.
        needed: keys of `following` that must be given, because their default would not follow.
        depth: the key that counts layers.
        task: what is built on top, a key of `huggingface.CLASSES`.
        heads: (key of the number of heads, key of head_dim or None).
        depths: further keys that count layers: of an encoder beside a decoder.
    """

    width: str
    following: tuple[str, ...]
    needed: tuple[str, ...]
    depth: str = "num_hidden_layers"
    task: str = "causal-lm"
    heads: tuple[str, str | None] = ("num_attention_heads", "head_dim")
    depths: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def read_family(model_type: str, task: str | None = None) -> ConfigFamily | None:
    """The family of a configuration, read from its class; None where its width or its depth cannot be told.

    Args:
        model_type: as a `config.json` has it, for example "llama".
        task: what is built on top; None takes the first of `_TASKS` that transformers knows for this configuration.

    Raises:
        ImportError: transformers is not installed.
    """
    transformers = importlib.import_module("transformers")
    if model_type not in transformers.CONFIG_MAPPING:
        return None
    config = _configuration(transformers.CONFIG_MAPPING[model_type])
    if config is None:
        return None
    task = task or _task(model_type, bool(getattr(config, "is_encoder_decoder", False)))
    return None if task is None else family_from(config, task)


def family_from(config: Any, task: str) -> ConfigFamily | None:
    """The family of a configuration with its defaults; None where its width or its depth cannot be told.

    Args:
        config: a `PretrainedConfig` of any family.
        task: what is built on top, a key of `huggingface.CLASSES`.
    """
    values: dict[str, Any] = config.to_dict()
    names: Mapping[str, str] = getattr(config, "attribute_map", {})
    both = task in _ENCODER_DECODER
    width = _first(_WIDTH, values, names)
    decoder = _first(_DECODER_DEPTH, values, {})
    depth = decoder or _first(_DEPTH, values, names) or next((key for key in _DEPTH if hasattr(config, key)), None)
    if width is None or depth is None:
        return _within(config, task)
    heads = _first(_DECODER_HEADS, values, {}) or _first(_HEADS, values, names) or _HEADS[0]
    skipped = () if both or decoder is None else ("encoder_", "num_encoder_")
    following = [
        key
        for key in values
        if key != width and _follows(key, values, values[width]) and not key.startswith(skipped or ("\0",))
    ]
    wider = _configuration(type(config), **{width: 2 * values[width]})
    itself = {} if wider is None else wider.to_dict()
    needed = [
        key
        for key in following
        if (_FEED_FORWARD.fullmatch(key) or _INNER.fullmatch(key) or key == heads)
        and values.get(key) is not None
        and itself.get(key, values[key]) == values[key]
    ]
    encoder = _first(_ENCODER_DEPTH, values, {}) if both and decoder else None
    return ConfigFamily(
        width=width,
        following=tuple(following),
        needed=tuple(needed),
        depth=depth,
        task=task,
        heads=(heads, _first(_HEAD_DIM, values, {})),
        depths=() if encoder is None or encoder == depth else (encoder,),
    )


def _within(config: Any, task: str) -> ConfigFamily | None:
    """Of a configuration of several models, the keys of the language model among them."""
    inner = getattr(config, "text_config", None)
    family = None if inner is None else family_from(inner, task)
    if family is None:
        return None
    heads, head_dim = family.heads

    def placed(keys: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"text_config.{key}" for key in keys)

    return ConfigFamily(
        width=f"text_config.{family.width}",
        following=placed(family.following),
        needed=placed(family.needed),
        depth=f"text_config.{family.depth}",
        task=task,
        heads=(f"text_config.{heads}", None if head_dim is None else f"text_config.{head_dim}"),
        depths=placed(family.depths),
    )


def default_of(model_type: str, key: str) -> Any:
    """The value that a configuration has for a key that was left out.

    Args:
        model_type: as a `config.json` has it.
        key: name of the key.
    """
    return getattr(importlib.import_module("transformers").CONFIG_MAPPING[model_type](), key)


def _configuration(kind: Any, **settings: int) -> Any:
    """A configuration with its defaults but for some; None of a class that has none, or refuses these."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns of tokens beyond a vocabulary, of which nothing is asked here
    try:
        return kind(**settings)
    except Exception:  # validation of configurations raises classes of its own
        return None
    finally:
        logging.disable(before)


def _task(model_type: str, encoder_decoder: bool) -> str | None:
    mappings = importlib.import_module("transformers.models.auto.modeling_auto")
    known = [task for task, name in _TASKS.items() if model_type in getattr(mappings, name, {})]
    wanted = known if encoder_decoder else [task for task in known if task not in _ENCODER_DECODER]
    return next(iter(wanted), None)


def _first(wanted: Iterable[str], values: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """The first key that a configuration has, under its own name for it."""
    return next((own for key in wanted if (own := names.get(key, key)) in values), None)


def _follows(key: str, values: Mapping[str, Any], width: object) -> bool:
    value = values[key]
    if isinstance(value, bool) or not (value is None or isinstance(value, int)):
        return False
    if _FEED_FORWARD.fullmatch(key) or _HEAD_COUNT.fullmatch(key) or _INNER.fullmatch(key):
        return value != 0
    return value == width and bool(_SIZE.fullmatch(key)) and not _NOT_A_WIDTH.fullmatch(key)
