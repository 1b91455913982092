"""`hptransfer rules`: all rules of recipes, as a table, as the page of docs, or for programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class RulesFormat(StrEnum):
    """How the rules are printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def rules_command(
    output_format: Annotated[
        RulesFormat, typer.Option("--format", help="A table, the page docs/lint.md, or one JSON object.")
    ] = RulesFormat.TEXT,
) -> int:
    """List the rules that `validate` checks.

    Returns:
        0, always.
    """
    from hptransfer.report.rules import as_json, as_markdown, as_table

    render = {RulesFormat.TEXT: as_table, RulesFormat.MARKDOWN: as_markdown, RulesFormat.JSON: as_json}
    for line in render[output_format]():
        print(line)
    return 0
