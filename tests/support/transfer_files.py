"""The content of a `transfer.json` without a check: a synthetic ladder over widths, judged."""

from __future__ import annotations

import json

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.sizes import Size
from hptransfer.transfer.judge import judge
from tests.support.synthetic_ladders import ladder, parabola


def transfer_file(*, value: float = 2.0**-8, widths: tuple[int, ...] = (64, 128, 256, 512)) -> TransferFile:
    """What `check` would write of a ladder without drift.

    Args:
        value: that was tuned at the proxy; the optimum is 2^-8.
        widths: of the ladder, increasing; the first is the proxy's.
    """
    trials = ladder([parabola] * len(widths), widths, noise=0.0002)
    report = judge(trials, proxy=Size(widths[0], 2, 64, 64_000), hyperparameter="learning_rate", transferred=value)
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
        spent=counted | {"target_flops": 1e15, "fraction_of_target": 1e-3},
    )


def transfer_text(**changes: object) -> str:
    """The file's text.

    Args:
        changes: content of single keys.
    """
    return json.dumps(transfer_file().document | changes)
