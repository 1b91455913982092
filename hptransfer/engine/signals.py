"""How running trials are told to stop: Ctrl-C and SIGTERM are noted, and seen at the next look.

Raised as exceptions they could arrive inside a destructor or a driver's callback, which swallows them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from hptransfer.errors import Terminated

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
            Terminated: SIGTERM arrived.
        """
        if self.terminated:
            raise Terminated


@contextlib.contextmanager
def signals_noted() -> Iterator[Interruption]:
    """The first Ctrl-C and SIGTERM are noted; another Ctrl-C interrupts as usual, another SIGTERM ends the process."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note_interrupt(number: int, frame: FrameType | None) -> None:
        # not the handler of before, which ignores Ctrl-C where a shell started this process in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interruption.asked = True
        with contextlib.suppress(OSError):  # not print: a signal may arrive in the middle of one
            os.write(2, _SAID)

    def note_termination(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        interruption.terminated = True

    notes = {signal.SIGINT: note_interrupt}
    if callable(signal.getsignal(signal.SIGTERM)):  # else nobody in this process would understand `Terminated`
        notes[signal.SIGTERM] = note_termination
    before = {number: signal.signal(number, note) for number, note in notes.items()}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            if number == signal.SIGINT or not interruption.terminated:  # another SIGTERM still ends the process
                signal.signal(number, handler)
