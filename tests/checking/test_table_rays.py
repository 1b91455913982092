"""Columns that a table's size gives: found whatever the power, and not where the rows do not show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hptransfer.checking.table_rays import ray_of
from hptransfer.results_table.cells import ResultTable
from hptransfer.transfer.coverage import Ray

WIDTHS = (64, 128, 256, 512, 1024)


def table(tokens: Callable[[float], float], sizes: tuple[int, ...] = WIDTHS) -> ResultTable:
    """Three rows per size."""
    rows = [size for size in sizes for _ in range(3)]
    columns = {"width": [str(size) for size in rows], "tokens": [str(round(tokens(size))) for size in rows]}
    return ResultTable("runs.csv", columns, range(2, len(rows) + 2))


def ray(found: ResultTable, value: float, *, target: float = 4096, axis: str = "width") -> Ray | None:
    """The ray of a target's tokens."""
    return ray_of(found, "width", "tokens", axis=axis, target=target, value=value)


@pytest.mark.parametrize(
    "law",
    [
        lambda width: 20 * width,
        lambda width: 960 * width**2,
        lambda width: 50_000 * width**0.5,
        lambda width: 7_000 * width**1.37,
        # 20 tokens for each parameter of 12 layers, with a table of 32,000 tokens read in and out
        lambda width: 20 * (64_000 * width + 144 * width**2),
    ],
)
def test_a_law_of_the_size_is_found(law: Callable[[float], float]) -> None:
    """At a target on it tokens are unchanged, and at 10 times as many they are not covered."""
    on, off = (ray(table(law), factor * law(4096)) for factor in (1, 10))

    assert on is not None
    assert off is not None
    assert on.coverage.standing == "unchanged"
    assert off.coverage.standing == "not covered"
    assert off.target / off.proxy == pytest.approx(10, rel=0.05)


def test_what_is_in_proportion_is_judged_as_a_ratio() -> None:
    """20 tokens per parameter: the ratio is what a target keeps or leaves."""
    found = ray(table(lambda width: 20 * width), 200 * 4096, axis="parameters")

    assert found is not None
    assert found.named == "tokens_per_parameter"
    assert found.proxy == pytest.approx(20)
    assert found.target == pytest.approx(200)
    assert found.along == "20 tokens per parameter"


@pytest.mark.parametrize(
    "tokens",
    [
        lambda width: 5e6,  # the same everywhere: nothing follows
        lambda width: 5e6 * (2 if width == 256 else 1),  # no law
        lambda width: 20 * width * (1.3 if width in (128, 512) else 1),  # off by more than 5%
    ],
)
def test_what_no_law_gives_is_no_ray(tokens: Callable[[float], float]) -> None:
    """Then tokens are an axis of their own."""
    assert ray(table(tokens), 1e7) is None


def test_two_sizes_show_no_law() -> None:
    """A function of two constants goes through any two."""
    assert ray(table(lambda width: 20 * width, (64, 128)), 1e7) is None


def test_a_column_that_varies_at_one_size_is_no_ray() -> None:
    """Each size was trained at two lengths: that is another axis, not a law."""
    found = table(lambda width: 20 * width)
    cells = [str(int(str(cell)) * (2 if row % 2 else 1)) for row, cell in enumerate(found.columns["tokens"])]
    assert ray(replace(found, columns={**found.columns, "tokens": cells}), 20 * 4096) is None


@pytest.mark.parametrize("cell", ["many", "", "inf", "0"])
def test_a_column_without_numbers_everywhere_is_no_ray(cell: str) -> None:
    """One row that says something else is a row in which no law is seen."""
    found = table(lambda width: 20 * width)
    cells = [cell, *found.columns["tokens"][1:]]
    assert ray(replace(found, columns={**found.columns, "tokens": cells}), 20 * 4096) is None


def test_a_column_that_is_not_there_is_no_ray() -> None:
    """The table says nothing of it."""
    assert ray_of(table(lambda width: 20 * width), "width", "steps", axis="width", target=4096, value=10) is None
