"""Keeps one program: starts it, ends it with all that it started, and says how it ended.

Run as a file, `python -I -S _keeper.py STATUS COMMAND...`, with nothing of this package, so that it starts in
milliseconds. It lives in a session of its own: whoever kills the worker's group does not kill it, and it ends the
program when the worker is gone. On Linux it inherits every orphan below it, also one that called setsid, so nothing
that the program started outlives it; elsewhere only the program's process group is found.

stdin   open as long as the run is wanted; a line on it is the grace in seconds between SIGTERM and SIGKILL
STATUS  descriptor of the answers: "started PID", then "ended RETURNCODE OTHERS" or "failed ERRNO"
"""

# ruff: noqa: SIM105 - contextlib takes as long to import as all the rest
import _ctypes  # of `ctypes` and `signal` the parts that are written in C: 5 of 17 milliseconds less
import _signal as signal  # type: ignore[import-not-found]  # no stubs of a private module
import errno
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
#: seconds; a process that cannot be killed for so long, as another user's, is left
_PATIENCE = 10.0
#: signals that this process was started without, or that Python ignores by itself
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGCHLD)


def main(status: int, command: list[str]) -> None:
    """Runs the command to its end.

    Args:
        status: descriptor of the answers.
        command: the program and its arguments.
    """
    os.set_inheritable(status, False)
    if sys.platform == "linux":
        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None: this process
        _ctypes.call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setpgroup=0,
            setsigdef=_RESET,
        )
    except OSError as error:
        _say(status, f"failed {error.errno or errno.EIO}")
        return
    _say(status, f"started {pid}")
    code, grace = _watched(pid, wake_read)
    others = _end_all(pid, grace)
    _say(status, f"ended {code if code is not None else -int(signal.SIGKILL)} {others}")


def _watched(pid: int, wake: int) -> tuple[int | None, float]:
    """Waits for the program's end, or until it is not wanted any more; its return code, None while it runs."""
    waiting = select.poll()
    waiting.register(0, select.POLLIN | select.POLLHUP)
    waiting.register(wake, select.POLLIN)
    while True:
        code = _reaped(pid)
        if code is not None:
            return code, 0.0
        ready = [descriptor for descriptor, _ in waiting.poll()]
        if wake in ready:
            os.read(wake, 4096)
        if 0 in ready:
            line = os.read(0, 64).strip()
            return None, float(line) if line else 0.0


def _reaped(pid: int) -> int | None:
    """Buries whoever has ended; the program's return code where it is among them, negative for a signal."""
    code = None
    try:
        while True:
            ended, how = os.waitpid(-1, os.WNOHANG)
            if not ended:
                break
            if ended == pid:
                code = os.waitstatus_to_exitcode(how)
    except ChildProcessError:
        pass
    return code


def _end_all(pid: int, grace: float) -> int:
    """Ends the program and all below it; how many there were besides the program."""
    if grace:
        _sent(os.killpg, pid, signal.SIGTERM)
        end = time.monotonic() + grace
        while time.monotonic() < end and _below(os.getpid()):
            _reaped(pid)
            time.sleep(0.01)
    seen: set[int] = set()
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        _sent(os.killpg, pid, signal.SIGKILL)
        for each in _below(os.getpid()):
            seen.add(each)
            _sent(os.kill, each, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # nobody is left, and whoever had been orphaned would be a child of this process
            break
        time.sleep(0.001)
    return len(seen - {pid})


def _below(root: int) -> list[int]:
    """Every process that descends from one; empty where there is no /proc."""
    parents: dict[int, int] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        try:
            if name.isdecimal():
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue
    found: list[int] = []
    waiting = [root]
    while waiting:
        above = waiting.pop()
        children = [pid for pid, parent in parents.items() if parent == above]
        found += children
        waiting += children
    return found


def _sent(send: "Callable[[int, int], None]", to: int, number: int) -> None:
    """A signal to somebody who may be gone."""
    try:
        send(to, number)
    except (ProcessLookupError, PermissionError):
        pass


def _say(status: int, line: str) -> None:
    try:
        os.write(status, f"{line}\n".encode())
    except OSError:  # nobody listens any more
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
