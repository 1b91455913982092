"""What determines a trial, as a key; and what all trials of one experiment share, as a digest.

A key is the sha256 of the rules that apply to the model's parameters (role and exact exponents, never a scaled value),
of model, data and training, of the code that trains, of size, hyperparameters and seed. Fields at their schema default
are left out, so a new field with a neutral default changes no key; no computed or measured float goes in, so machines
agree. docs/identity.md says what invalidates evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter

from hptransfer.hyperparameters import MULTIPLIERS, NAMES
from hptransfer.parameterization.applied_rules import Chosen, RuleText
from hptransfer.parameterization.groups import name_template
from hptransfer.parameterization.role_multipliers import multiplier_group
from hptransfer.parameterization.roles import Parameter
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.training import DURATION, MACHINE, Multipliers, Training
from hptransfer.sizes import Size
from hptransfer.trials.spec import TrialSpec

#: of what a key is made of and how; raised whenever the same run gets another key, or a schema default changes
VERSION = 2

#: fields of `training` that enter another way (size, hyperparameters)
_CARRIED_ELSEWHERE = frozenset({*DURATION, "batch_size", "multipliers", *NAMES})
#: fields that change a loss by rounding alone; what a trial was trained with is in its provenance
_ROUNDING = frozenset({"processes", *MACHINE})
#: options that enter with their tables' defaults filled in; any other enters where a recipe gives it
_OPTIONS = ("weight_decay", "eps", "batch_rule", "token_exponent", "betas", "muon_scale", "update_rank")
#: fields of `parameterization` that show in the rules of parameters, and nowhere else
_IN_RULES = frozenset({"init", "decay_vectors", "decay_timescale"})


@dataclass(frozen=True, slots=True)
class ParameterReading:
    """What was read of a recipe's model at one size.

    Attributes:
        parameters: every parameter with its role, in `named_parameters()` order.
        multiplied: names of weights whose module multiplies by the width's growth in `forward` by itself.
        probed: whether the model was run, so that its parameters say which factors `forward` has, and that it has no
            others.
    """

    parameters: tuple[Parameter, ...]
    multiplied: frozenset[str] = frozenset()
    probed: bool = False


#: writes and reads a reading as JSON-able data
READING: TypeAdapter[ParameterReading] = TypeAdapter(ParameterReading)


class ModelReader(Protocol):
    """Reads the model of one recipe."""

    def at(self, width: int, depth: int) -> ParameterReading:
        """What is read at a size.

        Args:
            width: of the model, at least 1.
            depth: number of its repeated layers, at least 1.
        """

    def layers(self) -> ParameterReading:
        """What is read at the base's width, at a depth where every layer that repeats is there."""


@dataclass(frozen=True, slots=True)
class TrainerIdentity:
    """What determines how a run is trained.

    Attributes:
        name: what keys and provenance call the trainer.
        version: raised by its author whenever the same run may end with another loss.
        follows_rules: whether it trains the recipe's model by the rules for its parameters.
        parts: whatever else determines its runs, JSON-able.
        code: sha256 (hex) of each local module of the user's own code, by its dotted name.
    """

    name: str
    version: int
    follows_rules: bool = True
    parts: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)


class Identity:
    """Keys of the trials of one recipe and its data; each is computed once.

    Args:
        recipe: gives model, data, training and parameterization.
        fingerprint: sha256 (hex) of the data.
        trainer: who trains, with which code.
        reader: of the recipe's model; not asked where the trainer follows no rules.
    """

    def __init__(self, recipe: Recipe, fingerprint: str, trainer: TrainerIdentity, reader: ModelReader) -> None:
        self.fingerprint, self.trainer = fingerprint, trainer
        self._recipe, self._reader = recipe, reader
        self._base = recipe.base_size
        self._chosen: Chosen | None = None
        if trainer.follows_rules:
            choice = recipe.parameterization
            self._chosen = Chosen.of(choice, recipe.training.optimizer, options_of(recipe), gauge=choice.gauge)
        self._experiment: str | None = None
        self._rules: dict[tuple[int, int], str] = {}
        self._keys: dict[Any, str] = {}

    @property
    def experiment(self) -> str:
        """Sha256 (hex) of what all trials of a study share: all but size, hyperparameters and seed."""
        if self._experiment is None:
            self._experiment = digest(self.shared())
        return self._experiment

    @property
    def digest(self) -> str:
        """The experiment's sha256 (hex), as files of results carry it: rules, code and data behind the evidence."""
        return self.experiment

    def key(self, spec: TrialSpec) -> str:
        """The key of a wanted trial, sha256 (hex).

        Args:
            spec: of this identity's recipe.
        """
        point = spec.point
        if point not in self._keys:
            rules = self.rules_at(spec.size)
            self._keys[point] = trial_key(self.experiment, rules, spec.size, spec.hyperparameters, spec.seed)
        return self._keys[point]

    def reading(self) -> ParameterReading:
        """The parameters of every layer of the model; none where the trainer follows no rules."""
        return ParameterReading(()) if self._chosen is None else self._reader.layers()

    def rules(self) -> dict[str, dict[str, RuleText]]:
        """The rules that apply, by pattern of parameter names and by role, for people and for comparison."""
        found: dict[str, dict[str, RuleText]] = {}
        for parameter, rules in self._applied(self.reading()):
            found.setdefault(name_template(parameter.name), {})[parameter.role.value] = rules
        return found

    def shared(self) -> dict[str, Any]:
        """What all trials of a study share, JSON-able, part by part: `experiment` is its digest."""
        shared = self.stated()
        if self._chosen is not None:
            rows = {_canonical(_row(*pair)) for pair in self._applied(self.reading())}
            shared["rules"] = sorted(rows)
        return shared

    def stated(self) -> dict[str, Any]:
        """The parts of `shared` for which the model need not be read: all but its rules."""
        recipe = self._recipe
        given = recipe.parameterization.model_dump(mode="json", exclude_defaults=True, exclude=set(_IN_RULES))
        shared: dict[str, Any] = {
            "identity": VERSION,
            "model": _given(recipe.model),
            "data": {**_given(recipe.data), "fingerprint": self.fingerprint},
            "training": _given_training(recipe.training),
            "parameterization": given,
            "base": _size(self._base),
            "trainer": {"name": self.trainer.name, "version": self.trainer.version, **self.trainer.parts},
        }
        objective = recipe.objective.model_dump(mode="json", exclude_defaults=True)
        if objective:
            shared["objective"] = objective
        if self._chosen is not None:
            shared["parameterization"] = _filled(given, self._chosen)
        if self.trainer.code:
            shared["code"] = dict(self.trainer.code)
        return shared

    def rules_at(self, size: Size) -> str:
        """Sha256 (hex) of the rules of every parameter at a size, with their shapes; "" where there are none.

        Args:
            size: of the model; batch and tokens do not matter.
        """
        if self._chosen is None:
            return ""
        shape = (size.width, size.depth)
        if shape not in self._rules:
            rows = [
                [parameter.name, *_lengths(parameter), _row(parameter, rules)]
                for parameter, rules in self._applied(self._reader.at(*shape))
            ]
            self._rules[shape] = digest({"rows": rows})
        return self._rules[shape]

    def _applied(self, reading: ParameterReading) -> list[tuple[Parameter, RuleText]]:
        chosen = self._chosen
        if chosen is None:
            return []
        return [
            (each, chosen.rules_of(each, in_forward=each.name in reading.multiplied)) for each in reading.parameters
        ]


