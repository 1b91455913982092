"""A recipe written from a command line: which of its flags are size, rate and seed is read from their names."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: placeholder -> names of flags, without dashes, that mean it
_FLAGS: Mapping[str, str] = {
    "learning_rate": r"(base|max|peak|init)?_?(lr|learning_?rate)|eta",
    "weight_decay": r"wd|weight_?decay",
    "width": r"width|d_?model|n_?embd|hidden(_?(size|dim|units))?|dim|embed_?dim|model_?dim|n_?hidden",
    "depth": r"depth|(n|num)?_?(hidden_?)?layers?|blocks|(n|num)_?blocks",
    "batch_size": r"(train_?|global_?)?(batch|bs|bsz)(_?size)?",
    "steps": r"(max_?|n_?|num_?|train_?)?(steps|iters|iterations)",
    "seed": r"(random_?|rng_?)?seed",
}
_WHOLE = ("width", "depth", "batch_size", "steps", "seed")
_SHELL = re.compile(r"[|&;<>$`*?~]")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

#: characters of a line that are looked at: patterns take time that grows with its square
_LONGEST = 2000
_STEP = re.compile(r"(?i)\b(step|iter|iteration|epoch)s?\b(?P<between>[\"']?[ \t:=#]*)(?P<number>\d+)")
_LOSS = re.compile(
    r"(?i)(?P<label>\b(?P<held>(?:val|valid|validation|eval|evaluation|test|held[- ]out)[ \t_/.-]*)?loss)\b"
    rf"(?P<between>[\"']?[ \t]*[:=]?[ \t]*)(?P<number>{_NUMBER}|nan\b)"
)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a command with its value.

    Attributes:
        placeholder: what it is taken for.
        flag: as it is written, for example `--lr`.
        value: its text on the command line.
    """

    placeholder: str
    flag: str
    value: str


@dataclass(frozen=True, slots=True)
class GuessedCommand:
    """A command line, and what its flags are taken for.

    Attributes:
        words: the program and its arguments, placeholders put in; one text where it needs a shell.
        plain: the same without placeholders.
        environment: variables that stand before the program.
        flags: those that were understood.
    """

    words: tuple[str, ...] | str
    plain: tuple[str, ...] | str
    environment: Mapping[str, str]
    flags: tuple[Flag, ...]

    def value(self, placeholder: str) -> str | None:
        """The text that the command line has for a placeholder; None where no flag was taken for it.

        Args:
            placeholder: a name of `placeholders.PLAIN`, without its braces.
        """
        return next((each.value for each in self.flags if each.placeholder == placeholder), None)

    def with_seed(self) -> GuessedCommand:
        """The same with a flag for the seed at its end."""
        flags = (*self.flags, Flag("seed", "--seed", "0"))
        if isinstance(self.words, str) or isinstance(self.plain, str):
            words, plain = f"{self.words} --seed {{seed}}", f"{self.plain} --seed 0"
            return GuessedCommand(words, plain, self.environment, flags)
        return GuessedCommand((*self.words, "--seed", "{seed}"), (*self.plain, "--seed", "0"), self.environment, flags)


@dataclass(frozen=True, slots=True)
class GuessedResults:
    """Where the loss was found in what a command prints.

    Attributes:
        value: pattern of the objective.
        curve: pattern of the training loss; None where there is only one kind of loss.
        found: the line that it was found in; empty: nowhere, and the pattern is a guess.
    """

    value: str = r"loss[ :=]*(?P<value>\S+)"
    curve: str | None = None
    found: str = ""


