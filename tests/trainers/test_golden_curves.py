"""The built-in trainer's behaviour under its version: `python -m tests.trainers.test_golden_curves` writes the file.

The first training losses of each built-in model, optimizer and schedule, over a corpus that lies here, so that versions
of Python agree. The tolerance of 1e-4 relative lies a hundred times above what another order of summation in float32
changes in five steps (below 1e-6; two processes instead of one: below 2e-5 in eight), and below what any change of
initialisation, batches, schedule or optimizer does to these losses. Those of Muon are ten times wider.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hptransfer.recipe.registered import OPTIMIZERS
from hptransfer.trainers.torch import VERSION
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained
from tests.support.tiny import recipe

GOLDEN = Path(__file__).with_name("golden_curves.json")
CORPUS = Path(__file__).with_name("golden_corpus")
TOLERANCE = 1e-4
#: polar factors are computed in bfloat16, whose rounding differs between processors: by 1e-4 of these losses
#: where oneDNN was switched off or kept to AVX2
TOLERANCES = {"muon": 1e-3, "muonh": 1e-3}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp"},
    "gpt": {"kind": "gpt", "context": 8, "head_dim": 8, "embedding": None},
}
SCHEDULES = ("constant", "linear", "cosine")
CASES = [
    (model, optimizer, schedule) for model in MODELS for optimizer in OPTIMIZERS.built_in for schedule in SCHEDULES
]
ADVICE = (
    "the built-in trainer does not train as version {} did. If that is meant, raise VERSION in "
    "hptransfer/trainers/torch.py (finished trials of users are then trained anew) and run "
    "`python -m tests.trainers.test_golden_curves`; if it is not, undo it"
)


def curve(model: str, optimizer: str, schedule: str) -> list[float]:
    """Training losses of the first five steps, nats, and the final validation loss."""
    wanted = recipe(
        model=MODELS[model],
        data={"kind": "text", "files": ["*.txt"]},
        training={
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup": 0.4,
            "weight_decay": 0.1,
            "clip": 1.0,
            "learning_rate": 0.02,
        },
    )
    record = trained(TrialSpec(wanted, CORPUS, wanted.size(32, 3), {}, 1))
    return [*(loss for _, loss in record["curve"]), record["loss"]]


@pytest.mark.parametrize(("model", "optimizer", "schedule"), CASES)
def test_the_trainer_trains_as_its_version_says(model: str, optimizer: str, schedule: str) -> None:
    """A refactoring keeps evidence valid; a change of behaviour raises the version."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))

    assert golden["version"] == VERSION, "run `python -m tests.trainers.test_golden_curves` for the new version"
    expected = golden["curves"][f"{model} {optimizer} {schedule}"]
    assert curve(model, optimizer, schedule) == pytest.approx(expected, rel=TOLERANCES.get(optimizer, TOLERANCE)), (
        ADVICE.format(VERSION)
    )


def test_golden_curves_tell_cases_apart() -> None:
    """No two agree within the tolerance: a schedule or an optimizer that is ignored would be noticed."""
    curves = list(json.loads(GOLDEN.read_text(encoding="utf-8"))["curves"].values())

    assert len(curves) == len(CASES)
    for place, one in enumerate(curves):
        assert all(one != pytest.approx(other, rel=TOLERANCE) for other in curves[:place])


if __name__ == "__main__":
    curves = {" ".join(case): curve(*case) for case in CASES}
    GOLDEN.write_text(json.dumps({"version": VERSION, "curves": curves}, indent=1) + "\n", encoding="utf-8")
