"""`python -m hptransfer` and the console script."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line and exit with its status (docs/exit-status.md)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character gets a "?", not a crash

    from hptransfer.cli.boundary import guarded

    def command_line() -> int:
        from hptransfer.cli.app import app

        app(prog_name="hptransfer")
        return 0

    sys.exit(guarded(command_line))


if __name__ == "__main__":
    main()
