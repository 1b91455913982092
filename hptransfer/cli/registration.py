"""From a command's function to a command of typer: options that travel together expand, errors become exit statuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from shlex import quote
from typing import Any, TypeVar, get_type_hints

import typer

from hptransfer.cli.boundary import guarded
from hptransfer.engine.options import DEFAULT_RUNS, TrainingOptions

Options = TypeVar("Options")


def as_command(name: str, function: Callable[..., int]) -> Callable[..., None]:
    """A function that typer can register: it calls `function` and exits with the status that it returns.

    A parameter whose type is a dataclass expands into that dataclass's fields, those of dataclasses in it too. Each
    field becomes an option by the `typer.Option` in its annotation.

    Args:
        name: the word with which the command is called.
        function: the command; a first parameter of type `TrainingOptions` makes it one that trains.
    """
    signature = inspect.signature(function, eval_str=True)
    together: dict[str, type] = {
        parameter.name: parameter.annotation
        for parameter in signature.parameters.values()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }
    trains = TrainingOptions in together.values()

    def command(**arguments: Any) -> None:
        values = {key: _collected(kind, arguments) for key, kind in together.items()} | arguments
        raise typer.Exit(_trained(name, function, values) if trains else guarded(lambda: function(**values)))

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # where typer looks for parameters
        [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            for each in (_expanded(parameter.annotation) if parameter.name in together else [parameter])
        ]
    )
    command.__doc__ = summary(function)
    return command


def summary(function: Callable[..., object]) -> str:
    """The first paragraph of a function's docstring as one line: a command's help; the rest is for developers."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def _expanded(options: type) -> Iterator[inspect.Parameter]:
    """A parameter for every field of a dataclass."""
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        if is_dataclass(hints[field.name]):
            yield from _expanded(hints[field.name])
        else:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            kind = inspect.Parameter.KEYWORD_ONLY
            yield inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name])


def _collected(options: type[Options], arguments: dict[str, Any]) -> Options:
    """The dataclass of the arguments that are its fields, which are taken out of `arguments`."""
    hints = get_type_hints(options)
    return options(
        **{
            field.name: _collected(hints[field.name], arguments)
            if is_dataclass(hints[field.name])
            else arguments.pop(field.name)
            for field in fields(options)  # type: ignore[arg-type]  # a dataclass, as the caller saw
        }
    )


def _trained(name: str, function: Callable[..., int], values: dict[str, Any]) -> int:
    """Runs a command that trains: its workers start first, and it goes on through restarts of a server."""
    options = next(value for value in values.values() if isinstance(value, TrainingOptions))

    def call() -> int:
        if options.storage is not None:
            from hptransfer.cluster.queue_pool import run_through_restarts

            return run_through_restarts(lambda: function(**values))
        if not (values.get("dry_run") or values.get("time_steps")):
            # before the command's modules: its workers load theirs, torch among them, at the same time
            from hptransfer.engine.process_launch import start_workers

            start_workers(name, options.recipe, options.runs, options.workers, options.launch)
        return function(**values)

    return guarded(call, _named(name, options))


def _named(name: str, options: TrainingOptions) -> str:
    """The command as one would type it, without what may hold a secret."""
    runs = "" if options.runs == DEFAULT_RUNS else f" --runs {quote(str(options.runs))}"
    return f"`hptransfer {name} {quote(options.recipe)}{runs}`, with its other options,"
