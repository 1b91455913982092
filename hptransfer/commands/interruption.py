"""How a run is asked to stop: Ctrl-C, or a request that `hptransfer stop` leaves in the run folder."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SAID = b"\nstopping: running trials end first, no other starts; Ctrl-C again stops at once\n"


@contextlib.contextmanager
def first_interrupt_noted() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, the next one interrupts as usual."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        # not the handler of before, which ignores Ctrl-C where a shell started this process in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupted.set()
        with contextlib.suppress(OSError):  # not print: a signal may arrive in the middle of one
            os.write(2, _SAID)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
