"""Parts of a decoder, and what each framework calls them: one table of names for each, used in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum


class Part(StrEnum):
    """A parameter's place in a decoder, whatever a framework calls it."""

    EMBEDDING = "embedding"
    POSITIONS = "positions"
    ATTENTION_NORM = "attention norm"
    ATTENTION_NORM_BIAS = "attention norm bias"
    QUERY = "query"
    QUERY_BIAS = "query bias"
    KEY = "key"
    KEY_BIAS = "key bias"
    VALUE = "value"
    VALUE_BIAS = "value bias"
    QUERY_KEY_VALUE = "query, key and value"
    QUERY_KEY_VALUE_BIAS = "query, key and value bias"
    QUERY_NORM = "query norm"
    KEY_NORM = "key norm"
    ATTENTION_OUT = "attention output"
    ATTENTION_OUT_BIAS = "attention output bias"
    MLP_NORM = "mlp norm"
    MLP_NORM_BIAS = "mlp norm bias"
    GATE = "gate"
    UP = "up"
    UP_BIAS = "up bias"
    GATE_UP = "gate and up"
    DOWN = "down"
    DOWN_BIAS = "down bias"
    FINAL_NORM = "final norm"
    FINAL_NORM_BIAS = "final norm bias"
    READOUT = "readout"


#: parts that a framework may hold in one matrix -> the parts that it is made of
FUSED: Mapping[Part, tuple[Part, ...]] = {
    Part.QUERY_KEY_VALUE: (Part.QUERY, Part.KEY, Part.VALUE),
    Part.QUERY_KEY_VALUE_BIAS: (Part.QUERY_BIAS, Part.KEY_BIAS, Part.VALUE_BIAS),
    Part.GATE_UP: (Part.GATE, Part.UP),
}
#: parts that write the residual stream
WRITERS: frozenset[Part] = frozenset({Part.ATTENTION_OUT, Part.DOWN})

#: part -> full name, with `{layer}` where layers are numbered
Names = Mapping[Part, str]

#: names of a Hugging Face Llama, and of the families that follow it (mistral, qwen2, qwen3)
LLAMA_NAMES: Names = {
    Part.EMBEDDING: "model.embed_tokens.weight",
    Part.ATTENTION_NORM: "model.layers.{layer}.input_layernorm.weight",
    Part.QUERY: "model.layers.{layer}.self_attn.q_proj.weight",
    Part.QUERY_BIAS: "model.layers.{layer}.self_attn.q_proj.bias",
    Part.KEY: "model.layers.{layer}.self_attn.k_proj.weight",
    Part.KEY_BIAS: "model.layers.{layer}.self_attn.k_proj.bias",
    Part.VALUE: "model.layers.{layer}.self_attn.v_proj.weight",
    Part.VALUE_BIAS: "model.layers.{layer}.self_attn.v_proj.bias",
    Part.QUERY_NORM: "model.layers.{layer}.self_attn.q_norm.weight",
    Part.KEY_NORM: "model.layers.{layer}.self_attn.k_norm.weight",
    Part.ATTENTION_OUT: "model.layers.{layer}.self_attn.o_proj.weight",
    Part.ATTENTION_OUT_BIAS: "model.layers.{layer}.self_attn.o_proj.bias",
    Part.MLP_NORM: "model.layers.{layer}.post_attention_layernorm.weight",
    Part.GATE: "model.layers.{layer}.mlp.gate_proj.weight",
    Part.UP: "model.layers.{layer}.mlp.up_proj.weight",
    Part.DOWN: "model.layers.{layer}.mlp.down_proj.weight",
    Part.FINAL_NORM: "model.norm.weight",
    Part.READOUT: "lm_head.weight",
}
#: names of GPT-2 in transformers, and of nanoGPT: the same
GPT2_NAMES: Names = {
    Part.EMBEDDING: "transformer.wte.weight",
    Part.POSITIONS: "transformer.wpe.weight",
    Part.ATTENTION_NORM: "transformer.h.{layer}.ln_1.weight",
    Part.ATTENTION_NORM_BIAS: "transformer.h.{layer}.ln_1.bias",
    Part.QUERY_KEY_VALUE: "transformer.h.{layer}.attn.c_attn.weight",
    Part.QUERY_KEY_VALUE_BIAS: "transformer.h.{layer}.attn.c_attn.bias",
    Part.ATTENTION_OUT: "transformer.h.{layer}.attn.c_proj.weight",
    Part.ATTENTION_OUT_BIAS: "transformer.h.{layer}.attn.c_proj.bias",
    Part.MLP_NORM: "transformer.h.{layer}.ln_2.weight",
    Part.MLP_NORM_BIAS: "transformer.h.{layer}.ln_2.bias",
    Part.UP: "transformer.h.{layer}.mlp.c_fc.weight",
    Part.UP_BIAS: "transformer.h.{layer}.mlp.c_fc.bias",
    Part.DOWN: "transformer.h.{layer}.mlp.c_proj.weight",
    Part.DOWN_BIAS: "transformer.h.{layer}.mlp.c_proj.bias",
    Part.FINAL_NORM: "transformer.ln_f.weight",
    Part.FINAL_NORM_BIAS: "transformer.ln_f.bias",
    Part.READOUT: "lm_head.weight",
}
#: names of the built-in decoder, models/gpt.py
GPT_NAMES: Names = {
    Part.EMBEDDING: "embedding.weight",
    Part.POSITIONS: "positions.weight",
    Part.ATTENTION_NORM: "blocks.{layer}.attention_norm.weight",
    Part.QUERY: "blocks.{layer}.q.weight",
    Part.KEY: "blocks.{layer}.k.weight",
    Part.VALUE: "blocks.{layer}.v.weight",
    Part.ATTENTION_OUT: "blocks.{layer}.attention_out.weight",
    Part.MLP_NORM: "blocks.{layer}.mlp_norm.weight",
    Part.UP: "blocks.{layer}.up.weight",
    Part.DOWN: "blocks.{layer}.down.weight",
    Part.FINAL_NORM: "final_norm.weight",
    Part.READOUT: "readout.weight",
}
#: tables by which a user's model is read, with what uses them
KNOWN: Mapping[str, Names] = {
    "Llama and its followers (transformers)": LLAMA_NAMES,
    "GPT-2 (transformers), nanoGPT": GPT2_NAMES,
    "hptransfer's `gpt`": GPT_NAMES,
}


def places(names: Names, layers: int) -> Iterator[tuple[Part, int | None, str]]:
    """Every part of a model with its layer, None outside them, and its full name.

    Args:
        names: part -> what the framework calls it.
        layers: how many blocks there are.
    """
    for part, template in names.items():
        if "{layer}" not in template:
            yield part, None, template
            continue
        for layer in range(layers):
            yield part, layer, template.replace("{layer}", str(layer))
