"""Five recipes across releases of this package, in processes of their own: copies of it in which something changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT
from tests.support.kept_evidence import KEPT, RECIPES

pytestmark = pytest.mark.slow

_TABLE = Path("hptransfer", "parameterization", "tables", "mup.py")
_ROW = 'Source(TP5, "Table 8", "Adam LR"), ONE, IN**-1, ONE'


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    shutil.copytree(ROOT / "hptransfer", tmp_path / "hptransfer", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _codes(release: Path) -> dict[str, set[str]]:
    """Recipe -> codes of its findings on evidence, warnings of other versions left out."""
    recipes = [str(KEPT / f"{name}.yaml") for name in RECIPES]
    arguments = ["validate", *recipes, "--level", "evidence", "--runs", str(KEPT / "kept"), "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "hptransfer", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(release)},
        cwd=release,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["recipes"]
    return {
        Path(each["recipe"]).stem: {one["code"] for one in each["findings"] if one["level"] == "error"}
        for each in found
    }


def test_only_users_of_a_changed_rule_go_stale(release: Path) -> None:
    """The exponent of hidden weights' rate under Adam has two users among the five.

    CompleteP takes muP's row over (arXiv 2505.01618, Table 1); SGD's, the spectral and the standard table have their
    own.
    """
    table = release / _TABLE
    text = table.read_text()
    assert text.count(_ROW) == 1
    table.write_text(text.replace(_ROW, _ROW.replace("IN**-1", "IN**-0.5")))

    found = _codes(release)
    assert {name for name, codes in found.items() if codes} == {"mup-adamw", "completep-gpt"}
    assert found["mup-adamw"] == {"evidence/stale-rules"}
    assert "evidence/stale-rules" in found["completep-gpt"]


def test_across_a_refactoring_none_does(release: Path) -> None:
    """A function is renamed wherever it is used, a table is laid out otherwise, comments come and go."""
    for path in (release / "hptransfer").rglob("*.py"):
        text = path.read_text()
        renamed = re.sub(r"\bname_template\b", "pattern_of_names", text)
        if renamed != text:
            path.write_text(renamed)
    table = release / _TABLE
    table.write_text(f"# laid out anew\n{table.read_text()}\n\n# the end\n")

    assert _codes(release) == {name: set() for name in RECIPES}
