"""The format deepspeed: groups of a client optimizer under DeepSpeed's own schedules, step by step."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.roundtrip.torch import load_module
from hptransfer.scaling.verify_export import verify_export
from hptransfer.sizes import Size
from tests.support.exported import llama_target, round_trip, write_export

pytest.importorskip("deepspeed")

WIDE = Size(192, 2, 8, 8192)


def target(schedule: str = "cosine", steps: int = 1000, **training: Any) -> TargetFile:
    """A Llama under completep, with a warmup of a tenth."""
    given = {"steps": steps, "batch_size": 8, "schedule": schedule, "warmup": 0.1, "clip": 0.5} | training
    return llama_target().model_copy(update={"training": TrainingRecord(**given)})


def configuration(of: TargetFile) -> dict[str, Any]:
    """ds_config.json."""
    content: dict[str, Any] = json.loads(export_target("deepspeed", of)["ds_config.json"])
    return content


KINDS = {"constant": "WarmupLR", "linear": "WarmupDecayLR", "cosine": "WarmupCosineLR"}


@pytest.mark.parametrize("schedule", list(KINDS))
def test_deepspeeds_own_schedule_keeps_the_groups_ratios_at_every_step(schedule: str, tmp_path: Path) -> None:
    """Its class on the module's optimizer, 1000 steps: the largest rate over each other stays to 1e-12."""
    folder = write_export(tmp_path, "deepspeed", target(schedule))
    module = load_module(folder / "hptransfer_deepspeed.py")
    parameters = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(1)) for _ in range(3))
    # 0.01, 0.01 / 3 and 0.01 / 2: what a plan of width x3 and depth x2 has, so that no two are equal
    peaks = (0.01, 0.01 / 3, 0.005)
    optimizer = torch.optim.AdamW([{"params": [p], "lr": lr} for p, lr in zip(parameters, peaks, strict=True)])
    lr_schedules = importlib.import_module("deepspeed.runtime.lr_schedules")
    section = module.CONFIG["scheduler"]
    assert section["type"] == KINDS[schedule]
    scheduler = getattr(lr_schedules, section["type"])(optimizer, **section["params"])
    seen = []
    for _ in range(1000):
        rates = [group["lr"] for group in optimizer.param_groups]
        if rates[0]:
            assert rates[0] / rates[1] == pytest.approx(3.0, rel=1e-12)
            assert rates[0] / rates[2] == pytest.approx(2.0, rel=1e-12)
        seen.append(rates[0])
        scheduler.step()
    # two steps late: the first two are taken at rate 0
    assert seen[:3] == pytest.approx([0.0, 0.0, 0.01 / 100])
    assert max(seen) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    "training",
    [
        {"schedule": "constant"},
        {"schedule": "linear"},
        {"schedule": "linear", "floor": 0.1},
        {"schedule": "cosine"},
        {"schedule": "cosine", "floor": 0.1, "clip": None},
        {"schedule": "wsd", "decay_share": 0.2},
        {"schedule": "inverse-sqrt"},
        {"schedule": "cosine", "steps": 60},
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_the_plan_is_read_back_whole(training: dict[str, Any], tmp_path: Path) -> None:
    """Groups, betas, clipping and schedule; of shapes that DeepSpeed lacks, the module's own schedule."""
    of = target(**training)
    found = round_trip(tmp_path, "deepspeed", of)

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 39
    own = training["schedule"] in KINDS and "steps" not in training and training != {"schedule": "linear", "floor": 0.1}
    assert ("scheduler" in configuration(of)) == own


def test_sgd_is_read_back(tmp_path: Path) -> None:
    """With momentum."""
    assert round_trip(tmp_path, "deepspeed", llama_target("mup", optimizer="sgd", size=WIDE, weight_decay=0.0)).holds


def test_a_scalar_warmup_max_lr_is_found_and_named(tmp_path: Path) -> None:
    """It is one rate for all groups: those whose rate is another are differences."""
    edit = {"ds_config.json": ('"warmup_max_lr": null', '"warmup_max_lr": 0.01')}
    found = round_trip(tmp_path, "deepspeed", target("linear"), edit)

    assert {each.quantity for each in found.differences} == {"learning_rate"}
    assert any(
        "q_proj" in each.sentence and "not scaled: that is the base's" in each.sentence for each in found.differences
    )
    assert found.through.endswith("WarmupDecayLR, which sets one rate for all groups")


def test_warmup_decay_without_the_key_has_one_rate_by_default(tmp_path: Path) -> None:
    """WarmupLR keeps the groups' rates then; WarmupDecayLR's default is 0.001."""
    edit = {"ds_config.json": ('"warmup_max_lr": null', '"warmup_min_lr": 0.0')}
    found = round_trip(tmp_path / "decay", "deepspeed", target("linear"), edit)

    assert {each.used for each in found.differences} == {0.001}
    assert round_trip(tmp_path / "constant", "deepspeed", target("constant"), edit).holds


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"warmup_type": "linear"', '"warmup_type": "log"', "planned"),
        ('"warmup_num_steps": 100,', "", "planned"),
    ],
)
def test_another_warmup_is_found(old: str, new: str, said: str, tmp_path: Path) -> None:
    """Log is DeepSpeed's default, and 1000 steps."""
    schedule = round_trip(
        tmp_path, "deepspeed", target("cosine", 4000, warmup=0.025), {"ds_config.json": (old, new)}
    ).schedule

    assert schedule is not None
    assert said in schedule


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"warmup_min_lr": 0.0', '"warmup_min_lr": 0.001', "one factor"),
        ('"type": "WarmupDecayLR"', '"type": "LRRangeTest"', "unexpected keyword"),
        ('"bf16"', '"optimizer": {"type": "AdamW", "params": {"lr": 0.01}},\n"bf16"', "no `optimizer`"),
    ],
)  # fmt: skip
def test_what_flattens_the_groups_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    """An absolute minimum, a class that sets rates, and an optimizer section."""
    with pytest.raises(UsageError, match=said):
        round_trip(tmp_path, "deepspeed", target("linear"), {"ds_config.json": (old, new)})