def trial_key(experiment: str, rules: str, size: Size, hyperparameters: Mapping[str, float], seed: int) -> str:
    """The key of a trial, sha256 (hex), from what determines it.

    Args:
        experiment: sha256 (hex) of what all trials of its study share.
        rules: sha256 (hex) of the rules at its size, `Identity.rules_at`.
        size: width, depth, batch and tokens of the run.
        hyperparameters: base-size values by name.
        seed: of initialisation and data order.
    """
    return digest(
        {
            "experiment": experiment,
            "rules": rules,
            "size": _size(size),
            "hyperparameters": _changed(hyperparameters),
            "seed": seed,
        }
    )


def options_of(recipe: Recipe) -> Options:
    """The named choices of a recipe's `parameterization` section.

    Args:
        recipe: whose section is read.
    """
    choice = recipe.parameterization
    return Options(
        **{name: getattr(choice, name) for name in _OPTIONS},
        decay_vectors=choice.decay_vectors,
        decay_timescale=choice.decay_timescale,
    )


def digest(identity: Mapping[str, Any]) -> str:
    """Sha256 (hex) of JSON-able data in canonical form: sorted keys, no spaces.

    Args:
        identity: what is to be identified.
    """
    return hashlib.sha256(_canonical(identity).encode()).hexdigest()


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _given(section: BaseModel) -> dict[str, Any]:
    """A section with what differs from its defaults, and always its kind."""
    return {**section.model_dump(mode="json", exclude_defaults=True), "kind": getattr(section, "kind", None)}


def _given_training(training: Training) -> dict[str, Any]:
    """What differs from the defaults of what determines a trial and enters in no other way."""
    elsewhere = set(_CARRIED_ELSEWHERE | _ROUNDING)
    return training.model_dump(mode="json", exclude_defaults=True, exclude=elsewhere)


def _size(size: Size) -> dict[str, int]:
    """A size without axes at their defaults."""
    return {axis.name: getattr(size, axis.name) for axis in fields(size) if getattr(size, axis.name) != axis.default}


def _filled(given: Mapping[str, Any], chosen: Chosen) -> dict[str, Any]:
    """What a recipe gives of its parameterization, with what the tables fill in: a default written out is no change."""
    options = {name: getattr(chosen.options, name) for name in _OPTIONS}
    return {
        **{name: value for name, value in given.items() if name not in _OPTIONS},
        "alpha": chosen.alpha,
        "absolute": chosen.table.absolute,
        "options": {name: value for name, value in options.items() if value is not None},
    }


def _row(parameter: Parameter, rules: RuleText) -> dict[str, Any]:
    """What determines how one parameter is trained at whatever size."""
    return {
        "pattern": name_template(parameter.name),
        "role": parameter.role.value,
        "init": _init(parameter),
        "in_block": parameter.in_block,
        "multipliers": [multiplier_group(parameter), parameter.scales_attention],
        "exponents": rules,
    }


def _init(parameter: Parameter) -> list[str]:
    """Whose init it is and its kind; the numbers of an own init follow from the model's code, which is in the key."""
    own = parameter.own_init_std is not None or parameter.init in ("constant", "kept")
    return ["own" if own else "rule", parameter.init]


def _lengths(parameter: Parameter) -> Sequence[Any]:
    fans = (parameter.fan_in, parameter.fan_out, parameter.base_fan_in, parameter.base_fan_out)
    return (list(parameter.shape), list(fans))


def _changed(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    """The values that differ from the schema's defaults."""
    return {name: value for name, value in hyperparameters.items() if value != default_of(name)}


def default_of(name: str) -> float:
    """The schema's default of a hyperparameter.

    Args:
        name: name of a hyperparameter, one of `hyperparameters.NAMES`.
    """
    section = Multipliers if name in MULTIPLIERS else Training
    return float(section.model_fields[name].default)
