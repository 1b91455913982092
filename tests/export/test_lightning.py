"""The format lightning: what is written, in real runs of Lightning's Trainer on a CPU."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.models.huggingface import build_huggingface
from hptransfer.roundtrip.torch import load_module
from hptransfer.scaling.verify_export import verify_export
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, llama_target, round_trip, write_export

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning: Any = pytest.importorskip("pytorch_lightning")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\).*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used.*"),
]
WIDE = Size(192, 2, 8, 8192)


def target(schedule: str = "cosine", steps: int = 20, **training: Any) -> TargetFile:
    """A Llama under completep, with a warmup of a tenth."""
    given = {"steps": steps, "batch_size": 8, "schedule": schedule, "warmup": 0.2, "clip": 0.5} | training
    return llama_target().model_copy(update={"training": TrainingRecord(**given)})


@pytest.mark.parametrize(
    "training",
    [
        {"schedule": "constant", "clip": None},
        {"schedule": "linear", "steps": 3},
        {"schedule": "cosine", "floor": 0.1},
        {"schedule": "wsd", "decay_share": 0.3, "precision": "bfloat16"},
        {"schedule": "inverse-sqrt"},
        {"schedule": "own", "warmup": None},
    ],
    ids=lambda given: given["schedule"],
)
def test_the_plan_is_read_back_whole(training: dict[str, Any], tmp_path: Path) -> None:
    """Groups, betas, clipping and schedule, in a Trainer's run."""
    found = round_trip(tmp_path, "lightning", target(**training))

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 39
    assert "Trainer.fit" in found.through


def test_sgd_is_read_back(tmp_path: Path) -> None:
    """With momentum."""
    assert round_trip(tmp_path, "lightning", llama_target("mup", optimizer="sgd", size=WIDE, weight_decay=0.0)).holds


def fitted(folder: Path, steps: int) -> tuple[Any, list[list[float]]]:
    """A Trainer that has trained the real Llama as the page says, and the rates of each step."""
    module = load_module(folder / "hptransfer_lightning.py")

    class Run(module.Planned, lightning.LightningModule):  # type: ignore[misc, name-defined]
        """As docs/export-lightning.md has it."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = build_huggingface(LLAMA, 192, 4)
            module.init_(self.model)
            self.rates: list[list[float]] = []

        def training_step(self, batch: Tensor, index: int) -> Any:
            """The loss of next tokens."""
            optimizer: Any = self.optimizers()
            self.rates.append([group["lr"] for group in optimizer.param_groups])
            model: Any = self.model
            return model(input_ids=batch, labels=batch).loss

    run = Run()
    tokens: Any = torch.randint(256, (2 * steps, 9))
    loader: Any = torch.utils.data.DataLoader(tokens, batch_size=2)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(**module.TRAINER, accelerator="cpu", default_root_dir=folder, **off)
    trainer.fit(run, loader)
    return trainer, run.rates


def test_a_trainer_trains_the_model_as_the_page_says(tmp_path: Path) -> None:
    """Four steps, a warmup of two: half, all, all and a half of each peak (linear to zero), and clipping at 0.5."""
    trainer, rates = fitted(write_export(tmp_path, "lightning", target("linear", 4, warmup=0.5)), 8)

    assert trainer.global_step == 4  # optimizer steps, although the loader has more
    assert trainer.gradient_clip_val == 0.5
    embedding, query = ([each[at] for each in rates] for at in (0, 1))
    assert embedding == pytest.approx([0.005, 0.01, 0.01, 0.005], rel=1e-12)
    assert query == pytest.approx([rate / 3 for rate in embedding], rel=1e-12)


def test_an_interval_of_epochs_is_found(tmp_path: Path) -> None:
    """Lightning's default interval: the rate would stay at that of the first step."""
    edit = {"hptransfer_lightning.py": ('"interval": "step"', '"interval": "epoch"')}
    schedule = round_trip(tmp_path, "lightning", target(), edit).schedule

    assert schedule is not None
    assert "the rates are 0.25 of their peaks" in schedule


def test_a_second_scaling_is_found_and_named(tmp_path: Path) -> None:
    """An edited rate is a difference with its cause."""
    edit = {"groups.json": ('"lr": 0.003333333333333333', '"lr": 0.001111111111111111')}
    found = round_trip(tmp_path, "lightning", llama_target("mup", size=WIDE), edit)

    assert {each.quantity for each in found.differences} == {"learning_rate"}
    assert all("scaled twice" in each.cause for each in found.differences)


def test_clipping_that_is_left_out_is_found(tmp_path: Path) -> None:
    """The Trainer's default is none."""
    edit = {"hptransfer_lightning.py": ("'gradient_clip_val': 0.5, ", "")}
    (found,) = round_trip(tmp_path, "lightning", target(), edit).differences

    assert found.sentence == "all parameters: clip 0, planned 0.5: no file says it, so that is the framework's default"


FINDER = """
def optimizer(model):
    made = torch.optim.AdamW(groups(model, "adamw"), betas=(0.9, 0.95))
    for group in made.param_groups:
        group["lr"] = 0.02
    return made
"""


def test_one_rate_for_all_groups_is_found(tmp_path: Path) -> None:
    """What LearningRateFinder does to an optimizer, planted by hand."""
    folder = write_export(tmp_path, "lightning", llama_target("mup", size=WIDE))
    path = folder / "hptransfer_lightning.py"
    path.write_text(path.read_text() + FINDER)
    found = verify_export(folder)

    assert {each.quantity for each in found.differences} == {"learning_rate"}
    assert sum(len(each.names) for each in found.differences) == 21


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_the_learning_rate_finder_destroys_the_ratios(tmp_path: Path) -> None:
    """Lightning's own: while it tries rates, and so in what it suggests, all groups have the same."""
    module = load_module(write_export(tmp_path, "lightning", target()) / "hptransfer_lightning.py")

    class Run(lightning.LightningModule):  # type: ignore[misc]  # Lightning is untyped here
        """Two groups with different rates."""

        def __init__(self) -> None:
            super().__init__()
            self.lr = 0.01
            self.seen: list[list[float]] = []
            self.layers = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(2))

        def configure_optimizers(self) -> Any:
            """Rates 0.01 and a third of it, with the written schedule."""
            rates = (0.01, 0.01 / 3)
            made = torch.optim.AdamW(
                [{"params": layer.parameters(), "lr": rate} for layer, rate in zip(self.layers, rates, strict=True)]
            )
            return {"optimizer": made, "lr_scheduler": {"scheduler": module.scheduler(made), "interval": "step"}}

        def training_step(self, batch: Tensor, index: int) -> Any:
            """A square; notes the rates."""
            optimizer: Any = self.optimizers()
            self.seen.append([group["lr"] for group in optimizer.param_groups])
            return (self.layers[1](self.layers[0](batch)) - batch).square().mean()

    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        max_steps=4, accelerator="cpu", default_root_dir=tmp_path, enable_checkpointing=True, **off
    )
    tuning: Any = importlib.import_module("pytorch_lightning.tuner")
    run, numbers = Run(), torch.ones(8, 1)
    loader: Any = torch.utils.data.DataLoader(cast("Any", numbers))
    tuning.Tuner(trainer).lr_find(run, loader, num_training=5)
    assert len(run.seen) == 5
    assert all(first == second for first, second in run.seen)


def test_two_optimizers_are_refused() -> None:
    """Lightning steps one by itself, and leaves two to the user."""
    with pytest.raises(UsageError, match="adamw, adam, sgd"):
        export_target("lightning", llama_target("mup", optimizer="muon", size=WIDE))
