"""`hptransfer.plan`: from a model nobody changed to initialisation and parameter groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.base_shapes import read_base_shapes
from hptransfer.models.factory import argument_fault, built, load_function
from hptransfer.models.huggingface import section_of
from hptransfer.models.shape_reading import ModelParameters, read_model, read_recipe_model
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.parameterization.plan import plan as plan_rows
from hptransfer.parameterization.roles import InitSource, Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import ABSOLUTE, Parameterization, ParameterizationSpec
from hptransfer.recipe.defaults import schema_defaults
from hptransfer.recipe.model_sections import GptModel, MlpModel
from hptransfer.recipe.schema import ParameterizationChoice, Recipe
from hptransfer.recipe.sections import Section
from hptransfer.sizes import Size

if TYPE_CHECKING:
    from torch import nn


def plan(
    model: Callable[..., nn.Module] | str | Section | Any,
    *,
    base: Size | tuple[int, int],
    target: Size | tuple[int, int],
    hyperparameters: Mapping[str, float],
    parameterization: str | ParameterizationSpec = "completep",
    optimizer: str = "adamw",
    gauge: Gauge = "plain",
    preset: str | None = None,
    residual_writers: Sequence[str] | None = None,
    roles: Mapping[str, Role | str] | None = None,
    base_shapes: str | Path | None = None,
    queries: Sequence[str] | None = None,
    width: str = "width",
    depth: str = "depth",
    follow_width: Sequence[str] | None = None,
    depth_key: str | None = None,
    task: str | None = None,
    options: Options | None = None,
    init: InitSource | None = None,
) -> AppliedPlan:
    """Plan a model's initialisation, learning rates, weight decay and eps at a size.

    The model is built at the base size, at twice its depth and width, and at the target, on the meta device: no memory
    is allocated and nothing is run. Only where its own init cannot be followed there, the base is built on the CPU too.

    Args:
        model: a function that takes a width and a depth and returns a module, `"module:function"`, a configuration of
            transformers (a `PretrainedConfig`), or a `model` section of a recipe.
        base: (width, depth) at which the hyperparameters hold as they are; a `Size` to scale batch and duration too.
        target: (width, depth) to plan for.
        hyperparameters: base values; `learning_rate` must be given, others default as in a recipe.
        parameterization: a name ("completep", "mup", "standard", ...) or one with its alpha.
        optimizer: "adamw", "sgd", or another that the parameterization knows.
        gauge: where multipliers live: "plain" for models without any in `forward`, "multipliers" and "unit" for models
            that apply them, in the form of Tensor Programs V's Table 8 or with init stds that keep their base values.
        preset: a family ("llama", "gpt2", "nanogpt", ...) whose names the model has.
        residual_writers: regular expressions over full names: parameters whose output is added to a residual stream.
        roles: regular expression over full names -> role, where shapes and module types do not decide it.
        base_shapes: a mup `.bsh` file that says which axes grow, instead of comparing two widths.
        queries: regular expressions over full names: parameters of query projections, which take
            `attention_multiplier` where neither keys are in the same matrix nor a norm follows it.
        width: name of the function's width argument.
        depth: name of the function's depth argument.
        follow_width: of a configuration: keys that follow the width, the width itself first; a key inside another one
            is written "text_config.hidden_size"; None takes the family's.
        depth_key: of a configuration: the key that counts layers; None takes the family's.
        task: of a configuration: what stands on top, "causal-lm" for example; None takes the family's.
        options: named choices among published rules (weight decay, eps, ...); None takes the table's defaults.
        init: "own" scales what the model's own code draws, so that at the base it starts as it does without a plan;
            "rule" draws every parameter by the tables. None: own; rule where the tables draw at std 1 (u-mup), and for
            the built-in models.

    Returns:
        The plan: `init_(model)`, `param_groups(model)`, `rows`, `to_table()`.

    Raises:
        UsageError: the model cannot be built, a parameter cannot be decided (with the line that decides it), or a value
            is missing.
    """
    if "learning_rate" not in hyperparameters:
        raise UsageError("`learning_rate` of the base size must be given", received=", ".join(hyperparameters) or "{}")
    known = schema_defaults()
    unknown = sorted(set(hyperparameters) - set(known))
    if unknown:
        raise UsageError(f"hyperparameters must be among {', '.join(known)}", received=", ".join(unknown))
    sizes = (_size(base), _size(target))
    given = {"preset": preset, "residual_writers": residual_writers, "roles": roles, "queries": queries}
    shapes = None if base_shapes is None else read_base_shapes(base_shapes)
    asked = {"follow_width": follow_width, "depth_key": depth_key, "task": task}
    if hasattr(model, "to_diff_dict") and hasattr(model, "model_type"):
        model, asked = section_of(model, follow_width=follow_width or (), depth_key=depth_key, task=task), {}
    if named := [key for key, value in asked.items() if value is not None]:
        rule = "`follow_width`, `depth_key` and `task` must go with a configuration of transformers"
        raise UsageError(rule, received=f"{', '.join(named)} and {type(model).__name__}")
    chosen = Parameterization(parameterization) if isinstance(parameterization, str) else parameterization
    built_in = isinstance(model, MlpModel | GptModel)
    source = init or ("rule" if built_in or chosen.name in ABSOLUTE else "own")
    reading = _read(model, *sizes, width, depth, given | {"base_shapes": shapes}, source)
    return plan_reading(
        chosen, *sizes, reading, known | dict(hyperparameters), optimizer=optimizer, gauge=gauge, options=options
    )


def plan_reading(
    parameterization: ParameterizationSpec,
    base: Size,
    size: Size,
    reading: ModelParameters,
    hyperparameters: Mapping[str, float],
    *,
    optimizer: str,
    gauge: Gauge = "plain",
    options: Options | None = None,
) -> AppliedPlan:
    """The plan of what was read; weights that mup's readouts multiply in `forward` are not given the multiplier twice.

    Args:
        parameterization: name and alpha of the parameterization; a recipe's section will do.
        base: size at which every factor of a rule is 1.
        size: size that the plan is for, any.
        reading: what was read of the model at `size`: its parameters, with their roles.
        hyperparameters: base values by name, such as `learning_rate`; multipliers of roles are 1 where left out.
        optimizer: name of the optimizer, a key of `parameterization.tables.FAMILIES`.
        gauge: where multipliers live, one of `parameterization.gauge.GAUGES`.
        options: named choices among published rules; None takes the table's defaults.

    Returns:
        The plan, with the multipliers that it absorbed.
    """

    def planned(form: Gauge, parameters: Sequence[Parameter]) -> Plan:
        return plan_rows(
            parameterization,
            base,
            size,
            parameters,
            hyperparameters,
            optimizer=optimizer,
            gauge=form,
            options=options,
            head_dims=reading.head_dims,
        )

    result, in_forward = planned(gauge, reading.parameters), planned("multipliers", reading.parameters)
    rows = tuple(
        other if row.parameter.name in reading.multiplied else row
        for row, other in zip(result.rows, in_forward.rows, strict=True)
    )
    notes = (*result.notes, *reading.notes, *_readout_notes(reading, hyperparameters.get("output_multiplier", 1.0)))
    bare = tuple(parameter.without_factors() for parameter in reading.parameters)
    if bare != reading.parameters:
        in_forward = planned("multipliers", bare)
    growth = (size.width / base.width, size.depth / base.depth)
    whole = [row.multiplier * row.parameter.forward_factor(*growth) for row in rows]
    absorbed = {
        row.parameter.name: other.multiplier / multiplier
        for row, other, multiplier in zip(rows, in_forward.rows, whole, strict=True)
        if other.multiplier != multiplier
    }
    return AppliedPlan.from_plan(replace(result, rows=rows, notes=notes), absorbed)


def plan_recipe(
    recipe: Recipe,
    size: Size,
    hyperparameters: Mapping[str, float],
    gauge: Gauge | None = None,
    parameterization: str | None = None,
) -> Plan:
    """The plan of a recipe's model at a size; the model is built on the meta device, so no memory is allocated.

    Args:
        recipe: gives model, base size, optimizer and, where none is named, the parameterization with its options.
        size: width, depth, examples per step and tokens to plan for.
        hyperparameters: name -> value at the base size.
        gauge: where multipliers live; None takes the recipe's.
        parameterization: name of another than the recipe's, taken with its default options.

    Raises:
        UsageError: the model cannot be built or read, or no rule is known for one of its parameters.
    """
    base = recipe.base_size
    source = recipe.init_source
    if parameterization in ABSOLUTE and recipe.parameterization.init is None:
        source = "rule"
    reading = read_recipe_model(recipe.model, base, size, source)
    own = parameterization is None or parameterization == recipe.parameterization.name
    applied = plan_reading(
        recipe.parameterization if own else Parameterization(str(parameterization)),
        base,
        size,
        reading,
        hyperparameters,
        optimizer=recipe.training.optimizer,
        gauge=gauge or recipe.parameterization.gauge,
        options=options_of(recipe.parameterization) if own else None,
    )
    return applied.whole_plan


def options_of(choice: ParameterizationChoice) -> Options:
    """The named choices of a recipe's `parameterization` section."""
    return Options(
        weight_decay=choice.weight_decay,
        eps=choice.eps,
        token_exponent=choice.token_exponent,
        batch_rule=choice.batch_rule,
        betas=choice.betas,
        muon_scale=choice.muon_scale,
        update_rank=choice.update_rank,
        decay_vectors=choice.decay_vectors,
    )


