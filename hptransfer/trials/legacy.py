"""Keys that version 0.1 wrote, byte for byte, and its rules: what its finished trials are adopted by.

0.1 hashed a dump of the schema of its day and nothing of the rules. So its lists of fields and its tables
(`rules_0_1.json`, written from its own code) are frozen here. A recipe that says more than 0.1 could has no such key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.applied_rules import Chosen, differences
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import (
    Alpha,
    Exponents,
    OptimizerFamily,
    Options,
    Quantity,
    Rule,
    RuleTable,
    Source,
)
from hptransfer.parameterization.tables import FAMILIES
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.identity import ParameterReading, default_of, digest, options_of
from hptransfer.trials.spec import TrialSpec

_OWN: Mapping[str, Any] = {"context": 64, "preset": None, "residual_writers": [], "roles": {}}
#: section -> kind -> field -> 0.1's default; fields that had none are here with None, as every recipe gives them
_MODEL: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"kind": None, "context": 16, "embedding": 32, "activation": "relu", "norm": "layernorm"},
    "gpt": {"kind": None, "context": 64, "head_dim": 16, "positions": "rotary", "mlp_ratio": 4},
    "factory": {
        **_OWN,
        "kind": None,
        "factory": None,
        "width_argument": "width",
        "depth_argument": "depth",
        "arguments": {},
    },
    "huggingface": {
        **_OWN,
        "kind": None,
        "config": None,
        "settings": None,
        "follow_width": [],
        "depth_key": None,
        "task": None,
    },
}
_DATA: Mapping[str, Mapping[str, Any]] = {
    "stdlib-text": {"kind": None, "validation_fraction": 0.1},
    "text": {"kind": None, "files": None, "validation_fraction": 0.1},
}
_TRAINING: Mapping[str, Any] = {"optimizer": "adamw", "schedule": "linear", "clip": None, "evaluation_batches": 16}
_PARAMETERIZATION = ("name", "alpha", "weight_decay", "eps", "batch_rule", "token_exponent", "betas")
_HYPERPARAMETERS = ("learning_rate", "weight_decay", "init_scale", "warmup", "beta1", "beta2", "eps", "momentum")
#: fields of `training` that 0.1 did not count, or carried as size and hyperparameters
_UNCOUNTED = frozenset({"steps", "batch_size", "processes", "multipliers", *_HYPERPARAMETERS})


def legacy_experiment(recipe: Recipe, fingerprint: str) -> str | None:
    """The sha256 (hex) under which 0.1 kept a recipe's studies.

    Args:
        recipe: as it is read now.
        fingerprint: sha256 (hex) of its data.

    Returns:
        The digest; None where 0.1 had no such recipe.
    """
    shared = _shared(recipe, fingerprint)
    return None if shared is None else digest(shared)


def legacy_key(spec: TrialSpec, fingerprint: str) -> str | None:
    """The key under which 0.1 kept a trial, sha256 (hex).

    Args:
        spec: the trial, by a recipe of this version.
        fingerprint: sha256 (hex) of its data.

    Returns:
        The key; None where 0.1 had no such trial.
    """
    shared = _shared(spec.recipe, fingerprint)
    values = {
        name: value
        for name, value in spec.hyperparameters.items()
        if name in _HYPERPARAMETERS or value != default_of(name)  # 0.1 left multipliers at 1 out
    }
    if shared is None or not values.keys() <= {*_HYPERPARAMETERS, *MULTIPLIERS}:
        return None
    return digest(shared | {"size": _size(spec.size), "hyperparameters": values, "seed": spec.seed})


def _shared(recipe: Recipe, fingerprint: str) -> dict[str, Any] | None:
    """What 0.1 hashed of a recipe; None where the recipe gives a field that it did not know."""
    model = _frozen(recipe.model, _MODEL.get(recipe.model.kind), frozenset({"queries"}))
    data = _frozen(recipe.data, _DATA.get(recipe.data.kind))
    training = _frozen(recipe.training, _TRAINING, _UNCOUNTED)
    # 0.1 drew every parameter by the tables, and left no multiplier to `forward`
    if recipe.init_source == "own" or recipe.parameterization.gauge != "plain":
        return None
    choice = recipe.parameterization.model_dump(mode="json", exclude_none=True, exclude={"init", "gauge"})
    other = recipe.trainer.name != "torch" or recipe.objective.model_dump(exclude_defaults=True)
    if other or model is None or data is None or training is None or not choice.keys() <= set(_PARAMETERIZATION):
        return None
    queries = list(getattr(recipe.model, "queries", ()))
    return {
        "model": model | ({"queries": queries} if queries else {}),
        "data": data | {"fingerprint": fingerprint},
        "training": training,
        "parameterization": {"alpha": None} | choice,
        "base": _size(recipe.base_size),
    }


def _size(size: Size) -> dict[str, int]:
    """A size in the fields that 0.1 knew."""
    return {name: getattr(size, name) for name in ("width", "depth", "batch_size", "tokens")}


def _frozen(
    section: Any, fields: Mapping[str, Any] | None, apart: frozenset[str] = frozenset()
) -> dict[str, Any] | None:
    """A section with 0.1's fields, those missing now at its defaults; None where others are given.

    Args:
        section: one section of a recipe of this version.
        fields: 0.1's fields and their defaults; None for a kind that it did not have.
        apart: fields that 0.1 knew and treated otherwise.
    """
    given = section.model_dump(mode="json", exclude_defaults=True)
    if fields is None or not given.keys() <= {*fields, *apart}:
        return None
    present = section.model_dump(mode="json")
    return {name: present.get(name, default) for name, default in fields.items()}


def changed_rules(recipe: Recipe, reading: ParameterReading) -> tuple[str, ...]:
    """How the rules for a model differ from those of 0.1, one phrase each; empty where its trials still hold.

    Args:
        recipe: gives parameterization and optimizer.
        reading: the model's parameters at any size, with their roles.
    """
    given = options_of(recipe)
    spec, optimizer = recipe.parameterization, recipe.training.optimizer
    tables = legacy_tables()
    if not any(name == spec.name for name, _ in tables):
        return (f"0.1 had no parameterization `{spec.name}`",)
    if (spec.name, FAMILIES[optimizer]) not in tables:
        return (f"0.1 had no rules for `{spec.name}` with `{optimizer}`",)
    before = Chosen.of(spec, optimizer, given, tables)
    now = Chosen.of(spec, optimizer, given)
    return differences(before, now, reading.parameters, reading.multiplied)


@cache
def legacy_tables() -> Mapping[tuple[str, OptimizerFamily], RuleTable]:
    """The tables of 0.1: exponents and defaults; sources and remarks are left out."""
    content = json.loads(Path(__file__).with_name("rules_0_1.json").read_text(encoding="utf-8"))
    return {(entry["name"], entry["family"]): _table(entry) for entry in content}


def tables_as_json(tables: Mapping[tuple[str, OptimizerFamily], RuleTable]) -> list[dict[str, Any]]:
    """Tables in the form of `rules_0_1.json`.

    Args:
        tables: by name and optimizer family.
    """
    return [
        {
            "name": table.name,
            "family": table.family,
            "rules": [_rule_as_json(rule) for rule in table.rules.values()],
            "choices": [
                {
                    "quantity": quantity.value,
                    "choice": choice,
                    "rules": [_rule_as_json(rule) for rule in column.values()],
                }
                for (quantity, choice), column in table.choices.items()
            ],
            "residual": None if table.residual is None else _rule_as_json(table.residual),
            "alpha": None if table.alpha is None else asdict(table.alpha),
            "defaults": {name: value for name, value in asdict(table.defaults).items() if value is not None},
            "absolute": table.absolute,
        }
        for table in tables.values()
    ]


def _rule_as_json(rule: Rule) -> list[Any]:
    powers = {name: str(Fraction(power)) for name, power in asdict(rule.exponents).items() if power}
    marks = [name for name in ("per_step", "off") if getattr(rule, name)]
    return [rule.role.value, rule.quantity.value, powers, *marks]


_SOURCE = Source("hptransfer 0.1", "its tables", "frozen")


def _rule(entry: list[Any]) -> Rule:
    role, quantity, powers, *marks = entry
    exponents = Exponents(**{name: float(Fraction(power)) for name, power in powers.items()})
    return Rule(Role(role), Quantity(quantity), exponents, _SOURCE, "per_step" in marks, "off" in marks)


def _table(entry: Mapping[str, Any]) -> RuleTable:
    rules = [_rule(each) for each in entry["rules"]]
    return RuleTable(
        name=entry["name"],
        family=entry["family"],
        rules={(rule.role, rule.quantity): rule for rule in rules},
        choices={
            (Quantity(column["quantity"]), column["choice"]): {rule.role: rule for rule in map(_rule, column["rules"])}
            for column in entry["choices"]
        },
        residual=None if entry["residual"] is None else _rule(entry["residual"]),
        alpha=None if entry["alpha"] is None else Alpha(**entry["alpha"]),
        covers=frozenset(),
        defaults=Options(**entry["defaults"]),
        absolute=entry["absolute"],
    )
