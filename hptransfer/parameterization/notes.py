"""What a reader of a plan must know: what was chosen among published rules, and what no rule covers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from hptransfer.errors import UsageError
from hptransfer.parameterization.batch_and_duration import batch_and_duration_notes
from hptransfer.parameterization.own_init_notes import own_init_notes
from hptransfer.parameterization.plan_parameter import Plan, PlannedParameter
from hptransfer.parameterization.role_multipliers import RATE_RATIO, multiplier_notes
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import (
    HIDDEN_ONLY,
    ON_SPHERE,
    SHAPE_FACTORS,
    WITH_EPS,
    Quantity,
    RuleTable,
    explain_choice,
)
from hptransfer.sizes import AXES, rule_name

SOURCE = "Tensor Programs V (arXiv 2203.03466), Definition 4.1, attention logits q k / d_head"


def attention_scale(head_dim: int, base_head_dim: int) -> float:
    """The factor of q k in `forward`: sqrt(base_head_dim) / head_dim, which is 1/sqrt(head_dim) at the base.

    Args:
        head_dim: at the size in question, at least 1.
        base_head_dim: at the base size, at least 1.

    Raises:
        UsageError: a value below 1.
    """
    if head_dim < 1 or base_head_dim < 1:
        raise UsageError("`head_dim >= 1` must hold", received=f"{head_dim}, base {base_head_dim}")
    return math.sqrt(base_head_dim) / head_dim


def attention_note(head_dim: int, base_head_dim: int) -> str | None:
    """What must stay in `forward` where heads grow; None where their size is fixed, which needs nothing.

    Args:
        head_dim: size of a head at the size planned for, at least 1.
        base_head_dim: size of a head at the base, at least 1.
    """
    if head_dim == base_head_dim:
        return None
    return (
        f"heads grow ({base_head_dim} -> {head_dim}): `forward` must scale attention logits by sqrt({base_head_dim})"
        f"/{head_dim} = {attention_scale(head_dim, base_head_dim):.6g} instead of 1/sqrt({head_dim}) = "
        f"{head_dim**-0.5:.6g}, for example `scaled_dot_product_attention(..., scale=...)` ({SOURCE})"
    )


def noted_heads(notes: Iterable[str]) -> tuple[int, int] | None:
    """Size of a head at the base and at the planned size, where a note says that heads grow.

    A model of the user's own has no other record of it: how its heads grow is seen when it runs.

    Args:
        notes: of a plan, those that were made when its model ran among them.
    """
    found = (re.search(r"heads grow \((\d+) -> (\d+)\): `forward` must", note) for note in notes)
    return next(((int(each[1]), int(each[2])) for each in found if each), None)


#: what notes say of a plan that is applied by its own `init_`, in the form without multipliers
_OF_PLAIN_FORM = ("`init_`", "hptransfer.scale_logits", "forward multipliers are absorbed")


def is_of_plain_form(note: str) -> bool:
    """Whether a note holds only where the plan is applied as it stands, and not in a framework's own form.

    Args:
        note: one of a plan's notes, as `plan_notes` or a reading of the model made it.
    """
    return any(words in note for words in _OF_PLAIN_FORM)


def plan_notes(plan: Plan, table: RuleTable, head_dims: tuple[int, int] | None = None) -> Iterator[str]:
    """Everything worth saying about a plan, one sentence each.

    Args:
        plan: the plan that the notes are about; its own notes are not read.
        table: the rules of the plan's parameterization and optimizer.
        head_dims: size of a head at the base and at the planned size.
    """
    yield from _uncovered(plan)
    yield from multiplier_notes(plan.hyperparameters)
    yield from _choices(plan, table)
    yield from batch_and_duration_notes(table, plan.options, plan.base, plan.size)
    if head_dims is not None and (note := attention_note(head_dims[1], head_dims[0])):
        yield note
    yield from _roles(plan)
    yield from own_init_notes(plan.rows)
    if plan.size != plan.base or table.absolute:
        yield from table.remarks
    yield from _forward(plan)


def logits_note(row: PlannedParameter, gauge: str) -> str:
    """What multiplies the logits of a table that is looked up and reads out.

    Args:
        row: of the table, with the factor.
        gauge: of the plan: in `plain` a hook applies the factor, in others `forward`.
    """
    name, factor = row.parameter.name, f"{row.multiplier:.6g}"
    if gauge != "plain":
        return f"`forward` must multiply the logits of {name} by {factor}, nothing else"
    return (
        f"{name} is looked up and reads out, so no weight can take the factor of its logits: "
        f"`hptransfer.scale_logits(model, plan)` multiplies them by {factor}, and must be called once before training"
    )


def _uncovered(plan: Plan) -> Iterator[str]:
    base, size = plan.base, plan.size
    changed = {rule_name(axis): (getattr(base, axis), getattr(size, axis)) for axis in AXES}
    name = plan.parameterization.partition("(")[0]
    for axis, (low, high) in changed.items():
        if low != high and axis not in plan.covers:
            kept = "learning rates keep their base values" if axis == "width" else "base values are kept"
            yield f"`{name}` has no rule for {axis} ({low} -> {high}): {kept}"


def _choices(plan: Plan, table: RuleTable) -> Iterator[str]:
    options = plan.options
    resized = (plan.base.width, plan.base.depth) != (plan.size.width, plan.size.depth)
    if plan.hyperparameters["weight_decay"] > 0 and options.weight_decay is not None:
        known = _known(table, Quantity.WEIGHT_DECAY)
        yield f"weight decay is {explain_choice('weight_decay', options.weight_decay, known)}"
    if plan.hyperparameters["weight_decay"] > 0 and options.decay_vectors is False:
        yield (
            "gains, biases and other vectors are not decayed (`decay_vectors: false`), as by "
            "configure_optimizers of nanoGPT (karpathy/nanoGPT, model.py) and of CompleteP's code "
            "(EleutherAI/nanoGPT-mup, branch completep, model.py), which decay tensors of two or more axes alone"
        )
    if plan.hyperparameters["weight_decay"] > 0 and options.decay_timescale is not None:
        yield f"decay's timescale is {explain_choice('decay_timescale', options.decay_timescale, ())}"
    if options.eps is not None and table.family in WITH_EPS and resized:
        yield f"eps is {explain_choice('eps', options.eps, _known(table, Quantity.EPS))}"
    if table.family == "orthogonal" and options.muon_scale is not None:
        known = _known(table, Quantity.LEARNING_RATE)
        yield f"Muon's own factor of the shape is taken to be {explain_choice('muon_scale', options.muon_scale, known)}"
        yield from _shape_factors(plan)
    if table.family in ON_SPHERE:
        yield (
            "learning rates of hidden weights are relative: a step moves a matrix by that share of its norm, which it "
            "keeps. Weight decay cannot change it, so it acts on what AdamW trains alone"
        )
        if known := _known(table, Quantity.LEARNING_RATE):
            yield f"the rank of updates is {explain_choice('update_rank', str(options.update_rank), known)}"
    if table.family in HIDDEN_ONLY and plan.hyperparameters.get(RATE_RATIO, 1.0) == 1:
        others = options.beside_muon or "adamw"
        yield f"parameters that {plan.optimizer} does not train take the same base learning rate with {others}"


def _shape_factors(plan: Plan) -> Iterator[str]:
    """What the optimizer multiplies the printed rates of matrices with by itself."""
    factor = SHAPE_FACTORS[plan.options.muon_scale or "none"]
    matrices = [row.parameter for row in plan.rows if row.parameter.role is Role.HIDDEN_WEIGHT]
    found = {
        shape: f"{factor(*shape):.4g}" for shape in dict.fromkeys((each.fan_out, each.fan_in) for each in matrices)
    }
    if set(found.values()) - {"1"}:
        listed = ", ".join(f"{text} where outputs x inputs are {out} x {in_}" for (out, in_), text in found.items())
        yield f"Muon multiplies the learning rates above, which are what it is given, by {listed}"


def _known(table: RuleTable, quantity: Quantity) -> list[str]:
    return [choice for of, choice in table.choices if of is quantity]


def _roles(plan: Plan) -> Iterator[str]:
    rows = [row.parameter for row in plan.rows]
    if any(parameter.role is Role.ROUTER for parameter in rows):
        yield (
            "routers follow the readout's rule, as arXiv 2508.09752 has it; it holds for the number of experts, and "
            "not where the width of one expert grows otherwise than the model's"
        )
    fixed = [
        parameter.name
        for parameter in rows
        if parameter.role is Role.HIDDEN_WEIGHT
        and parameter.fan_out == parameter.base_fan_out
        and parameter.fan_in != parameter.base_fan_in
    ]
    if fixed:
        yield (
            f"{len(fixed)} hidden weights keep their fan-out while their fan-in grows ({fixed[0]}, ...), as keys and "
            "values of a fixed number of heads do: rates and init follow fan-in, derived; see arXiv 2605.15290"
        )


def _forward(plan: Plan) -> Iterator[str]:
    for row in plan.rows:
        if row.parameter.role is Role.TIED_EMBEDDING and row.multiplier != 1:
            yield logits_note(row, plan.gauge)
    if plan.gauge != "plain":
        return
    absorbed = any("absorbed" in row.sources[Quantity.MULTIPLIER] for row in plan.rows)
    if absorbed and plan.size != plan.base:
        yield (
            "forward multipliers are absorbed into init and optimizer; clipping by the global gradient norm would see "
            "other gradients than with multipliers in `forward`, so a clip threshold does not carry over by this rule "
            "(`clip_norm: scaled` in a recipe does)"
        )
