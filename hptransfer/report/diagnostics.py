"""What diagnostics found, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hptransfer.diagnostics.base import Columns, Diagnosed, Line
from hptransfer.report.plot import glyphs_of

if TYPE_CHECKING:
    from rich.console import Console


def print_diagnosed(diagnosed: Diagnosed, console: Console) -> None:
    """Print lines and tables of one diagnostic; nothing where it had too little to judge.

    Args:
        diagnosed: lines and tables of one diagnostic.
        console: where to print; plain ASCII where its encoding is not UTF-8.
    """
    plus_minus = glyphs_of(console).plus_minus
    for shown in diagnosed.shown:
        if isinstance(shown, Line):
            console.print(Text(shown.text.replace("±", plus_minus), shown.style), soft_wrap=not shown.wraps)
        else:
            console.print(_table(shown, plus_minus))


def _table(columns: Columns, plus_minus: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns.header):
        table.add_column(name, justify="left" if index < columns.left else "right")
    for row in columns.rows:
        table.add_row(*(Text(cell.replace("±", plus_minus)) for cell in row))
    return table
