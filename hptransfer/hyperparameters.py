"""The hyperparameters a trial takes: names, defaults from the recipe, and the coordinate in which they are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

MultiplierName = Literal[
    "embedding_learning_rate",
    "input_learning_rate",
    "hidden_learning_rate",
    "readout_learning_rate",
    "embedding_init",
    "input_init",
    "hidden_init",
    "readout_init",
    "attention_multiplier",
    "output_multiplier",
    "adam_learning_rate",
]
HyperparameterName = Literal[
    "learning_rate", "weight_decay", "init_scale", "warmup", "beta1", "beta2", "eps", "momentum", MultiplierName
]

#: every value a trial needs, in the order they are shown; all are searchable
NAMES: tuple[str, ...] = get_args(HyperparameterName)
#: constants of one role each; 1 is as if they did not exist (`parameterization/roles.py`: what they cover)
MULTIPLIERS: tuple[str, ...] = get_args(MultiplierName)
#: averages of the form beta * old + (1 - beta) * new: equal steps are equal ratios of their horizon 1 / (1 - beta)
AVERAGES = frozenset({"beta1", "beta2", "momentum"})
#: share of the loss that a value may cost at the proxy and still be as good as the best one, where the user sets no
#: bound: on the quickstart 0.0056 nats, less than one run scatters by and two thirds of what twice the compute gains
NEGLIGIBLE_COST = 0.0025
#: doublings of compute that a carried value may cost at a larger size, where the user sets no bound: at most 41% more
#: compute; the smallest bound that three seeds resolve (docs/verdicts.md, "How the bound was chosen")
NEGLIGIBLE_DOUBLINGS = 0.5
#: hyperparameters that not every optimizer reads; each optimizer's file in `training/optimizers` names those it reads
OPTIMIZER_VALUES = ("beta1", "beta2", "eps", "momentum")


def with_default_multipliers(values: Mapping[str, float]) -> dict[str, float]:
    """The values with every multiplier that they leave out at 1, as in records that are older than the multipliers."""
    return dict.fromkeys(MULTIPLIERS, 1.0) | dict(values)


def identifying(values: Mapping[str, float]) -> dict[str, float]:
    """The values without multipliers at 1: what identifies a trial, and what files and tables show."""
    return {name: value for name, value in values.items() if name not in MULTIPLIERS or value != 1}


def is_valid_log_coordinate(name: str, x: float) -> bool:
    """Whether a point of the log scale is a value at all: warmup is a share, an average has a horizon of 1 or more.

    Args:
        name: name of the hyperparameter.
        x: position on the log scale, octaves; any finite number.
    """
    return x <= 0 if name == "warmup" else x >= 0 or name not in AVERAGES


def log_name(name: str) -> str:
    """What the log scale counts octaves of."""
    return f"1/(1 - {name})" if name in AVERAGES else name


def log_coordinate(name: str, value: float) -> float:
    """Where a value lies on a log scale, in octaves: log2 of it, of an average log2 of its horizon 1 / (1 - value).

    Args:
        name: name of the hyperparameter.
        value: its value, positive; of an average below 1.
    """
    return -math.log2(1 - value) if name in AVERAGES else math.log2(value)


def from_log_coordinate(name: str, x: float) -> float:
    """The inverse of `log_coordinate`.

    Args:
        name: name of the hyperparameter.
        x: position on the log scale, octaves; any finite number.
    """
    return float(1 - 2.0**-x if name in AVERAGES else 2.0**x)
