"""What an exporter is, the registry of all of them, and what is checked around each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Protocol

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import HptransferError, UsageError
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Quantity
from hptransfer.registry import Registry


class Exporter(Protocol):
    """Writes a target for one framework."""

    @property
    def gauge(self) -> Gauge:
        """Where the framework's models have multipliers; the target is planned in it: "plain" if nowhere."""

    @property
    def applies(self) -> frozenset[Quantity]:
        """Quantities that the framework scales by itself; the exporter writes their base values and its switch."""

    @property
    def holds(self) -> frozenset[Quantity]:
        """Quantities that the format gives to each group of parameters; any other must be one value for all groups."""

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The files of the configuration.

        Args:
            target: planned in the exporter's gauge; what the format neither holds nor the framework applies is one
                value for all groups.

        Returns:
            Path relative to the exporter's folder, with `/`, -> text.

        Raises:
            UsageError: the framework cannot express something, which the message names.
        """


EXPORTERS: Registry[Exporter] = Registry("exporter", "hptransfer.export", "EXPORTER", group="hptransfer.exporters")


def export_target(name: str, target: TargetFile) -> dict[str, str]:
    """A target in the form of one framework.

    Args:
        name: of the exporter: built in, an installed package's, or `module:attribute`.
        target: planned in the exporter's gauge.

    Returns:
        Path relative to the exporter's folder -> text, at least one.

    Raises:
        UsageError: there is no such exporter, it cannot express the target, or it fails.
    """
    exporter = EXPORTERS.look_up(name)
    _require_held(name, exporter, target)
    try:
        files = dict(exporter.export(target))
    except HptransferError:
        raise
    except Exception as error:  # a user's exporter may raise anything; one of ours is a defect, with its traceback
        if name in EXPORTERS.built_in:
            raise
        received = f"{name}: {type(error).__name__}: {error}"
        raise UsageError(
            "an exporter must write every target that its framework can express", received=received
        ) from error
    for path in files:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise UsageError("an exporter must name files inside its own folder", received=f"{name}: {path!r}")
    if not files:
        raise UsageError("an exporter must write at least one file", received=name)
    return files


def _require_held(name: str, exporter: Exporter, target: TargetFile) -> None:
    """What the format gives once for all groups of parameters must be equal in all of them."""
    for quantity in Quantity:
        if quantity in exporter.holds | exporter.applies:
            continue
        known = {group.pattern: getattr(group, quantity.value) for group in target.parameters}
        values = {pattern: value for pattern, value in known.items() if value is not None}
        expected = 1.0 if quantity is Quantity.MULTIPLIER else next(iter(values.values()), None)
        other = next((pattern for pattern, value in values.items() if value != expected), None)
        if other is not None:
            whose = "1" if quantity is Quantity.MULTIPLIER else f"that of {next(iter(values))}, {expected!r}"
            raise UsageError(
                f"{name} must be able to express `{quantity.value}` of each group of parameters",
                received=f"{other}: {values[other]!r}, which is not {whose}",
                hint="choose another format, or a parameterization whose rules leave it alone",
            )
