"""Rules of commands: what their texts name exists, and what changes from run to run reaches the program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.recipe import placeholders
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.model_sections import ExternalModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.sections import Setting
from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.sizes import SizeAxis

#: axis -> placeholders that tell it
_TELLING: Mapping[SizeAxis, tuple[str, ...]] = {
    "width": ("width", "width_mult"),
    "depth": ("depth", "depth_mult"),
    "batch_size": ("batch_size", "batch_mult"),
    "tokens": ("tokens", "steps", "token_mult"),
}
#: quantity of a plan -> hyperparameters that it follows
_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("learning_rate",),
    "weight_decay": ("weight_decay",),
    "eps": ("eps",),
    "init_std": ("init_scale",),
    "multiplier": ("attention_multiplier", "output_multiplier"),
}


def _texts(command: CommandTrainer) -> Iterator[tuple[KeyPath, Setting]]:
    """Every text that may name something, with its place."""
    if isinstance(command.command, str):
        yield ("trainer", "command"), command.command
    else:
        yield from ((("trainer", "command", index), word) for index, word in enumerate(command.command))
    yield ("trainer", "cwd"), command.cwd
    yield from ((("trainer", "environment", name), value) for name, value in command.environment.items())
    if command.config is not None:
        yield from ((("trainer", "config", "set", key), value) for key, value in command.config.set.items())


def _placeholders(draft: Draft) -> Iterator[Violation]:
    command = draft.command
    if command is None:
        return
    for path, text in _texts(command):
        for name in placeholders.names_in(text) if isinstance(text, str) else ():
            received = f"{{{name}}} in {text!r}"
            if not placeholders.is_known(name):
                yield Violation(path, "a name in braces must be one that is known", received, placeholders.hint(name))
            elif name.startswith("plan.") and isinstance(draft.model, ExternalModel):
                hint = "give `model`, so that it can be read, or send base values: `{learning_rate}`, `{width_mult}`"
                yield Violation(path, "a value of the plan needs a model that can be read", received, hint)
            elif name == "config" and command.config is None:
                hint = "for example `config: {template: base.yaml, set: {optim.lr: '{learning_rate}'}}`"
                yield Violation(path, "`{config}` must be written from `config`", received, hint)
            elif name == "config" and path[1] == "config":
                yield Violation(path, "a configuration must not name itself", received)
            elif f"${{{name}}}" in str(text):
                hint = f"write `{{{name}}}`: the value stands in its place, and `$` would stay before it"
                yield Violation(path, "a name in braces must stand without `$`", f"${{{name}}} in {text!r}", hint)


def _accepts(draft: Draft) -> Iterator[Violation]:
    for index, name in enumerate(draft.command.accepts if draft.command is not None else ()):
        known = name == placeholders.WHOLE_PLAN or name in placeholders.PLAIN
        if not known and placeholders.planned(f"plan.{name}") is None:
            rule = "`accepts` must list names that the program reads, `plan`, or `KIND.QUANTITY` of the plan"
            hint = "for example `hidden.init_std`, `all.eps`, `plan`, or `seed`, read from HPTRANSFER_SEED"
            yield Violation(("trainer", "accepts", index), rule, name, hint)


def _told(draft: Draft) -> Iterator[Violation]:
    """What changes between runs and never reaches the program would be measured as having no effect."""
    command = draft.command
    if command is None:
        return
    # a name that is misspelt is said to be; what it tells is told
    named = {*map(placeholders.meant, placeholders.names_in_all(command.texts)), *command.accepts}
    if "plan_file" in named or placeholders.WHOLE_PLAN in named:
        return
    for name, received in _untold(draft, named):
        path, instead = _meant_for(command, name)
        yield Violation(path, "the command must be told whatever changes from run to run", received, instead)


def _untold(draft: Draft, named: set[str]) -> Iterator[tuple[str, str]]:
    """What changes and nothing names, with what is said of it."""
    for axis, telling in _TELLING.items():
        ladder = draft.ladders.get(axis)
        changes = axis == "width" or bool(ladder) or (axis == "tokens" and bool(draft.ladders.get("batch_size")))
        if changes and not named & set(telling):
            yield telling[0], f"nothing names `{{{telling[0]}}}`"
    if "seed" not in named:
        yield "seed", "nothing names `{seed}`: all seeds would be one run"
    followed = {name for each in named for name in _followed(each)}
    for name in sorted(draft.searched - named - followed):
        yield name, f"`tune.space` searches {name}, and nothing names `{{{name}}}`"


def _followed(name: str) -> tuple[str, ...]:
    """Hyperparameters that a value of the plan follows."""
    asked = placeholders.planned(name) or placeholders.planned(f"plan.{name}")
    if asked is None:
        return (name.removeprefix("plan."),) if name.startswith("plan.") else ()
    suffix = {"learning_rate": "_learning_rate", "init_std": "_init"}.get(asked.quantity)
    own = () if suffix is None else tuple(name for name in MULTIPLIERS if name.endswith(suffix))
    return (*_FOLLOWS[asked.quantity], *own)


def _meant_for(command: CommandTrainer, name: str) -> tuple[KeyPath, str]:
    """Where a name was to be told, and what to write there; the whole command where nothing looks like it."""
    written, words = f"{{{name}}}", command.words
    for path, text in _texts(command):
        if isinstance(text, str) and name in placeholders.literals_in(text):
            whole = text.replace(f"{{{written}}}", written)
            return path, f"write `{_quoted(whole, command)}`: double braces send the text `{written}` itself"
        if isinstance(text, str) and (variable := re.search(rf"\$\{{?{name}\b\}}?", text, re.IGNORECASE)):
            whole = text.replace(variable[0], written)
            return path, f"write `{_quoted(whole, command)}`: variables of a shell are not filled in"
    flags = {f"--{name}", f"--{name.replace('_', '-')}", f"-{name}"}
    for index, word in enumerate(words):
        flag, equals, _ = word.partition("=")
        if flag in flags and not command.shell:
            instead = f"write `'{flag}={written}'`" if equals else f"write `'{written}'` after `{flag}`"
            follows = words[index + 1] if index + 1 < len(words) and not equals else ""
            return ("trainer", "command", index), instead + (
                f", in the place of `{follows}`" if follows[:1] not in "-" else ""
            )
    variable_name = f"HPTRANSFER_{name.upper()}"
    return ("trainer", "command"), (
        f"add `'{written}'` behind the program's own flag for it, or `accepts: [{name}]` where the program reads "
        f"{variable_name} by itself"
    )


def _quoted(text: str, command: CommandTrainer) -> str:
    return text if command.shell else f"'{text}'"


def _processes(draft: Draft) -> Iterator[Violation]:
    if draft.command is not None and draft.training is not None and draft.training.processes > 1:
        rule = "processes of a command must be given by `trainer.resources`"
        hint = "write `resources: [{processes: 2, launcher: torchrun}]` in `trainer`"
        yield Violation(("training", "processes"), rule, str(draft.training.processes), hint)


RULES = (
    RecipeRule(
        "recipe/placeholder",
        "what a command's texts name in braces exists",
        _placeholders,
        explanation=Explanation(
            "HPT120",
            "A name in braces that is not known would reach the program as it stands.",
            "write a name that docs/trainers.md lists, or double the braces to send them as they are",
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--steps={stesp}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--steps={steps}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            at='^"--steps',
            base="command",
        ),
    ),
    RecipeRule(
        "recipe/accepts",
        "`accepts` lists what a program can be told",
        _accepts,
        explanation=Explanation(
            "HPT121",
            "Only what is known can be told; anything else would count as told and never be.",
            "delete the entry, or write a name that docs/trainers.md lists",
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}\n'
                "  accepts: [hiden.eps]"
            ),
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}\n'
                "  accepts: [seed]"
            ),
            at="^hiden",
            base="command",
        ),
    ),
    RecipeRule(
        "recipe/told",
        "a command is told size, seed and what is searched",
        _told,
        explanation=Explanation(
            "HPT122",
            "What changes from run to run and never reaches the program would be measured as having no effect.",
            "name it in `command`, or in `accepts` where the program reads it by itself",
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            at='^["true"',
            base="command",
        ),
    ),
    RecipeRule(
        "recipe/command-processes",
        "a command's processes are given by its resources",
        _processes,
        explanation=Explanation(
            "HPT123",
            "The program is started once; processes of its own are what its launcher makes.",
            "write `resources: [{processes: 2, launcher: torchrun}]` in `trainer`",
            "training: {steps: 100, processes: 2}",
            "training: {steps: 100}",
            at="processes: ^2",
            base="command",
        ),
    ),
)
