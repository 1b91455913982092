"""What Ctrl-C and SIGTERM do while a command runs: an exception at once, or a note that is obeyed where it is safe.

While trials run, signals are noted: raised as exceptions they could arrive inside a destructor or a driver's callback,
which swallows them. Handlers belong to the main thread; in another one nothing is installed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from hptransfer.errors import Terminated

_Handler = Callable[[int, FrameType | None], object]

_SAID = b"\nstopping: running trials end first, no other starts; Ctrl-C again stops at once\n"


class Interruption:
    """What signals asked for so far.

    Attributes:
        asked: the first Ctrl-C arrived: no further trial is wanted.
        terminated: SIGTERM arrived: running trials are not waited for.
    """

    def __init__(self) -> None:
        self.asked = False
        self.terminated = False

    def raise_if_signalled(self) -> None:
        """To be called where it is safe to stop.

        Raises:
            Terminated: SIGTERM arrived since it began.
        """
        if self.terminated:
            raise Terminated


class SignalledError(Exception):
    """A signal asked a process to end; raised by `FirstSignal.raise_if_signalled`.

    Args:
        number: the signal's number, for example 15.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class FirstSignal:
    """The first signal that arrived.

    Attributes:
        number: of the signal; 0 before one arrived.
    """

    def __init__(self) -> None:
        self.number = 0

    def raise_if_signalled(self) -> None:
        """To be called where it is safe to stop.

        Raises:
            SignalledError: a signal arrived since it began.
        """
        if self.number:
            raise SignalledError(self.number)


def sigterm_raises() -> contextlib.AbstractContextManager[None]:
    """SIGTERM raises `Terminated` in the main thread at once; a second one ends the process."""

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    return _installed({signal.SIGTERM: terminate})


@contextlib.contextmanager
def first_signal_noted() -> Iterator[FirstSignal]:
    """The first Ctrl-C or SIGTERM is noted; a second one of its kind ends the process at once."""
    noted = FirstSignal()

    def note(number: int, frame: FrameType | None) -> None:
        noted.number = number
        signal.signal(number, signal.SIG_DFL)

    with _installed({signal.SIGINT: note, signal.SIGTERM: note}):
        yield noted


@contextlib.contextmanager
def signals_noted() -> Iterator[Interruption]:
    """The first Ctrl-C and SIGTERM are noted; another Ctrl-C interrupts as usual, another SIGTERM ends the process."""
    interruption = Interruption()

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        # not the handler of before, which ignores Ctrl-C where a shell started this process in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.asked = True
        with contextlib.suppress(OSError):  # not print: a signal may arrive in the middle of one
            os.write(2, _SAID)

    def note_termination(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        interruption.terminated = True

    handlers: dict[int, _Handler] = {signal.SIGINT: note_interrupt}
    if callable(signal.getsignal(signal.SIGTERM)):  # else nobody in this process would understand `Terminated`
        handlers[signal.SIGTERM] = note_termination
    # after a noted SIGTERM another one still ends the process
    with _installed(handlers, restores=lambda number: number == signal.SIGINT or not interruption.terminated):
        yield interruption


@contextlib.contextmanager
def _installed(
    handlers: Mapping[int, _Handler], restores: Callable[[int], bool] = lambda number: True
) -> Iterator[None]:
    """Installs handlers for the time of the block.

    Args:
        handlers: by number of the signal.
        restores: whether the handler of before comes back at the end, by number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if restores(number):
                signal.signal(number, handler)
