"""The content of a `transfer.json` without a check: a synthetic ladder over widths, judged."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.transfer.judge import judge
from hptransfer.trials.trial import Trial
from tests.support.synthetic_ladders import trial


def ladder_of(widths: Sequence[int], *, optimum: float = -5.0, floor: float = 1.5, gain: float = 8.0) -> list[Trial]:
    """Runs of two seeds whose loss at the optimum is floor + gain / sqrt(width), nats.

    Args:
        widths: increasing; the first is the proxy's.
        optimum: log2 learning rate, the same at every width.
        floor: of the loss, nats.
        gain: of the power law.
    """
    return [
        trial(
            2.0 ** (optimum + x), floor + gain / width**0.5 + 0.03 * x**2 + 0.001 * (-1) ** seed, width=width, seed=seed
        )
        for width in widths
        for x in (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
        for seed in range(2)
    ]


def transfer_file(trials: Sequence[Trial] | None = None, *, value: float = 2.0**-5) -> TransferFile:
    """What `check` would write of a ladder of widths.

    Args:
        trials: of the ladder, which begins with the proxy's; None for widths 64 to 512 without drift.
        value: learning rate that was tuned at the proxy.
    """
    trials = trials or ladder_of((64, 128, 256, 512))
    report = judge(trials, proxy=trials[0].size, hyperparameter="learning_rate", transferred=value)
    counted = {"trials": len(trials), "flops": 1e12, "seconds": 60.0}
    return TransferFile.of(
        report,
        recipe="quickstart",
        recipe_hash="ab" * 32,
        identity="cd" * 32,
        diagnostics={"collapse": None},
        adaptive={"ended": "the grid was fixed beforehand", "rounds": []},
        provenance=counted
        | {"hptransfer": "0", "python": "3.11", "torch": ["2.13.0"], "data": "f" * 64, "seeds": 2, "diverged": 0},
        spent=Spent(trials=len(trials), flops=1e12, seconds=60.0, target_flops=1e15, fraction_of_target=1e-3),
    )


def transfer_text(trials: Sequence[Trial] | None = None, **changes: object) -> str:
    """The file's text.

    Args:
        trials: the ladder's trials, of all sizes.
        changes: content of single keys.
    """
    return json.dumps(transfer_file(trials).document | changes)
