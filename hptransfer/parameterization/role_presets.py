"""Roles that are named and not read: by a recipe or a caller, or by what is known of a family of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import READ_ONLY, GivenInit, Init, Role

_REST = rf"(?:, fan-in (?P<axes>[0-9]+(?:\+[0-9]+)*))?(?:, (?P<init>{'|'.join(get_args(GivenInit))}))?"
_FORM = re.compile(rf"(?P<role>[a-z ]+?){_REST}")
#: form of a role in a recipe; which embeddings are tied is read from the model
ROLE_FORM = rf"^({'|'.join(role for role in Role if role not in READ_ONLY)}){_REST}$"
_EXAMPLES = "for example `readout`, `hidden weight, fan-in 1`, `hidden weight, fan-in 0+1` or `hidden vector, ones`"


@dataclass(frozen=True, slots=True)
class GivenRole:
    """A role that was named, not read.

    Attributes:
        role: role that the parameter was given.
        fan_in_axes: axes of the tensor that are summed over; None where the module's type says it.
        init: None where the role or the module's type says it.
    """

    role: Role
    fan_in_axes: tuple[int, ...] | None = None
    init: Init | None = None


def parse_role(text: str) -> GivenRole:
    """Reads a role as it is written in a recipe.

    Args:
        text: `role[, fan-in AXIS[+AXIS]][, normal|ones|zeros]`.

    Raises:
        UsageError: another form, or no such role.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or found["role"] not in {role.value for role in Role}:
        raise UsageError(
            f"a role must be one of {', '.join(Role)}; then, where the module does not say it, the axes summed over "
            "and the init",
            received=text,
            hint=_EXAMPLES,
        )
    init = next((known for known in get_args(GivenInit) if known == found["init"]), None)
    axes = None if found["axes"] is None else tuple(sorted({int(axis) for axis in found["axes"].split("+")}))
    return GivenRole(Role(found["role"]), axes, init)


@dataclass(frozen=True, slots=True)
class Preset:
    """Patterns over full parameter names of one family.

    Attributes:
        residual_writers: regular expressions; what they match is added to the residual stream.
        roles: regular expression -> (role as `parse_role` reads it, why); used only where shapes and module types do
            not decide.
        notes: what a plan of this family must say.
        queries: patterns of query projections whose output is a factor of attention logits; none where queries, keys
            and values are one matrix, or a norm follows the projection.
    """

    residual_writers: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()


_ANY = r"(?:.*\.)?"

#: names of Llama and the families that follow it; `weight` of the router is a raw parameter, experts are stacked
_LLAMA = Preset(
    residual_writers=(
        _ANY + r"layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj)\.(weight|bias)",
        _ANY + r"layers\.\d+\.mlp\.experts\.(down_proj|\d+\.w2\.weight)",
    ),
    roles={
        _ANY + r"layers\.\d+\.self_attn\.[kv]_proj\.weight": (
            "hidden weight",
            "key and value heads are fixed: d_model is summed over as in any hidden weight",
        ),
        _ANY + r"layers\.\d+\.(mlp|block_sparse_moe)\.gate\.weight": (
            "router, fan-in 1",
            "it scores a fixed number of experts",
        ),
        _ANY + r"layers\.\d+\.mlp\.experts\.gate_up_proj": (
            "hidden weight, fan-in 2",
            "stacked experts: experts x outputs x inputs",
        ),
        _ANY + r"layers\.\d+\.mlp\.experts\.down_proj": (
            "hidden weight, fan-in 2",
            "stacked experts: experts x outputs x inputs",
        ),
    },
    queries=(_ANY + r"layers\.\d+\.self_attn\.q_proj\.(weight|bias)",),
)
_GPT2 = Preset(residual_writers=(_ANY + r"h\.\d+\.(attn|mlp)\.c_proj\.(weight|bias)",))
_TOKEN_TABLES = {
    _ANY + r"embeddings\.(cls_token|mask_token|position_embeddings)": (
        "embedding",
        "added to the stream as a row of a table is",
    )
}

#: presets that a recipe or a caller can name
FAMILIES: Mapping[str, Preset] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": replace(_LLAMA, queries=()),  # a norm follows its queries
    "gpt2": _GPT2,
    "nanogpt": _GPT2,
    "gpt_neox": Preset(residual_writers=(_ANY + r"layers\.\d+\.(attention\.dense|mlp\.dense_4h_to_h)\.(weight|bias)",)),
    "vit": Preset(
        residual_writers=(
            _ANY + r"layers\.\d+\.(attention\.o_proj|mlp\.fc2)\.(weight|bias)",
            _ANY + r"encoder\.layer\.\d+\.(attention\.)?output\.dense\.(weight|bias)",
        ),
        roles=_TOKEN_TABLES,
        queries=(
            _ANY + r"layers\.\d+\.attention\.q_proj\.(weight|bias)",
            _ANY + r"encoder\.layer\.\d+\.attention\.attention\.query\.(weight|bias)",
        ),
    ),
    "bert": Preset(
        residual_writers=(_ANY + r"encoder\.layer\.\d+\.(attention\.)?output\.dense\.(weight|bias)",),
        notes=(
            "bert normalises after each sum (post-norm): rules for depth were derived for blocks that normalise first, "
            "so a change of depth rests on no published evidence here",
        ),
        queries=(_ANY + r"encoder\.layer\.\d+\.attention\.self\.query\.(weight|bias)",),
    ),
}
#: those, and the built-in models by their kind
PRESETS: Mapping[str, Preset] = {
    "mlp": Preset(),
    "gpt": Preset(
        residual_writers=(r"blocks\.\d+\.(attention_out|down)\.(weight|bias)",), queries=(r"blocks\.\d+\.q\.weight",)
    ),
    **FAMILIES,
}
