"""Thousands and decimals: what commas, points, spaces and apostrophes mean in the numbers of one file.

A cell such as 1,000 has two readings. It is read by what its own column shows, then by what the file's other numbers
show; where neither decides, the column is marked and refused as soon as its numbers are wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.results_table.cells import Cell, Doubt, ResultTable, is_missing, number_in

_SPACES = " \u00a0\u2009\u202f"
_GROUPING = f"{_SPACES}'\u2019_"
#: groups of three that nothing but thousands can be: 1 000, 1'000.5, 1_000
_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:[{_GROUPING}]\d{{3}})+(?:[.,]\d+)?")
#: whether a line of a text may be such a cell, or one that a point groups: searched before cells are read one by one
_SOME_GROUPED = re.compile(rf"^[ \t]*[+-]?[1-9]\d{{0,2}}[{_GROUPING}]\d{{3}}(?!\d)", re.MULTILINE)
_SOME_POINTED = re.compile(r"^[ \t]*[+-]?[1-9]\d{0,2}\.(?:000[ \t]*$|\d{3}\.\d{3})", re.MULTILINE)
#: 1,000 and 1.000
_TWO_COMMA = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_TWO_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
#: 1,000,000 and 1,000.5; 1.000.000 and 1.000,5
_THOUSANDS_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3}){2,}(?:\.\d+)?|,\d{3}\.\d+)")
_THOUSANDS_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:\.\d{3}){2,}(?:,\d+)?|\.\d{3},\d+)")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
#: text that may stand among losses
_WORDS = {"diverged", "nan", "inf", "-inf", "+inf", "infinity", "exploded", "overflow"}


@dataclass(frozen=True, slots=True)
class _Column:
    """The different cells of a column by the forms of their numbers.

    Attributes:
        comma: cells such as 1,000.
        point: cells such as 1.000.
        sure: cells with separators and one reading -> the number as plain text.
        comma_decimal: a comma separates decimals in some cell.
        comma_thousands: a comma separates thousands in some cell.
        point_decimal: a point separates decimals in some cell.
        point_thousands: a point separates thousands in some cell.
        integers: some cell has digits alone.
        numeric: every cell is a number, or a word that means a divergence.
    """

    comma: tuple[str, ...]
    point: tuple[str, ...]
    sure: Mapping[str, str]
    comma_decimal: bool
    comma_thousands: bool
    point_decimal: bool
    point_thousands: bool
    integers: bool
    numeric: bool


def plain_numbers(
    table: ResultTable, mark: str | None = None, is_size: Callable[[str], bool] = lambda name: False
) -> ResultTable:
    """The table with numbers written plainly: 1,000 as 1000, and what was read so among its notes.

    Args:
        table: as it was read from one file.
        mark: what separates decimals in this file; None is to be inferred.
        is_size: whether a column of this name holds sizes.
    """
    columns = {name: each for name, each in _suspicious(table, mark).items() if each.numeric}
    if not columns:
        return table
    commas = mark == "," or any(each.comma_decimal for each in columns.values())
    points = mark == "." or any(each.point_decimal for each in columns.values())
    if mark is None and not points:
        points = _has_decimal_point(table, set(columns))
    changed: dict[str, Sequence[Cell]] = {}
    doubts: dict[str, Doubt] = dict(table.doubts)
    notes = []
    for name, each in columns.items():
        found = _read(each, mark, commas=commas, points=points, size=is_size(name))
        cells = table.columns[name]
        if found is None:
            cell = (each.comma or each.point)[0]
            row = next(row for row, found in enumerate(cells) if isinstance(found, str) and found.strip() == cell)
            doubts[name] = _doubt(row, cell)
            continue
        changed[name] = [found.get(cell.strip(), cell) if isinstance(cell, str) else cell for cell in cells]
        inferred = [cell for cell in found if cell in each.comma or cell in each.point or not _one_comma(cell)]
        if inferred:
            notes.append(f"column {name}: {inferred[0]} is read as {found[inferred[0]]}")
    return replace(table, columns={**table.columns, **changed}, doubts=doubts, notes=(*table.notes, *notes))


def _suspicious(table: ResultTable, mark: str | None) -> dict[str, _Column]:
    """The columns whose separators need a reading; where points separate decimals, cells such as 1.024 need none."""
    joined = {name: "\n".join([c for c in set(cells) if isinstance(c, str)]) for name, cells in table.columns.items()}
    marked = [name for name, text in joined.items() if "," in text or _grouped(text)]
    described = {name: _described(table.columns[name]) for name in marked}
    commas = mark == "," or any(each.numeric and each.comma_decimal for each in described.values())
    for name, text in joined.items():
        pointed = "." in text if commas else _SOME_POINTED.search(text)
        if name not in described and pointed:
            described[name] = _described(table.columns[name])
    return {name: described[name] for name in joined if name in described}


def _grouped(text: str) -> bool:
    """Whether a line of a text may be a number in groups of three."""
    return any(mark in text for mark in _GROUPING) and _SOME_GROUPED.search(text) is not None


def _one_comma(cell: str) -> bool:
    """Whether all that a cell needs is a point for its decimal comma."""
    return cell.count(",") == 1 and "." not in cell and not _GROUPED.fullmatch(cell)


def _described(cells: Sequence[Cell]) -> _Column:
    comma, point, sure, integers, numeric = [], [], {}, False, True
    comma_decimal = comma_thousands = point_decimal = point_thousands = False
    for cell in dict.fromkeys(cell.strip() for cell in cells if isinstance(cell, str) and not is_missing(cell)):
        if _TWO_COMMA.fullmatch(cell):
            comma.append(cell)
        elif _TWO_POINT.fullmatch(cell):
            point.append(cell)
        elif _GROUPED.fullmatch(cell):
            sure[cell] = re.sub(rf"[{_GROUPING}]", "", cell).replace(",", ".")
            comma_decimal |= "," in cell
            point_decimal |= "." in cell
        elif _THOUSANDS_COMMA.fullmatch(cell):
            sure[cell], comma_thousands = cell.replace(",", ""), True
        elif _THOUSANDS_POINT.fullmatch(cell):
            sure[cell], point_thousands = cell.replace(".", "").replace(",", "."), True
            comma_decimal |= "," in cell
        elif _INTEGER.fullmatch(cell):
            integers = True
        elif _DECIMAL_POINT.fullmatch(cell):
            point_decimal = True
        elif cell.lower() not in _WORDS:
            number = number_in(cell, suffixes=True)
            numeric &= number is not None
            if "," in cell and number is not None:
                comma_decimal = True
                sure[cell] = cell.replace(",", ".")
    return _Column(
        comma=tuple(comma),
        point=tuple(point),
        sure=sure,
        comma_decimal=comma_decimal,
        comma_thousands=comma_thousands,
        point_decimal=point_decimal,
        point_thousands=point_thousands,
        integers=integers,
        numeric=numeric,
    )


def _has_decimal_point(table: ResultTable, besides: Iterable[str]) -> bool:
    """Whether some number of the file, in columns without other separators, has decimals after a point."""
    left = set(besides)
    return any(
        isinstance(cell, str) and _DECIMAL_POINT.fullmatch(cell.strip()) and not _TWO_POINT.fullmatch(cell.strip())
        for name, cells in table.columns.items()
        if name not in left
        for cell in cells
    )


def _read(each: _Column, mark: str | None, *, commas: bool, points: bool, size: bool) -> dict[str, str] | None:
    """Cell -> the number as plain text, for cells whose text changes; None where one of them has two readings."""
    found = dict(each.sure)
    if each.comma:
        reading = mark or _mark_of_commas(each, commas=commas, points=points, size=size)
        if reading is None:
            return None
        found |= {cell: cell.replace(",", "" if reading == "." else ".") for cell in each.comma}
    if each.point:
        reading = mark or _mark_of_points(each, commas=commas, points=points, size=size)
        if reading is None:
            return None
        if reading == "," or commas:
            found |= {cell: cell.replace(".", "") if reading == "," else cell for cell in each.point}
    return found


def _mark_of_commas(each: _Column, *, commas: bool, points: bool, size: bool) -> str | None:
    """What separates decimals in a column with cells such as 1,000."""
    shown_comma = each.comma_decimal or each.point_thousands
    shown_point = each.comma_thousands or each.point_decimal
    if shown_comma or shown_point:
        return None if shown_comma and shown_point else "," if shown_comma else "."
    if points and not commas:
        return "." if size or each.integers else None
    if commas and not points:
        return None if size or each.integers else ","
    return None


def _mark_of_points(each: _Column, *, commas: bool, points: bool, size: bool) -> str | None:
    """What separates decimals in a column with cells such as 1.000."""
    if each.comma_decimal or each.point_thousands:
        return None if each.point_decimal or each.comma_thousands else ","
    if each.point_decimal or each.comma_thousands:
        return "."
    if commas and not points:
        return "," if size or each.integers else None
    written_as_whole = each.integers and all(cell.endswith(".000") for cell in each.point)
    return None if written_as_whole else "."


def _doubt(row: int, cell: str) -> Doubt:
    without, comma = cell.replace(",", "").replace(".", ""), cell.replace(",", ".")
    if "," in cell:
        return Doubt(row, point=float(without), comma=float(comma))
    return Doubt(row, point=float(cell), comma=float(without))
