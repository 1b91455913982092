"""The examples of docs/python.md run as they stand."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hptransfer
from hptransfer.testing.diagnostics import DiagnosticConformance

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
PLANNING, JUDGING, DIAGNOSTIC = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that has no defaults here is planned, and its plan saved as a target that reads back."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planning.py").write_text(f"import hptransfer, transformers\n{PLANNING}")
    plan = runpy.run_path(str(tmp_path / "planning.py"))["plan"]
    loaded = hptransfer.load_plan("target.yaml")

    assert loaded.groups == tuple(
        replace(group, rules=mine.rules, sources=mine.sources)
        for group, mine in zip(plan.groups, loaded.groups, strict=True)
    )
    assert loaded.training is not None
    assert loaded.training.steps == 10_000


def test_judging_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ladder without drift transfers, and its optimum is 2^-8 at every width."""
    (tmp_path / "judging.py").write_text(JUDGING)
    report = runpy.run_path(str(tmp_path / "judging.py"))["report"]

    assert isinstance(report, hptransfer.TransferReport)
    assert report.verdict is hptransfer.Verdict.TRANSFERS
    assert capsys.readouterr().out.startswith("TRANSFERS 0\nwidth ")
    assert [size.optimum.value for size in report.axes[0].sizes] == pytest.approx([2.0**-8] * 4, rel=0.01)


def test_every_public_name_is_loaded_and_listed() -> None:
    """`__all__`, the lazy table and the type checker's imports name the same things."""
    assert sorted({*hptransfer._PUBLIC, "__version__"}) == sorted(hptransfer.__all__)
    assert all(getattr(hptransfer, name) is not None for name in hptransfer.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Neither torch nor optuna, and nothing else that takes a moment."""
    heavy = ("torch", "optuna", "numpy", "scipy", "pydantic", "yaml", "typer")
    code = f"import sys, hptransfer; print([name for name in {heavy} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class TestDiagnosticOfThePage(DiagnosticConformance):
    """The page's diagnostic keeps the promises of the suite."""

    name = "page_diagnostic:DIAGNOSTIC"

    @pytest.fixture(autouse=True)
    def importable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The page's code as a module."""
        (tmp_path / "page_diagnostic.py").write_text(DIAGNOSTIC)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "page_diagnostic", raising=False)
