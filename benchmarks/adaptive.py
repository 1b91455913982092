"""Error rates and costs of the adaptive check on synthetic ladders with a known drift.

    python benchmarks/adaptive.py [tables per setting, default 200]

Every table is checked by `run_adaptive` with a trainer that draws losses: a parabola with a cubic term about
an optimum that moves by a known drift per doubling, per-seed offsets common to all values (as common random numbers
give), independent noise per run; beyond `wall` octaves above its optimum a run diverges. Printed per setting: how often
each verdict came out, the share of drift intervals that hold the truth at the end, and trials against the fixed grid of
the same finest spacing.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hptransfer.checking.adaptive import run_adaptive
from hptransfer.checking.design import CheckDesign
from hptransfer.recipe.schema import Recipe
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.verdict import Verdict

LOSS, CURVATURE, SKEW = 2.0, 0.03, 0.004
#: (octaves above the optimum at which runs diverge, drift per doubling, share of the loss that one run scatters by)
SETTINGS = (
    (math.inf, 0.0, 0.001),
    (math.inf, 0.0, 0.003),
    (math.inf, 0.0, 0.01),
    (math.inf, 0.15, 0.003),
    (math.inf, 0.5, 0.003),
    (math.inf, 0.5, 0.01),
    (1.2, 0.0, 0.001),
    (1.2, 0.0, 0.003),
    (1.2, 0.5, 0.003),
)


def recipe(adaptive: bool) -> Recipe:
    document = {
        "name": "adaptive",
        "model": {"kind": "mlp"},
        "data": {"kind": "stdlib-text"},
        "training": {"steps": 10},
        "parameterization": {"name": "mup"},
        "sizes": {
            "base": {"width": 64, "depth": 2},
            "widths": [64, 128, 256, 512],
            "target": {"width": 4096, "depth": 2},
        },
        "tune": {"space": {"learning_rate": {"low": 2.0**-12, "high": 0.25}}},
        "check": {"adaptive": adaptive},
    }
    return Recipe.model_validate_json(json.dumps(document))


class Ladder:
    """Draws the loss of any run, the same again when asked again."""

    def __init__(self, table: int, drift: float, noise: float, wall: float = math.inf) -> None:
        self.table, self.drift, self.noise, self.wall = table, drift, noise, wall
        draws = np.random.default_rng((table, 1))
        self.offset = float(draws.uniform(-0.5, 0.5))  # of the optimum within the grid
        self.trained = 0

    def run(self, requests: Sequence[TrialSpec]) -> list[Trial]:
        """Train them all."""
        self.trained += len(requests)
        return [self.trial(request) for request in requests]

    def trial(self, request: TrialSpec) -> Trial:
        """One run; a pure function of the table and the request."""
        x, width = math.log2(request.hyperparameters["learning_rate"]), request.size.width
        away = x - (-6.0 + self.offset + self.drift * math.log2(width / 64))
        index = round(4 * x) + 1000
        own = np.random.default_rng((self.table, 2, width, index, request.seed)).standard_normal()
        common = np.random.default_rng((self.table, 3, width, request.seed)).standard_normal()
        loss = LOSS + 0.3 * (64 / width) ** 0.5 + CURVATURE * away**2 + SKEW * away**3 * (away > -3)
        loss += self.noise * LOSS * (own + common)
        return Trial(
            f"{width}:{x}:{request.seed}",
            request.size,
            request.hyperparameters,
            request.seed,
            TrialState.COMPLETE if away <= self.wall else TrialState.DIVERGED,
            loss if away <= self.wall else math.inf,
        )


def main(tables: int) -> None:
    print("    wall  drift  noise     check  TRANSFERS  DRIFTS   OPEN  covers  trials")
    for wall, drift, noise in SETTINGS:
        for adaptive in (True, False):
            started = time.process_time()
            verdicts: Counter[Verdict] = Counter()
            covered, trained = 0, 0
            for table in range(tables):
                ladder = Ladder(table, drift, noise, wall)
                transferred = 2.0 ** (-6.0 + ladder.offset)
                design = CheckDesign(recipe(adaptive), Path(), {"learning_rate": transferred})
                result = run_adaptive(design, ladder.run, workers=2)
                (axis,) = design.judge(result.trials).axes
                verdicts[axis.verdict] += 1
                covered += axis.drift.contains(drift)
                trained += ladder.trained
            share = [verdicts[v] / tables for v in (Verdict.TRANSFERS, Verdict.DRIFTS, Verdict.INCONCLUSIVE)]
            kind = "adaptive" if adaptive else "fixed"
            print(
                f"{wall:8.1f} {drift:6.2f} {noise:6.1%} {kind:>9} "
                f"{share[0]:10.1%} {share[1]:7.1%} {share[2]:6.1%} "
                f"{covered / tables:7.1%} {trained / tables:7.1f}   ({time.process_time() - started:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
