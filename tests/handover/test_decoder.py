"""Heads are what the shapes of the rows say; what no shape shows is recorded; what disagrees is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import decoder_of
from hptransfer.handover.parts import Part
from hptransfer.models.model_record import model_record
from hptransfer.recipe.model_sections import GptModel, HuggingFaceModel
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, llama_target

WIDE = Size(192, 2, 8, 8192)


def family(name: str, left_out: tuple[str, ...] = (), **settings: Any) -> HuggingFaceModel:
    """The Llama of the tests as another family, with settings left to its class."""
    kept = {key: value for key, value in LLAMA.settings.items() if key not in left_out}
    return LLAMA.model_copy(update={"config": name, "settings": {**kept, **settings}})


GPT2 = HuggingFaceModel.model_validate(
    {
        "kind": "huggingface",
        "config": "gpt2",
        "settings": {"n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 64, "vocab_size": 256},
    }
)
#: model -> its heads, key-value heads and numbers per head at width 192: by hand from the defaults in the classes
HEADS: Mapping[str, tuple[Any, tuple[int, int, int]]] = {
    "llama": (LLAMA, (12, 6, 16)),
    # Qwen3Config: head_dim 128
    "qwen3": (family("qwen3"), (12, 6, 128)),
    # MistralConfig: num_key_value_heads 8
    "mistral": (family("mistral", ("num_key_value_heads",), num_attention_heads=16), (48, 8, 4)),
    # LlamaConfig: as many as heads
    "all heads": (family("llama", ("num_key_value_heads",)), (12, 12, 16)),
    "wide heads": (family("llama", head_dim=32), (12, 6, 32)),
    "gpt2": (GPT2, (12, 12, 16)),
    "gpt": (GptModel(kind="gpt", context=8, head_dim=16), (12, 12, 16)),
}


def planned(model: Any) -> TargetFile:
    """A target of width 192 of a model."""
    return llama_target("mup", model=model, size=WIDE, init="rule" if model.kind == "gpt" else "own")


@pytest.mark.parametrize("name", list(HEADS))
def test_heads_are_those_of_the_shapes(name: str) -> None:
    """Also where the recipe leaves them to the configuration's own defaults."""
    model, expected = HEADS[name]
    decoder = decoder_of(planned(model))

    assert (decoder.heads, decoder.key_value_heads, decoder.head_dim) == expected
    heads, groups, length = expected
    assert decoder.shape(Part.QUERY_KEY_VALUE, 1) in [
        ((heads + 2 * groups) * length, 192),
        (192, (heads + 2 * groups) * length),  # GPT-2 holds its matrices the other way
    ]


@pytest.mark.parametrize("name", ["llama", "qwen3", "qwen2", "mistral"])
def test_what_no_shape_shows_is_recorded(name: str) -> None:
    """The class's base of rotations is 10000 in all of these, its eps 1e-6; what the recipe says goes first."""
    left = model_record(family(name, ("rms_norm_eps",)), WIDE).settings
    said = model_record(family(name, rope_theta=500000.0), WIDE).settings

    assert (left["rope_theta"], left["rms_norm_eps"]) == (10000.0, 1e-6)
    assert (said["rope_theta"], said["rms_norm_eps"]) == (500000.0, 1e-5)
    inside = model_record(family(name, (), **{"rope_parameters.rope_theta": 5.0}), WIDE).settings
    assert "rope_theta" not in inside


#: settings of an edited target -> what the error says
WRONG: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "heads": ({"num_attention_heads": 6, "head_dim": 16}, "6 heads and 6 key-value heads of 16 numbers"),
    "key-value heads": ({"num_key_value_heads": 3}, "12 heads and 3 key-value heads of 16 numbers"),
    "numbers per head": ({"head_dim": 32}, "12 heads and 6 key-value heads of 32 numbers"),
    "width": ({"hidden_size": 64}, "hidden_size 64, by the shapes 192"),
    "mlp": ({"intermediate_size": 176}, "intermediate_size 176, by the shapes 528"),
    "vocabulary": ({"vocab_size": 257}, "vocab_size 257, by the shapes 256"),
    "text": ({"num_attention_heads": "abc"}, "num_attention_heads 'abc'"),
    "eps": ({"rms_norm_eps": None}, "rms_norm_eps None"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_settings_that_disagree_with_the_shapes_are_an_error(name: str) -> None:
    """Neither is taken for the other."""
    settings, said = WRONG[name]
    target = planned(LLAMA)
    assert target.model is not None
    model = target.model.model_copy(update={"settings": {**target.model.settings, **settings}})

    with pytest.raises(UsageError) as caught:
        decoder_of(target.model_copy(update={"model": model}))
    assert said in str(caught.value.findings[0].received)
