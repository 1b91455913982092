"""What a rule across keys is, what it sees, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.expect_section import Expect
from hptransfer.recipe.model_sections import MODEL, ExternalModel, Model
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.schema import (
    Check,
    Data,
    ParameterizationChoice,
    Range,
    Shape,
    Sizes,
    Target,
    Tune,
    predictions_per_example,
)
from hptransfer.recipe.trainer_sections import NamedTrainer, TrainerChoice
from hptransfer.recipe.training import Training
from hptransfer.recipe.yaml.gate import KeyPath, Plain
from hptransfer.recipe.yaml.outline import SEARCHABLE, entry, without
from hptransfer.registry import Registry
from hptransfer.sizes import LADDERS, MODEL_AXES, SizeAxis

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule.

    Attributes:
        path: keys that lead to the value that most likely has to change.
        rule: the rule as a sentence that names the keys of this recipe.
        received: what the recipe says instead.
        hint: what to write instead, or why the rule holds.
        elsewhere: keys that lead to where it is reported when the recipe leaves `path` out.
    """

    path: KeyPath
    rule: str
    received: str
    hint: str | None = None
    elsewhere: KeyPath = ()


@dataclass(frozen=True, slots=True)
class RecipeRule:
    """A rule across keys.

    Attributes:
        code: stable identifier for CI formats, "recipe/" and words joined by hyphens.
        sentence: what must hold, one line for the table of docs/lint.md.
        check: yields each violation in the valid parts of a recipe.
        explanation: number, reason, examples and repair; rules of this package have one.
    """

    code: str
    sentence: str
    check: Callable[[Draft], Iterator[Violation]]
    explanation: Explanation | None = None


#: topic -> its rules
RECIPE_RULES: Registry[tuple[RecipeRule, ...]] = Registry("recipe rule", "hptransfer.recipe.rules", "RULES")


def recipe_rules() -> tuple[RecipeRule, ...]:
    """All rules across keys, topic by topic."""
    return tuple(rule for topic in RECIPE_RULES.names for rule in RECIPE_RULES.look_up(topic))


def violations(draft: Draft) -> Iterator[tuple[RecipeRule, Violation]]:
    """Every violation with the rule that is broken, topic by topic.

    Args:
        draft: the valid parts of a recipe.
    """
    for rule in recipe_rules():
        for broken in rule.check(draft):
            yield rule, broken


@dataclass(frozen=True)
class Draft:
    """The parts of a recipe that are valid by themselves, None for the others: rules judge what can be judged."""

    trainer: str | None
    command: CommandTrainer | None
    external_data: bool
    limits_flops: bool
    model: Model | None
    data: Data | None
    training: Training | None
    parameterization: ParameterizationChoice | None
    base: Shape | None
    proxy: Shape | None
    ladders: Mapping[SizeAxis, tuple[int, ...] | None]
    corner: bool
    target: Target | None
    space: dict[str, Range]
    searched: frozenset[str]
    tune: Tune | None
    check: Check | None
    expect: Expect | None
    watches: bool

    @property
    def tokens_per_example(self) -> int | None:
        """Predicted positions in one example; None where the model is not valid."""
        return None if self.model is None else predictions_per_example(self.model, self.data)

    @property
    def usual_tokens(self) -> int | None:
        """Predicted positions of a run that says nothing else; None where that is not known without a model."""
        if self.tokens_per_example is None or self.training is None:
            return None
        if self.training.tokens is not None:
            return self.training.tokens
        steps = self.training.steps
        return None if steps is None else steps * self.training.batch_size * self.tokens_per_example

    def at_proxy(self, axis: SizeAxis) -> int | None:
        """The proxy's own value; None where the part that gives it is not valid.

        Args:
            axis: field of a size.
        """
        if axis == "tokens":
            return self.usual_tokens
        section = self.proxy if axis in MODEL_AXES else self.training
        return None if section is None else int(getattr(section, axis))

    @classmethod
    def of(cls, data: Plain, faulty: Collection[KeyPath] = (), unknown: Collection[KeyPath] = ()) -> Draft:
        """Reads the valid parts.

        Args:
            data: the recipe as plain data.
            faulty: paths of the faults already found; parts they touch are left out.
            unknown: paths of keys that the schema does not have; they alone are left out.
        """
        data = without(data, unknown)

        def part(adapter: TypeAdapter[T], *path: str) -> T | None:
            value = entry(data, path)
            touched = any(fault[: len(path)] == path or path[: len(fault)] == fault for fault in faulty)
            return None if touched or value is None else adapter.validate_python(value)

        def absent(*path: str) -> bool:
            return entry(data, path) is None and not any(fault == path[: len(fault)] for fault in faulty)

        base = part(_SHAPE, "sizes", "base")
        ranges = {name: part(_RANGE, "tune", "space", name) for name in SEARCHABLE}
        space = entry(data, ("tune", "space"))
        misnamed = any(path[:2] == ("tune", "space") for path in unknown)
        enqueued = any(path[:2] == ("tune", "enqueue") for path in unknown)
        trainer = NamedTrainer() if absent("trainer") else part(_TRAINER, "trainer")
        return cls(
            trainer=None if trainer is None else trainer.name,
            command=trainer if isinstance(trainer, CommandTrainer) else None,
            external_data=absent("data") or entry(data, ("data", "kind")) == "external",
            limits_flops=entry(data, ("budget", "flops")) is not None,
            model=ExternalModel() if absent("model") else part(MODEL, "model"),
            data=None if absent("data") else part(_DATA, "data"),
            training=part(_TRAINING, "training"),
            parameterization=part(_PARAMETERIZATION, "parameterization"),
            base=base,
            proxy=base if absent("sizes", "proxy") else part(_SHAPE, "sizes", "proxy"),
            ladders={
                axis: () if axis != "width" and absent("sizes", key) else part(_LADDERS[axis], "sizes", key)
                for axis, key in LADDERS.items()
            },
            corner=entry(data, ("sizes", "corner")) is True,
            target=part(_TARGET, "sizes", "target"),
            space={name: axis for name, axis in ranges.items() if axis is not None},
            searched=frozenset(space) if isinstance(space, dict) and not misnamed else frozenset(),
            tune=None if misnamed or enqueued else part(_TUNE, "tune"),
            check=Check() if absent("check") else part(_CHECK, "check"),
            expect=part(_EXPECT, "expect"),
            watches=trainer is not None and trainer.watches,
        )


_TRAINER: TypeAdapter[TrainerChoice] = TypeAdapter(TrainerChoice)
_DATA: TypeAdapter[Data] = TypeAdapter(Data)
_TRAINING = TypeAdapter(Training)
_PARAMETERIZATION = TypeAdapter(ParameterizationChoice)
_SHAPE = TypeAdapter(Shape)
_TARGET = TypeAdapter(Target)
_LADDERS: Mapping[SizeAxis, TypeAdapter[tuple[int, ...]]] = {
    axis: TypeAdapter(cast("Any", Sizes.model_fields[key].annotation)) for axis, key in LADDERS.items()
}
_RANGE = TypeAdapter(Range)
_CHECK = TypeAdapter(Check)
_TUNE = TypeAdapter(Tune)
_EXPECT = TypeAdapter(Expect)
