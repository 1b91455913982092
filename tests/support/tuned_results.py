"""A whole result of `tune` that nobody searched for, to be written where `tune` would."""

from __future__ import annotations

from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.tuned import BestObserved, Confirmation, Power, Provenance, Seeds, TrialCount, Tuned
from hptransfer.sizes import Size


def tuned_result(**changes: Any) -> Tuned:
    """The result of a search over the learning rate of a recipe `tiny`, validated.

    Args:
        changes: fields of `Tuned` that differ.
    """
    whole: dict[str, Any] = {
        "recipe": "tiny",
        "recipe_hash": "a" * 64,
        "identity": "b" * 64,
        "size": Size(16, 2, 8, 1280),
        "hyperparameters": {"learning_rate": 0.03125},
        "recommended": {"learning_rate": 0.03125},
        "intervals": {"learning_rate": (0.02, 0.05)},
        "plateaus": {"learning_rate": (0.025, 0.04)},
        "plateau_fraction": 0.0025,
        "expected_loss": 2.0,
        "best_observed": BestObserved(hyperparameters={"learning_rate": 0.03}, loss=1.9, seed=0, note="it was lucky"),
        "confirmation": Confirmation(mean=2.0, sd=0.25, seeds=(1, 2), losses=(1.75, 2.25)),
        "trials": TrialCount(finished=12, diverged=1, failed=0),
        "flops": 1e9,
        "seconds": 6.0,
        "spent": Spent(trials=14, flops=1e9, seconds=6.0, target_flops=1e11, fraction_of_target=0.01),
        "warnings": (),
        "power": Power(
            trials=12, dimensions=1, noise=0.003, noise_from="assumed", octaves=0.4, goal=0.0025, chance=0.9
        ),
        "search": {"sampler": "auto", "seeds": [0]},
        "provenance": Provenance(
            versions={"torch": "2.13.0"}, data="f" * 64, seeds=Seeds(search=(0,), confirmation=(1, 2))
        ),
        "carried": 0,
        "evidence": None,
    }
    return Tuned(**(whole | changes))
