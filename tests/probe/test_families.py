"""Models of transformers, small and from their configuration alone: what their running code says."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from hptransfer.probe.findings import Probe
from hptransfer.probe.probing import probe

if TYPE_CHECKING:
    from torch import nn

transformers = pytest.importorskip("transformers")
BASE = (64, 2)
#: which class puts the head on top, where it is not the one for causal language models
HEADS = {"bert": "MaskedLM", "vit": "ImageClassification", "t5": "Seq2SeqLM", "whisper": "SpeechSeq2Seq"}
ATTENTION = {"hidden_size": 1, "intermediate_size": 2, "num_attention_heads": 1 / 16}
#: settings in units of the width; what counts layers; fixed settings
FAMILIES: dict[str, tuple[dict[str, float], tuple[str, ...], dict[str, Any]]] = {
    **{
        name: ({**ATTENTION, "num_key_value_heads": 1 / 32}, ("num_hidden_layers",), {"head_dim": 16})
        for name in ("llama", "gemma", "gemma2", "qwen3", "olmo2", "granite")
    },
    "mixtral": ({**ATTENTION, "num_key_value_heads": 1 / 32}, ("num_hidden_layers",), {"num_local_experts": 4}),
    "gpt2": ({"n_embd": 1, "n_head": 1 / 16}, ("n_layer",), {"n_positions": 32}),
    "bert": (ATTENTION, ("num_hidden_layers",), {}),
    "vit": (ATTENTION, ("num_hidden_layers",), {"image_size": 32, "patch_size": 8}),
    "t5": ({"d_model": 1, "d_ff": 2, "num_heads": 1 / 16}, ("num_layers",), {"d_kv": 16}),
    "mamba": ({"hidden_size": 1}, ("num_hidden_layers",), {"state_size": 8}),
    "whisper": (
        {
            **{
                f"{side}_{key}": by
                for side in ("encoder", "decoder")
                for key, by in (("attention_heads", 1 / 16), ("ffn_dim", 2))
            },
            "d_model": 1,
        },
        ("encoder_layers", "decoder_layers"),
        {"max_source_positions": 20, "max_target_positions": 32},
    ),
}


def build(name: str) -> Callable[[int, int], nn.Module]:
    """A family's model at a width and a depth."""
    following, depths, fixed = FAMILIES[name]

    def at(width: int, depth: int) -> nn.Module:
        tokens = {} if name == "vit" else {"vocab_size": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        if name in ("t5", "whisper"):
            tokens["decoder_start_token_id"] = 1
        settings = {key: max(1, int(width * by)) for key, by in following.items()}
        config = transformers.AutoConfig.for_model(name, **settings, **dict.fromkeys(depths, depth), **fixed, **tokens)
        model: nn.Module = getattr(transformers, f"AutoModelFor{HEADS.get(name, 'CausalLM')}").from_config(config)
        return model

    return at


@cache
def seen(name: str) -> Probe:
    """The probe of a family."""
    answer = probe(build(name), BASE)
    assert answer.unknown == ()
    return answer


@pytest.mark.parametrize(
    "name", ["llama", "qwen3", "olmo2", "gpt2", "bert", "vit", "whisper", "mixtral", "mamba", "granite"]
)
def test_families_without_a_factor_of_the_size(name: str) -> None:
    """Rotary positions, router sums, relative positions, Granite's constants: nothing is named."""
    assert seen(name).factors == ()


@pytest.mark.parametrize("name", ["gemma", "gemma2"])
def test_gemma_multiplies_its_embedding(name: str) -> None:
    """`embed_scale = hidden_size**0.5` in transformers' modeling_gemma.py, on the look-up of a tied table."""
    (factor,) = seen(name).factors

    assert (factor.width_power, factor.depth_power, factor.purpose) == (0.5, 0.0, "output")
    assert (factor.parameters, factor.use) == (("model.embed_tokens.weight",), "lookup")
    assert factor.where.code.startswith(f"modeling_{name}.py:")


def test_t5_multiplies_before_its_tied_readout() -> None:
    """`sequence_output * self.model_dim**-0.5` in modeling_t5.py: of the shared table's use as a matrix."""
    (factor,) = seen("t5").factors

    assert (factor.width_power, factor.purpose, factor.parameters, factor.use) == (
        -0.5,
        "input",
        ("shared.weight",),
        "matrix",
    )


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("llama", ["model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.mlp.down_proj.weight"]),
        ("mixtral", ["model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.mlp.experts.down_proj"]),
        ("gpt2", ["transformer.h.{}.attn.c_proj.weight", "transformer.h.{}.mlp.c_proj.weight"]),
        ("bert", ["bert.encoder.layer.{}.attention.output.dense.weight", "bert.encoder.layer.{}.output.dense.weight"]),
        ("mamba", ["backbone.layers.{}.mixer.out_proj.weight"]),
        ("gemma2", ["model.layers.{}.self_attn.o_proj.weight", "model.layers.{}.mlp.down_proj.weight"]),
        (
            "t5",
            [
                "encoder.block.{}.layer.0.SelfAttention.o.weight",
                "encoder.block.{}.layer.1.DenseReluDense.wo.weight",
                "decoder.block.{}.layer.0.SelfAttention.o.weight",
                "decoder.block.{}.layer.1.EncDecAttention.o.weight",
                "decoder.block.{}.layer.2.DenseReluDense.wo.weight",
            ],
        ),
        (
            "whisper",
            [
                *(
                    f"model.{side}.layers.{{}}.{name}.weight"
                    for side in ("encoder", "decoder")
                    for name in ("self_attn.out_proj", "fc2")
                ),
                "model.decoder.layers.{}.encoder_attn.out_proj.weight",
            ],
        ),
    ],
)
def test_writers_of_every_layer(name: str, patterns: list[str]) -> None:
    """Attention, cross-attention and feed-forward of both halves, experts, mixers."""
    wanted = {pattern.format(layer) for pattern in patterns for layer in range(2)}

    assert {each.parameters[0] for each in seen(name).writers} == wanted


