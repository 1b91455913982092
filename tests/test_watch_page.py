"""The example of docs/watch.md runs as it stands, and ends as the page says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from hptransfer.cli.app import app

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "watch.md").read_text(encoding="utf-8")
LOOP, _ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
(CONSOLE,) = re.findall(r"```console\n\$ (.*?)\$ echo \$\?\n(?:\d)\n```", PAGE, flags=re.DOTALL)


def test_the_loop_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard parameterization fails, for the reason and with the layers that the page shows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.py").write_text(LOOP)
    runpy.run_path(str(tmp_path / "loop.py"))
    monkeypatch.setenv("COLUMNS", "120")
    result = CliRunner().invoke(app, CONSOLE.splitlines()[0].split()[1:])

    assert result.exit_code == 1
    # slopes may differ between machines in their last digits
    shown, printed = (re.sub(r"[+-]?\d\.\d+", "#", text) for text in (CONSOLE, result.stdout))
    assert shown.split("\n", 1)[1].split() == printed.split()
