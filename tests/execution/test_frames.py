"""The last calls in the user's code, from a traceback and from a crash."""

from __future__ import annotations

import importlib
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from hptransfer.execution.outcome import stacks, user_frames

MODEL = """\
import json
def build(text):
    return read(text)
def read(text):
    return json.loads(text)
def convert(text):
    try:
        return read(text)
    except ValueError as error:
        from hptransfer.recipe.quantities import seconds
        seconds(text)
def crash():
    import ctypes; ctypes.string_at(0)
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The user's module."""
    (tmp_path / "a_users_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("a_users_model", None)
    return importlib.import_module("a_users_model")


def details(function: object, argument: str) -> str:
    """The traceback of a call that fails."""
    assert callable(function)
    try:
        function(argument)
    except Exception:  # whatever it raises is what is read
        return traceback.format_exc()
    raise AssertionError("it should have failed")


def test_the_users_calls_are_shown_and_the_librarys_are_not(model: ModuleType, tmp_path: Path) -> None:
    """Json raises, but the user's line that called it is the place."""
    *_, outer, inner = user_frames(details(model.build, "{"))

    assert str(outer) == f"{tmp_path}/a_users_model.py:3 in build: return read(text)"
    assert str(inner) == f"{tmp_path}/a_users_model.py:5 in read: return json.loads(text)"


def test_at_most_as_many_calls_as_asked_for(model: ModuleType) -> None:
    """The innermost ones."""
    assert [frame.function for frame in user_frames(details(model.build, "{"), most=1)] == ["read"]


def test_of_a_chain_the_last_stack_with_the_users_code_counts(model: ModuleType) -> None:
    """An error raised while another was handled has two stacks; the later one names the line that raised in the end."""
    text = details(model.convert, "{")

    assert len(stacks(text)) == 2
    assert user_frames(text)[-1].function == "convert"
    assert user_frames(text)[-1].source == "seconds(text)"


def test_a_crash_has_a_place(tmp_path: Path, model: ModuleType) -> None:
    """Faulthandler lists the innermost call first; the place is the user's line all the same."""
    code = "import a_users_model; a_users_model.crash()"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    (frame,) = user_frames(done.stderr)
    assert (Path(frame.file).name, frame.line, frame.function) == ("a_users_model.py", 13, "crash")


def test_without_a_stack_there_is_no_place() -> None:
    """Whatever else a process wrote."""
    assert user_frames("Killed\n") == ()
    assert user_frames("") == ()


def test_code_of_a_library_alone_still_has_a_place() -> None:
    """Where nothing of the user's is on the stack, the innermost call is shown."""
    frame = user_frames('Traceback (most recent call last):\n  File "<frozen runpy>", line 3, in _run\nKeyError: 1\n')

    assert [str(each) for each in frame] == ["<frozen runpy>:3 in _run"]
