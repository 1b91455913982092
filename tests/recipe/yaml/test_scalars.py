from __future__ import annotations

import math

import pytest

from hptransfer.recipe.yaml.gate import MAX_DIGITS, plain_scalar

# YAML 1.2.2, section 10.3.2, example 10.9 "Core Tag Resolution", and the table of regular expressions above it
SPECIFICATION = [
    ("null", None),
    ("Null", None),
    ("~", None),
    ("", None),
    ("true", True),
    ("True", True),
    ("false", False),
    ("FALSE", False),
    ("0", 0),
    ("0o7", 7),
    ("0x3A", 58),
    ("-19", -19),
    ("0.", 0.0),
    ("-0.0", -0.0),
    (".5", 0.5),
    ("+12e03", 12000.0),
    ("-2E+05", -200000.0),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("+.INF", math.inf),
]


@pytest.mark.parametrize(("text", "value"), SPECIFICATION)
def test_core_schema(text: str, value: object) -> None:
    """The specification's examples get the specification's values and types."""
    got = plain_scalar(text)

    assert got == value
    assert type(got) is type(value)


def test_not_a_number() -> None:
    """`.nan` is the one float that differs from itself."""
    assert math.isnan(float(str(plain_scalar(".NaN"))))


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "1:30",
        "1_000",
        "2024-01-01",
        "0b11",
        "1e",
        "e3",
        ".",
        "-",
        "0x",
        "tRUE",
        "١",
        "=",
    ],
)
def test_what_yaml_1_1_reads_is_text(text: str) -> None:
    """Booleans, sexagesimals, separators and dates of YAML 1.1 are text."""
    assert plain_scalar(text) == text


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1e3", 1000.0), ("3E4", 30000.0)])
def test_exponent_without_point_is_a_float(text: str, value: float) -> None:
    """`1e-3`, which PyYAML reads as text, is a number."""
    got = plain_scalar(text)

    assert isinstance(got, float)
    assert got == value


def test_leading_zero_is_decimal() -> None:
    """`010` is ten, not eight."""
    assert plain_scalar("010") == 10


def test_endless_numbers_are_refused() -> None:
    """A number of 5,000 digits is refused before it is converted."""
    with pytest.raises(ValueError, match=f"at most {MAX_DIGITS} characters"):
        plain_scalar("9" * 5000)
