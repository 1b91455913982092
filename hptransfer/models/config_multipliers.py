"""Configurations of transformers that carry multipliers of their own: what to write there, instead of absorbing it.

Granite, Falcon-H1, MiniCPM3, Cohere and their kin multiply logits, residual branches or attention logits by numbers of
their configuration. A plan in the gauge "multipliers" leaves such factors to `forward`; here they become values of
keys, so that no line of code changes. Read from each family's own modelling file in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.config_families import default_of
from hptransfer.parameterization.plan import PlannedParameter
from hptransfer.parameterization.roles import Role
from hptransfer.recipe.model_sections import HuggingFaceModel

#: what a key scales: the logits, what is added to the residual stream, or attention logits
Use = Literal["readout", "branch", "attention"]
#: a value of a configuration: a number, or a list of which one entry is meant
Value = float | list[float]


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """A key whose number scales something in `forward`.

    Attributes:
        use: which multiplier of the plan it is.
        name: of the key in the configuration.
        power: `forward` multiplies by the number to this power: -1 where it divides.
        entry: which entry of a list it is; None of a plain number.
        writers: of a branch, last parts of the names of the modules, or of bare parameters, whose output it multiplies.
    """

    use: Use
    name: str
    power: float = 1.0
    entry: int | None = None
    writers: tuple[str, ...] = ()


#: of attention and of a dense MLP, in families that follow Llama
_DENSE = ("self_attn.o_proj", "mlp.down_proj")
_GRANITE = (
    ConfigKey("readout", "logits_scaling", -1.0),
    ConfigKey(
        "branch",
        "residual_multiplier",
        writers=(*_DENSE, "block_sparse_moe.experts.down_proj", "shared_mlp.output_linear", "mamba.out_proj"),
    ),
    ConfigKey("attention", "attention_multiplier"),
)
_COHERE = (ConfigKey("readout", "logit_scale"),)
_QUERY_SCALAR = (ConfigKey("attention", "query_pre_attn_scalar", -0.5),)
#: `model_type` -> its keys
KEYS: Mapping[str, tuple[ConfigKey, ...]] = {
    "granite": _GRANITE,
    "granite_swa": _GRANITE,
    "granitemoe": _GRANITE,
    "granitemoe_swa": _GRANITE,
    "granitemoehybrid": _GRANITE,
    "granitemoeshared": _GRANITE,
    "hyperclovax": (ConfigKey("readout", "logits_scaling"), *_GRANITE[1:]),
    "falcon_h1": (
        ConfigKey("readout", "lm_head_multiplier"),
        ConfigKey("branch", "attention_out_multiplier", writers=("self_attn.o_proj",)),
        ConfigKey("branch", "ssm_out_multiplier", writers=("mamba.out_proj",)),
        ConfigKey("branch", "mlp_multipliers", entry=1, writers=("feed_forward.down_proj",)),
    ),
    # its logits are multiplied by dim_model_base / hidden_size, which is muP's factor already
    "minicpm3": (ConfigKey("branch", "scale_depth", writers=_DENSE),),
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "cohere2_moe": _COHERE,
    "cohere_compass_text": _COHERE,
    "inkling_text": (ConfigKey("readout", "logits_mup_width_multiplier", -1.0),),
    "gemma2": _QUERY_SCALAR,
    "gemma3_text": _QUERY_SCALAR,
    "vaultgemma": _QUERY_SCALAR,
}


def in_configuration(applied: AppliedPlan, model: object, head_dims: tuple[int, int] | None) -> AppliedPlan:
    """A plan that says which keys of the model's configuration hold its multipliers; any other as it is.

    Args:
        applied: the plan of the configuration's model.
        model: what was planned; a `model` section of kind huggingface may have such keys.
        head_dims: width of an attention head at the base and at the planned size; None where it is not known.

    Raises:
        UsageError: one key would have to hold two factors.
    """
    if not isinstance(model, HuggingFaceModel) or applied.plan is None:
        return applied
    rows = applied.rows
    if applied.gauge == "plain":  # a hook multiplies the logits of a tied table; no weight's factor is in `forward`
        rows = tuple(replace(row, multiplier=1.0) for row in rows)
    values, left = config_values(model, rows, head_dims)
    notes = (*applied.plan.notes, *config_notes(values, left))
    applied.plan = replace(applied.plan, notes=notes, config_values=values)
    applied.config_values = values
    return applied


def config_values(
    model: HuggingFaceModel, rows: Sequence[PlannedParameter], head_dims: tuple[int, int] | None = None
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """What to write into a model's configuration at the planned size.

    Args:
        model: the recipe's section; its settings, or the class's defaults, are the values at the base.
        rows: of a plan; their multipliers are what `forward` must multiply by, beside what it has already.
        head_dims: width of an attention head at the base and at the planned size; None where it is not known.

    Returns:
        (key -> its value, names of parameters whose multiplier no key of the configuration holds).

    Raises:
        UsageError: parameters behind one key need different multipliers.
    """
    found: dict[str, Value] = {}
    held: set[str] = set()
    for key in KEYS.get(model.config, ()):
        if key.use == "attention":
            factor = 1.0 if head_dims is None else head_dims[0] / head_dims[1]
        else:
            behind = [row for row in rows if _is_behind(row, key)]
            held |= {row.parameter.name for row in behind}
            factor = _common(key, behind)
        if factor != 1:
            found[key.name] = _scaled(model, key, factor ** (1 / key.power))
    left = tuple(row.parameter.name for row in rows if row.multiplier != 1 and row.parameter.name not in held)
    return found, left


def _is_behind(row: PlannedParameter, key: ConfigKey) -> bool:
    parameter = row.parameter
    if key.use == "readout":
        return parameter.role in (Role.READOUT, Role.TIED_EMBEDDING) and not parameter.in_block
    return parameter.writes_residual and writes_behind(parameter.name, key)


def writes_behind(name: str, key: ConfigKey) -> bool:
    """Whether what a parameter gives is multiplied by a branch's key.

    Args:
        name: of the parameter, or its pattern with `*` for numbers.
        key: one of those of the model's family.
    """
    return key.use == "branch" and name.removesuffix(".weight").removesuffix(".bias").endswith(key.writers)


def _common(key: ConfigKey, rows: Iterable[PlannedParameter]) -> float:
    factors = {row.multiplier: row.parameter.name for row in rows}
    if len(factors) > 1:
        raise UsageError(
            f"`{key.name}` of the configuration multiplies several parameters, which must need one factor",
            received=", ".join(f"{name}: {factor:.6g}" for factor, name in factors.items()),
            hint='plan in the gauge "plain", which needs no multipliers',
        )
    return next(iter(factors), 1.0)


def factor_of(key: ConfigKey, model_type: str, settings: Mapping[str, Any], values: Mapping[str, Value]) -> float:
    """What a key multiplies by, over the base's.

    Args:
        key: one of those of the model's family.
        model_type: as a `config.json` has it.
        settings: of the recipe's model; with the class's defaults they are the values at the base.
        values: key -> value at the planned size, as `config_values` gives them.
    """
    if key.name not in values:
        return 1.0
    base, used = _at_base(model_type, settings, key), values[key.name]
    if key.entry is not None and isinstance(used, list):
        base, used = base[key.entry], used[key.entry]
    return float((used / base) ** key.power)


def _at_base(model_type: str, settings: Mapping[str, Any], key: ConfigKey) -> Any:
    """A key's value at the base; what is null multiplies nothing."""
    given = settings.get(key.name)
    given = default_of(model_type, key.name) if given is None else given
    return 1.0 if given is None else given


def _scaled(model: HuggingFaceModel, key: ConfigKey, factor: float) -> Value:
    given = _at_base(model.config, model.settings, key)
    if key.entry is None:
        return float(given) * factor
    return [float(value) * (factor if entry == key.entry else 1.0) for entry, value in enumerate(given)]


def config_notes(values: Mapping[str, Value], left: Sequence[str]) -> tuple[str, ...]:
    """What a plan says of them.

    Args:
        values: key -> value, as `config_values` gives them.
        left: names of parameters whose multiplier no key holds.
    """
    if not values:
        return ()
    written = ", ".join(f"{key}: {_text(value)}" for key, value in values.items())
    rest = f"; no key holds the multiplier of {', '.join(left[:3])}{' and others' if left[3:] else ''}" if left else ""
    return (f"in the configuration of this size write {written}: they are the multipliers of `forward`{rest}",)


def _text(value: Value) -> str:
    return f"[{', '.join(f'{each:.10g}' for each in value)}]" if isinstance(value, list) else f"{value:.10g}"