@pytest.mark.parametrize(("name", "centred"), [("gemma2", True), ("olmo2", False)])
def test_norms_behind_writers(name: str, centred: bool) -> None:
    """Post-norm inside the branch; Gemma multiplies by one plus its weight."""
    found = seen(name).writers

    assert len(found) == 4
    assert {each.norm for each in found} == {
        (f"model.layers.{layer}.post_{place}_layernorm.weight",)
        for layer in range(2)
        for place in ("attention", "feedforward")
    }
    assert {each.zero_centred for each in found} == {centred}


def test_bert_s_stream_passes_norms() -> None:
    """Post-LN; the norm of the embeddings and that of the head are none of them."""
    assert {name.partition("layer.")[2] for name in seen("bert").stream_norms} == {
        f"{layer}.{place}LayerNorm.{kind}"
        for layer in range(2)
        for place in ("attention.output.", "output.")
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("name", "scale", "normed"),
    [
        ("llama", 0.25, False),
        ("qwen3", 0.25, True),
        ("olmo2", 0.25, True),
        ("gpt2", 0.25, False),
        ("gemma2", 256**-0.5, False),  # query_pre_attn_scalar is 256
        ("granite", 1.0, False),  # attention_multiplier
        ("t5", 1.0, False),  # T5 has no scale
        ("whisper", 0.25, False),
        ("mixtral", 0.25, False),
    ],
)
def test_attention_of_families(name: str, scale: float, normed: bool) -> None:
    """Heads of 16; the scale as each configuration has it."""
    found = seen(name).attention

    assert {each.head_dims for each in found} == {(16, 16)}
    for each in found:
        assert each.scales == pytest.approx((scale, scale))
        assert each.normed is normed
    queries = {name for each in found for name in each.queries}
    assert all(".q" in name for name in queries)
    assert bool(queries) is (name != "gpt2")  # one matrix for queries, keys and values


def test_eager_attention_says_the_same() -> None:
    """Written out by transformers instead of torch's kernel."""

    def eager(width: int, depth: int) -> nn.Module:
        model = build("llama")(width, depth)
        model.set_attn_implementation("eager")  # type: ignore[operator]
        return model

    (written,), (fused,) = probe(eager, BASE).attention, seen("llama").attention

    assert (written.head_dims, written.queries, written.normed) == (fused.head_dims, fused.queries, fused.normed)
    assert written.scales == pytest.approx(fused.scales)


@pytest.mark.parametrize("name", ["gemma", "t5", "bert", "gpt2", "mamba", "whisper", "vit"])
def test_readouts_of_families(name: str) -> None:
    """Tied tables read out under their own name."""
    wanted = {
        "gemma": "model.embed_tokens.weight",
        "t5": "shared.weight",
        "bert": "bert.embeddings.word_embeddings.weight",
        "gpt2": "transformer.wte.weight",
        "mamba": "backbone.embeddings.weight",
        "whisper": "model.decoder.embed_tokens.weight",
        "vit": "classifier.weight",
    }
    answer = seen(name)

    assert (answer.readouts, answer.product, answer.unused) == ((wanted[name],), None, ())
