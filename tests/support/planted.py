"""Planted regressions: a copy of the package, a recipe with its evidence and what it needs, and one change in them."""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hptransfer import provenance
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from tests.support.command_line import ROOT
from tests.support.kept_evidence import KEPT

#: what a level said of a regression
CAUGHT, WARNED, PASSED, UNDECIDED = "caught", "warned", "passes", "undecided"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a regression is planted.

    Attributes:
        package: folder that is first on the path of every process; a copy of `hptransfer` is made there to be edited.
        recipes: folder with a copy of the recipe, its evidence in `runs`, its text and its code.
    """

    package: Path
    recipes: Path

    def edit(self, path: str, old: str, new: str) -> None:
        """Changes one place of a module of the package.

        Args:
            path: the module, below the folder `hptransfer`.
            old: text that the module has once.
            new: what stands there instead.
        """
        replaced(self.copied() / path, old, new)

    def copied(self) -> Path:
        """The copy of `hptransfer`, made where there is none."""
        copy = self.package / "hptransfer"
        if not copy.is_dir():
            # compiled modules are valid where their sources have the time that they had
            shutil.copytree(ROOT / "hptransfer", copy)
        return copy

    def install(self, name: str, version: str) -> None:
        """Lets `importlib.metadata` find another version of a distribution; its modules stay.

        Args:
            name: the distribution, as pip lists it.
            version: what its metadata says of it.
        """
        folder = self.package / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def start_with(self, text: str) -> None:
        """Python that every process runs when it starts.

        Args:
            text: the content of the module `sitecustomize`.
        """
        self.package.mkdir(exist_ok=True)
        (self.package / "sitecustomize.py").write_text(text)


def replaced(path: Path, old: str, new: str) -> None:
    """Changes one place of a file.

    Args:
        path: the file in which the text stands.
        old: text that it has once.
        new: what stands there instead.
    """
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} times {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def prepared(folder: Path, name: str) -> Place:
    """A copy of one recipe with its evidence.

    Args:
        folder: an empty one, in which the copy is laid.
        name: of a recipe in `tests/data/evidence`, or in `recipes`.
    """
    place = Place(folder / "package", folder / "recipes")
    place.recipes.mkdir(parents=True)
    kept = (KEPT / f"{name}.yaml").is_file()
    shutil.copy((KEPT if kept else ROOT / "recipes") / f"{name}.yaml", place.recipes)
    shutil.copytree((KEPT / "kept" if kept else ROOT / "recipes/runs") / name, place.recipes / "runs" / name)
    if kept:
        shutil.copytree(KEPT / "texts", place.recipes / "texts")
        shutil.copy(KEPT / "evidence_net.py", place.recipes)
    return place


def said(place: Place, name: str, *levels: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `validate` prints of a recipe, as JSON, from a process that imports the copy of the package.

    Args:
        place: where a regression may be planted.
        name: the recipe, without its suffix.
        levels: those that `validate` is asked for.
        options: further ones of the command line.
    """
    place.copied()
    command = [sys.executable, "-P", "-m", "hptransfer", "validate", f"{name}.yaml", "--runs", "runs", *options]
    environment = {**os.environ, "PYTHONPATH": str(place.package), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--level", ",".join(levels), "--format", "json"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=place.recipes,
        check=False,
    )
    assert done.returncode in (0, 1, 3), done.stderr
    (found,) = json.loads(done.stdout)["recipes"]
    assert isinstance(found, dict)
    return found


def said_here(place: Place, name: str, *levels: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same from this process, where nothing of the package was changed; it takes a tenth of the time.

    Args:
        place: where a regression may be planted, in the recipe or in versions.
        name: the recipe, without its suffix.
        levels: those that `validate` is asked for.
        options: further ones, of `--trust` and `--strict`.
    """
    with pytest.MonkeyPatch.context() as changed:
        changed.syspath_prepend(str(place.package))
        changed.setattr(platform, "python_version", platform.python_version)  # it is put back, whoever replaces it
        start = place.package / "sitecustomize.py"
        exec(start.read_text() if start.is_file() else "", {})  # noqa: S102 - as each process of Python would
        _forget_versions()
        asked = ValidationOptions(levels, "--trust" in options, "--strict" in options, runs=place.recipes / "runs")
        found = validate(str(place.recipes / f"{name}.yaml"), asked)
    _forget_versions()
    listed = [("error", each) for each in found.errors] + [("warning", each) for each in found.warnings]
    return found.summary | {"findings": [{"level": level, "code": each.code} for level, each in listed]}


def _forget_versions() -> None:
    provenance._version.cache_clear()
    importlib.invalidate_caches()


def outcome(found: Mapping[str, Any], level: str) -> str:
    """What a level said: caught, warned, passes or undecided.

    Args:
        found: as `said` returns it.
        level: the one that `validate` was asked for.
    """
    state = found["levels"][level]["passed"]
    if state is False:
        return CAUGHT
    if state is None:
        return UNDECIDED
    warnings = [each["code"] for each in found["findings"] if each["level"] == "warning"]
    return WARNED if any(code.startswith(f"{level}/") for code in warnings) else PASSED


#: a change that somebody made, in the package or in what a recipe names
Plant = Callable[[Place], None]


def nothing(place: Place) -> None:
    """No regression: what every level has to pass.

    Args:
        place: is left as it is.
    """


def exponent(place: Place) -> None:
    """Hidden weights' rate under Adam follows m^-1/2 in muP's table.

    Args:
        place: the folder in which the copied package lies.
    """
    row = 'Source(TP5, "Table 8", "Adam LR"), ONE, IN**-1, ONE'
    place.edit("parameterization/tables/mup.py", row, row.replace("IN**-1", "IN**-0.5"))


def init(place: Place) -> None:
    """Weights of built-in models are drawn without their 1/sqrt(fan-in), whatever the tables say.

    Args:
        place: the folder in which the copied package lies.
    """
    place.edit("models/applied_init.py", ".mul_(group.init_std)", "")


def factory(place: Place) -> None:
    """Another activation in the recipe's own model.

    Args:
        place: the folder in which the recipe lies.
    """
    replaced(place.recipes / "evidence_net.py", "nn.Tanh()", "nn.ReLU()")


def data(place: Place) -> None:
    """One byte of the recipe's text.

    Args:
        place: the folder in which the recipe lies.
    """
    path = sorted((place.recipes / "texts").iterdir())[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def torch_version(place: Place) -> None:
    """Another torch, by what its distribution says.

    Args:
        place: the folder in which the copied package lies.
    """
    place.install("torch", "99.0.0")


def python_version(place: Place) -> None:
    """Another Python.

    Args:
        place: the folder in which the copied package lies.
    """
    place.start_with("import platform\nplatform.python_version = lambda: '3.99.0'\n")


def tool_version(place: Place) -> None:
    """Another version of this package, with nothing else changed.

    Args:
        place: the folder in which the copied package lies.
    """
    place.install("hptransfer", "99.0.0")


def words(place: Place) -> None:
    """A release that says the verdict in other words.

    Args:
        place: the folder in which the copied package lies.
    """
    place.edit("verdict.py", '0, "{subject} tuned at', '0, "{subject} as tuned at')
    tool_version(place)
