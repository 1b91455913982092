"""What is remembered of measurements is believed only where it may be one; else it is measured again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hptransfer.engine.flops import Costs
from hptransfer.engine.measurement_cache import MeasurementCache, measure
from hptransfer.engine.readings import Readings
from hptransfer.errors import UsageError
from hptransfer.execution.outcome import Success
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.shipped import template
from hptransfer.trials.identity import ParameterReading

_DAMAGED = ["null", "5", "-1", '"text"', "{}", "[]", "NaN", "true", '{"parameters": 5}', '{"width": [], "reading": {}}']
_UNREADABLE = ["", "[1]", "\x00", '{"a": ' * 100_000]


class _Pool:
    """Answers every task with the same value and counts."""

    def __init__(self, value: Any) -> None:
        self.value, self.tasks = value, list[str]()

    def submit(self, task_id: str, payload: Mapping[str, Any], *, limited: bool = True) -> None:
        """Take a task."""
        self.tasks.append(task_id)

    def next_result(self) -> Success:
        """The answer to the last task."""
        return Success(self.tasks[-1], self.value, 0.0)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedRecipe:
    """A shipped recipe."""
    path = tmp_path / "recipe.yaml"
    path.write_text(template("quickstart").read_text())
    return load_recipe(path)


def _damage(path: Path, value: str) -> None:
    """Put a value, JSON text, under every key of a cache."""
    keys = json.loads(path.read_text())
    path.write_text("{" + ", ".join(f"{json.dumps(key)}: {value}" for key in keys) + "}")


@pytest.mark.parametrize("value", _DAMAGED)
def test_damaged_values_are_made_anew(tmp_path: Path, loaded: LoadedRecipe, value: str) -> None:
    """Readings, counts of FLOPs and measurements of diagnostics are as they were before the damage."""
    paths = [tmp_path / name for name in ("readings.json", "flops.json", "measured.json")]
    before = _all(loaded, paths)

    for path in paths:
        _damage(path, value)

    assert _all(loaded, paths) == before
    assert all("width" in kept for kept in json.loads(paths[0].read_text()).values())


@pytest.mark.parametrize("text", _UNREADABLE, ids=["empty", "list", "NUL", "deep"])
def test_unreadable_files_are_made_anew(tmp_path: Path, text: str) -> None:
    """As if there were none."""
    path = tmp_path / "cache.json"
    path.write_text(text)

    found = MeasurementCache(path).fill(["a"], lambda keys: dict.fromkeys(keys, 1), lambda _, value: value == 1)

    assert found == {"a": 1}
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_folder_in_its_place_is_the_users_fault(tmp_path: Path) -> None:
    """It is not removed."""
    with pytest.raises(UsageError):
        MeasurementCache(tmp_path).fill(["a"], lambda keys: dict.fromkeys(keys, 1), lambda *_: True)


def test_readings_of_another_size_are_not_believed(tmp_path: Path, loaded: LoadedRecipe) -> None:
    """Values under exchanged keys."""
    path = tmp_path / "readings.json"
    before = _readings(loaded, path)
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(dict(zip(kept, [*list(kept.values())[1:], next(iter(kept.values()))], strict=True))))

    assert _readings(loaded, path) == before
    assert json.loads(path.read_text()) == kept


def test_what_is_sound_is_not_measured_again(tmp_path: Path, loaded: LoadedRecipe) -> None:
    """Negative control."""
    path, pool = tmp_path / "measured.json", _Pool({"size": _PAYLOAD["size"], "seed": 0, "x": 1})
    for _ in range(2):
        measure({"a": _PAYLOAD}, pool, path, "must")  # type: ignore[arg-type]
        Costs(loaded.recipe, loaded.root, _Pool({"flops": [5.0]}), tmp_path / "f.json").of_target()  # type: ignore[arg-type]

    assert pool.tasks == ["a"]


_PAYLOAD = {"size": {"width": 8, "depth": 1, "batch": 2, "tokens": 64}, "seed": 0}


def _all(loaded: LoadedRecipe, paths: Sequence[Path]) -> tuple[Any, ...]:
    recipe, answer = loaded.recipe, {"size": _PAYLOAD["size"], "seed": 0, "x": 1}
    costs = Costs(recipe, loaded.root, _Pool({"flops": [5.0]}), paths[1])  # type: ignore[arg-type]
    measured = measure({"a": _PAYLOAD}, _Pool(answer), paths[2], "must")  # type: ignore[arg-type]
    return _readings(loaded, paths[0]), costs.of_target(), measured


def _readings(loaded: LoadedRecipe, path: Path) -> tuple[ParameterReading, ...]:
    readings, sizes = Readings(loaded.recipe, loaded.root, None, path), loaded.recipe.sizes
    return readings.layers(), *(readings.at(width, loaded.recipe.proxy.depth) for width in sizes.widths)
