"""`measured`: no rule carries a value to the target, so the path of the ladder's own optima says what it needs.

The path may bend, saturate and turn (`statistics/path.py`); its interval is that of the backtests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.sizes import Size
from hptransfer.transfer.axis_facts import AxisFacts
from hptransfer.transfer.prediction import Prediction, moved_axes, predict

#: an interval that is wider, in octaves, says less than trying three values would: being an octave off cost 3.05% of
#: the loss on command-plain and 3.33% with Muon (docs/demonstrations.md)
WIDEST = 2.0


def well_bounded(low: float, high: float) -> bool:
    """Whether ends in a value's own unit bound it to `WIDEST` octaves; 0 and infinity are open ends."""
    return low > 0 and math.isfinite(high) and math.log2(high / low) <= WIDEST


@dataclass(frozen=True, slots=True)
class LawValue:
    """What a law says of one hyperparameter at the target.

    Attributes:
        name: of the hyperparameter as octaves are counted of it, "1/(1 - beta2)" for beta2.
        estimate: where the optimum is expected, own unit of `name`.
        low, high: ends of the 95% interval; 0 and infinity where it is open.
        prediction: what it follows from.
        why: why the target is not trained with what was tuned, a clause.
    """

    name: str
    estimate: float
    low: float
    high: float
    prediction: Prediction
    why: str = "no rule is claimed"

    @property
    def bounded(self) -> bool:
        """Whether the ladder bounds the optimum at the target to `WIDEST` octaves."""
        return well_bounded(self.low, self.high)

    @property
    def objection(self) -> str:
        """Why a target is not written where the ladder leaves its value open, a clause."""
        ends = f"{self.low:.3g} to {self.high:.3g}"
        return f"the ladder does not bound {self.name} at the target to {WIDEST:g} octaves: {ends}"

    @property
    def sentence(self) -> str:
        """One line for a person."""
        ends = f"{self.low:.4g} to {self.high:.4g}"
        if not self.bounded:
            ends += f", not bounded to {WIDEST:g} octaves"
        return (
            f"{self.why}: {self.name} {self.estimate:.4g} ({ends}) is where the ladder's own law puts the "
            f"optimum: the path of its optima, which may bend. {' '.join(self.prediction.basis)}"
        )


def law_values(
    axes: Mapping[str, Sequence[AxisFacts]], *, proxy: Size, target: Size, at: Mapping[str, float]
) -> list[LawValue]:
    """The law's value of every checked hyperparameter.

    Args:
        axes: hyperparameter -> what its check found, one entry per axis.
        proxy: size at which values were tuned.
        target: size to predict for.
        at: hyperparameter -> its tuned value, which holds where the target is the proxy.
    """
    moved = moved_axes(proxy, target)
    found = []
    for name, facts in axes.items():
        best = predict(facts, moved, hyperparameter=name, value=at[name]).optimum
        # the loss that is registered is that of the run as it will be: at the law's value, not at the proxy's
        prediction = predict(facts, moved, hyperparameter=name, value=2.0**best.estimate)
        low = 2.0**best.low if best.low > -1000 else 0.0
        high = 2.0**best.high if best.high < 1000 else math.inf
        found.append(LawValue(name, 2.0**best.estimate, low, high, prediction))
    return found
