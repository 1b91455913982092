"""A long trial's state on disk, so that a trial that is killed goes on where it was, bit for bit."""

from __future__ import annotations

import os
import pickle
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

#: seconds of training before the first checkpoint, and between two: a trial that is shorter writes none
INTERVAL = 60.0
_FORMAT = 1


class Checkpoint:
    """The file of one trial.

    Args:
        folder: for checkpoints, made where it is missing.
        key: of the trial, sha256 (hex); a file that carries another is not its own.
        interval: seconds between two checkpoints, at least 0.
        writes: whether this process writes; of several that train one trial, one does.
    """

    def __init__(self, folder: Path, key: str, interval: float = INTERVAL, *, writes: bool = True) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"a trial's key must be 64 hexadecimal digits; received: {key!r}")
        self.path = folder / f"{key}.pt"
        self._key, self._interval, self._writes = key, interval, writes
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._writes and time.monotonic() - self._last >= self._interval

    def save(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, losses: Sequence[float], initial: float
    ) -> None:
        """Replace the file by the state after as many steps as there are losses; a kill meanwhile leaves the old one.

        Args:
            module: the one that is trained.
            optimizer: the one that trains it.
            losses: of the steps taken.
            initial: evaluation loss before the first of them.
        """
        state = {
            "format": _FORMAT,
            "key": self._key,
            "module": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "losses": list(losses),
            "initial": initial,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        written = self.path.with_suffix(f".{os.getpid()}.part")
        with written.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        written.replace(self.path)
        self._last = time.monotonic()

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[list[float], float] | None:
        """Put module, optimizer and random numbers where the file has them; learning rates stay at their peak.

        Args:
            module: as it was built.
            optimizer: as it was built; its groups' "lr" are the peaks.

        Returns:
            Losses of the steps taken, and the evaluation loss before them; None where there is no file of this trial,
            or it is damaged: the trial then begins anew.
        """
        state = self._read()
        if state is None:
            return None
        peaks = [group["lr"] for group in optimizer.param_groups]
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        return [float(loss) for loss in state["losses"]], float(state["initial"])

    def discard(self) -> None:
        """Remove the file: the trial has ended."""
        if self._writes:
            self.path.unlink(missing_ok=True)

    def _read(self) -> Mapping[str, Any] | None:
        try:
            # a run folder is not trusted: nothing but tensors and plain data is read
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what is not a checkpoint
                state = torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
            return None
        right = isinstance(state, dict) and state.get("format") == _FORMAT and state.get("key") == self._key
        return state if right else None
