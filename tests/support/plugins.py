"""Installed packages that add entries to registries: a module and its metadata in a folder on the path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, source: str, entries: Mapping[str, Mapping[str, str]]
) -> None:
    """Puts a package on the path until the test ends.

    Args:
        monkeypatch: of the test.
        folder: where module and metadata are written.
        module: name of the package's one module.
        source: the module's text.
        entries: entry-point group -> name -> "module:attribute".
    """
    (folder / f"{module}.py").write_text(source, "utf-8")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", "utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in of.items()) for group, of in entries.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    monkeypatch.syspath_prepend(str(folder))