def guessed_command(text: str) -> GuessedCommand:
    """A command line with placeholders for what its flags seem to mean.

    Args:
        text: as it is typed into a shell.

    Raises:
        ValueError: quotes in it are not closed.
    """
    words = shlex.split(text)
    environment: dict[str, str] = {}
    while words and (match := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", words[0], re.DOTALL)):
        environment[match[1]] = match[2]
        words = words[1:]
    flags = _flags(words)
    if _SHELL.search(text):
        rendered = text
        for each in flags:
            pattern = rf"({re.escape(each.flag)}(?:=|\s+)){re.escape(each.value)}(?!\S)"
            rendered = re.sub(pattern, rf"\1{{{each.placeholder}}}", rendered)
        return GuessedCommand(rendered, text, {}, flags)
    own = ["{python}", *words[1:]] if words and _runs_here(words[0]) else words
    return GuessedCommand(tuple(_replaced(own, flags)), tuple(words), environment, flags)


def _runs_here(word: str) -> bool:
    """Whether a word is the path of the interpreter that runs here, which other machines have elsewhere.

    Of a virtual environment the folder decides: its interpreter is a link to one with other packages.
    """
    path = os.path.abspath(word)
    same = os.path.dirname(path) == os.path.dirname(os.path.abspath(sys.executable))
    return os.path.isabs(word) and same and os.path.isfile(path) and os.path.samefile(path, sys.executable)


def _flags(words: Sequence[str]) -> tuple[Flag, ...]:
    found: dict[str, Flag] = {}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if not equals:
            value = following
        if not (name.startswith("-") or equals) or not re.fullmatch(_NUMBER, value):
            continue
        placeholder = _meaning(name)
        if placeholder is not None and (placeholder not in _WHOLE or re.fullmatch(r"\d+", value)):
            found.setdefault(placeholder, Flag(placeholder, name, value))
    return tuple(found.values())


def _meaning(flag: str) -> str | None:
    name = flag.lstrip("-").lower().replace("-", "_").rpartition(".")[2]
    return next((each for each, pattern in _FLAGS.items() if re.fullmatch(pattern, name)), None)


def _replaced(words: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    placeholders = {each.flag: each for each in flags}
    result = list(words)
    for index, word in enumerate(words):
        name, equals, _ = word.partition("=")
        each = placeholders.get(name)
        if each is None:
            continue
        if equals:
            result[index] = f"{name}={{{each.placeholder}}}"
        elif index + 1 < len(words) and words[index + 1] == each.value:
            result[index + 1] = f"{{{each.placeholder}}}"
    return result


def guessed_results(output: str) -> GuessedResults:
    """Patterns for the losses in what a command printed; held-out ones go before training losses.

    Args:
        output: what it wrote to stdout.
    """
    held: tuple[str, str] | None = None
    training: tuple[str, str] | None = None
    for line in (whole[:_LONGEST] for whole in output.replace("\r", "\n").splitlines()):
        for match in _LOSS.finditer(line):
            found = _pattern(line, match), line.strip()
            if match["held"]:
                held = found
            else:
                training = found
    best = held or training
    if best is None:
        return GuessedResults()
    return GuessedResults(best[0], training[0] if held and training else None, best[1])


def _pattern(line: str, loss: re.Match[str]) -> str:
    between = re.sub(r"\s+", r"\\s*", re.escape(loss["between"]).replace("\\ ", " "))
    # "train loss" must not be found in "val loss": what stands before a bare label is no letter
    label = re.escape(loss["label"]).replace("\\ ", " ")
    start = "" if loss["held"] else r"(?<!val )(?<!test )\b" if label == "loss" else r"\b"
    text = rf"{start}{label}{between}(?P<value>[-+.\w]+)"
    step = next((match for match in _STEP.finditer(line) if match.end() <= loss.start()), None)
    if step is None:
        return text
    word = re.escape(line[step.start() : step.start("between")])
    gap = re.sub(r"\s+", r"\\s*", re.escape(step["between"]).replace("\\ ", " "))
    return rf"\b{word}{gap}(?P<step>\d+).*?{text}"


@dataclass(frozen=True, slots=True)
class RecipeDraft:
    """What a recipe is written from.

    Attributes:
        name: of the recipe, which its run folder has too.
        command: the command line, with its flags.
        results: where its loss is.
        cwd: where it runs, relative to the recipe's folder.
        remarks: sentences for the recipe's head: what was tried, and what was found.
        failure: the one that says how the command failed; empty where it ran, or was not tried.
    """

    name: str
    command: GuessedCommand
    results: GuessedResults
    cwd: str = "."
    remarks: Sequence[str] = field(default_factory=tuple)
    failure: str = ""

    def text(self) -> str:
        """The recipe as commented YAML."""
        return "\n".join([*self._head(), *self._trainer(), *self._rest()]) + "\n"

    def _head(self) -> list[str]:
        lines = ["# Written by `hptransfer init --from-command`. What was guessed is marked with `guess`: check it,"]
        lines += [
            "# then `hptransfer validate` and `hptransfer run` this file. docs/trainers.md explains every key.",
            "#",
        ]
        lines += [f"# {remark}" for remark in self.remarks]
        return [*lines, "", f"name: {self.name}", ""]

    def _trainer(self) -> list[str]:
        command, results = self.command, self.results
        lines = ["trainer:"]
        if isinstance(command.words, str):
            lines += [
                f"  command: {json.dumps(command.words)}",
                "  shell: true                # it has characters of a shell",
            ]
        else:
            lines.append(f"  command: [{', '.join(map(_quoted, command.words))}]")
        lines += [f"  # guess: {each.flag} {each.value} is {{{each.placeholder}}}" for each in command.flags]
        for missing in ("width", "seed", "learning_rate"):
            if command.value(missing) is None:
                lines.append(
                    f"  # missing: no flag tells the {missing.replace('_', ' ')}; add one with '{{{missing}}}',"
                )
                lines.append(f"  #   or `accepts: [{missing}]` where the program reads HPTRANSFER_{missing.upper()}")
        if self.cwd != ".":
            lines.append(f"  cwd: {_quoted(self.cwd)}")
        if command.environment:
            pairs = ", ".join(f"{name}: {_quoted(value)}" for name, value in command.environment.items())
            lines.append(f"  environment: {{{pairs}}}")
        found = f"guess: found in {json.dumps(results.found[:80], ensure_ascii=False)}"
        lines += ["  results:", f"    # {found if results.found else 'guess: nothing like a loss was seen yet'}"]
        lines.append(f"    stdout: {_single(results.value)}")
        if results.curve is not None:
            lines.append(f"    curve: {_single(results.curve)}")
        return [*lines, '  # files: ["lib/**/*.py"]     # what else determines the result: a change trains anew', ""]

    def _rest(self) -> list[str]:
        command = self.command
        width, depth = int(command.value("width") or 64), int(command.value("depth") or 1)
        rate = float(command.value("learning_rate") or 0.001)
        widths = ", ".join(str(width * factor) for factor in (1, 2, 4, 8))
        steps, batch = command.value("steps"), command.value("batch_size")
        small = "      # guess: widths below 64 mislead" if width < 64 else ""
        return [
            "objective:",
            "  name: loss",
            '  evaluation: ""             # what it is measured on, in your words',
            "",
            "training:",
            f"  steps: {steps or 1000}" + ("" if steps else "                # guess: no flag tells it"),
            f"  batch_size: {batch or 64}" + ("" if batch else "             # guess: no flag tells it"),
            "",
            "parameterization:",
            "  name: measured             # no rule is claimed; a program that applies muP by itself: mup",
            "",
            "sizes:",
            f"  base: {{width: {width}, depth: {depth}}}{small}",
            f"  widths: [{widths}]   # guess: a ladder of eight times the width",
            f"  target: {{width: {width * 16}, depth: {depth}}}   # guess: the run that you care about",
            "",
            "tune:",
            "  space:",
            f"    learning_rate: {{low: {rate / 16:.6g}, high: {rate * 16:.6g}}}   # guess: 16 times to each side",
            "  trials: 16",
        ]


def _quoted(word: str) -> str:
    """A word in a YAML list; JSON's quotes are YAML's."""
    plain = re.fullmatch(r"[A-Za-z_./-][\w./-]*", word) and not re.fullmatch(
        r"(?i)true|false|null|\.(inf|nan)|-.*", word
    )
    return word if plain else json.dumps(word, ensure_ascii=False)


def _single(pattern: str) -> str:
    quoted = pattern.replace("'", "''")
    return f"'{quoted}'"
