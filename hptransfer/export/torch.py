"""Plain PyTorch: the groups as JSON, and a module of a few lines that applies them without hptransfer."""

from __future__ import annotations

from collections.abc import Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.decoder import heads_by_hand
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import GROUPS, clipping_by_hand, groups_text, module_text, require_applicable
from hptransfer.handover.own_names import OwnModelFormat


class _Torch(OwnModelFormat):
    """`groups.json` and `hptransfer_groups.py`, which applies it to the user's own model without hptransfer."""

    about = About(
        framework="PyTorch",
        read_at="torch 2.13.0",
        itself="scales nothing; final values of this size are written.",
        executed="torch: the module that is written, with its own model, init, optimizer and scheduler",
        by_hand=(
            "import hptransfer_groups; build the model, then init_(model), optimizer(model), scheduler(optimizer), and "
            "call scheduler.step() after each optimizer step.",
        ),
    )

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The two files.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: there are no rows, the optimizer is none of torch's, or a multiplier must be in `forward`.
        """
        require_applicable(target, "torch")
        lines = header(target, "torch", self.about, (*clipping_by_hand(target), *heads_by_hand(target)))
        return {GROUPS: groups_text(target, lines), "hptransfer_groups.py": commented(lines) + module_text(target)}


EXPORTER = _Torch()
