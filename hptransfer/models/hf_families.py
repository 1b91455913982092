"""Which keys of a Hugging Face configuration follow width and depth, per family, and the configuration at a size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import HuggingFaceModel
from hptransfer.recipe.sections import Setting


@dataclass(frozen=True, slots=True)
class Family:
    """Keys of one `model_type`.

    Attributes:
        width: the key that is the width; the first of those that follow it.
        following: keys that grow in proportion to the width, where the settings give them.
        needed: keys of `following` that must be given, because their default would not follow.
        depth: the key that counts layers.
        task: what is built on top, a key of `huggingface.CLASSES`.
        heads: (key of the number of heads, key of head_dim or None).
    """

    width: str
    following: tuple[str, ...]
    needed: tuple[str, ...]
    depth: str = "num_hidden_layers"
    task: str = "causal-lm"
    heads: tuple[str, str | None] = ("num_attention_heads", "head_dim")


_LLAMA = Family(
    "hidden_size",
    ("intermediate_size", "num_attention_heads", "num_key_value_heads"),
    ("intermediate_size", "num_attention_heads"),
)
_MOE = Family(
    "hidden_size",
    ("intermediate_size", "moe_intermediate_size", "num_attention_heads", "num_key_value_heads"),
    ("intermediate_size", "num_attention_heads"),
)
_BERT = ("hidden_size", ("intermediate_size", "num_attention_heads"), ("intermediate_size", "num_attention_heads"))

FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "mixtral": _MOE,
    "gpt2": Family("n_embd", ("n_head", "n_inner"), ("n_head",), depth="n_layer", heads=("n_head", None)),
    "gpt_neox": Family(*_BERT, heads=("num_attention_heads", None)),
    "vit": Family(*_BERT, task="image-classification", heads=("num_attention_heads", None)),
    "bert": Family(*_BERT, task="masked-lm", heads=("num_attention_heads", None)),
}


def family_of(model: HuggingFaceModel) -> Family:
    """The family of a recipe's model, with what the recipe says itself.

    Raises:
        UsageError: an unknown `config`, and keys for width, depth or the task are not given.
    """
    known = FAMILIES.get(model.config)
    if known is None and not (model.follow_width and model.depth_key and model.task):
        raise UsageError(
            "`follow_width` (the width first), `depth_key` and `task` must be given for a configuration that is not "
            f"among {', '.join(FAMILIES)}",
            received=f"config: {model.config}",
            hint="for example `follow_width: [hidden_size, intermediate_size, num_attention_heads]`, "
            "`depth_key: num_hidden_layers`, `task: causal-lm`",
        )
    keys = model.follow_width or (known and (known.width, *known.following)) or ()
    given = bool(model.follow_width)
    return Family(
        width=keys[0],
        following=tuple(keys[1:]),
        needed=tuple(keys[1:]) if given or known is None else known.needed,
        depth=model.depth_key or (known.depth if known else ""),
        task=model.task or (known.task if known else ""),
        heads=known.heads if known else ("num_attention_heads", "head_dim"),
    )


def settings_at(settings: Mapping[str, Setting], family: Family, width: int, depth: int) -> dict[str, Setting]:
    """The settings with width and depth replaced, and what follows the width in proportion.

    Args:
        settings: of one size, for example copied from a `config.json`.
        family: which keys follow.
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
    return {**settings, **scaled, family.width: width, family.depth: depth}


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


def head_dim(settings: Mapping[str, Setting], family: Family) -> int | None:
    """Width of one attention head, None where the settings do not say it."""
    heads_key, dim_key = family.heads
    explicit = settings.get(dim_key) if dim_key else None
    if isinstance(explicit, int):
        return explicit
    width, heads = settings.get(family.width), settings.get(heads_key)
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None


def head_dims(settings: Mapping[str, Setting], family: Family, base: int, size: int) -> tuple[int, int] | None:
    """Width of one head at two widths; no weight's shape shows it. None where the settings do not say it."""
    below = head_dim(settings_at(settings, family, base, 1), family)
    above = head_dim(settings_at(settings, family, size, 1), family)
    return None if below is None or above is None else (below, above)
