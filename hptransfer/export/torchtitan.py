"""torchtitan: a config registry with a target of its own, that holds every value; its stock init is replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.export._torchtitan_file import sections
from hptransfer.export._torchtitan_plan import TitanPlan, muon_named
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Quantity

#: the file that is written
FILE = "hptransfer_torchtitan.py"


class _Torchtitan:
    """`hptransfer_torchtitan.py`, for `--module hptransfer_torchtitan --config hptransfer_target`: the whole run."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        plain=False,
        framework="torchtitan",
        read_at="wheel 0.3.0",
        itself="scales no rate, decay or eps and multiplies nothing in forward; its stock init depends on role and "
        "depth (0.02, 0.02/sqrt(2(layer+1)), 1 and 1/sqrt(dim)) and is replaced; final values are written.",
        executed="torchtitan 0.3.0 on a CPU: this file's Llama3 and its init, OptimizersContainer and steps of AdamW "
        "(with SDPA for FlexAttention), LRSchedulersContainer; not executed: a step on GPUs, parallelism, DistMuon's "
        "redistribution",
        by_hand=(
            "put this folder on PYTHONPATH and start `torchrun --nproc_per_node N -m torchtitan.train --module "
            "hptransfer_torchtitan --config hptransfer_target` with --dataloader.dataset, --hf_assets_path and "
            "--training.local_batch_size; or call applied() on a Trainer.Config of your own.",
            "no pipeline parallelism: torchtitan matches each pattern with each stage's parameters, and a stage "
            "without the embedding raises ValueError; this file refuses it before.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return TitanPlan.of(target).trained()

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The config registry.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: the model is no Llama, or its optimizer, schedule or clipping is none of torchtitan's.
        """
        plan = TitanPlan.of(target)
        return {FILE: commented(header(target, "torchtitan", self.about)) + "".join(sections(plan))}


__all__ = ["EXPORTER", "FILE", "muon_named", "shapes_of"]


def shapes_of(target: TargetFile) -> Mapping[str, tuple[int, ...]]:
    """Shape of each parameter of the model that is written, by its name there.

    Args:
        target: in any gauge, of a Llama.

    Raises:
        UsageError: torchtitan cannot express something, which the message names.
    """
    return TitanPlan.of(target).shapes


EXPORTER = _Torchtitan()
