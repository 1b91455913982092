from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hptransfer.cli.boundary import guarded
from hptransfer.errors import Finding, MachineError, Place, RecipeError, RefusedError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException) -> Callable[[], int]:
    """A command that fails with `error`."""

    def command() -> int:
        raise error

    return command


def test_the_status_of_a_command_is_kept() -> None:
    """What the command returns is the exit status."""
    assert guarded(lambda: 3) == 3


FULL = OSError(errno.ENOSPC, "No space left on device", "runs/x")
DENIED = PermissionError(errno.EACCES, "Permission denied", "f")
MISSING = FileNotFoundError(errno.ENOENT, "No such file", "x")
NO_TORCH = ModuleNotFoundError("No module named 'torch'", name="torch")
NO_MODULE = ModuleNotFoundError("No module named 'hptransfer.x'", name="hptransfer.x")
DEFECT = "error: this is a defect of hptransfer\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("no", received="0", hint="write 1"), 2, "error: no\n  received: 0\n\nhint: write 1\n"),
        (RefusedError("no"), 1, "error: no\n"),
        (MachineError("full"), 4, "error: full\n"),
        (KeyboardInterrupt(), 130, "error: stopped by Ctrl-C\n\nhint: run the same command again"),
        (MemoryError(), 4, "error: the machine must have enough memory\n"),
        (FULL, 4, "error: the disk must have room\n  received: runs/x: No space left"),
        (DENIED, 4, "error: the file must be accessible\n  received: f: Permission denied"),
        (NO_TORCH, 4, "error: `import torch` must work\n"),
        (NO_MODULE, 70, DEFECT),
        (ValueError("boom"), 70, DEFECT + "  received: ValueError: boom\n\nhint: set HPTRANSFER_TRACEBACK=1"),
        (MISSING, 70, DEFECT),
        (SystemExit(5), 5, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failures(error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of failure has its exit status and its words on stderr, nothing on stdout, and no traceback."""
    assert guarded(raising(error)) == status

    output = capsys.readouterr()
    assert output.err.startswith(said)
    assert "Traceback" not in output.err
    assert output.out == ""


def test_all_findings_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Several findings are told one after another, then counted."""
    findings = [Finding("first", place=Place("r.yaml", 1, 2)), Finding("second", hint="do")]

    assert guarded(raising(RecipeError(findings))) == 2
    assert capsys.readouterr().err == "error: r.yaml:1:2: first\n\nerror: second\n\nhint: do\n\n2 errors\n"


def test_traceback_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """HPTRANSFER_TRACEBACK=1 shows where a defect is, and never the values of variables."""
    monkeypatch.setenv("HPTRANSFER_TRACEBACK", "1")
    secret = "hunter" + "2"

    def command() -> int:
        password = secret
        raise ValueError(len(password))

    assert guarded(command) == 70
    text = capsys.readouterr().err
    assert "Traceback (most recent call last):" in text
    assert secret not in text


def test_control_characters_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Text from a file cannot steer the terminal."""
    guarded(raising(UsageError("a\x1b[2Jb", received="c\rd")))

    assert capsys.readouterr().err == "error: a[2Jb\n  received: c d\n"


def test_sigterm(capsys: pytest.CaptureFixture[str]) -> None:
    """SIGTERM ends the command with 143 after its `finally` blocks, and the former handler is put back."""
    cleaned = []
    before = signal.getsignal(signal.SIGTERM)

    def command() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)
        return 0

    assert guarded(command) == 143
    assert cleaned == [True]
    assert capsys.readouterr().err.startswith("error: stopped by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) is before


def child(code: str, **streams: object) -> tuple[int, str]:
    """Exit status and stderr of a child that runs `code` behind the boundary."""
    script = f"import sys, os, signal, errno\nfrom hptransfer.cli.boundary import guarded\n{code}"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        **streams,  # type: ignore[call-overload]  # the streams differ by test
    )
    _, text = process.communicate()
    return process.returncode, text


def test_closed_pipe_is_quiet() -> None:
    """`hptransfer ... | head` ends with the status of SIGPIPE and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)

    assert child("sys.exit(guarded(lambda: print('x' * 100000) or 0))", stdout=writer) == (141, "")
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_behind_stdout() -> None:
    """Output that cannot be written is an error, not a success."""
    with Path("/dev/full").open("w") as full:
        status, text = child("sys.exit(guarded(lambda: print('x') or 0))", stdout=full)

    assert status == 4
    assert text.startswith("error: the disk must have room\n  received: No space left on device\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_from_outside(number: signal.Signals) -> None:
    """A child that is interrupted or terminated exits with 128 plus the signal's number."""
    code = f"sys.exit(guarded(lambda: os.kill(os.getpid(), {int(number)}) or signal.pause() or 0))"

    status, text = child(code)

    assert status == 128 + number
    assert "run the same command again" in text


def test_numbers_are_coloured_with_the_level(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal the first word with its number, and no other place that says `error:`."""
    monkeypatch.setattr("hptransfer.cli.boundary._colour", lambda: True)
    found = [Finding("`error: x` must hold", id="HPT112"), Finding("no")]

    assert guarded(raising(RecipeError(found))) == 2
    assert capsys.readouterr().err == (
        "\x1b[1;31merror[HPT112]:\x1b[0m `error: x` must hold\n\n\x1b[1;31merror:\x1b[0m no\n\n2 errors\n"
    )