def test_one_cycle_is_refused(tmp_path: Path) -> None:
    """It sets the rates of all groups between two values of its own."""
    folder = write_export(tmp_path, "deepspeed", target())
    config = json.loads((folder / "ds_config.json").read_text())
    config["scheduler"] = {"type": "OneCycle", "params": {"cycle_min_lr": 0.0, "cycle_max_lr": 0.01}}
    (folder / "ds_config.json").write_text(json.dumps(config))
    found = verify_export(folder)
    assert any("q_proj" in each.sentence and "learning_rate 0.01" in each.sentence for each in found.differences)


def test_clipping_that_is_left_out_is_found(tmp_path: Path) -> None:
    """DeepSpeed's default is 1.0."""
    edit = {"ds_config.json": ('"gradient_clipping": 0.5,', "")}
    (found,) = round_trip(tmp_path, "deepspeed", target(), edit).differences

    assert found.sentence == "all parameters: clip 1, planned 0.5: no file says it, so that is the framework's default"


def test_two_optimizers_are_refused() -> None:
    """DeepSpeed takes one client optimizer."""
    with pytest.raises(UsageError, match="adamw, adam, sgd"):
        export_target("deepspeed", llama_target("mup", optimizer="muon", size=WIDE))


ENGINE = """
import sys, torch, deepspeed
from tests.support.exported import LLAMA
from hptransfer.models.huggingface import build_huggingface
from hptransfer.roundtrip.torch import load_module
deepspeed.init_distributed(dist_backend="gloo")
module = load_module(__import__("pathlib").Path(sys.argv[1]))
model = build_huggingface(LLAMA, 192, 4)
module.init_(model)
engine, optimizer, _, scheduler = module.initialize(model)
tokens = torch.randint(256, (8, 16))
for step in range(4):
    print("RATES", type(scheduler).__name__, [group["lr"] for group in optimizer.param_groups[:2]])
    engine.backward(engine(tokens, labels=tokens).loss)
    engine.step()
"""


@pytest.mark.slow
@pytest.mark.skipif(" " in sys.prefix, reason="torch compiles DeepSpeed's extension, and quotes no library path")
@pytest.mark.parametrize(("schedule", "first"), [("cosine", [0.0, 0.0, 0.01 / 100]), ("wsd", [0.01 / 100, 0.02 / 100])])
def test_its_engine_trains_the_groups_on_a_cpu(schedule: str, first: list[float], tmp_path: Path) -> None:
    """deepspeed.initialize and four steps: rates of the first two groups, 0.01 and a third of it, by the schedule."""
    folder = write_export(tmp_path, "deepspeed", target(schedule))
    alone = {"DS_ACCELERATOR": "cpu", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29581", "RANK": "0"}
    one = {"WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_SIZE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", ENGINE, str(folder / "hptransfer_deepspeed.py")],
        env=os.environ | alone | one, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    lines = [line.split(maxsplit=2) for line in run.stdout.splitlines() if line.startswith("RATES")]
    assert run.returncode == 0, run.stderr[-2000:]
    rates = [json.loads(line[2]) for line in lines]
    assert [each[0] for each in rates[: len(first)]] == pytest.approx(first)
    assert all(each[0] == pytest.approx(3 * each[1], rel=1e-12) for each in rates)
