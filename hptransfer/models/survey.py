"""What a recipe for a model needs to know: sizes that can be built, what it takes, what writes the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hptransfer.errors import Finding, UsageError
from hptransfer.models.api import plan
from hptransfer.models.build import build_model
from hptransfer.models.first_run import FirstRun, first_run
from hptransfer.models.ladder import LADDER, builds, ladder, why_not
from hptransfer.models.questions import RULE
from hptransfer.models.recipe_reading import asked
from hptransfer.parameterization.groups import ParameterGroup, layer_template
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel

Section = FactoryModel | HuggingFaceModel
#: depth of the base where rules carry it on, and of the ladder
BASE_DEPTH, DEPTHS = 2, (2, 4, 8)
#: target's width over the base's where the model has no larger width of its own
FAR = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes:
        section: the recipe's `model` section, with what was added to it.
        base: width and depth where hyperparameters hold as they are.
        widths: ladder of widths, the base's first.
        depths: ladder of depths; empty where no rule carries depth on.
        target: width and depth of the run that matters.
        parameterization: name of the table.
        run: what the model takes and returns; or why it could not be run.
        writers: names of what the running model adds to its residual stream, `*` for numbers.
        groups: parameters of the target with their roles; empty where they are not decided.
        notes: what the plan says.
        undecided: what the plan asks, where it is refused.
        shortened: whether the ladder has fewer widths than usual, so that it ends below the target.
        remarks: sentences on what was chosen and why.
    """

    section: Section
    base: tuple[int, int]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    target: tuple[int, int]
    parameterization: str
    run: FirstRun | str
    writers: tuple[str, ...] = ()
    groups: tuple[ParameterGroup, ...] = ()
    notes: tuple[str, ...] = ()
    undecided: tuple[Finding, ...] = ()
    shortened: bool = False
    remarks: tuple[str, ...] = field(default=())

    @property
    def asks_roles_alone(self) -> bool:
        """Whether nothing but roles is open, which refuses no rule."""
        return bool(self.undecided) and all(each.rule == RULE for each in self.undecided)


def survey(
    section: Section,
    own: tuple[int | None, int | None],
    target: tuple[int, int] | None = None,
    *,
    heads: Callable[[int], int] | None = None,
    has_depth: bool = True,
) -> Survey:
    """Look at a model: build it without memory at many sizes, run it at the base, and plan it.

    Args:
        section: what a recipe says of the model.
        own: its own width and depth; None where it has none.
        target: width and depth of the run that matters; None takes the model's own.
        heads: number of attention heads at a width, where a configuration says it; two are wanted at the base.
        has_depth: whether it has layers that repeat.

    Raises:
        UsageError: no base and ladder of widths can be built, or the target that was asked for cannot be, or none lies
            below it.
    """
    remarks: list[str] = []
    wanted = target or (own[0] or 0, own[1] or 0)
    deep = wanted[1] or (BASE_DEPTH if has_depth else 1)
    if not has_depth:
        remarks.append("the depth changes nothing in this model, so base and target have one depth")
    if target is not None and (fault := why_not(section, target[0], deep)) is not None:
        raise fault
    widths = ladder(section, wanted[0], min(deep, BASE_DEPTH), heads, asked=target is not None)
    if heads is not None and heads(widths[0]) < 2:
        remarks.append(
            f"by the configuration's proportions the base of width {widths[0]} has one attention head: no base with "
            f"two has a ladder of {len(widths)} widths below the target"
        )
    if wanted[0] <= widths[-1]:
        if wanted[0]:
            remarks.append(
                f"the width {wanted[0]} lies within the ladder, so the target's width is a guess: what is the largest "
                "that you want to train?"
            )
        wanted = (_far(section, widths[0], min(deep, BASE_DEPTH)), wanted[1])
    module = build_model(section, widths[0], min(deep, BASE_DEPTH))
    run = first_run(module)
    writers = _writers(section, (widths[0], min(deep, BASE_DEPTH)), remarks)
    found = Survey(section, (widths[0], deep), widths, (), (wanted[0], deep), "mup", run, writers)
    forms = _forms(found, wanted[1] or max(DEPTHS)) if has_depth else [found]
    planned: list[Survey] = []
    for each in forms:
        planned.append(_planned(each))
        if not planned[-1].undecided:
            break
    decided = planned[-1] if not planned[-1].undecided else None
    chosen = decided or next((each for each in planned if each.asks_roles_alone), planned[-1])
    return replace(chosen, shortened=len(widths) < len(LADDER), remarks=(*remarks, *chosen.remarks))


def _far(section: Section, base: int, depth: int) -> int:
    return next((base * factor for factor in (FAR, 32, 8) if builds(section, base * factor, depth)), base * LADDER[-1])


def _writers(section: Section, base: tuple[int, int], remarks: list[str]) -> tuple[str, ...]:
    """What the running model adds to a residual stream that rules for depth hold for; the plan finds it again."""
    told = asked(section.model_dump_json(), base)
    remarks += told.unknown
    if told.stream_norms:
        remarks.append("the residual stream itself passes norms (post-norm): rules for depth were derived without them")
        return ()
    return tuple(dict.fromkeys(layer_template(name) for writer in told.writers for name in writer.parameters))


def _forms(found: Survey, depth: int) -> Iterator[Survey]:
    """Recipes to try: rules for depth where something writes the stream, else the width's alone; then tables untied."""
    for each in _untied(found.section):
        if found.writers and depth >= BASE_DEPTH:
            base, target = (found.base[0], BASE_DEPTH), (found.target[0], depth)
            depths = tuple(value for value in DEPTHS if value <= max(depth, 4 * BASE_DEPTH))
            yield replace(found, section=each, base=base, depths=depths, target=target, parameterization="completep")
        yield replace(found, section=each)


def _untied(section: Section) -> Sequence[Section]:
    """A configuration as it is, and with its table of embeddings and its readout as two tensors."""
    if not isinstance(section, HuggingFaceModel):
        return (section,)
    settings = {**section.settings, "tie_word_embeddings": False}
    return section, section.model_copy(update={"settings": settings})


def _planned(found: Survey) -> Survey:
    """The same with its plan, or with what the plan asks."""
    try:
        applied = plan(
            found.section,
            base=found.base,
            target=found.target,
            hyperparameters={"learning_rate": 0.004},
            parameterization=found.parameterization,
        )
    except UsageError as error:
        return replace(found, undecided=error.findings)
    return replace(found, groups=applied.groups, notes=tuple(applied.whole_plan.notes))
