"""The recipe's `trainer: {command: ...}`: what is run, what it is told, where its results are, what a run takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hptransfer.recipe.quantities import Duration
from hptransfer.recipe.registered import RESULT_READERS
from hptransfer.recipe.result_sections import ResultsSection
from hptransfer.recipe.sections import BELOW, Section, Setting, refused, stays_below
from hptransfer.recipe.text_forms import VARIABLE

Word = Annotated[str, Field(max_length=10_000)]
#: name of an environment variable
Variable = Annotated[str, Field(pattern=VARIABLE, max_length=200)]


def _below(pattern: str) -> str:
    """Recipes come from strangers' pull requests too: what they name is read below their own folder only."""
    if not stays_below(pattern):
        raise refused(
            "recipe/files-outside",
            "files of a command must be named below the recipe's folder, without `..`",
            "move the files below the recipe's folder, or the recipe above the files",
        )
    return pattern


Below = Annotated[str, Field(max_length=1000), AfterValidator(_below), BELOW]

#: key that a `results` section begins with -> what it holds; a reader of the package brings its own
RESULT_FORMS: Mapping[str, type[Section]] = MappingProxyType(
    {name: RESULT_READERS.look_up(name).section for name in RESULT_READERS.built_in}
)


def result_form_of(data: object) -> str | None:
    """Which of `RESULT_FORMS` a `results` section or its raw data is to be read as; None where it does not say.

    Args:
        data: a mapping, or a section.
    """
    if isinstance(data, Section):
        return next((form for form, section in RESULT_FORMS.items() if isinstance(data, section)), None)
    keys: Any = data if isinstance(data, Mapping) else ()
    return next((form for form in RESULT_FORMS if form in keys), None)


if TYPE_CHECKING:
    Results = ResultsSection
else:
    _TAGGED = tuple(Annotated[section, Tag(form)] for form, section in RESULT_FORMS.items())
    Results = Annotated[Union[_TAGGED], Discriminator(result_form_of)]  # noqa: UP007  # made from the registry


class ConfigFile(Section):
    """A configuration file that is written for each run, from one of your own."""

    template: Below
    """your own file, YAML, JSON, TOML or Python (assignments at its top) by its suffix, below the recipe's folder"""
    set: dict[str, Setting] = Field(default_factory=dict)
    """dotted key -> value; a text that is one placeholder alone becomes its number"""
    new: bool = False
    """whether keys that the template does not have may be set"""


class Resources(Section):
    """What one run takes, up to a size."""

    up_to_width: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """the largest width that it is for; the last entry has none"""
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """on each node; more than one are started by the launcher"""
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    """on each node, held by one run alone; 0: the one that the worker sees, where there is one"""
    nodes: Annotated[int, Field(ge=1, le=10_000)] = 1
    """more than one need Slurm"""
    launcher: Literal["none", "torchrun", "srun"] = "none"
    """what starts the processes; `none`: the command itself, which finds their number in `{processes}`"""


class Retry(Section):
    """Which exit statuses are worth another attempt."""

    exit_codes: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1, strict=False)]
    """of the command, for example `[75]` (EX_TEMPFAIL)"""
    attempts: Annotated[int, Field(ge=2, le=100)] = 2
    """in all, within the time limit of one trial"""


#: a list of words, or one text for a shell
Command = Annotated[
    Annotated[tuple[Word, ...], Field(min_length=1, strict=False), Tag("words")] | Annotated[Word, Tag("text")],
    Discriminator(lambda command: "text" if isinstance(command, str) else "words"),
]


class CommandTrainer(Section):
    """Any program: it is told size, hyperparameters and seed, and its results are read (docs/trainers.md)."""

    command: Command
    """the program and its arguments as a list; with `shell: true`, one text for `/bin/sh`"""
    shell: bool = False
    """whether the command is a text for a shell"""
    results: Results
    """where the objective's values are"""
    cwd: Annotated[str, Field(max_length=1000)] = "."
    """where it runs, relative to the recipe's folder, or `{trial_dir}`"""
    environment: dict[Variable, Setting] = Field(default_factory=dict)
    """variables that it gets in addition to those of hptransfer and of the machine; part of a trial's identity"""
    config: ConfigFile | None = None
    """a configuration file, whose path is `{config}`"""
    files: Annotated[tuple[Below, ...], Field(max_length=256, strict=False)] = ()
    """patterns of files that determine the result, below the recipe's folder, part of a trial's identity; files that
    are words of the command, and the local modules that a Python script imports, are found by themselves"""
    accepts: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=256, strict=False)] = ()
    """what the program takes without a placeholder: a name that it reads from its environment, `plan` (it reads the
    whole plan), or `KIND.QUANTITY` of the plan that it applies by itself, as `hidden.init_std` or `all.eps`"""
    resources: Annotated[tuple[Resources, ...], Field(max_length=64, strict=False)] = ()
    """what one run takes, by size; the first entry whose `up_to_width` is not below the run's width"""
    retry: Retry | None = None
    """exit statuses after which it is run again; default: none"""
    watches: bool = False
    """whether the program calls `hptransfer.watch`: `check` then makes the coordinate check of it (docs/watch.md)"""
    no_output_for: Duration | None = None
    """a run that prints and reports nothing for so long is killed and counts as failed (timeout); default: no limit"""

    @property
    def name(self) -> str:
        """Of the trainer that reads the section."""
        return "command"

    @property
    def words(self) -> tuple[str, ...]:
        """The command's words; a text for a shell is one."""
        return (self.command,) if isinstance(self.command, str) else self.command

    @property
    def texts(self) -> tuple[Setting, ...]:
        """Whatever may name placeholders."""
        settings = () if self.config is None else tuple(self.config.set.values())
        return (*self.words, self.cwd, *self.environment.values(), *settings)

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: object) -> object:
        """A text is no list of words, and a list is no text for a shell."""
        if not isinstance(data, dict):
            return data
        command, shell = data.get("command"), data.get("shell") is True
        if isinstance(command, str) and not shell:
            rule = "`command` must be a list of words, or `shell: true` must stand beside it"
            raise refused("recipe/type", rule, "for example `command: [python, train.py, --width, '{width}']`")
        if isinstance(command, list | tuple) and shell:
            rule = "with `shell: true`, `command` must be one text"
            raise refused("recipe/type", rule, "for example `command: 'python train.py --width {width}'`")
        return data

    @model_validator(mode="after")
    def _rising(self) -> CommandTrainer:
        """Resources are looked up in order."""
        limits = [each.up_to_width for each in self.resources]
        given = [limit for limit in limits if limit is not None]
        if None in limits[:-1] or (limits and limits[-1] is not None) or given != sorted(set(given)):
            rule = "`up_to_width` of `resources` must rise, and the last entry must have none"
            raise refused("recipe/range", rule, "for example `[{up_to_width: 512, gpus: 1}, {gpus: 4, processes: 4}]`")
        return self


#: keys of the section that change where and how often a command runs, never its result
NOT_IDENTIFYING = ("accepts", "resources", "retry", "watches", "no_output_for")
