"""One look-up for everything that has names: a folder is the list, entry points and paths add to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.registry import Registry, written_as_file
from tests.support.plugins import install

#: the tables of the parameterization room serve as a folder that is known to hold several modules
FOLDER = Registry[object]("table", "hptransfer.parameterization.tables", "__name__")
OPEN = Registry[object]("table", "hptransfer.parameterization.tables", "__name__", group="hptransfer.tests.nothing")


def test_the_modules_of_a_folder_are_its_names() -> None:
    """Underscores are written as hyphens, as users type them."""
    assert {"complete-d-p", "u-mup", "mup"} <= set(FOLDER.names)


def test_names_are_known_without_imports() -> None:
    """`--help` shows names, and must load no entry's libraries."""
    code = (
        "import sys; from hptransfer.registry import Registry as R; "
        "assert 'loop' in R('x', 'hptransfer.training', 'X').names; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_built_in_entry_is_looked_up_by_its_name() -> None:
    """The attribute of the module with that name."""
    assert FOLDER.look_up("u-mup") == "hptransfer.parameterization.tables.u_mup"


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    """The rule lists the names, the hint has the nearest one."""
    with pytest.raises(UsageError) as caught:
        FOLDER.look_up("mupp")

    assert caught.value.findings[0].received == "mupp"
    assert caught.value.findings[0].hint == "did you mean `mup`?"


def test_capitals_are_no_other_name() -> None:
    """Papers write muP, the table is called mup."""
    with pytest.raises(UsageError) as caught:
        FOLDER.look_up("muP")

    assert caught.value.findings[0].hint == "did you mean `mup`?"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("net.py", "net"), ("./net.py", "net"), ("models/net.py", "models.net"), ("models/net", "models.net")],
)
def test_a_module_named_by_its_file(written: str, meant: str) -> None:
    """The reference that was meant, not a package to install."""
    with pytest.raises(UsageError) as caught:
        OPEN.look_up(f"{written}:Net")

    assert str(caught.value.findings[0].hint).startswith(f"did you mean `{meant}:Net`?")


def test_a_module_named_by_its_whole_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Below the current folder it has a place there; elsewhere only its own name is known."""
    monkeypatch.chdir(tmp_path)

    assert str(written_as_file(f"{tmp_path}/sub/net.py", "Net")).startswith("did you mean `sub.net:Net`?")
    assert str(written_as_file("/elsewhere/net.py", "Net")).startswith("did you mean `net:Net`?")
    assert written_as_file("sub.net", "Net") is None


def test_a_path_is_looked_up_only_where_users_may_add_entries() -> None:
    """`module:attribute` names anything importable; a closed list takes none."""
    assert OPEN.accepts("math:pi")
    assert OPEN.look_up("math:pi") == pytest.approx(3.14159265)
    assert not FOLDER.accepts("math:pi")
    with pytest.raises(UsageError, match="must be one of"):
        FOLDER.look_up("math:pi")


def test_a_path_that_cannot_be_imported_is_a_users_error() -> None:
    """The message names what was asked for."""
    with pytest.raises(UsageError, match="must be importable"):
        OPEN.look_up("hptransfer_nowhere:thing")


def test_the_repair_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not there, one without the attribute, and one that fails have different repairs."""
    (tmp_path / "own_entries.py").write_text("EXPORTER = 1\n")
    (tmp_path / "broken_entries.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def hint(name: str) -> str | None:
        with pytest.raises(UsageError) as caught:
            OPEN.look_up(name)
        return caught.value.findings[0].hint

    assert (
        hint("nowhere_entries:X")
        == "run the command in the folder of the module, put the module beside the recipe, or install it"
    )
    assert hint("own_entries:EXPORTR") == "did you mean `own_entries:EXPORTER`?"
    assert hint("own_entries:SOMETHING") == "define `SOMETHING` in own_entries"
    assert hint("broken_entries:X") == (
        "correct broken_entries: `python -c 'import broken_entries'` shows where it fails"
    )


def test_an_entry_points_reference_is_where_it_is_defined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the code behind an installed name counts as the code behind a path does."""
    entries = {"hptransfer.tests.nothing": {"mine": "own_entries:EXPORTER"}}
    install(monkeypatch, tmp_path, "own_entries", "EXPORTER = 1\n", entries)

    assert OPEN.reference("mine") == "own_entries:EXPORTER"
    assert OPEN.reference("math:pi") == "math:pi"
    assert OPEN.reference("mup") is None
