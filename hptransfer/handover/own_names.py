"""The parameters of the user's own model, named as the patterns of a plan allow."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import decoder_of
from hptransfer.handover.parts import places
from hptransfer.handover.trained import Trained, trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity

_INDEX = r"\d+"


class OwnModelFormat:
    """What formats have in common that train the user's own model in groups: nothing is scaled, all is held by group.

    Attributes:
        gauge: no multiplier, since `forward` is the user's.
        applies: nothing, since such frameworks scale nothing.
        holds: every quantity of each group.
    """

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`, by the parameters' own names."""
        return own_names(target)


def names_of(group: ParameterGroup, layers: int) -> tuple[str, ...]:
    """As many names as a group has parameters, each of which its pattern matches.

    Args:
        group: of a plan, with the number of its parameters.
        layers: how many blocks the model has, which the first index counts where there are several.

    Raises:
        UsageError: the pattern was edited, and is none that `scale` writes.
    """
    pieces = group.pattern.split(_INDEX)
    indices = len(pieces) - 1
    first = layers if indices > 1 and group.count % layers == 0 else group.count
    lengths = [first, group.count // max(first, 1), *(1 for _ in range(indices - 2))][:indices]
    plain = [re.sub(r"\\(.)", r"\1", piece) for piece in pieces]
    names = tuple(
        "".join(part for pair in itertools.zip_longest(plain, map(str, at), fillvalue="") for part in pair)
        for at in itertools.product(*map(range, lengths))
    )
    if math.prod(lengths) != group.count or not all(re.fullmatch(group.pattern, name) for name in names):
        raise UsageError(
            "a pattern of the plan must be one that `hptransfer scale` writes",
            received=f"{group.pattern} of {group.count} parameters",
            hint="write the target again with `hptransfer scale`",
        )
    return names


def named_groups(target: TargetFile) -> Iterator[tuple[str, ParameterGroup]]:
    """Every parameter of the user's own model by its full name, with its group.

    Args:
        target: the plan, in any gauge.

    Raises:
        UsageError: a pattern was edited.
    """
    try:
        # a table of names knows where numbers begin: GPT-2's norms are ln_1 and ln_2
        decoder = decoder_of(target)
    except UsageError:
        for group in target.parameters:
            for name in names_of(group, target.size.depth):
                yield name, group
        return
    for part, layer, name in places(decoder.names, decoder.layers):
        if (part, layer) in decoder.rows:
            yield name, decoder.rows[part, layer]


def own_names(target: TargetFile) -> Iterator[Trained]:
    """What each parameter of the user's own model is trained with; frozen ones are left out.

    Args:
        target: in the form that the model has.

    Raises:
        UsageError: a pattern was edited.
    """
    for name, group in named_groups(target):
        if group.role != Role.FROZEN:
            yield trained(name, group, optimizer=target.optimizer)
