"""What every exporter must do; subclass `ExporterConformance` and name it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar, get_args

import pytest

from hptransfer.artifacts.target import ProvenanceRecord, TargetFile, TrainingRecord, VerdictRecord
from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS, Exporter, export_target
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.rules import Quantity
from hptransfer.sizes import Size


class ExporterConformance:
    """Behaviour that `hptransfer scale --format` counts on."""

    #: the exporter's name, or `module:attribute`
    name: ClassVar[str]

    def target(self) -> TargetFile:
        """A target that the framework can express; override it where one value for all groups is not enough."""
        return small_target(self.exporter().gauge)

    def exporter(self) -> Exporter:
        """The exporter, looked up by its name."""
        return EXPORTERS.look_up(self.name)

    def test_it_is_known_by_its_name(self) -> None:
        """`--format` accepts it."""
        assert EXPORTERS.accepts(self.name)

    def test_it_says_what_it_needs_and_what_it_holds(self) -> None:
        """A gauge that exists; no quantity is both scaled by the framework and given to each group."""
        exporter = self.exporter()

        assert exporter.gauge in get_args(Gauge)
        assert exporter.applies | exporter.holds <= set(Quantity)
        assert not exporter.applies & exporter.holds

    def test_it_writes_text_files_of_its_own_folder(self) -> None:
        """Relative paths and text, at least one file, none of them empty."""
        files = export_target(self.name, self.target())

        assert files
        for path, text in files.items():
            assert not PurePosixPath(path).is_absolute()
            assert ".." not in PurePosixPath(path).parts
            assert text.strip()

    def test_the_same_target_gives_the_same_files(self) -> None:
        """No date and no order of a set: a file under version control changes with the target alone."""
        target = self.target()

        assert export_target(self.name, target) == export_target(self.name, target)

    def test_the_target_is_not_lost(self) -> None:
        """Another base learning rate gives other files."""
        target = self.target()
        moved = target.model_copy(
            update={
                "hyperparameters": {**target.hyperparameters, "learning_rate": 0.03125},
                "parameters": tuple(replace(group, learning_rate=0.03125) for group in target.parameters),
            }
        )

        assert export_target(self.name, moved) != export_target(self.name, target)

    @pytest.mark.parametrize("quantity", list(Quantity))
    def test_what_it_cannot_hold_is_refused_by_name(self, quantity: Quantity) -> None:
        """A value that differs between groups is written, scaled by the framework, or an error; never dropped."""
        target, exporter = self.target(), self.exporter()
        if quantity in exporter.holds | exporter.applies:
            return
        first, *others = target.parameters
        odd = ParameterGroup(**{**first.as_mapping(), "shape": first.shape, quantity.value: 0.375})  # type: ignore[arg-type]
        changed = target.model_copy(update={"parameters": (odd, *others)})

        with pytest.raises(UsageError) as caught:
            export_target(self.name, changed)
        assert quantity.value in caught.value.findings[0].rule


def small_target(gauge: Gauge) -> TargetFile:
    """A target of three groups of parameters in which every quantity is one value for all.

    Args:
        gauge: in which it says that it was planned.
    """
    size = Size(64, 2, 8, 8192)
    return TargetFile(
        format=TargetFile.FORMAT,
        recipe="small",
        verdict=VerdictRecord(verdict="TRANSFERS", sentence="It holds.", forced=False, objections=(), axes=()),
        extrapolation=(),
        parameterization="mup",
        gauge=gauge,
        optimizer="adamw",
        base=size,
        size=size,
        hyperparameters={
            "learning_rate": 0.015625,
            "weight_decay": 0.125,
            "init_scale": 1.0,
            "warmup": 0.125,
            "eps": 1e-8,
            "beta1": 0.9,
            "beta2": 0.95,
        },
        optimizer_values={"beta1": 0.9, "beta2": 0.95},
        training=TrainingRecord(steps=16, batch_size=8, schedule="linear", warmup=0.125, clip=1.0),
        notes=(),
        parameters=(
            _group(r"embedding\.weight", (256, 64), "embedding"),
            _group(r"blocks\.\d+\.up\.weight", (256, 64), "hidden weight"),
            _group(r"readout\.weight", (256, 64), "readout"),
        ),
        provenance=ProvenanceRecord(
            written="2026-01-01T00:00:00+00:00",
            versions={},
            recipe_hash="0" * 64,
            data_fingerprint=None,
            seeds={},
            tuned_at=None,
            intervals=None,
            tuned_with={},
        ),
    )


def _group(pattern: str, shape: tuple[int, ...], role: str) -> ParameterGroup:
    return ParameterGroup(
        pattern=pattern,
        count=2 if "blocks" in pattern else 1,
        shape=shape,
        role=role,
        reason="made up",
        init="normal",
        init_std=0.125,
        learning_rate=0.015625,
        weight_decay=0.125,
        eps=1e-8,
        multiplier=1.0,
        rules={},
        sources={},
    )
