"""By what a model of transformers multiplies the output of its parameters, read from its modelling code, 5.23.0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hptransfer.models.config_families import default_of
from hptransfer.models.huggingface import flat

if TYPE_CHECKING:
    from torch import nn

#: what is in the configuration -> (power, full names of the parameters whose output is multiplied)
_Factors = Mapping[str, tuple[float, str]]
_LOGITS = "logits"
_LAYER = r"model\.layers\.\d+\."
#: transformers adds `hidden_states * residual_multiplier` of attention, state space and MLP alike
_GRANITE: _Factors = {
    "logits_scaling": (-1.0, _LOGITS),
    "residual_multiplier": (
        1.0,
        _LAYER + r"((self_attn\.o_proj|mlp\.down_proj|shared_mlp\.output_linear|mamba\.out_proj)\.(weight|bias)|"
        r"block_sparse_moe\.experts\.down_proj)",
    ),
}
_COHERE: _Factors = {"logit_scale": (1.0, _LOGITS)}
#: `model_type` -> its factors; tests/roundtrip/test_huggingface_factors.py measures each of them in `forward`
FACTORS: Mapping[str, _Factors] = {
    "granite": _GRANITE,
    "granite_swa": _GRANITE,
    "granitemoe": _GRANITE,
    "granitemoe_swa": _GRANITE,
    "granitemoehybrid": _GRANITE,
    "granitemoeshared": _GRANITE,
    "hyperclovax": {**_GRANITE, "logits_scaling": (1.0, _LOGITS)},
    "falcon_h1": {
        "lm_head_multiplier": (1.0, _LOGITS),
        "attention_out_multiplier": (1.0, _LAYER + r"self_attn\.o_proj\.(weight|bias)"),
        "ssm_out_multiplier": (1.0, _LAYER + r"mamba\.out_proj\.(weight|bias)"),
        "mlp_multipliers[1]": (1.0, _LAYER + r"feed_forward\.down_proj\.(weight|bias)"),
    },
    "minicpm3": {"scale_depth": (1.0, _LAYER + r"(self_attn\.o_proj|mlp\.down_proj)\.(weight|bias)")},
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "cohere2_moe": _COHERE,
    "cohere_compass_text": _COHERE,
    "inkling_text": {"logits_mup_width_multiplier": (-1.0, _LOGITS)},
}


def factor_keys(model_type: str) -> frozenset[str]:
    """Keys of a configuration that are read as factors on parameters' outputs.

    Args:
        model_type: as a `config.json` has it.
    """
    return frozenset(said.partition("[")[0] for said in FACTORS.get(model_type, {}))


def configured_factors(model: nn.Module, settings: Mapping[str, Any]) -> dict[str, float]:
    """Name -> what keys of the configuration multiply a parameter's output by, over the base's; 1 is left out.

    Args:
        model: of transformers, with its `config`.
        settings: of the recipe's model; with the class's defaults they are the values at the base.
    """
    built: Any = model
    used = flat(built.config.to_dict())
    model_type = str(built.config.model_type)
    head = built.get_output_embeddings()
    found: dict[str, float] = {}
    for said, (power, pattern) in FACTORS.get(model_type, {}).items():
        key, _, entry = said.partition("[")
        given = settings.get(key)
        base: Any = default_of(model_type, key) if given is None else given
        value: Any = used[key]
        if entry:
            base, value = base[int(entry[:-1])], value[int(entry[:-1])]
        base, value = (1.0 if each is None else each for each in (base, value))  # what is null multiplies nothing
        if value == base:
            continue
        for name, parameter in model.named_parameters():
            reads_out = head is not None and parameter is head.weight
            if reads_out if pattern == _LOGITS else re.fullmatch(pattern, name):
                found[name] = found.get(name, 1.0) * float((value / base) ** power)
    return found
