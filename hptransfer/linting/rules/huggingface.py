"""A configuration of transformers and its settings, as the text of the installed package knows them."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.errors import Finding
from hptransfer.linting.base import FunctionRule
from hptransfer.linting.weight import MOST_PARTS, counted_parts
from hptransfer.models.config_keys import config_keys, config_names
from hptransfer.recipe import suggestion
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.yaml.gate import KeyPath

#: settings that name code: what is loaded for them may come from elsewhere
_CODE = ("attn_implementation", "experts_implementation", "auto_map", "trust_remote_code")


def _config(loaded: LoadedRecipe) -> Iterator[Finding]:
    model = loaded.recipe.model
    names = config_names()
    if not isinstance(model, HuggingFaceModel) or names is None or model.config in names:
        return
    meant = suggestion.closest(model.config, sorted(names))
    hint = f"did you mean `{meant}`?" if meant else "write the `model_type` of the model's config.json"
    rule = "`model.config` must be a `model_type` that the installed transformers knows"
    yield Finding(rule, model.config, hint, loaded.place(("model", "config"), value=True))


def _settings(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Transformers takes any key and ignores those it does not know: the model is then another than was meant."""
    model = loaded.recipe.model
    known = config_keys(model.config) if isinstance(model, HuggingFaceModel) else None
    if not isinstance(model, HuggingFaceModel) or known is None:
        return
    keys: list[tuple[KeyPath, str]] = [(("model", "settings", key), key) for key in model.settings]
    keys += [(("model", "follow_width", index), key) for index, key in enumerate(model.follow_width)]
    if model.depth_key is not None:
        keys.append((("model", "depth_key"), model.depth_key))
    for path, key in keys:
        found = known.unknown(key)
        if found is not None:
            word, candidates = found
            meant = suggestion.closest(word, sorted(candidates))
            hint = f"did you mean `{key.removesuffix(word)}{meant}`?" if meant else f"delete `{key}`"
            rule = f"each key of `model.{path[1]}` must be one of the configuration `{model.config}`"
            yield Finding(rule, key, hint, loaded.place(path))


def _code(loaded: LoadedRecipe) -> Iterator[Finding]:
    model = loaded.recipe.model
    for key, value in model.settings.items() if isinstance(model, HuggingFaceModel) else ():
        name = key.rpartition(".")[2].lstrip("_")
        if name in _CODE and (name not in _CODE[:2] or "/" in str(value) or ":" in str(value)):
            rule = "`model.settings` must name no code that is loaded from elsewhere"
            yield Finding(rule, f"{key}: {value}", f"delete `{key}`", loaded.place(("model", "settings", key)))


def _counts(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What each part costs is an object of Python, or an entry of a table; shapes alone cost nothing."""
    model = loaded.recipe.model
    for key, number in counted_parts(model.settings).items() if isinstance(model, HuggingFaceModel) else ():
        if number > MOST_PARTS:
            rule = f"a setting that counts parts of a model must be at most {MOST_PARTS:,}"
            yield Finding(rule, f"{key}: {number:,}", None, loaded.place(("model", "settings", key.split(".")[0])))


RULES = (
    FunctionRule(
        "recipe/unknown-config",
        "`model.config` is one that the installed transformers knows",
        _config,
        level="error",
        explanation=Explanation(
            "HPT250",
            "No model can be built from a configuration that is not known.",
            "write the `model_type` of the model's config.json",
            "model: {kind: huggingface, config: lama, settings: {hidden_size: 64, hidden_act: silu}}",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, hidden_act: silu}}",
            at="^lama",
        ),
    ),
    FunctionRule(
        "recipe/unknown-setting",
        "each key of `model.settings`, `follow_width` and `depth_key` is one of the configuration, which would "
        "otherwise be ignored",
        _settings,
        level="error",
        explanation=Explanation(
            "HPT251",
            "Transformers ignores keys that it does not know, so another model is trained than was meant.",
            "write the key as the configuration has it, or delete it",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, hiden_act: silu}}",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, hidden_act: silu}}",
            at="^hiden_act",
        ),
    ),
    FunctionRule(
        "recipe/setting-names-code",
        "no setting of a model names code that is loaded from elsewhere",
        _code,
        level="error",
        explanation=Explanation(
            "HPT252",
            "What is loaded for such a setting may come from elsewhere, and would run unseen.",
            "delete the setting",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, attn_implementation: org/kernel}}",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, hidden_act: silu}}",
            at="^attn_implementation",
        ),
    ),
    FunctionRule(
        "recipe/setting-counts-too-much",
        f"a setting that counts parts of a model, as `num_labels` does, is at most {MOST_PARTS:,}",
        _counts,
        level="error",
        explanation=Explanation(
            "HPT253",
            "Each part is an object, or an entry of a table, that takes time and memory though its tensors take none.",
            "write the number that the published model has, or delete the setting",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, num_labels: 1000000}}",
            "model: {kind: huggingface, config: llama, settings: {hidden_size: 64, num_labels: 10}}",
            at="^num_labels",
        ),
    ),
)
