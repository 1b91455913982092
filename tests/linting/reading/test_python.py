"""Python is read by its syntax tree."""

from __future__ import annotations

import time

import pytest

from hptransfer.errors import UsageError
from hptransfer.linting.reading.python import Module, module_of, read_python_file


def module(text: str) -> Module:
    """The module of a text."""
    found = module_of(read_python_file(text, "f.py"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1e-3", 1e-3),
        ("-2", -2),
        ("BASE / 4", 0.0025),
        ("2**-3", 0.125),
        ("math.sqrt(16) * BASE", 0.04),
        ("'text'", "text"),
        ("TWICE", None),
        ("f(1)", None),
        ("1 / 0", None),
        ("9**9**9", None),
        ("10**64 * 10**400", None),
        ("x := 3", None),
    ],
)
def test_values_that_are_constant(expression: str, value: object) -> None:
    """Arithmetic of constants and of names that are bound once; nothing is called."""
    found = module(f"BASE = 0.01\nTWICE = 1\nTWICE = 2\nuse({expression})\n")

    (call,) = found.named("use")
    received = found.value(call.arguments[0])

    assert received == (pytest.approx(value) if isinstance(value, float) else value)


def test_a_name_that_is_an_argument_somewhere_has_no_value() -> None:
    """Inside of that function it is another thing."""
    found = module("lr = 1\ndef f(lr):\n    use(lr)\n")

    assert found.value(found.calls[0].arguments[0]) is None


def test_places_count_characters() -> None:
    """Columns behind letters of two bytes."""
    found = module('s = "äöü"; use(1)\n')

    assert str(found.place(found.calls[0].node)) == "f.py:1:12"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000,
        "-" * 100_000 + "1",
        "a" + ".b" * 50_000,
        "f(" * 190 + ")" * 190,
        "x = " + "1+" * 50_000 + "1",
        "def",
        "\x0c\n  x",
        "[" * 190 + "]" * 190,
        "'\\d'",
        "lambda: " * 5000 + "1",
        "if x:\n" + " y\n" * 3,
        "a=" * 50_000 + "1",
        "1" * 5000,
    ],
    ids=range(13),
)
def test_hostile_sources_end(text: str) -> None:
    """Deep and long sources are a usage error or are read, in seconds, without a warning."""
    start, said = time.perf_counter(), "f.py"
    try:
        module(text)
    except UsageError as error:
        said = str(error.findings[0].received)

    assert said.startswith("f.py")
    assert time.perf_counter() - start < 20
