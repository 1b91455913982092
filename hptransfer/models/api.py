"""`hptransfer.plan`: from a model nobody changed to initialisation and parameter groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.errors import UsageError
from hptransfer.models.any_model import Asking, as_section_or_function, read_any
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.base_shapes import read_base_shapes
from hptransfer.models.config_multipliers import in_configuration
from hptransfer.models.planning import plan_reading
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.roles import InitSource, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import ABSOLUTE, Parameterization, ParameterizationSpec, covered_axes_of
from hptransfer.recipe.defaults import schema_defaults
from hptransfer.recipe.sections import Section
from hptransfer.sizes import Size

if TYPE_CHECKING:
    from torch import nn

#: characters of a value that a message repeats
_LONGEST = 80


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
    probe: bool = True,
    example: object = None,
) -> AppliedPlan:
    """Plan a model's initialisation, learning rates, weight decay and eps at a size.

    The model is built at the base size, at twice its depth and width, and at the target, on the meta device: no memory
    is allocated. Small ones (the base, where it is small) are built on the CPU and run once, to see what `forward`
    multiplies, what writes the residual stream, norms behind it and attention.

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
        init: "own" scales what the model's own code draws, "rule" draws by the tables; None: own, but rule for tables
            that draw at std 1 (u-mup) and for built-in models.
        probe: whether small models are run; without, the plan says what it does not know.
        example: what `forward` takes in that run, a tensor, a tuple of arguments or a dict of them by name, or a
            function of nothing or of width and depth that returns it; None: it is guessed.

    Returns:
        The plan: `init_(model)`, `param_groups(model)`, `rows`, `to_table()`.

    Raises:
        UsageError: the model cannot be built, a parameter cannot be decided (with the line that decides it), or a value
            is missing.
    """
    values = _base_values(hyperparameters)
    sizes = (_size("base", base), _size("target", target))
    asked = {"follow_width": follow_width, "depth_key": depth_key, "task": task}
    named = as_section_or_function(model, {key: value for key, value in asked.items() if value is not None})
    chosen = Parameterization(parameterization) if isinstance(parameterization, str) else parameterization
    built_in = getattr(named, "kind", "") in ("gpt", "mlp")
    source = init or ("rule" if built_in or chosen.name in ABSOLUTE else "own")
    shapes = None if base_shapes is None else read_base_shapes(base_shapes)
    given = {"preset": preset, "residual_writers": residual_writers, "roles": roles, "queries": queries}
    asking = Asking(source, covered_axes_of(chosen.name, optimizer), probe=probe, example=example)
    reading = read_any(named, *sizes, {"width": width, "depth": depth}, given | {"base_shapes": shapes}, asking)
    applied = plan_reading(chosen, *sizes, reading, values, optimizer=optimizer, gauge=gauge, options=options)
    return in_configuration(applied, named, reading.head_dims)


def _base_values(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    """All base values, those that are left out as in a recipe."""
    if "learning_rate" not in hyperparameters:
        raise UsageError("`learning_rate` of the base size must be given", received=", ".join(hyperparameters) or "{}")
    known = schema_defaults()
    if unknown := sorted(set(hyperparameters) - set(known)):
        raise UsageError(f"hyperparameters must be among {', '.join(known)}", received=", ".join(unknown))
    return known | dict(hyperparameters)


def _size(name: str, value: Size | tuple[int, int]) -> Size:
    if isinstance(value, Size):
        return value
    pair = tuple(value) if isinstance(value, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in pair):
        raise UsageError(
            f"`{name}` must be a width and a depth, two whole numbers",
            received=f"{name}={value!r}"[:_LONGEST],
            hint=f"for example `{name}=(64, 2)`; for a model without a depth of its own give both sizes one depth",
        )
    return Size(*pair, batch_size=1, tokens=1)
