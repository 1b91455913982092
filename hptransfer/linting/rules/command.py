"""Files that a command names, and what it takes of the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hptransfer.engine.readings import Readings
from hptransfer.errors import Finding, MachineError, UsageError
from hptransfer.linting.base import FunctionRule
from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.model_sections import ExternalModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.trainers._scripts import absent_script
from hptransfer.trainers.base import TRAINERS, require_trainable


def _files(loaded: LoadedRecipe) -> Iterator[Finding]:
    recipe = loaded.recipe
    if not isinstance(recipe.trainer, CommandTrainer):
        return
    if (absent := absent_script(recipe.trainer, loaded.root)) is not None:
        at, finding = absent
        path = ("trainer", "command") if at is None else ("trainer", "command", at)
        yield replace(finding, place=loaded.place(path, value=True))
        return
    try:
        TRAINERS.look_up(recipe.trainer.name).code(recipe, loaded.root)
    except UsageError as error:
        yield from _placed(error, loaded, ("trainer", "files"))
    try:
        without_model = recipe.model_copy(update={"model": ExternalModel()})
        require_trainable(without_model, loaded.root, Readings(recipe, loaded.root, None, None))
    except UsageError as error:
        yield from _placed(error, loaded, ("trainer", "config"))


def _plan(loaded: LoadedRecipe) -> Iterator[Finding]:
    recipe = loaded.recipe
    if not isinstance(recipe.trainer, CommandTrainer) or recipe.model.kind == "external":
        return
    try:
        require_trainable(recipe, loaded.root, Readings(recipe, loaded.root, None, None))
    except (UsageError, MachineError) as error:
        yield from _placed(error, loaded, ("trainer", "command"))


def _placed(error: UsageError | MachineError, loaded: LoadedRecipe, path: tuple[str, ...]) -> Iterator[Finding]:
    for finding in error.findings:
        yield Finding(finding.rule, finding.received, finding.hint, loaded.place(path))


RULES = (
    FunctionRule(
        "recipe/command-files",
        "a command's script and files are there, and its configuration's template has the keys that are set",
        _files,
        level="error",
        explanation=Explanation(
            "HPT230",
            "The program would fail in every trial, or ignore what it was told.",
            "put the files where the recipe names them, or correct the names",
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}\n'
                "  files: [none.py]"
            ),
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            at="^files",
            base="command",
        ),
    ),
    FunctionRule(
        "recipe/command-takes",
        "a command takes what the plan sets, at the proxy and along the ladder",
        _plan,
        level="error",
        at="shapes",
        explanation=Explanation(
            "HPT310",
            "What the plan sets and the program never gets is trained at the program's own default, at every size.",
            "send the values that the message names, or `accepts: [plan]` where the program reads the plan by itself",
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}\n'
                "model: {kind: mlp}\n"
                "data: {kind: stdlib-text}\n"
                "parameterization: {name: mup}"
            ),
            (
                "trainer:\n"
                '  command: ["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]\n'
                '  results: {stdout: "loss (.*)"}'
            ),
            at="^command",
            base="command",
        ),
    ),
)
