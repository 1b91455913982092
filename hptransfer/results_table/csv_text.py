"""Tables in text: cells between commas, semicolons, tabs or bars, and Markdown's tables."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from hptransfer.results_table.cells import ResultTable, without_control_characters
from hptransfer.results_table.malformed import refuse_table, require_few_columns

_DELIMITERS = (",", ";", "\t", "|")
#: characters per cell; W&B exports whole configurations into one cell
_LONGEST_CELL = 2**24


def parse_text(text: str, name: str, *, markdown: bool = False) -> ResultTable:
    """The table in a text; it may be Markdown whatever the file is called.

    Args:
        text: of the whole file.
        name: the file as the user called it.
        markdown: whether text around the table is to be expected.

    Raises:
        UsageError: the text is no table, or several; the line is named.
    """
    tables = _markdown_tables(text)
    if markdown or (tables and tables[0][0] == _first_line(text)):
        return _parse_markdown(tables, name)
    return _parse_csv(text, name)


def _first_line(text: str) -> int:
    """The number of the first line that is not blank, from 1."""
    return text[: len(text) - len(text.lstrip())].count("\n") + 1


def _parse_csv(text: str, name: str) -> ResultTable:
    lines = _without_comments(text)
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda mark: _outside_quotes(first, mark))
    return _by_header(_records(lines, delimiter, name), name)


def _by_header(rows: Iterator[tuple[int, list[str]]], name: str) -> ResultTable:
    at, header = next(rows, (0, []))
    columns, seen = _named(header, name, at), []
    numbers: list[int] = []
    for line, row in rows:
        if len(row) != len(header):
            if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
                rule = f"every row must have the header's {len(header)} cells"
                refuse_table(name, rule, f"{len(row)} cells", line, "quote cells that contain the delimiter")
            row = row[: len(header)]  # noqa: PLW2901  # trailing delimiters without content
        seen.append(row)
        numbers.append(line)
    cells = list(zip(*seen, strict=True)) or [()] * len(header)
    return ResultTable(name, {column: cells[index] for column, index in columns.items()}, numbers)


def _without_comments(text: str) -> list[str]:
    """The lines with comments blanked, so that line numbers stay; a `#` within a quoted cell is no comment."""
    if "#" not in text:
        return list(io.StringIO(text, newline=""))
    lines, quoted = [], False
    for line in io.StringIO(text, newline=""):
        comment = not quoted and line.lstrip().startswith("#")
        lines.append("\n" if comment else line)
        if not comment and line.count('"') % 2:
            quoted = not quoted
    return lines


def _outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])


def _records(lines: list[str], delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            # most rows show with their first cell that they are not blank
            if row and (row[0].strip() or any(cell.strip() for cell in row)):
                yield reader.line_num, row
    except csv.Error as error:
        refuse_table(
            name, "a table must be well-formed CSV", str(error), reader.line_num, "check for an unclosed quote"
        )
    finally:
        csv.field_size_limit(before)


def _named(header: Sequence[str], name: str, line: int) -> dict[str, int]:
    """Column index by name; unnamed columns (pandas' index) are left out."""
    require_few_columns(name, len(header))
    names = [without_control_characters(cell.strip()) for cell in header]
    if names and all(_is_number(cell) for cell in names if cell):
        hint = "add a header line"
        if not names[0] and len(names) > 2:
            hint = "add a header line, or, if these are sizes, name the first column too: lr"
        refuse_table(name, "the first line must name the columns", ", ".join(names)[:80], line, hint)
    twice = next((column for column, count in Counter(names).items() if column and count > 1), None)
    if twice is not None:
        refuse_table(name, "every column must have its own name", f"`{twice[:80]}` twice", line)
    return {column: index for index, column in enumerate(names) if column and not column.startswith("Unnamed: ")}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*")
_BAR = re.compile(r"(?<!\\)\|")
#: bold, italic, code, struck out
_MOST_EMPHASIS = 5
_EMPHASIS = ("***", "**", "*", "__", "_", "`", "~~")


def _markdown_tables(text: str) -> list[tuple[int, list[str]]]:
    """(line of the header, from 1; lines) of every table in a Markdown text."""
    if "--" not in text or "|" not in text:
        return []
    lines = text.splitlines()
    tables: list[tuple[int, list[str]]] = []
    end = 0
    for index in range(1, len(lines)):
        if index > end and "|" in lines[index - 1] and "|" in lines[index] and _RULE.fullmatch(lines[index]):
            end = next((i for i in range(index + 1, len(lines)) if "|" not in lines[i]), len(lines))
            tables.append((index, lines[index - 1 : end]))
    return tables


def _parse_markdown(tables: list[tuple[int, list[str]]], name: str) -> ResultTable:
    if len(tables) != 1:
        found = f"tables at lines {', '.join(str(line) for line, _ in tables[:6])}" if tables else "none"
        refuse_table(name, "a Markdown file must hold one table", found, hint="keep the table in a file of its own")
    first, lines = tables[0]
    rows = [(first, _bar_cells(lines[0])), *((first + 1 + i, _bar_cells(line)) for i, line in enumerate(lines[2:], 1))]
    return _by_header(iter(rows), name)


def _bar_cells(line: str) -> list[str]:
    inner = line.strip()
    inner = inner.removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [_plain(cell.replace("\\|", "|")) for cell in _BAR.split(inner)]


def _plain(cell: str) -> str:
    """A cell without what makes it bold, italic or code."""
    text = cell.strip()
    for _ in range(_MOST_EMPHASIS):
        for mark in _EMPHASIS:
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)].strip()
                break
        else:
            break
    return text
