"""Student's quantiles against printed tables."""

from __future__ import annotations

import pytest

from hptransfer.statistics.student import student_quantile


@pytest.mark.parametrize(
    ("level", "df", "expected"),
    [  # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 10, 2.228),
        (0.995, 3, 5.841),
        (0.999, 4, 7.173),
        (0.999, 30, 3.385),
        (0.95, 100, 1.660),
    ],
)
def test_quantiles_are_those_of_the_tables(level: float, df: float, expected: float) -> None:
    """One to a hundred degrees of freedom, to the tables' three decimals."""
    assert student_quantile(level, df) == pytest.approx(expected, abs=2e-3)
