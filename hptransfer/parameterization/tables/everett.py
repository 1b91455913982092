"""NTK and mean-field parameterizations, with the per-role learning rates of full alignment (Everett et al.)."""

from __future__ import annotations

from hptransfer.parameterization.rules import Exponents, OptimizerFamily, Quantity, RuleTable, Source
from hptransfer.parameterization.tables.build import (
    ADAFACTOR_REMARKS,
    ADAM_DEFAULTS,
    DEFAULTS,
    EVERETT,
    IN,
    KEEPS_DECAY,
    ONE,
    OUT,
    ROLES,
    decay_choices,
    eps_choices,
    gradient_of,
    inverse,
    row,
    same,
    sign_from,
    table,
)

# The order of the columns: embedding, hidden weight, hidden vector, outer vector, readout, readout bias.

_OTHERS: tuple[OptimizerFamily, ...] = ("sgd", "adafactor")


def _per_role(name: str, powers: dict[str, tuple[Exponents, ...]]) -> tuple[RuleTable, ...]:
    rates = {
        family: row(
            Quantity.LEARNING_RATE, Source(EVERETT, f"{name}, full alignment", f"{label} exponents"), *powers[family]
        )
        for family, label in (("adam", "Adam"), ("sgd", "SGD"), ("adafactor", "Adafactor"))
    }
    parts = (
        same(Quantity.INIT_STD, Source(EVERETT, name, "init: b = 0"), ROLES),
        row(Quantity.MULTIPLIER, Source(EVERETT, name, "multiplier: a"), *powers["multiplier"]),
    )
    eps = row(Quantity.EPS, gradient_of(name), *powers["gradient"])
    remarks = (
        "learning rates are the largest stable ones if updates align fully with activations (derived from the "
        "exponents of init, multiplier and gradient); the classical choice, one rate for all, is lazy",
    )
    adam = table(
        name,
        "adam",
        *parts,
        rates["adam"],
        choices={
            **decay_choices(inverse(rates["adam"], Quantity.WEIGHT_DECAY, KEEPS_DECAY), "adam"),
            **eps_choices(ROLES, gradient=eps),
        },
        defaults=ADAM_DEFAULTS,
        remarks=remarks,
    )
    return (
        adam,
        sign_from(adam),
        *(
            table(
                name,
                family,
                *parts,
                rates[family],
                choices=decay_choices(inverse(rates[family], Quantity.WEIGHT_DECAY, KEEPS_DECAY), family),
                defaults=DEFAULTS,
                remarks=remarks + (ADAFACTOR_REMARKS if family == "adafactor" else ()),
            )
            for family in _OTHERS
        ),
    )


_NTK = _per_role(
    "ntk",
    {
        "multiplier": (ONE, IN**-0.5, ONE, ONE, IN**-0.5, ONE),
        "adam": (ONE, IN**-0.5, ONE, ONE, IN**-0.5, ONE),
        "sgd": (OUT**0.5, OUT**0.5, OUT**0.5, OUT**0.5, ONE, ONE),
        "adafactor": (ONE, IN**-0.5, ONE, ONE, IN**-0.5, ONE),
        "gradient": (OUT**-0.5, IN**-0.5 * OUT**-0.5, OUT**-0.5, OUT**-0.5, IN**-0.5, ONE),
    },
)
_MEAN_FIELD = _per_role(
    "mean-field",
    {
        "multiplier": (ONE, IN**-0.5, ONE, ONE, IN**-1, ONE),
        "adam": (ONE, IN**-0.5, ONE, ONE, ONE, ONE),
        "sgd": (OUT, OUT, OUT, OUT, IN, ONE),
        "adafactor": (ONE, IN**-0.5, ONE, ONE, ONE, ONE),
        "gradient": (OUT**-1, IN**-0.5 * OUT**-1, OUT**-1, OUT**-1, IN**-1, ONE),
    },
)

TABLES: tuple[RuleTable, ...] = (*_NTK, *_MEAN_FIELD)
