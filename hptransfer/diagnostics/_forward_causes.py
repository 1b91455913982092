"""What a model's `forward` does beside its plan, as causes of a coordinate check that fails.

Neither the size of an update nor that of an init shows a factor in `forward`, or a norm that removes one. A worker asks
the model once, and sends what the plan leaves out along with the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hptransfer.diagnostics._diagnosis import Cause, Fault
from hptransfer.diagnostics._update_scaling import Axis
from hptransfer.parameterization.roles import Parameter
from hptransfer.trainers._bench import Bench

_CAUSES = {"factor": Cause.FORWARD, "norm": Cause.NORM, "attention": Cause.ATTENTION, "size": Cause.SIZE}


def told_by_model(bench: Bench, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Run a small model once: what `forward` multiplies behind modules, and what it does that the plan leaves out.

    Args:
        bench: the run whose recipe names the model; this is a worker, which has torch.
        parameters: of the run's plan.
    """
    from hptransfer.models.recipe_reading import asked
    from hptransfer.models.unplanned import behind_modules, unplanned

    recipe = bench.spec.recipe
    base = (recipe.base_size.width, recipe.base_size.depth)
    probe = asked(recipe.model.model_dump_json(), base)
    found = (asdict(each) for each in unplanned(probe, parameters, base, recipe.covers))
    return {
        "behind": {name: list(powers) for name, powers in behind_modules(probe, parameters).items()},
        "unplanned": [each | {"power": each["power"] if math.isfinite(each["power"]) else None} for each in found],
    }


def read_causes(run: Mapping[str, Any], axis: Axis) -> Iterator[Fault]:
    """What one run's worker said of `forward`, if it was asked.

    Args:
        run: as the worker returned it, with "unplanned" where it asked the model.
        axis: along which sizes are compared.
    """
    for each in run.get("unplanned", ()):
        if each["axis"] == axis:
            names = tuple(each["parameters"])
            power = math.nan if each["power"] is None else each["power"]
            sentence = f"{each['said']}: {each['repair']}"
            yield Fault(", ".join(names) or "forward", names, _CAUSES[each["kind"]], power, each["repair"], sentence)


def with_causes(faults: Sequence[Fault], causes: Sequence[Fault]) -> tuple[Fault, ...]:
    """Faults of a check that fails, what `forward` does first; a fault of attention's scale is told its place.

    Args:
        faults: what updates and layers show.
        causes: what the model was found to do beside its plan.
    """
    places = [each.sentence for each in causes if each.cause is Cause.ATTENTION]
    if not any(each.cause is Cause.ATTENTION for each in faults):
        return (*causes, *faults)
    told = [
        replace(each, sentence="; ".join([each.sentence, *places])) if each.cause is Cause.ATTENTION else each
        for each in faults
    ]
    return (*(each for each in causes if each.cause is not Cause.ATTENTION), *told)


def forward_beside(causes: Sequence[Fault]) -> dict[str, float]:
    """Power by which `forward` multiplies what parameters give, where the plan leaves that out; by name.

    Args:
        causes: what the model does beside its plan, along one axis.
    """
    found: dict[str, float] = {}
    for each in causes:
        for name in each.parameters if each.cause is Cause.FORWARD and math.isfinite(each.power) else ():
            found[name] = found.get(name, 0.0) + each.power
    return found
