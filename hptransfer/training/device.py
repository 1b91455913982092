"""Where a trial trains, at which precision, and how fast that device could be."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch

from hptransfer.errors import UsageError
from hptransfer.recipe.training import Device, Precision

#: peak of dense matrix products in 10^12 operations per second by precision, from the makers' data sheets: float32
#: without TF32, float64 on tensor cores where there are any; the longest name that a device's name contains counts
PEAKS: Mapping[str, Mapping[Precision, float]] = MappingProxyType(
    {
        "A100": {"bfloat16": 312.0, "float32": 19.5, "float64": 19.5},
        "A10": {"bfloat16": 125.0, "float32": 31.2},
        "L4": {"bfloat16": 121.0, "float32": 30.3},
        "L40S": {"bfloat16": 362.0, "float32": 91.6},
        "H100": {"bfloat16": 989.4, "float32": 66.9, "float64": 66.9},
        "H100 PCIe": {"bfloat16": 756.0, "float32": 51.2, "float64": 51.2},
        "H200": {"bfloat16": 989.4, "float32": 66.9, "float64": 66.9},
        "RTX 3090": {"bfloat16": 71.0, "float32": 35.6},
        "RTX 4090": {"bfloat16": 165.2, "float32": 82.6},
        "T4": {"float32": 8.1},
        "V100": {"float32": 15.7, "float64": 7.8},
    }
)


def device_of_run(wanted: Device, processes: int = 1, rank: int = 0) -> torch.device:
    """The device of one process of a trial.

    Args:
        wanted: what the recipe says of devices.
        processes: that train the trial together; each has a GPU of its own, or all share the processor.
        rank: number of this process, from 0.

    Raises:
        UsageError: the device is not there, or there are fewer GPUs than processes.
    """
    seen = torch.cuda.device_count() if wanted in ("auto", "cuda") and torch.cuda.is_available() else 0
    if wanted == "cuda" and seen < processes:
        raise UsageError(
            "`training.device: cuda` needs a GPU for each process",
            received=f"{seen} GPUs, {processes} processes",
            hint="write `device: auto` or `device: cpu`, or see `hptransfer plan` on the machine that has them",
        )
    if seen >= processes:
        return torch.device("cuda", rank)
    if wanted == "mps":
        if not torch.backends.mps.is_available() or processes > 1:
            raise UsageError(
                "`training.device: mps` needs Apple's GPU, and one process",
                received=f"{processes} processes" if processes > 1 else "no such GPU",
                hint="write `device: cpu`",
            )
        return torch.device("mps")
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """What provenance calls a device: "cpu", "mps", or "cuda" and the GPU's name.

    Args:
        device: of a process that trains.
    """
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def peak_flops(name: str, precision: Precision) -> float | None:
    """Operations per second that a device can do at most; None where that is not known.

    Args:
        name: of the device, as `device_name` gives it.
        precision: in which matrices are multiplied.
    """
    found = [known for known in PEAKS if re.search(rf"\b{re.escape(known)}(?![0-9A-Za-z])", name)]
    if not found:
        return None
    peak = PEAKS[max(found, key=len)].get(precision)
    return None if peak is None else peak * 1e12


def described_speed(flops: float, seconds: float, name: str, precision: Precision) -> dict[str, str]:
    """What a record says of its speed: operations per second, and their share of the device's peak where it is known.

    Args:
        flops: operations of the steps that were taken.
        seconds: wall time of those steps, without building and evaluation.
        name: of the device, as `device_name` gives it.
        precision: in which matrices were multiplied.
    """
    if not seconds > 0 or not flops > 0:
        return {}
    speed = {"flops_per_second": f"{flops / seconds:.4g}"}
    peak = peak_flops(name, precision)
    return speed if peak is None else speed | {"mfu": f"{flops / seconds / peak:.4f}"}


@contextlib.contextmanager
def default_precision(precision: Precision) -> Iterator[None]:
    """Makes what models create by themselves float64 where all of a run is, and float32 where that is asked for.

    Args:
        precision: that of the whole run.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype({"float64": torch.float64, "float32": torch.float32}.get(precision, before))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
