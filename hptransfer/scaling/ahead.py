"""What the evidence says of one target, and what is put in the place of its tuned values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from hptransfer.artifacts.facts import facts_of_file
from hptransfer.artifacts.scope import ScopeRecord
from hptransfer.artifacts.target import UsedRecord
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.engine.flops import run_flops
from hptransfer.hyperparameters import from_log_coordinate, log_name
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.transfer.law import LawValue
from hptransfer.transfer.scope import Outlook, Use, outlook_of


def look_ahead(recipe: Recipe, root: Path, size: Size, checked: TransferFile | None, use: Use = "tuned") -> Outlook:
    """What a check says of a target.

    Args:
        recipe: says what was tuned and what the target may lack.
        root: the recipe's folder, where modules are looked for too.
        size: width, depth, batch and tokens of the target.
        checked: the content of `transfer.json`; None without a check.
        use: what the target is trained with; where no rule is claimed it is what the ladder's law says.
    """
    if checked is None:
        return Outlook()
    values = {each.hyperparameter: each.transferred for each in checked.hyperparameters}
    return outlook_of(
        recipe,
        facts_of_file(checked),
        values,
        size,
        lambda each: run_flops(recipe, root, each),
        use=use,
        at_proxy=True,
    )


def scope_record(ahead: Outlook) -> ScopeRecord | None:
    """The judgement of the target as its file keeps it; None where there is none."""
    return None if ahead.scope is None else ScopeRecord.of(ahead.scope)


def used_instead(laws: Sequence[LawValue], values: Mapping[str, float]) -> dict[str, UsedRecord]:
    """Hyperparameter -> what laws put in the place of its tuned value.

    Args:
        laws: of checked hyperparameters, named as octaves are counted of them.
        values: base-size value of every hyperparameter.
    """
    known = {log_name(name): name for name in values}
    found = {}
    for law in laws:
        name = known[law.name]
        value = from_log_coordinate(name, math.log2(law.estimate))
        low, high = (
            from_log_coordinate(name, math.log2(end)) if 0 < end < math.inf else None for end in (law.low, law.high)
        )
        found[name] = UsedRecord(value=value, low=low, high=high, basis=law.sentence)
    return found
