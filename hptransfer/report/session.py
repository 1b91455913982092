"""The session of a command: its trials are logged to the user's trackers, its remarks go to stderr."""

from __future__ import annotations

import contextlib
import sys
from functools import partial

from hptransfer.engine.open_session import open_session
from hptransfer.engine.options import TrainingOptions
from hptransfer.engine.session import Session
from hptransfer.errors import printable
from hptransfer.report.tracking import Tracking


def session_of(options: TrainingOptions) -> contextlib.AbstractContextManager[Session]:
    """The session that the command line asks for; see `open_session`.

    Args:
        options: of the command line.
    """

    def say(sentence: str) -> None:
        if not options.quiet:
            print(printable(sentence), file=sys.stderr)

    return open_session(
        options.recipe,
        options.runs,
        options.workers,
        options=options.budget,
        launch=options.launch,
        on_change=options.on_change,
        say=say,
        storage=options.storage,
        listeners=(partial(Tracking, options.log or ()),),
    )
