"""Devices, precisions and speeds of trials, as far as a machine without a GPU can tell."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.recipe.training import Device
from hptransfer.trainers._planned_model import planned_model
from hptransfer.training.device import described_speed, device_of_run, peak_flops
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained
from tests.support.tiny import ROOT, recipe

GPT = {"kind": "gpt", "context": 8, "head_dim": 8, "embedding": None}


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Makes torch say that there are so many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("wanted", "seen", "processes", "rank", "expected"),
    [
        ("auto", 0, 1, 0, "cpu"),
        ("auto", 1, 1, 0, "cuda:0"),
        ("auto", 1, 2, 1, "cpu"),  # each process has a GPU of its own, or none has
        ("auto", 2, 2, 1, "cuda:1"),
        ("cuda", 2, 2, 1, "cuda:1"),
        ("cpu", 8, 1, 0, "cpu"),
    ],
)
def test_which_device_a_process_gets(
    monkeypatch: pytest.MonkeyPatch, wanted: Device, seen: int, processes: int, rank: int, expected: str
) -> None:
    """By what the recipe says, the GPUs that are seen, and the processes of a trial."""
    gpus(monkeypatch, seen)

    assert str(device_of_run(wanted, processes, rank)) == expected


def test_a_gpu_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training elsewhere without a word would be another experiment."""
    gpus(monkeypatch, 1)
    with pytest.raises(UsageError, match="needs a GPU for each process") as caught:
        device_of_run("cuda", 2)

    assert caught.value.findings[0].received == "1 GPUs, 2 processes"
    with pytest.raises(UsageError, match="needs Apple's GPU"):
        device_of_run("mps", 2)


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("cuda NVIDIA H100 80GB HBM3", "bfloat16", 989.4e12),  # NVIDIA's data sheet: 1,979 with sparsity
        ("cuda NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("cuda NVIDIA A100-SXM4-80GB", "float64", 19.5e12),
        ("cuda NVIDIA A10", "float32", 31.2e12),
        ("cuda NVIDIA L4", "bfloat16", 121e12),
        ("cuda NVIDIA L40S", "bfloat16", 362e12),
        ("cuda NVIDIA L40", "bfloat16", None),  # not in the table, and neither an L4 nor an L40S
        ("cuda NVIDIA A100-SXM4-80GB", "bfloat16", 312e12),
        ("cuda Tesla V100-SXM2-16GB", "bfloat16", None),
        ("cpu", "float32", None),
    ],
)
def test_peaks_are_those_of_data_sheets(name: str, precision: str, expected: float | None) -> None:
    """A device that is not known has no peak: no utilisation is then said."""
    assert peak_flops(name, precision) == expected  # type: ignore[arg-type]


def test_utilisation_is_a_share_of_the_peak() -> None:
    """494.7e12 operations in one second are half of an H200's peak in bfloat16."""
    assert described_speed(494.7e12, 1.0, "cuda NVIDIA H200", "bfloat16") == {
        "flops_per_second": "4.947e+14",
        "mfu": "0.5000",
    }
    assert described_speed(1e9, 0.5, "cpu", "float32") == {"flops_per_second": "2e+09"}
    assert described_speed(1e9, 0.0, "cpu", "float32") == {}


@pytest.mark.parametrize("model", [{"kind": "mlp"}, GPT], ids=["mlp", "gpt"])
def test_float64_is_float64_in_every_layer(model: dict[str, object]) -> None:
    """Weights, and what every module of a built-in model returns."""
    wanted = recipe(model=model, training={"precision": "float64"})
    module, _ = planned_model(TrialSpec(wanted, ROOT, wanted.size(16, 2), {}, 0))
    seen: set[torch.dtype] = set()

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.add(output.dtype)

    for part in module.modules():
        part.register_forward_hook(note)
    module(torch.zeros(2, wanted.model.context, dtype=torch.int64))

    assert {p.dtype for p in module.parameters()} == {torch.float64}
    assert seen == {torch.float64}
    assert torch.get_default_dtype() is torch.float32


def test_precisions_train_alike_to_their_rounding() -> None:
    """float32 differs from float64 in the sixth digit, bfloat16 in the third; each is another trial's loss."""
    losses = {}
    for precision in ("float64", "float32", "bfloat16"):
        wanted = recipe(model=GPT, training={"precision": precision, "steps": 20})
        losses[precision] = trained(TrialSpec(wanted, ROOT, wanted.size(32, 2), {}, 0))["loss"]

    assert 0 < abs(losses["float32"] / losses["float64"] - 1) < 1e-2
    assert 0 < abs(losses["bfloat16"] / losses["float32"] - 1) < 2e-2
    assert all(math.isfinite(loss) for loss in losses.values())


def test_bfloat16_keeps_float32_weights() -> None:
    """Weights and gradients stay float32; the products of a layer are bfloat16."""
    wanted = recipe(model=GPT, training={"precision": "bfloat16"})
    module, _ = planned_model(TrialSpec(wanted, ROOT, wanted.size(16, 2), {}, 0))

    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_a_record_says_how_it_was_computed() -> None:
    """Device and speed; nothing of utilisation where the peak is not known."""
    provenance = trained(TrialSpec(recipe(), ROOT, recipe().size(16, 2), {}, 0))["provenance"]

    assert provenance["device"] == "cpu"
    assert float(provenance["flops_per_second"]) > 0
    assert "mfu" not in provenance
    assert "compile" not in provenance
