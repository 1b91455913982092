"""Which GPU a worker sees: one each, in turn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none on a machine without.

    Args:
        environment: of this process. What it names is taken as it is (indices, UUIDs of GPUs or of MIG slices); as in
            CUDA, an index below zero hides itself and all that follow.
        devices: where the driver's device files lie; counted where the environment names no GPUs.
    """
    named = environment.get(VISIBLE)
    if named is None:
        count = sum(1 for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdecimal())
        return tuple(str(index) for index in range(count))
    gpus: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not name or name.startswith("-"):
            break
        gpus.append(name)
    return tuple(gpus)


def gpu_of(slot: int, gpus: tuple[str, ...]) -> str | None:
    """The GPU of a worker's slot: round-robin; None without GPUs."""
    return gpus[slot % len(gpus)] if gpus else None
