"""What must hold before a plan is made; what is not known is refused here and never guessed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from hptransfer.errors import UsageError
from hptransfer.parameterization.options import Options
from hptransfer.parameterization.roles import Parameter
from hptransfer.parameterization.rules import OPTION_OF, Table
from hptransfer.parameterization.tables import COUPLED_DECAY
from hptransfer.sizes import Size


def require_known(tables: Iterable[Table], chosen: Options) -> None:
    """Every choice must be one that a table knows.

    Raises:
        UsageError: it is not.
    """
    for table, (quantity, option) in itertools.product(tables, OPTION_OF.items()):
        known = [choice for of, choice in table.choices if of is quantity]
        choice = getattr(chosen, option)
        if known and choice not in known:
            raise UsageError(
                f"`{option}` must be one of {', '.join(known)} for {table.name} with the family {table.family}",
                received=str(choice),
                hint="no source is known for others; a plan never guesses one",
            )


_NEEDS = (("eps", "adam"), ("betas", "adam"), ("muon_scale", "orthogonal"), ("beside_muon", "orthogonal"))


def require_relevant(tables: Iterable[Table], given: Options) -> None:
    """An option must concern an optimizer in use.

    Raises:
        UsageError: it would have no effect.
    """
    families = [table.family for table in tables]
    for option, needed in _NEEDS:
        if getattr(given, option) is not None and needed not in families:
            raise UsageError(
                f"`{option}` must be left out where no parameter follows the family {needed}",
                received=f"{option}={getattr(given, option)} with {' and '.join(families)}",
            )


def require_decoupled(optimizer: str, hyperparameters: Mapping[str, float]) -> None:
    """Weight decay must be decoupled from the gradient's normalisation.

    Raises:
        UsageError: it is not.
    """
    if optimizer in COUPLED_DECAY and hyperparameters.get("weight_decay", 0) > 0:
        raise UsageError(
            f"weight decay must be 0 for `{optimizer}`, which adds it to the gradient before normalising it: no "
            "rule is known for that",
            received=f"weight_decay={hyperparameters['weight_decay']:g}",
            hint="use adamw, whose decay is decoupled",
        )


def require_branches(table: Table, base: Size, size: Size, parameters: Iterable[Parameter]) -> None:
    """A depth rule over residual branches needs some.

    Raises:
        UsageError: there are none.
    """
    same_depth = base.depth == size.depth
    if table.residual is None or same_depth or any(parameter.writes_residual for parameter in parameters):
        return
    raise UsageError(
        f"`{table.name}` scales residual branches with depth, so the model must have parameters that write a residual "
        "stream",
        received=f"depth {base.depth} -> {size.depth} and no such parameter",
        hint="name them (`residual_writers` or `preset`, docs/models.md), keep the depth at the base's, or use `mup`, "
        "which has no depth rule",
    )
