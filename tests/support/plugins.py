"""Installed packages that add entries to registries: modules and their metadata in a folder on the path."""

from __future__ import annotations

import shutil
import tomllib
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
        monkeypatch: of the test, which takes it out again.
        folder: where module and metadata are written.
        module: name of the package's one module.
        source: the text of the installed module.
        entries: entry-point group -> name -> "module:attribute".
    """
    (folder / f"{module}.py").write_text(source, "utf-8")
    _describe(folder, module, "1.0", entries)
    monkeypatch.syspath_prepend(str(folder))


def install_project(project: Path, folder: Path) -> None:
    """Installs a project as an installer does, without one: its package, and metadata from its `pyproject.toml`.

    Args:
        project: its folder, in which the package of its name lies.
        folder: where installed packages go.
    """
    content = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    package = content["name"].replace("-", "_")
    shutil.copytree(project / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    _describe(folder, package, content["version"], content["entry-points"])


def _describe(folder: Path, name: str, version: str, entries: Mapping[str, Mapping[str, str]]) -> None:
    """Writes what `importlib.metadata` reads of an installed package."""
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in of.items()) for group, of in entries.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines), "utf-8")
