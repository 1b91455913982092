"""What follows the width, by family: the rule gives what a reader of the configuration's class would write down."""

from __future__ import annotations

import pytest

from hptransfer.errors import UsageError
from hptransfer.models.config_families import ConfigFamily, read_family
from hptransfer.models.huggingface import family_of, settings_at
from hptransfer.recipe.model_sections import HuggingFaceModel
from tests.support.families import DECODERS

pytest.importorskip("transformers", reason="needs the extra `hf`")

LLAMA = ("intermediate_size", "num_attention_heads", "num_key_value_heads")
HEADS_AND_FFN = ("num_attention_heads", "intermediate_size")
LATENT = ("moe_intermediate_size", "num_attention_heads", "num_key_value_heads")
#: written down by hand from the configurations' classes of transformers 5.23: (width, following, needed, depth, task,
#: heads)
BY_HAND: dict[str, tuple[str, set[str], set[str], str, str, tuple[str, str | None]]] = {
    "llama": (
        "hidden_size",
        set(LLAMA),
        set(LLAMA[:2]),
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", "head_dim"),
    ),
    "qwen2": (
        "hidden_size",
        set(LLAMA),
        set(LLAMA[:2]),
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", None),
    ),
    "gpt2": ("n_embd", {"n_head", "n_inner"}, {"n_head"}, "n_layer", "causal-lm", ("n_head", None)),
    "gpt_neox": (
        "hidden_size",
        set(HEADS_AND_FFN),
        set(HEADS_AND_FFN),
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", None),
    ),
    "bert": (
        "hidden_size",
        set(HEADS_AND_FFN),
        set(HEADS_AND_FFN),
        "num_hidden_layers",
        "masked-lm",
        ("num_attention_heads", None),
    ),
    "deepseek_v3": (
        "hidden_size",
        {"intermediate_size", *LATENT},
        {"intermediate_size", *LATENT[:2]},
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", "head_dim"),
    ),
    "opt": (
        "hidden_size",
        {"ffn_dim", "word_embed_proj_dim", "num_attention_heads"},
        {"ffn_dim", "num_attention_heads"},
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", None),
    ),
    "mamba": (
        "hidden_size",
        {"intermediate_size"},
        set(),
        "num_hidden_layers",
        "causal-lm",
        ("num_attention_heads", None),
    ),
}
#: decoders whose configuration does not say its width by defaults: models of several parts, and one whose defaults are
#: refused by itself
UNREADABLE = {"blt", "gemma4_assistant", "musicgen", "musicgen_melody"}


@pytest.mark.parametrize("name", BY_HAND)
def test_keys_are_those_that_a_reader_finds(name: str) -> None:
    """Of families with other names for width, heads and layers, of experts, latent attention and state spaces."""
    width, following, needed, depth, task, heads = BY_HAND[name]
    family = read_family(name)

    assert family is not None
    assert (family.width, family.depth, family.task, family.heads) == (width, depth, task, heads)
    assert (set(family.following), set(family.needed)) == (following, needed)


def test_an_encoder_and_a_decoder_have_two_depths() -> None:
    """T5 and Whisper: both count layers, and both are given."""
    assert read_family("t5") == ConfigFamily(
        "d_model",
        ("d_ff", "num_heads"),
        ("d_ff", "num_heads"),
        "num_decoder_layers",
        "seq2seq-lm",
        ("num_heads", "d_kv"),
        ("num_layers",),
    )
    section = HuggingFaceModel(kind="huggingface", config="t5", settings={"d_model": 64, "d_ff": 256, "num_heads": 4})

    scaled = settings_at(section.settings, family_of(section), 128, 6)

    assert scaled == {"d_model": 128, "d_ff": 512, "num_heads": 8, "num_decoder_layers": 6, "num_layers": 6}


def test_a_decoder_alone_leaves_its_encoder_out() -> None:
    """BART as a decoder: the keys of an encoder that is not built do not matter."""
    family = read_family("bart", "causal-lm")

    assert family is not None
    assert (family.depth, set(family.following)) == ("decoder_layers", {"decoder_ffn_dim", "decoder_attention_heads"})


def test_a_language_model_inside_a_configuration() -> None:
    """Gemma 3 reads images too: width and depth are those of its language model."""
    family = read_family("gemma3", "causal-lm")

    assert family is not None
    assert (family.width, family.depth) == ("text_config.hidden_size", "text_config.num_hidden_layers")


def test_almost_every_decoder_is_read() -> None:
    """The others are asked for their keys."""
    assert {name for name in DECODERS if read_family(name, "causal-lm") is None} == UNREADABLE


def test_a_family_that_says_nothing_is_asked() -> None:
    """The three keys are named."""
    with pytest.raises(UsageError, match="follow_width"):
        family_of(HuggingFaceModel(kind="huggingface", config="blt", settings={}))
