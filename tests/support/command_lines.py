"""Command lines of pages and examples, read by the command line itself without running them."""

from __future__ import annotations

import shlex

import click
import typer

from hptransfer.cli.app import app


def parsed(line: str) -> click.Context:
    """The line as the program takes it.

    Args:
        line: `hptransfer COMMAND ...`, as one writes it in a shell.

    Raises:
        UsageError: of click: there is no such command, option or value.
    """
    program, *words = shlex.split(line)
    assert program == "hptransfer", line
    group = typer.main.get_command(app)
    context = group.make_context(program, words)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context.protected_args, *context.args])
        assert command is not None, line
        context = command.make_context(name, rest, parent=context)
    return context
