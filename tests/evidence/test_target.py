"""`target.yaml` against the evidence beside it, and who else asks: `scale`, `check`, `load_plan`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import hptransfer
from hptransfer.cli.app import app
from hptransfer.commands.scale import scale_command
from hptransfer.errors import RefusedError
from tests.support.kept_evidence import Kept


def _first_rate(content: Any) -> None:
    content["parameters"][0]["learning_rate"] *= 4


EDITS: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "a row's rate": (_first_rate, "other-target", "parameters[0].learning_rate"),
    "a hyperparameter": (
        lambda content: content["hyperparameters"].update(learning_rate=0.9),
        "other-target",
        "hyperparameters.learning_rate 0.9",
    ),
    "the verdict": (lambda content: content["verdict"].update(sentence="All is well."), "other-target", "verdict"),
    "the scope": (lambda content: content["scope"].update(covered=True), "other-target", "scope.covered true"),
    "another identity": (
        lambda content: content["provenance"].update(identity="0" * 64),
        "stale-target",
        "provenance.identity 00000000",
    ),
    "forced for nothing": (
        lambda content: content["verdict"].update(forced=True, objections=["it was late"]),
        "other-target",
        "it was late; nothing speaks against it now",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_target_is_refused_by_name(tmp_path: Path, case: str) -> None:
    """The target is made again from the evidence, row by row."""
    change, code, said = EDITS[case]
    kept = Kept(tmp_path)
    kept.edit("target.yaml", change)
    found = kept.found()

    assert said in found[f"evidence/{code}"]
    assert "target.yaml" in found[f"evidence/{code}"]


def test_a_forced_target_is_a_warning(tmp_path: Path) -> None:
    """With what spoke against it; an error with `--strict`. As if it were not forced it is an error."""
    kept = Kept(tmp_path, "completep-gpt")
    assert "it was forced: the check says INCONCLUSIVE" in kept.warned()["evidence/forced-target"]
    assert "evidence/forced-target" in kept.found(strict=True)

    kept.edit("target.yaml", lambda content: content["verdict"].update(forced=False, objections=[]))
    assert "must be supported by the evidence" in kept.found()["evidence/other-target"]


def _scale(kept: Kept, **options: Any) -> int:
    given: dict[str, Any] = dict.fromkeys(("width", "depth", "batch_size", "tokens", "output")) | {"force": False}
    given |= options
    return scale_command(str(kept.recipe), kept.root / "kept", **given)


REFUSED: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "the tuned rate": (
        "tuned.yaml",
        lambda content: [content[name].update(learning_rate=0.9) for name in ("recommended", "hyperparameters")],
        "learning_rate 0.9, computed again",
    ),
    "the verdict's cost": (
        "transfer.json",
        lambda content: content["axes"][0]["cost"].update(estimate=0.0),
        "axes[0].cost.estimate 0.0, computed again",
    ),
    "torch's version": (
        "transfer.json",
        lambda content: content["provenance"].update(torch=["9.9"]),
        'provenance.torch[0] "9.9"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_scale_refuses_what_was_edited(tmp_path: Path, case: str) -> None:
    """Each line of findings.md, section 4: refused by name, and in the file where it is forced."""
    name, change, said = REFUSED[case]
    kept = Kept(tmp_path)
    kept.edit(name, change)

    with pytest.raises(RefusedError) as refused:
        _scale(kept)
    assert said in str(refused.value.findings[0].received)
    assert _scale(kept, force=True) == 0
    with pytest.warns(UserWarning, match="FORCED: it was written although the evidence does not support it"):
        hptransfer.load_plan(kept.file("target.yaml"))


def test_scale_names_changed_data(tmp_path: Path) -> None:
    """Data that changed after the check."""
    kept = Kept(tmp_path)
    (tmp_path / "texts" / "1.txt").write_text("others " * 900)

    with pytest.raises(RefusedError) as refused:
        _scale(kept)
    assert "content of the data: sha256" in str(refused.value.findings[0].received)


def test_scale_uses_what_holds_and_says_what_carries_no_trials(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """The negative control; a file without trials cannot be computed again, which the target says."""
    kept = Kept(tmp_path)
    assert _scale(kept) == 0
    assert "carry no trials" not in kept.file("target.yaml").read_text()
    hptransfer.load_plan(kept.file("target.yaml"))
    assert not [each for each in recwarn if "FORCED" in str(each.message)]

    kept.without_trials("tuned.yaml")
    assert _scale(kept) == 0
    assert "tuned.yaml carry no trials" in kept.file("target.yaml").read_text()


def test_the_level_needs_no_search_library(tmp_path: Path) -> None:
    """A check of evidence imports no Optuna."""
    kept = Kept(tmp_path, "mup-sgd")
    code = (
        "import sys; from hptransfer.linting.levels.base import ValidationOptions as O; "
        "from hptransfer.linting.validate import validate; from pathlib import Path; "
        f"v = validate({str(kept.recipe)!r}, O(('static', 'evidence'), runs=Path({str(kept.root / 'kept')!r}))); "
        "assert not v.errors, v.errors; assert 'optuna' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _verify(kept: Kept, *options: str, recipe: Path | None = None) -> Result:
    arguments = ["verify", str(recipe or kept.recipe), "0.9", "--runs", str(kept.root / "kept"), *options]
    return CliRunner().invoke(app, arguments)


def test_verify_refuses_what_was_edited(tmp_path: Path) -> None:
    """As `scale` does, by file and field; forced, the comparison says so, and a prediction by its path is not asked."""
    kept = Kept(tmp_path, "muon-gpt")
    held = _verify(kept)
    assert held.exit_code == 0, held.output
    assert held.stdout.startswith("INSIDE: ")
    assert "FORCED" not in held.stdout

    kept.edit("transfer.json", lambda content: content["axes"][0]["cost"].update(estimate=7.0))
    refused, forced = _verify(kept), _verify(kept, "--force")
    assert refused.exit_code == 1
    said = refused.output
    assert "transfer.json" in said
    assert "axes[0].cost.estimate 7.0, computed again" in said
    assert forced.exit_code == 0, forced.output
    assert "axes[0].cost.estimate 7.0" in forced.stdout.partition("FORCED")[2]
    assert "FORCED" not in _verify(kept, recipe=kept.file("target.yaml")).stdout


def test_verify_refuses_what_is_stale(tmp_path: Path) -> None:
    """The recipe trains longer than what was checked."""
    kept = Kept(tmp_path, "muon-gpt")
    kept.recipe.write_text(kept.recipe.read_text().replace("steps: 12", "steps: 24"))
    refused = _verify(kept)

    assert refused.exit_code == 1
    assert "transfer was checked with another version of the recipe" in refused.output
