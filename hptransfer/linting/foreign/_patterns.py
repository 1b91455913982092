"""Patterns of parameter names against the names of a framework's own decoder, within bounds."""

from __future__ import annotations

import fnmatch
import re

#: of torchtitan's Llama
TORCHTITAN = (
    "tok_embeddings.weight",
    *(
        f"layers.{layer}.{part}.weight"
        for layer in (0, 11)
        for part in (
            "attention.qkv_linear.wq", "attention.qkv_linear.wk", "attention.qkv_linear.wv", "attention.wo",
            "feed_forward.w1", "feed_forward.w2", "feed_forward.w3", "attention_norm", "ffn_norm",
        )
    ),
    "norm.weight",
    "lm_head.weight",
)  # fmt: skip
#: of OLMo-core's Transformer
OLMO_CORE = (
    "embeddings.weight",
    *(
        f"blocks.{layer}.{part}.weight"
        for layer in (0, 11)
        for part in (
            "attention.w_q", "attention.w_k", "attention.w_v", "attention.w_out", "attention_norm",
            "feed_forward.w1", "feed_forward.w2", "feed_forward.w3", "feed_forward_norm",
        )
    ),
    "lm_head.norm.weight",
    "lm_head.w_out.weight",
)  # fmt: skip
#: of Hugging Face's Llama
HUGGING_FACE = (
    "model.embed_tokens.weight",
    *(
        f"model.layers.{layer}.{part}.weight"
        for layer in (0, 11)
        for part in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
            "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm",
        )
    ),
    "model.norm.weight",
    "lm_head.weight",
)  # fmt: skip

_LONGEST = 300
#: repeats whose combinations can be tried on a name in no time
_MOST_REPEATS = 4


def searched(pattern: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Names that a regular expression is found in; None where it is none, or could take long.

    Args:
        pattern: of a foreign file, as `re.search` takes it.
        names: of a framework's own model.
    """
    plain = re.sub(r"\\.|\[(?:[^\]\\]|\\.)*\]", "x", pattern)
    nested = re.search(r"\)[*+{]", plain)
    if len(pattern) > _LONGEST or nested or sum(plain.count(each) for each in "*+{") > _MOST_REPEATS:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    return frozenset(name for name in names if compiled.search(name))


def globbed(pattern: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Names that a shell pattern matches as a whole; None where it could take long.

    Args:
        pattern: of a foreign file, as `fnmatch` takes it.
        names: of a framework's own model.
    """
    if len(pattern) > _LONGEST or pattern.count("*") > 2 * _MOST_REPEATS:
        return None
    return frozenset(fnmatch.filter(names, pattern))
