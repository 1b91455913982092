"""Constants of single roles: tuned at the base size, they transfer by the rules of what they multiply.

A table fixes powers of the size; the constants in front of them are free, and cost loss where they are left at 1
(Everett et al., arXiv 2407.05872, tune one per layer type at a small size; u-muP, arXiv 2407.17465, and Cerebras
multiply attention logits and the output). Which parameter belongs to which constant is decided here, once:

    embedding   tables of embeddings, tied ones included
    input       matrices with a fixed number of inputs, as an input layer's
    hidden      hidden weights, routers, and all norm gains and biases but the readout's
    readout     readouts and their biases

With all four learning-rate multipliers equal to c, training is that of `learning_rate` times c. One more constant is no
role's: where Muon, AdamH or MuonH train the hidden weights, `adam_learning_rate` multiplies the rate of all the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.roles import DRAWN, Parameter, Role
from hptransfer.parameterization.rules import Quantity

MultiplierGroup = Literal["embedding", "input", "hidden", "readout"]

COVERS: Mapping[str, str] = {
    "embedding_learning_rate": "the learning rate of tables of embeddings",
    "input_learning_rate": "the learning rate of matrices with a fixed number of inputs, as an input layer's",
    "hidden_learning_rate": "the learning rate of hidden weights and routers, and of norm gains and biases",
    "readout_learning_rate": "the learning rate of readouts and their biases",
    "embedding_init": "the init std of tables of embeddings",
    "input_init": "the init std of matrices with a fixed number of inputs",
    "hidden_init": "the init std of hidden weights and routers",
    "readout_init": "the init std of readouts",
    "attention_multiplier": "attention logits, through the query projection's output",
    "output_multiplier": "the readout's product with its input, not its bias",
    "adam_learning_rate": "the learning rate of all that AdamW trains where muon, adamh or muonh train hidden weights",
}
#: the ratio of the second optimizer's base learning rate to that of hidden weights
RATE_RATIO = "adam_learning_rate"

_PARTS: Mapping[Role, MultiplierGroup] = {
    Role.TIED_EMBEDDING: "embedding",
    Role.HIDDEN_WEIGHT: "hidden",
    Role.HIDDEN_VECTOR: "hidden",
    Role.OUTER_VECTOR: "hidden",
    Role.ROUTER: "hidden",
    Role.READOUT: "readout",
    Role.READOUT_BIAS: "readout",
}
_READING_OUT = (Role.READOUT, Role.TIED_EMBEDDING)


@dataclass(frozen=True, slots=True)
class RoleMultiplier:
    """What multiplies one quantity of one parameter, besides its rule.

    Attributes:
        name: name of the hyperparameter, one of `hyperparameters.MULTIPLIERS`.
        value: factor on the quantity, positive and not 1.
    """

    name: str
    value: float


def multiplier_group(parameter: Parameter) -> MultiplierGroup:
    """The constants that a parameter belongs to; a table has one input per output, a matrix sums over several."""
    return _PARTS.get(parameter.role) or ("embedding" if parameter.fan_in == 1 else "input")


def role_multipliers_of(parameter: Parameter, hyperparameters: Mapping[str, float]) -> dict[Quantity, RoleMultiplier]:
    """The multipliers that concern a parameter, those at 1 left out.

    Args:
        parameter: one parameter with its role and fans.
        hyperparameters: base values; names left out are 1.
    """
    if parameter.role is Role.FROZEN:
        return {}
    part = multiplier_group(parameter)
    names = {Quantity.LEARNING_RATE: f"{part}_learning_rate"}
    if parameter.init in DRAWN:
        names[Quantity.INIT_STD] = f"{part}_init"
    if parameter.role in _READING_OUT:
        names[Quantity.MULTIPLIER] = "output_multiplier"
    elif parameter.scales_attention:
        names[Quantity.MULTIPLIER] = "attention_multiplier"
    values = {quantity: hyperparameters.get(name, 1.0) for quantity, name in names.items()}
    return {quantity: RoleMultiplier(names[quantity], value) for quantity, value in values.items() if value != 1}


def require_covered(parameters: Sequence[Parameter], hyperparameters: Mapping[str, float], *, parted: bool) -> None:
    """Every multiplier must be a positive number, and one that is not 1 must concern some parameter.

    Args:
        parameters: all parameters of the model, with their roles.
        hyperparameters: base values by name.
        parted: whether a second optimizer trains what is no hidden weight.

    Raises:
        UsageError: it would be silently ignored.
    """
    for name in MULTIPLIERS:
        value = hyperparameters.get(name, 1.0)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"`{name}` must be a finite number > 0", received=str(value))
    for name in _given(hyperparameters):
        if name == RATE_RATIO:
            covered = parted and any(each.role not in (Role.HIDDEN_WEIGHT, Role.FROZEN) for each in parameters)
        else:
            covered = any(
                name in {tuned.name for tuned in role_multipliers_of(each, hyperparameters).values()}
                for each in parameters
            )
        if not covered:
            raise UsageError(
                f"`{name}` must multiply something in the model: {COVERS[name]}",
                received=f"{hyperparameters[name]:g}, and the model has no such parameter",
                hint=_instead(name, parameters),
            )


def multiplier_notes(hyperparameters: Mapping[str, float]) -> Iterator[str]:
    """What a reader of a plan must know of the multipliers in use, one sentence each."""
    for name in _given(hyperparameters):
        yield f"{name} {hyperparameters[name]:g} multiplies {COVERS[name]}"


def _given(hyperparameters: Mapping[str, float]) -> Iterable[str]:
    return [name for name in MULTIPLIERS if hyperparameters.get(name, 1.0) != 1]


def _instead(name: str, parameters: Sequence[Parameter]) -> str:
    if name.startswith("readout") and any(each.role is Role.TIED_EMBEDDING for each in parameters):
        return f"the readout shares its weight with the embedding: use `{name.replace('readout', 'embedding')}`"
    if name == RATE_RATIO:
        return "it is the ratio of two optimizers' rates: choose muon, adamh or muonh, or leave it at 1"
    if name == "attention_multiplier":
        return (
            "name the query projections in `model.queries` of the recipe, or `queries=` from Python; a projection "
            "fused with keys and values, or with a norm behind it, cannot take the multiplier"
        )
    return "leave it out, or at 1"
