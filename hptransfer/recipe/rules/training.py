"""Rules of how one trial trains."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.rules import HIDDEN_ONLY
from hptransfer.parameterization.tables import FAMILIES
from hptransfer.recipe.registered import LOSSES, argument_fault, unread
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation

#: of the built-in models: multipliers that concern no parameter, and why
NO_SUCH_PART = {
    "mlp": {"attention_multiplier": "an mlp has no attention"},
    "gpt": dict.fromkeys(("input_learning_rate", "input_init"), "a gpt has no input layer, only tables of embeddings"),
}

#: losses that must be told something, and how it is written
_EXAMPLES = {"masked-token": "write `loss_arguments: {mask_token: 103}` with your tokenizer's id of the mask"}


def _processes(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is not None and training.processes > training.batch_size:
        yield Violation(
            ("training", "processes"),
            "`processes <= batch_size` must hold: each process takes at least one example of a batch",
            f"processes={training.processes}, batch_size={training.batch_size}",
        )


def _multipliers(draft: Draft) -> Iterator[Violation]:
    absent = dict(NO_SUCH_PART.get(draft.model.kind, {})) if draft.model else {}
    if draft.training is not None and FAMILIES.get(draft.training.optimizer) not in HIDDEN_ONLY:
        absent["adam_learning_rate"] = f"{draft.training.optimizer} trains all parameters"
    given = draft.training.multipliers if draft.training else None
    for name in MULTIPLIERS:
        rule = f"`{name}` must multiply something in the model"
        if name in absent and given is not None and getattr(given, name) != 1:
            received = f"{getattr(given, name):g}; {absent[name]}"
            yield Violation(("training", "multipliers", name), rule, received, "delete the line")
        if name in absent and name in draft.space:
            yield Violation(("tune", "space", name), rule, absent[name], "delete the line")


def _not_read(draft: Draft) -> Iterator[Violation]:
    if draft.training is None:
        return
    ignored = unread(draft.training.optimizer)
    for name in draft.space:
        if name in ignored:
            rule, hint = f"`{name}` must be read by the optimizer to be searched", "delete the line"
            yield Violation(("tune", "space", name), rule, f"optimizer={draft.training.optimizer}", hint)


def _loss_arguments(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is None or training.loss not in LOSSES.built_in:
        return  # a user's own is imported by commands that train
    fault = argument_fault(LOSSES.look_up(training.loss), training.loss_arguments)
    if fault is not None:
        rule = f"`training.loss_arguments` must be what `{training.loss}` takes"
        yield Violation(("training", "loss_arguments"), rule, fault, _EXAMPLES.get(training.loss), ("training", "loss"))


RULES = (
    RecipeRule(
        "recipe/too-many-processes", "a trial has at most as many processes as a batch has examples", _processes
    ),
    RecipeRule(
        "recipe/multiplier-of-nothing", "a multiplier that is set or searched multiplies a parameter", _multipliers
    ),
    RecipeRule("recipe/loss-arguments", "`loss_arguments` are those that a built-in loss takes", _loss_arguments),
    RecipeRule("recipe/not-read", "a hyperparameter that is searched is read by the optimizer", _not_read),
)
