"""Two versions of recipes with files of a run folder, as `diff` is given them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.scope import CoverageRecord, IntervalRecord, ScopeRecord
from hptransfer.commands.diff import diff_command
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import load_recipe
from hptransfer.verdict import Verdict
from tests.support.transfer_files import transfer_file
from tests.support.tuned_results import tuned_result

if TYPE_CHECKING:
    import pytest


def version(name: str, files: Mapping[str, str]) -> Path:
    """A folder with files."""
    for file, text in files.items():
        path = Path(name) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Path(name).absolute()


def found(
    capsys: pytest.CaptureFixture[str],
    base: str,
    head: str,
    paths: list[str] | None = None,
    *,
    status: int = 0,
    trust: bool = False,
) -> list[dict[str, Any]]:
    """The recipes of the JSON document, after a comparison that ends with a status."""
    assert diff_command(base, head, paths, "json", trust) == status
    recipes: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["recipes"]
    return recipes


def with_evidence(
    folder: Path,
    *,
    verdict: Verdict = Verdict.TRANSFERS,
    standing: str = "covered",
    rate: float = 0.03125,
    recipe: str = "r.yaml",
) -> None:
    """Files of a run folder that `tune` and `check` might have written for the recipe as it is."""
    loaded = load_recipe(folder / recipe)
    runs = folder / "runs" / loaded.recipe.name
    runs.mkdir(parents=True, exist_ok=True)
    tuned_result(
        recipe=loaded.recipe.name,
        recipe_hash=loaded.hash,
        hyperparameters=defaults(loaded.recipe.training) | {"learning_rate": rate},
        recommended={"learning_rate": rate},
    ).write(runs / "tuned.yaml")
    target = loaded.recipe.sizes.target
    axes = tuple(
        CoverageRecord(axis=axis, value=float(value), largest=512.0, standing=standing, cost=None, reason="measured")  # type: ignore[arg-type]  # one of them
        for axis, value in (("width", target.width), ("depth", target.depth))
    )
    unknown = IntervalRecord(estimate=None, low=None, high=None, bounded=False)
    scope = ScopeRecord(
        covered=standing == "covered",
        accepted=standing == "accepted",
        settled=standing != "not covered",
        axes=axes,
        cost=None,
        unit="doublings of compute",
        optimum=unknown,
        gain=None,
        sentence="it is so",
        hyperparameter="learning_rate",
        value=rate,
    )
    changed = {"recipe": loaded.recipe.name, "recipe_hash": loaded.hash, "verdict": verdict, "target": scope}
    transfer_file().model_copy(update=changed).write_json(runs / "transfer.json")


def git(*arguments: str, folder: Path = Path()) -> None:
    """Runs git as a user of the repository would."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)
