"""How frameworks count steps: what is declared of each is what its own code did, executed here or recorded by it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.counting import DECAY_EARLY, from_zero, peak_a_step_early, two_steps_late
from tests.support.exported import llama_target

DATA = Path(__file__).parents[1] / "data"


def recorded(name: str) -> Any:
    """What the framework's own code returned, see the file's `command`."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def target(schedule: str, steps: int = 100, warmup: float = 0.1, floor: float = 0.0, **more: Any) -> TargetFile:
    """A plan with a schedule."""
    made = llama_target("mup")
    assert made.training is not None
    changes = {"schedule": schedule, "steps": steps, "warmup": warmup, "floor": floor} | more
    return made.model_copy(update={"training": made.training.model_copy(update=changes)})


def rates_of(scheduler: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """Rate of each step, where a loop steps the optimizer and then the scheduler."""
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


def optimizer_at_one() -> torch.optim.Optimizer:
    """Its peak is 1, so that rates are shares of it."""
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


TRAINER: dict[str, tuple[str, float, dict[str, Any]]] = {
    "constant_with_warmup": ("constant", 0.0, {}),
    "linear": ("linear", 0.0, {}),
    "polynomial": ("linear", 0.1, {"lr_end": 0.1, "power": 1.0}),
    "cosine": ("cosine", 0.0, {}),
    "cosine_with_min_lr": ("cosine", 0.1, {"min_lr_rate": 0.1}),
    "warmup_stable_decay": ("wsd", 0.0, {"num_decay_steps": 20, "decay_type": "linear", "min_lr_ratio": 0.0}),
    "inverse_sqrt": ("inverse-sqrt", 0.0, {"timescale": 10}),
}


@pytest.mark.parametrize("name", list(TRAINER))
def test_transformers_schedules_warm_up_from_zero(name: str) -> None:
    """All that the export writes, stepped as Trainer steps them."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    schedule, floor, more = TRAINER[name]
    optimizer = optimizer_at_one()
    made = transformers.get_scheduler(name, optimizer, 10, 100, scheduler_specific_kwargs=more)
    counted = from_zero(target(schedule, floor=floor))

    assert counted is not None
    found = rates_of(made, optimizer, 100)
    assert found[:2] == [0.0, 0.1]
    assert found == pytest.approx([counted.factor(step) for step in range(100)], abs=1e-12)


DEEPSPEED: dict[str, tuple[str, float, dict[str, Any]]] = {
    "WarmupLR": ("constant", 0.0, {"warmup_max_lr": None}),
    "WarmupDecayLR": ("linear", 0.0, {"warmup_max_lr": None, "total_num_steps": 200}),
    "WarmupCosineLR": ("cosine", 0.1, {"cos_min_ratio": 0.1, "total_num_steps": 200}),
}


@pytest.mark.parametrize("name", list(DEEPSPEED))
def test_deepspeeds_own_schedules_begin_two_steps_late(name: str) -> None:
    """Stepped as its engine does, without an argument after each step."""
    schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
    schedule, floor, more = DEEPSPEED[name]
    optimizer = optimizer_at_one()
    made = getattr(schedules, name)(optimizer, warmup_num_steps=50, warmup_type="linear", **more)
    counted = two_steps_late(target(schedule, 200, 0.25, floor))

    assert counted is not None
    found = rates_of(made, optimizer, 200)
    assert found[:3] == [0.0, 0.0, 0.02]
    assert found == pytest.approx([counted.factor(step) for step in range(200)], abs=1e-12)


def test_deepspeeds_cosine_by_hand() -> None:
    """Step 51 is called with 50, to which it adds 1 behind 50 steps of warmup: 1/150 of the cosine."""
    counted = two_steps_late(target("cosine", 200, 0.25, 0.1))

    assert counted is not None
    assert counted.factor(50) == pytest.approx(49 / 50, rel=1e-15)
    assert counted.factor(51) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 150)) / 2, rel=1e-15)
    linear = two_steps_late(target("linear", 200, 0.25))
    assert linear is not None
    assert [linear.factor(step) for step in (51, 52)] == pytest.approx([1.0, 149 / 150], rel=1e-15)


def test_deepspeeds_engine_calls_them_after_each_step() -> None:
    """The line that the counting rests on is there in the version that is installed."""
    engine = pytest.importorskip("deepspeed.runtime.engine")
    text = Path(engine.__file__).read_text(encoding="utf-8")

    assert "self.lr_scheduler.step(**(lr_kwargs or {}))" in text


def _recorded_from_zero() -> list[tuple[str, str, float, dict[str, float]]]:
    """Framework, schedule, floor, step -> share of the peak that its own code returned; warmups of 10 of 100 steps."""
    cerebras = list(recorded("cerebras.json")["cases"].values())
    engine = list(recorded("lm_engine.json")["cases"].values())
    levanter = recorded("levanter.json")["schedules"]
    nano = recorded("nanogpt_mup.json")["branches"]["master"]["cases"][0]
    megatron = recorded("megatron_mup.json")
    iterations = [str(each) for each in megatron["iterations"]]

    def of_megatron(name: str) -> dict[str, float]:
        row = megatron["sets"][name]["parameters"]["embedding.word_embeddings.weight"]
        return {step: rate / row["max_lr"] for step, rate in zip(iterations, row["rates"], strict=True)}

    shares = {step: rate / 0.01 for step, (rate, _) in cerebras[0]["rates"].items()}
    return [
        ("Cerebras modelzoo", "cosine", 0.1, shares),
        ("lm-engine cosine", "cosine", 0.1, engine[0]["schedule"]),
        ("lm-engine linear", "linear", 0.1, engine[3]["schedule"]),
        ("levanter cosine", "cosine", 0.1, levanter["cosine"]["shares"]),
        ("levanter linear", "linear", 0.0, levanter["linear"]["shares"]),
        ("nanoGPT-mup", "cosine", 0.1, nano["factors"]),
        ("Megatron-LM linear", "linear", 0.0, of_megatron("base")),
        ("Megatron-LM cosine", "cosine", 0.2, of_megatron("cosine")),
        ("Megatron-LM constant", "constant", 0.0, of_megatron("constant")),
        ("Megatron-LM wsd", "wsd", 0.0, of_megatron("wsd")),
    ]


@pytest.mark.parametrize("given", _recorded_from_zero(), ids=lambda given: given[0])
def test_recorded_schedules_warm_up_from_zero(given: tuple[str, str, float, dict[str, float]]) -> None:
    """What unmodified code of each returned at the recorded steps; in float32 to half its epsilon at the peak."""
    _, schedule, floor, shares = given
    counted = from_zero(target(schedule, floor=floor))
    steps = [step for step in shares if int(step) < 100]

    assert counted is not None
    assert [shares["0"], shares["1"]] == pytest.approx([0.0, 0.1], rel=1e-6)
    assert len(steps) >= 6
    assert [shares[step] for step in steps] == pytest.approx(
        [counted.factor(int(step)) for step in steps], rel=1e-6, abs=6e-8
    )


@pytest.mark.parametrize(
    ("case", "schedule", "warmup", "floor"),
    [
        ("matches nothing", "linear", 0.1, 0.2),
        ("written cosine", "cosine", 0.1, 0.0),
        ("written inverse-square-root", "inverse-sqrt", 0.1, 0.0),
        ("written inverse-square-root at once", "inverse-sqrt", 0.0, 0.0),
    ],
)
def test_recorded_schedules_of_automodel(case: str, schedule: str, warmup: float, floor: float) -> None:
    """What its unmodified scheduler returned of sections as they are written, at every step that was recorded."""
    counted = peak_a_step_early(target(schedule, warmup=warmup, floor=floor))
    shares = {
        int(step): rows["head.weight"][0] / 0.01
        for step, rows in recorded("automodel.json")["cases"][case]["at"].items()
    }

    assert counted is not None
    assert list(shares.values()) == pytest.approx([counted.factor(step) for step in shares], rel=1e-12)


def test_only_what_is_counted_otherwise_is_said() -> None:
    """Without a warmup there is none to be late; Automodel's wsd is the plan's; of an own one nothing is known."""
    assert from_zero(target("cosine", warmup=0.0)) is None
    assert two_steps_late(target("cosine", warmup=0.0)) is None
    assert peak_a_step_early(target("wsd")) is None
    assert peak_a_step_early(target("cosine", warmup=0.0)) is None
    assert all(way(target("own", warmup=0.0)) is None for way in (from_zero, two_steps_late, peak_a_step_early))
    found = peak_a_step_early(target("cosine"))
    assert found is not None
    assert found.sentence == DECAY_EARLY
