"""Keys of transformers' configurations, read from text, against the classes themselves."""

from __future__ import annotations

import logging
import sys

import pytest

from hptransfer.models.config_keys import config_keys, config_names

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
#: plain decoders, an encoder with a decoder, a configuration in a configuration, one with names for names
FAMILIES = ("gpt2", "llama", "mixtral", "t5", "whisper", "bert", "vit", "gemma3", "gpt_neox", "falcon_h1", "granite")
#: a saved configuration says it, `AutoConfig.for_model` refuses it beside the name
NOT_A_SETTING = {"model_type"}


def unknown_keys(model_type: str) -> set[str]:
    """Keys of the configuration with its defaults that the text does not know."""
    keys = config_keys(model_type)
    assert keys is not None
    return {key for key in transformers.CONFIG_MAPPING[model_type]().to_dict() if keys.unknown(key) is not None}


def test_every_name_is_known() -> None:
    """Those of the installed package, and no other."""
    assert config_names() == frozenset(transformers.CONFIG_MAPPING)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_keys_are_those_of_the_class(model_type: str) -> None:
    """Every key that a saved configuration has is known."""
    assert unknown_keys(model_type) <= NOT_A_SETTING


@pytest.mark.slow
def test_keys_of_all_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all families whose configuration has defaults: none is called a mistake; of at most five nothing is known."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # hundreds of remarks on tokens
    silent: list[str] = []
    wrong: dict[str, set[str]] = {}
    for model_type in sorted(config_names() or ()):
        if config_keys(model_type) is None:
            silent.append(model_type)
            continue
        try:
            found = unknown_keys(model_type) - NOT_A_SETTING
        except Exception:  # noqa: S112 - a class without defaults, or one that needs a package: nothing to compare
            continue
        if found:
            wrong[model_type] = found
    assert wrong == {}
    assert len(silent) <= 5


@pytest.mark.parametrize(
    ("model_type", "key", "word"),
    [
        ("llama", "hiden_size", "hiden_size"),
        ("llama", "hidden_size", None),
        ("llama", "rope_theta", None),
        ("llama", "n_head", "n_head"),
        ("gpt2", "n_head", None),
        ("gpt2", "num_attention_heads", None),
        ("gemma3", "text_config.hidden_size", None),
        ("gemma3", "text_config.hiden_size", "hiden_size"),
        ("gemma3", "txt_config.hidden_size", "txt_config.hidden_size"),
        ("llama", "model_type", "model_type"),
    ],
)
def test_misspelt_keys(model_type: str, key: str, word: str | None) -> None:
    """Of the configuration itself and of one inside it; names for names are known."""
    keys = config_keys(model_type)
    assert keys is not None
    found = keys.unknown(key)
    assert (found and found[0]) == word


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known, so nothing is said."""
    for function in ("config_names", "config_keys", "_mapping_of_names", "_keys"):
        getattr(sys.modules["hptransfer.models.config_keys"], function).cache_clear()
    monkeypatch.setattr("hptransfer.models.config_keys._package", lambda: None)
    try:
        assert config_names() is None
        assert config_keys("llama") is None
    finally:
        for function in ("config_names", "config_keys", "_mapping_of_names"):
            getattr(sys.modules["hptransfer.models.config_keys"], function).cache_clear()