def _readout_notes(reading: ModelParameters, output: float) -> Sequence[str]:
    if not reading.multiplied:
        return ()
    names = ", ".join(sorted(reading.multiplied))
    tuned = "" if output == 1 else f"; construct it with `output_mult={output!r}`"
    return (
        f"{names}: mup's readout divides by the width's growth in `forward`, so its multiplier stays there; call "
        "`set_base_shapes(..., rescale_params=False)`, then `init_`, and give the plan's groups to a plain optimizer"
        f"{tuned}",
    )


def _size(value: Size | tuple[int, int]) -> Size:
    return value if isinstance(value, Size) else Size(*value, batch_size=1, tokens=1)


def _read(
    model: Any, base: Size, size: Size, width: str, depth: str, given: dict[str, Any], init: InitSource
) -> ModelParameters:
    if isinstance(model, Section):
        named = {key: value for key, value in given.items() if value is not None}
        if unusable := sorted(named.keys() - type(model).model_fields.keys()):
            raise UsageError("a recipe's section must say this itself", received=", ".join(unusable))
        return read_recipe_model(model.model_copy(update=named), base, size, init)  # type: ignore[arg-type]  # sections of models
    function = load_function(model) if isinstance(model, str) else model
    if not callable(function):
        raise UsageError(
            "a model must be a function of width and depth, `module:function`, a transformers configuration or a "
            "recipe's section",
            received=type(model).__name__,
            hint="wrap the module's construction: `lambda width, depth: Model(width, depth)`",
        )

    name = model if isinstance(model, str) else _name_of(function)
    fault = argument_fault(function, name, {"width": width, "depth": depth}, {}, "{size}={name!r}")
    if fault is not None:
        raise fault

    def build(wide: int, deep: int) -> nn.Module:
        return built(function, {width: wide, depth: deep}, name)

    return read_model(build, base, size, **given, init=init)


def _name_of(function: Callable[..., object]) -> str:
    """What a message calls a function; of `functools.partial` that which it calls."""
    inner = getattr(function, "func", function)
    name: str = getattr(inner, "__qualname__", type(inner).__name__)
    return name.rpartition("<locals>.")[2]
