"""What has been published of the best learning rate's powers of batch size and tokens: to be shown, never applied.

A power is relative: it says what a value that is best at one batch or length becomes at another. The accounts disagree,
in sign too, because each holds along a path of its own: at a fixed batch, or with a batch that grows with the tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hptransfer.parameterization.batch_and_duration import with_batch_and_duration
from hptransfer.parameterization.rules import OptimizerFamily, Options, Quantity, RuleTable
from hptransfer.sizes import SizeAxis

_ADAM: frozenset[OptimizerFamily] = frozenset({"adam"})
_SGD: frozenset[OptimizerFamily] = frozenset({"sgd"})


@dataclass(frozen=True, slots=True)
class PublishedPower:
    """One published account of how the best learning rate follows the batch size or the tokens.

    Attributes:
        name: by which people call it.
        source: authors and arXiv number.
        axis: an axis of the run, "batch_size" or "tokens".
        families: optimizer families that it is about.
        power: of the ratio of the two batch sizes, or of the two numbers of tokens.
        holds: the path along which it was found, a clause.
    """

    name: str
    source: str
    axis: SizeAxis
    families: frozenset[OptimizerFamily]
    power: float
    holds: str

    def value(self, value: float, ratio: float) -> float:
        """What it makes of a value.

        Args:
            value: best at the smaller or larger size that is known, positive.
            ratio: of the other size to that one, positive.
        """
        return float(value * ratio**self.power)


#: each was held against an account of its paper: abstracts of 2205.10287 (which also states the rule of 1706.02677) and
#: 2409.19913, code and notes that quote the formulas of 2503.04715, 2401.02954 and 2512.22382
PUBLISHED: tuple[PublishedPower, ...] = (
    PublishedPower(
        "square root rule",
        "Malladi et al., arXiv 2205.10287",
        "batch_size",
        _ADAM,
        0.5,
        "on the same tokens, below the critical batch size, with 1 - beta growing as the batch",
    ),
    PublishedPower(
        "linear rule",
        "Goyal et al., arXiv 1706.02677",
        "batch_size",
        _SGD,
        1.0,
        "on the same tokens, far below the critical batch size",
    ),
    PublishedPower(
        "token horizons",
        "Bjorck et al., arXiv 2409.19913",
        "tokens",
        _ADAM,
        -0.32,
        "at a fixed batch; fits of single sizes lie between -0.3 and -0.7",
    ),
    PublishedPower(
        "Complete(d)P",
        "Mlodozeniec et al., arXiv 2512.22382",
        "tokens",
        _ADAM,
        -0.5,
        "at a fixed batch, with betas, eps and decay moving too",
    ),
    PublishedPower(
        "Step Law",
        "Li et al., arXiv 2503.04715: 1.79 N^-0.713 D^0.307",
        "tokens",
        _ADAM,
        0.307,
        "at one model, along a batch that grows as D^0.571",
    ),
    PublishedPower(
        "DeepSeek",
        "arXiv 2401.02954: 0.3118 C^-0.125",
        "tokens",
        _ADAM,
        -0.125,
        "at one model, where compute grows as the tokens, along a batch that grows as C^0.327",
    ),
    PublishedPower(
        "HyperP",
        "arXiv 2603.28743",
        "tokens",
        frozenset({"orthogonal-sphere"}),
        -0.32,
        "for MuonH, at a fixed batch",
    ),
)


def published_powers(axis: SizeAxis, families: Collection[OptimizerFamily] | None = None) -> Iterator[PublishedPower]:
    """What is published along an axis of the run.

    Args:
        axis: "batch_size" or "tokens"; of others nothing is listed.
        families: optimizer families in use; None for those of every optimizer, as where it is not known.
    """
    for each in PUBLISHED:
        if each.axis == axis and (families is None or not each.families.isdisjoint(families)):
            yield each


def own_power(axis: SizeAxis, table: RuleTable, options: Options) -> float:
    """The power of the learning rate that a plan's own rules have along an axis of the run; 0 where they have none.

    Args:
        axis: an axis of the run, "batch_size" or "tokens".
        table: the rules of the plan in use.
        options: named choices, defaults filled in.
    """
    exponents = next(
        rule.exponents for (_, quantity), rule in table.rules.items() if quantity is Quantity.LEARNING_RATE
    )
    powers = with_batch_and_duration({Quantity.LEARNING_RATE: exponents}, table.family, options)[Quantity.LEARNING_RATE]
    return powers.batch if axis == "batch_size" else powers.tokens
