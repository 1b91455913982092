"""Exported folders for tests: a plan, written for a framework, perhaps edited, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.base import EXPORTERS, export_target
from hptransfer.handover.header import plan_digest
from hptransfer.handover.writing import write_exported
from hptransfer.models.config_multipliers import in_configuration
from hptransfer.models.model_record import model_record, said_options
from hptransfer.models.planning import plan_reading
from hptransfer.models.recipe_reading import read_recipe_model
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.roles import InitSource
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization, covered_axes_of
from hptransfer.recipe.model_sections import HuggingFaceModel, Model
from hptransfer.scaling.groups import in_gauge
from hptransfer.scaling.verify_export import ExportVerification, verify_export
from hptransfer.sizes import Size
from tests.support.targets import target_of

BASE = Size(64, 2, 8, 8192)
#: three times as wide and twice as deep, so that no factor is hidden by another
TARGET = Size(192, 4, 8, 8192)
VALUES = {
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "init_scale": 1.0,
    "eps": 1e-8,
    "beta1": 0.9,
    "beta2": 0.95,
    "momentum": 0.9,
    "warmup": 0.1,
}
#: a Llama: grouped queries, a gated MLP, an untied readout, the models' own init 0.02
LLAMA = HuggingFaceModel.model_validate(
    {
        "kind": "huggingface",
        "config": "llama",
        "settings": {
            "hidden_size": 64,
            "intermediate_size": 176,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_hidden_layers": 2,
            "vocab_size": 256,
            "max_position_embeddings": 64,
            "rms_norm_eps": 1e-5,
            "initializer_range": 0.02,
            "tie_word_embeddings": False,
        },
    }
)


def llama_target(
    parameterization: str = "completep",
    *,
    optimizer: str = "adamw",
    size: Size = TARGET,
    base: Size = BASE,
    gauge: Gauge = "plain",
    options: Options | None = None,
    model: Model = LLAMA,
    init: InitSource = "own",
    objections: tuple[str, ...] = (),
    **values: float,
) -> TargetFile:
    """The target of a Llama-like model, as `scale` would write it.

    Args:
        parameterization: name of the rules.
        optimizer: that the plan is for.
        size: width, depth, batch and tokens of the target.
        base: where hyperparameters hold as they are.
        gauge: where the target's multipliers live, as in recipes.
        options: named choices among published rules.
        model: section of a recipe.
        init: whose init is scaled.
        objections: why it had to be forced; empty: it transfers.
        values: hyperparameters other than `VALUES`.
    """
    covers = covered_axes_of(parameterization, optimizer)
    reading = read_recipe_model(model, base, size, init, covers)
    applied = plan_reading(
        Parameterization(parameterization), base, size, reading, VALUES | values, optimizer=optimizer, gauge=gauge,
        options=options,
    )  # fmt: skip
    planned = in_configuration(applied, model, reading.head_dims).whole_plan
    options_said = said_options(planned.options)
    return target_of(planned, objections).model_copy(
        update={"model": model_record(model, size, planned), "options": options_said}
    )


def write_export(
    folder: Path, name: str, target: TargetFile, edits: Mapping[str, tuple[str, str]] | None = None
) -> Path:
    """An exporter's folder beside its target.yaml; returns the folder.

    Args:
        folder: a new one, of the target's file.
        name: of the exporter, as `--format` takes it.
        target: the configuration that is written out.
        edits: path in the exporter's folder -> (text, its replacement): a planted mistake; the text must be there.
    """
    plan = folder / "target.yaml"
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(export_target("hptransfer", target)["target.yaml"], encoding="utf-8")
    files = export_target(name, in_gauge(target, None, EXPORTERS.look_up(name).gauge))
    paths = write_exported(folder / "export", name, files, plan, plan_digest(target))
    for relative, (old, new) in (edits or {}).items():
        path = folder / "export" / name / relative
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{relative} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    assert paths
    return folder / "export" / name


def round_trip(
    folder: Path, name: str, target: TargetFile, edits: Mapping[str, tuple[str, str]] | None = None
) -> ExportVerification:
    """What `verify --export` says of a target's export.

    Args:
        folder: a new one, which nothing else uses.
        name: of the exporter, as `--format` takes it.
        target: what is written and compared.
        edits: planted mistakes, see `write_export`.
    """
    return verify_export(write_export(folder, name, target, edits))
