"""The program: its commands in the order of the journey, each declared by its own module in `commands/`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from hptransfer.cli.choices import Command
from hptransfer.cli.moved import CheckCommand
from hptransfer.cli.registration import as_command

#: modules of `commands/`, in the order in which help lists them; `study_x` is `study x`
COMMANDS = (
    "init",
    "validate",
    "diff",
    "schema",
    "plan",
    "cost",
    "tune",
    "check",
    "judge",
    "scale",
    "export",
    "verify",
    "lint",
    "rule",
    "rules",
    "run",
    "status",
    "retry",
    "stop",
    "worker",
    "slurm",
    "study_init",
    "study_status",
)

app = typer.Typer(
    name="hptransfer",
    help="Tune hyperparameters on a small proxy, check that the optimum transfers across width and depth, "
    "and write the configuration of the large run.",
    epilog="Exit status: 0 it holds, 1 it does not hold, 2 it could not be run, 3 no answer, 4 machine or storage.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: fast, and the same in a terminal and a log
    pretty_exceptions_enable=False,  # the boundary prints errors; a traceback with locals could show secrets
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_study = typer.Typer(help="Studies that many machines share.", no_args_is_help=True, rich_markup_mode=None)


def _print_version(asked: bool) -> None:
    if asked:
        from hptransfer.provenance import tool_version

        typer.echo(f"hptransfer {tool_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


def function_of(name: str) -> Callable[..., int]:
    """The function that declares a command.

    Args:
        name: of the command, one of `COMMANDS`.
    """
    function: Callable[..., int] = getattr(import_module(f"hptransfer.commands.{name}"), f"{name}_command")
    return function


for _name in COMMANDS:
    _group, _, _word = _name.rpartition("_")
    _parser = CheckCommand if _name == "check" else Command
    (_study if _group else app).command(_word, cls=_parser)(as_command(_word, function_of(_name)))
app.add_typer(_study, name="study")
