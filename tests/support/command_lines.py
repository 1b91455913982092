"""Command lines of pages and examples, read by the command line itself without running them."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from hptransfer.cli.app import app


def parsed(line: str) -> dict[str, Any]:
    """What the program takes the line for: values by the names of its parameters.

    Args:
        line: `hptransfer COMMAND ...`, as one writes it in a shell.

    Raises:
        Exception: typer's own, a usage error: there is no such command, option or value.
    """
    program, *words = shlex.split(line)
    assert program == "hptransfer", line
    command: Any = typer.main.get_command(app)  # typer has a copy of click inside, whose types it does not offer
    context = command.make_context(program, words)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)
