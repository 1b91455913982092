"""Rules on the form of a recipe: of its file, its YAML and each key by itself; rules across keys are in `rules/`."""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.recipe.rule_text import Explanation


@dataclass(frozen=True, slots=True)
class FormRule:
    """A rule that the reader of recipes checks as it reads.

    Attributes:
        code: stable identifier for CI formats, "recipe/" and words joined by hyphens.
        sentence: what must hold, one line for the table of docs/lint.md.
        explanation: number, reason, examples and repair.
    """

    code: str
    sentence: str
    explanation: Explanation


_SIZES = (
    "sizes:\n  base: {{width: {width}, depth: 2}}\n  widths: [64, 128, 256, 512]\n  target: {{width: 1024, depth: 4}}"
)
_WORDS = '["true", "--width={{width}}", "--lr={{learning_rate}}", "--seed={{seed}}"]'
_PROGRAM = f"trainer:\n  command: {_WORDS}\n  results: {{results}}"

FORM_RULES = (
    FormRule(
        "recipe/unavailable",
        "the recipe is a file that can be read",
        Explanation(
            "HPT001",
            "A misspelt path, a pipe or a file without permission has no content to check; the exit status is 2.",
            "name a file that exists, or write one with `hptransfer init`",
            "hptransfer validate recipes/smal.yaml",
            "hptransfer validate recipes/small.yaml",
            base=None,
        ),
    ),
    FormRule(
        "recipe/text",
        "the file is short UTF-8 text without control or invisible characters",
        Explanation(
            "HPT002",
            "Invisible characters make a reviewer see another recipe than the one that runs, and can steer a terminal.",
            "save the file as UTF-8 without a byte order mark, and delete invisible characters",
            'description: "a\\0b"',
            'description: "ab"',
            at='^"a',
        ),
    ),
    FormRule(
        "recipe/syntax",
        "the file is valid YAML",
        Explanation(
            "HPT003",
            "What is not YAML has no meaning that could be guessed safely.",
            "check indentation, quotes and brackets on this line and the one before",
            "training: {steps: 100\nparameterization: {name: mup}",
            "training: {steps: 100}\nparameterization: {name: mup}",
            at="parameterization^: ",
        ),
    ),
    FormRule(
        "recipe/yaml",
        "the YAML is plain data: no aliases, anchors or tags, within bounds of depth and number",
        Explanation(
            "HPT004",
            "Tags can construct objects, and aliases can make a short file a huge document; a recipe needs neither.",
            "write values out, and quote text that begins with `*`, `&` or `!`",
            "training: &usual {steps: 100}",
            "training: {steps: 100}",
            at="^&usual",
        ),
    ),
    FormRule(
        "recipe/duplicate-key",
        "each key is given once",
        Explanation(
            "HPT005",
            "YAML readers take the first or the last of two, without a word; what was meant is not known.",
            "delete one of the two",
            "training:\n  steps: 100\n  steps: 200",
            "training:\n  steps: 200",
            at="100\n  ^steps",
        ),
    ),
    FormRule(
        "recipe/missing-key",
        "a required key is given",
        Explanation(
            "HPT006",
            "There is no default that would be right for every recipe.",
            "add the key; docs/recipe.md says what it means",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]",
            _SIZES.format(width=64),
            at="sizes",
        ),
    ),
    FormRule(
        "recipe/unknown-key",
        "a key is one that its section has",
        Explanation(
            "HPT007",
            "A misspelt key that was passed over would leave its default in force, and nobody would notice.",
            "correct the key, or delete the line; docs/recipe.md lists the keys of each section",
            "training:\n  step: 100\n  steps: 100",
            "training:\n  steps: 100",
            at="^step: ",
        ),
    ),
    FormRule(
        "recipe/unknown-value",
        "a name is one of those that the key knows",
        Explanation(
            "HPT008",
            "A name that is not known has no meaning; the nearest one may be another method.",
            "write one of the names that the message lists",
            "parameterization: {name: mu-p}",
            "parameterization: {name: mup}",
            at="^mu-p",
        ),
    ),
    FormRule(
        "recipe/type",
        "a value has the key's type",
        Explanation(
            "HPT009",
            'Values are never converted: "100" in quotes is text, and 100.0 is no number of steps.',
            "write a value of the type that the message names; docs/recipe.md has an example of each key",
            'training: {steps: "100"}',
            "training: {steps: 100}",
            at='^"100"',
        ),
    ),
    FormRule(
        "recipe/range",
        "a value lies in the key's range",
        Explanation(
            "HPT010",
            "Outside of it a value means nothing, or would ask for more than any machine has.",
            "write a value within the range that the message names; docs/recipe.md lists all ranges",
            "training: {steps: -1}",
            "training: {steps: 100}",
            at="^-1",
        ),
    ),
    FormRule(
        "recipe/results-outside",
        "results of a command are below the trial's folder, without `..`",
        Explanation(
            "HPT011",
            "Each trial has a folder of its own; a file elsewhere could be another trial's, or somebody else's.",
            "name a file alone, and pass `{results}` to the program: the whole path of that file",
            _PROGRAM.format(results="{jsonl: ../loss.jsonl, value: loss}"),
            _PROGRAM.format(results="{jsonl: loss.jsonl, value: loss}"),
            at="^../loss",
            base="command",
        ),
    ),
    FormRule(
        "recipe/files-outside",
        "files are named below the recipe's folder, without `..`",
        Explanation(
            "HPT012",
            "A recipe from a stranger must not reach other files of the machine, nor depend on them.",
            "put the files below the recipe's folder, and name them relative to it",
            "data: {kind: text, files: [../corpus.txt]}",
            "data: {kind: stdlib-text}",
            at="^../corpus",
        ),
    ),
    FormRule(
        "recipe/pattern",
        "a pattern of results is a regular expression with a group for the value",
        Explanation(
            "HPT013",
            "Without exactly one group it is not known which part of the program's output is the loss.",
            "put the number in parentheses, for example `stdout: 'loss ([0-9.]+)'`",
            _PROGRAM.format(results='{stdout: "loss .*"}'),
            _PROGRAM.format(results='{stdout: "loss (.*)"}'),
            at='^"loss .*"',
            base="command",
        ),
    ),
    FormRule(
        "recipe/invalid",
        "a value has the key's form",
        Explanation(
            "HPT014",
            "Some values belong together within one section, and are checked as one.",
            "write the value as docs/recipe.md describes the key",
            "data: {kind: tokens, train: [a.bin], validation: [b.bin], validation_fraction: 0.1, vocabulary: 512}",
            "data: {kind: stdlib-text}",
            at="^{kind: tokens",
        ),
    ),
)

#: code of a finding on the form of a recipe -> what must hold
CODES = {rule.code: rule.sentence for rule in FORM_RULES}
