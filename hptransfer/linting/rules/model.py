"""The model, built at every size without memory, and its first step."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.engine.durations import with_durations
from hptransfer.engine.planned import plan_faults
from hptransfer.engine.rehearsal import rehearsal_findings, why_no_rehearsal
from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.registry import look_in

_KNOWN = "it must be known what `forward` does: factors, norms behind residual writers, attention's scale"


def _cannot_be_planned(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What `hptransfer plan` would say of any of its sizes; where it says nothing, why a first step would not run."""
    if loaded.recipe.model.kind == "external":  # whoever trains builds it
        return
    faulty = False
    for path, finding in plan_faults(loaded):
        faulty = True
        yield Finding(finding.rule, finding.received, finding.hint, loaded.place(path))
    if not faulty and why_no_rehearsal(loaded) is None:
        yield from rehearsal_findings(with_durations(loaded))


def _left_out(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What a run of the model told and no plan of the recipe takes into account, and what it could not tell."""
    recipe = loaded.recipe
    if not isinstance(recipe.model, FactoryModel | HuggingFaceModel):
        return
    from hptransfer.models.planning import plan_recipe
    from hptransfer.models.recipe_reading import NOT_RUN, asked
    from hptransfer.models.unplanned import unplanned

    place = loaded.place(("model", "probe") if "probe" in recipe.model.model_fields_set else ("model",))
    if not recipe.model.probe:
        yield Finding(_KNOWN, NOT_RUN, "leave `probe` out, or be sure of what `forward` does", place)
        return
    look_in(loaded.root)
    try:
        rows = plan_recipe(recipe, recipe.target_size(), defaults(recipe.training)).rows
    except (UsageError, MachineError):  # the rule above says it
        return
    base = (recipe.base_size.width, recipe.base_size.depth)
    probe = asked(recipe.model.model_dump_json(), base)
    for sentence in probe.unknown:
        yield Finding(_KNOWN, sentence, "see `model.example`, or be sure of what `forward` does", place)
    sizes = recipe.sizes
    planned = {
        "width": {*sizes.widths, recipe.target_size().width} - {base[0]},
        "depth": {*sizes.depths, recipe.target_size().depth} - {base[1]},
    }
    for each in unplanned(probe, [row.parameter for row in rows], base, recipe.covers):
        if planned[each.axis]:
            yield Finding("`forward` must do nothing that a plan has to leave out", each.said, each.repair, place)


RULES = (
    FunctionRule(
        "recipe/model",
        "the model can be built at base, proxy, ladder and target, each of its parameters has a rule, and, where that "
        "is cheap, one forward and backward pass of the recipe's own loss runs on its own data",
        _cannot_be_planned,
        level="error",
        at="shapes",
        explanation=Explanation(
            "HPT300",
            (
                "What cannot be built or planned cannot be trained; whether it can is known without "
                "memory, on the meta device."
            ),
            "make the model as the message says; docs/models.md shows how",
            "model: {kind: factory, factory: 'nowhere_at_all:build'}",
            "model: {kind: mlp}",
            at="^model",
        ),
    ),
    FunctionRule(
        "recipe/forward",
        "what `forward` does is known, and plans can take all of it into account: factors of the size, heads that "
        "grow, norms behind residual writers, sizes that move by themselves",
        _left_out,
        at="shapes",
        explanation=Explanation(
            "HPT301",
            "A factor of the size that no plan knows moves the optimum along the ladder.",
            "leave `probe` out, so that one run of the model shows what `forward` does",
            "model:\n"
            "  kind: factory\n"
            "  factory: 'hptransfer.models.gpt:Gpt'\n"
            "  arguments: {context: 16, head_dim: 16}\n"
            "  probe: false",
            "model: {kind: mlp}",
            at="^probe",
        ),
    ),
)
