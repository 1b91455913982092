"""Megatron-LM: the arguments are read without a shell, and held against a record of its rules or its own code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.megatron import (
    ATTENTION,
    COMMIT,
    Flags,
    Python,
    floors,
    muon_factor,
    rate,
    read_flags,
    trained_by,
)
from hptransfer.handover.trained import Reading, Trained
from hptransfer.parameterization.rules import SHAPE_FACTORS
from hptransfer.roundtrip.torch import load_module

_ARRAY = re.compile(r"^HPTRANSFER_ARGS=\($(.*?)^\)$", re.DOTALL | re.MULTILINE)


class _Megatron:
    """Megatron itself needs a GPU; a record of its rules, pinned to what its code returned on a CPU, stands for it."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        flags, unknown = read_arguments(folder / "megatron_args.sh")
        file = folder / "hptransfer_megatron.py"
        python = read_python(file) if file.is_file() else None
        rows = tuple(trained_by(flags, python))
        return Reading(
            rows,
            f"hptransfer's record of Megatron-LM {COMMIT}",
            unread=tuple(unknown),
            schedule=None,
        )


READER = _Megatron()
