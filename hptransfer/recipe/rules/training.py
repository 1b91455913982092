"""Rules of how one trial trains."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.rules import HIDDEN_ONLY, Quantity
from hptransfer.parameterization.tables import FAMILIES, TABLES
from hptransfer.recipe.registered import LOSSES, argument_fault, unread
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.training import Training

_DURATIONS = ("steps", "tokens", "tokens_per_parameter")
_WARMUPS = ("warmup", "warmup_steps", "warmup_tokens")
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


def _accumulation(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is None or training.accumulation == 1:
        return
    smallest = min((training.batch_size, *(draft.ladders["batch_size"] or ())))
    if training.accumulation * training.processes > smallest:
        yield Violation(
            ("training", "accumulation"),
            "`accumulation * processes <= batch_size` must hold: each part of a batch has at least one example",
            f"accumulation={training.accumulation}, processes={training.processes}, batch_size={smallest}",
        )


def _duration(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is None:
        return
    given = [name for name in _DURATIONS if getattr(training, name) is not None]
    if len(given) != 1:
        hint = "add `steps: 1000`" if not given else f"keep one of {' and '.join(f'`{name}`' for name in given)}"
        rule = "exactly one of `steps`, `tokens` and `tokens_per_parameter` must say how long a trial trains"
        place = ("training", given[-1]) if given else ("training",)
        yield Violation(place, rule, " and ".join(given) or "none of them", hint)
    if "counted_parameters" in training.model_fields_set and training.tokens_per_parameter is None:
        rule = "`counted_parameters` says what `tokens_per_parameter` counts"
        yield Violation(
            ("training", "counted_parameters"), rule, "a duration that counts no parameters", "delete the line"
        )
    if training.tokens_per_parameter is not None and draft.ladders["tokens"]:
        rule = "`sizes.tokens` must be left out where tokens grow with the parameters: the ladder varies them already"
        yield Violation(
            ("sizes", "tokens"), rule, f"tokens_per_parameter={training.tokens_per_parameter:g}", "delete the line"
        )
    yield from _one_step(draft)


def _one_step(draft: Draft) -> Iterator[Violation]:
    training, positions = draft.training, draft.tokens_per_example
    if training is None or training.tokens is None or positions is None:
        return
    if training.tokens < training.batch_size * positions:
        step = training.batch_size * positions
        rule, hint = "`training.tokens` must be enough for one optimizer step", f"write {step} or more"
        received = f"{training.tokens}, one step takes {step}"
        yield Violation(("training", "tokens"), rule, received, hint)


def _warmup(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is None:
        return
    given = [name for name in _WARMUPS if name in training.model_fields_set and getattr(training, name) is not None]
    rule = "at most one of `warmup`, `warmup_steps` and `warmup_tokens` must be given"
    if len(given) > 1:
        hint = f"keep one of {' and '.join(f'`{name}`' for name in given)}"
        yield Violation(("training", given[-1]), rule, " and ".join(given), hint)
    fixed = [name for name in given if name != "warmup"]
    if fixed and "warmup" in draft.space:
        rule = "`warmup` must be a fraction of the steps to be searched"
        yield Violation(("tune", "space", "warmup"), rule, f"training.{fixed[0]}", f"delete `training.{fixed[0]}`")
    if fixed and (fault := _too_long(draft)) is not None:
        yield Violation(("training", fixed[0]), "a warmup must end within the run", fault, "make it shorter")


def _too_long(draft: Draft) -> str | None:
    """What is wrong with a warmup of fixed length at the proxy, where that is known."""
    training, positions, tokens = draft.training, draft.tokens_per_example, draft.usual_tokens
    if training is None or positions is None or tokens is None:
        return None
    if training.warmup_steps is not None:
        steps = tokens / (training.batch_size * positions)
        return f"{training.warmup_steps} of {steps:g} steps" if training.warmup_steps > steps else None
    if training.warmup_tokens is not None and training.warmup_tokens > tokens:
        return f"{training.warmup_tokens} of {tokens} tokens"
    return None


def _schedule(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is None:
        return
    if training.floor and training.schedule == "constant":
        rule = "`floor` must belong to a schedule that falls"
        yield Violation(("training", "floor"), rule, "schedule=constant", "delete the line, or choose `linear`")
    if "decay_share" in training.model_fields_set and training.schedule != "wsd":
        rule = "`decay_share` must belong to the schedule `wsd`"
        yield Violation(
            ("training", "decay_share"), rule, f"schedule={training.schedule}", "delete the line, or choose `wsd`"
        )
    if training.schedule == "wsd" and not _warmup_is_fixed(training) and training.warmup + training.decay_share > 1:
        rule = "`warmup + decay_share <= 1` must hold: the decay begins after the warmup"
        received = f"warmup={training.warmup:g}, decay_share={training.decay_share:g}"
        hint = "shorten the warmup or the decay"
        yield Violation(("training", "decay_share"), rule, received, hint, elsewhere=("training", "schedule"))


def _warmup_is_fixed(training: Training) -> bool:
    return training.warmup_steps is not None or training.warmup_tokens is not None


def _clip(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is not None and "clip_norm" in training.model_fields_set and training.clip is None:
        rule = "`clip_norm` says which norm `clip` bounds"
        yield Violation(("training", "clip_norm"), rule, "no `clip`", "add `clip: 1.0`, or delete the line")
    if training is None or training.clip_norm != "scaled" or draft.parameterization is None:
        return
    table = TABLES.get((draft.parameterization.name, "adam"))
    if table is None or (Quantity.EPS, "gradient") not in table.choices:
        rule = "`clip_norm: scaled` needs a parameterization that says how large gradients are"
        yield Violation(("training", "clip_norm"), rule, draft.parameterization.name, "write `clip_norm: global`")


def _device(draft: Draft) -> Iterator[Violation]:
    training = draft.training
    if training is not None and training.device == "mps" and training.precision == "float64":
        rule = "`precision: float64` needs a device that has it: cpu or cuda"
        yield Violation(("training", "precision"), rule, "device=mps", "write `device: cpu`")


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
        "recipe/duration",
        "one key says how long a trial trains, and no other contradicts it",
        _duration,
        explanation=Explanation(
            "HPT100",
            "With none a trial has no end; with two the shorter would win in silence.",
            "keep one of `steps`, `tokens` and `tokens_per_parameter` in `training`",
            "training: {steps: 100, tokens: 6400}",
            "training: {steps: 100}",
            at="tokens: ^6400",
        ),
    ),
    RecipeRule(
        "recipe/warmup",
        "one key says how long the warmup is, and it ends within the run",
        _warmup,
        explanation=Explanation(
            "HPT101",
            (
                "Two lengths contradict each other, and a warmup longer than the run never reaches the "
                "rate that was tuned."
            ),
            "keep one of `warmup`, `warmup_steps` and `warmup_tokens`, shorter than the run",
            "training: {steps: 100, warmup_steps: 200}",
            "training: {steps: 100, warmup_steps: 20}",
            at="^200",
        ),
    ),
    RecipeRule(
        "recipe/schedule",
        "what a schedule is given belongs to it",
        _schedule,
        explanation=Explanation(
            "HPT102",
            "A setting of another schedule is never read, so it would seem to have no effect.",
            "delete the line, or choose the schedule that reads it",
            "training: {steps: 100, schedule: constant, floor: 0.1}",
            "training: {steps: 100, schedule: linear, floor: 0.1}",
            at="floor: ^0.1",
        ),
    ),
    RecipeRule(
        "recipe/clip-norm",
        "`clip_norm` is given with a `clip`",
        _clip,
        explanation=Explanation(
            "HPT103",
            "Without `clip` no norm is bounded, and a scaled norm needs rules that say how large gradients are.",
            "add `clip: 1.0`, or delete `clip_norm`",
            "training: {steps: 100, clip_norm: global}",
            "training: {steps: 100, clip: 1.0, clip_norm: global}",
            at="^global",
        ),
    ),
    RecipeRule(
        "recipe/precision",
        "the device has the precision",
        _device,
        explanation=Explanation(
            "HPT104",
            "Apple's GPUs have no float64, so every trial would fail.",
            "write `device: cpu`, or leave `precision` out",
            "training: {steps: 100, device: mps, precision: float64}",
            "training: {steps: 100, device: cpu, precision: float64}",
            at="^float64",
        ),
    ),
    RecipeRule(
        "recipe/accumulation",
        "each part of a batch has at least one example",
        _accumulation,
        explanation=Explanation(
            "HPT105",
            "A part of a batch without an example has no gradient.",
            "lower `accumulation`, or raise `batch_size`",
            "training: {steps: 100, batch_size: 4, accumulation: 8}",
            "training: {steps: 100, batch_size: 8, accumulation: 4}",
            at="accumulation: ^8",
        ),
    ),
    RecipeRule(
        "recipe/too-many-processes",
        "a trial has at most as many processes as a batch has examples",
        _processes,
        explanation=Explanation(
            "HPT106",
            "A process without an example of its own would wait for the others, or fail.",
            "lower `processes`, or raise `batch_size`",
            "training: {steps: 100, batch_size: 4, processes: 8}",
            "training: {steps: 100, batch_size: 8, processes: 4}",
            at="processes: ^8",
        ),
    ),
    RecipeRule(
        "recipe/multiplier-of-nothing",
        "a multiplier that is set or searched multiplies a parameter",
        _multipliers,
        explanation=Explanation(
            "HPT107",
            "All its values train the same model: a search over it is noise, and its optimum is chance.",
            "delete the line",
            (
                "tune:\n"
                "  space:\n"
                "    learning_rate: {low: 1e-4, high: 1e-1}\n"
                "    attention_multiplier: {low: 0.5, high: 2}"
            ),
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}",
            at="attention_multiplier: ^{",
        ),
    ),
    RecipeRule(
        "recipe/loss-arguments",
        "`loss_arguments` are those that a built-in loss takes",
        _loss_arguments,
        explanation=Explanation(
            "HPT108",
            "An argument that a loss does not take would fail in the first trial.",
            "delete the line, or write the arguments that docs/training.md lists for the loss",
            "training: {steps: 100, loss_arguments: {mask_token: 3}}",
            "training: {steps: 100}",
            at="^{mask_token",
        ),
    ),
    RecipeRule(
        "recipe/not-read",
        "a hyperparameter that is searched is read by the optimizer",
        _not_read,
        explanation=Explanation(
            "HPT109",
            "The optimizer ignores it: a search over it is noise, and its optimum is chance.",
            "delete the line",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}\n    momentum: {low: 0.5, high: 0.99}",
            "tune:\n  space:\n    learning_rate: {low: 1e-4, high: 1e-1}",
            at="momentum: ^{",
        ),
    ),
)
