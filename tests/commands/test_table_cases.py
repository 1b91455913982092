"""Two recipes that users were stuck with: a tied table, and attention that no check saw; the command line, tiny."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, hptransfer

RECIPE = """\
name: {name}
model: {{kind: factory, factory: "table_models:{name}", context: 8}}
data: {{kind: stdlib-text}}
training: {{steps: 3, batch_size: 4, evaluation_batches: 1}}
parameterization: {{name: mup}}
sizes:
  base: {{width: 32, depth: 2}}
  widths: [32, 64]
  target: {{width: 256, depth: 2}}
tune:
  space: {{learning_rate: {{low: 1.0e-3, high: 1.0e-2}}}}
  trials: 3
  confirm_seeds: 1
check: {{octaves: 0.5, spacing: 0.5, seeds: 2, coordinate: {{seeds: 2, steps: [1]}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's models and a recipe for each."""
    made = tmp_path_factory.mktemp("tables")
    shutil.copy(ROOT / "tests" / "support" / "table_models.py", made)
    for name in ("Tied", "TiedScaled", "Seq", "FixedHeads"):
        (made / f"{name}.yaml").write_text(RECIPE.format(name=name))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Tied", "TiedScaled"])
def test_tied_models_go_all_the_way(folder: Path, name: str) -> None:
    """Plan, tune and check run; no gauge has to be named, and nothing is refused after workers were started."""
    planned = hptransfer(folder, "plan", f"{name}.yaml")
    tuned = hptransfer(folder, "tune", f"{name}.yaml", "--quiet")
    checked = hptransfer(folder, "check", f"{name}.yaml", "--quiet")

    assert planned.returncode == tuned.returncode == 0, planned.stderr + tuned.stderr
    assert checked.returncode in (0, 1, 3), checked.stderr
    assert "error" not in planned.stderr + tuned.stderr + checked.stderr
    assert "learning_rate" in (folder / "runs" / name / "tuned.yaml").read_text()
    hook = "`hptransfer.scale_logits(model, plan)` multiplies them by 0.125"
    assert (hook in " ".join(planned.stdout.split())) == (name == "Tied")


@pytest.mark.parametrize("name", ["Seq", pytest.param("FixedHeads", marks=pytest.mark.slow)])
def test_growing_heads_are_seen(folder: Path, name: str) -> None:
    """`plan` and `validate --trust` name them, whether torch's module or a fused call has them."""
    planned = " ".join(hptransfer(folder, "plan", f"{name}.yaml").stdout.split())
    validated = hptransfer(folder, "validate", "--trust", f"{name}.yaml")

    assert "heads grow (8 -> 64): `forward` must scale attention logits by sqrt(8)/64" in planned
    assert validated.returncode == 0
    said = " ".join((validated.stdout + validated.stderr).split())
    assert f"warning[HPT301]: {name}.yaml:2:" in said
    assert "heads grow with the width" in said
