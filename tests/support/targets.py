"""Targets that were not scaled from a run folder: a plan with made-up evidence."""

from __future__ import annotations

from collections.abc import Sequence

from hptransfer.artifacts.target import ProvenanceRecord, TargetFile, TrainingRecord, VerdictRecord
from hptransfer.export.base import export_target
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel, MlpModel, Model
from hptransfer.scaling.groups import target_groups
from hptransfer.sizes import Size
from tests.support.reading import parameters_of

BASE = Size(16, 2, 8, 800)
TARGET = Size(48, 6, 8, 800)  # multipliers 3: nothing is a round number
VALUES = {
    "learning_rate": 0.1,
    "weight_decay": 0.3,
    "init_scale": 0.7,
    "eps": 1e-8,
    "beta1": 0.9,
    "beta2": 0.95,
    "momentum": 0.9,
}


def planned(model: Model, optimizer: str = "adamw", size: Size = TARGET, **values: float) -> Plan:
    """A plan of a built-in model."""
    spec = Parameterization("completep" if model.kind == "gpt" else "mup")
    return plan(spec, BASE, size, parameters_of(model, BASE, size), VALUES | values, optimizer=optimizer)


GPT = GptModel(kind="gpt", context=8, head_dim=8)
MLP = MlpModel(kind="mlp", context=4, embedding=4)


def target_of(of: Plan, objections: Sequence[str] = ()) -> TargetFile:
    """A plan as a target that was found to transfer, or was forced for all these objections."""
    return TargetFile(
        format=TargetFile.FORMAT,
        recipe="tiny",
        verdict=VerdictRecord(
            verdict="TRANSFERS",
            sentence="It holds.",
            forced=bool(objections),
            objections=tuple(objections),
            axes=({"axis": "width", "sizes": [16, 32]},),
        ),
        extrapolation=(),
        parameterization=of.parameterization,
        gauge=of.gauge,
        optimizer=of.optimizer,
        base=of.base,
        size=of.size,
        hyperparameters=dict(of.hyperparameters),
        optimizer_values=dict(of.optimizer_values),
        muon_scale=of.options.muon_scale,
        training=TrainingRecord(steps=3, batch_size=of.size.batch_size, schedule="linear", warmup=0.1, clip=None),
        notes=tuple(of.notes),
        parameters=target_groups(of),
        provenance=ProvenanceRecord(
            written="2026-01-01T00:00:00+00:00",
            versions={},
            recipe_hash="0",
            data_fingerprint=None,
            seeds={},
            tuned_at=None,
            intervals=None,
            tuned_with={},
        ),
    )


def text_of(of: Plan, objections: Sequence[str] = ()) -> str:
    """The file's text."""
    return export_target("hptransfer", target_of(of, objections))["target.yaml"]
