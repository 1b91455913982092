"""Python is read by its syntax tree."""

from __future__ import annotations

import time

import pytest

from hptransfer.errors import UsageError
from hptransfer.linting.reading import python
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


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\n" + "\n".join(f"a{i + 1} = a{i} + a{i}" for i in range(2000)).replace("a0", "a"),
        "a = 3\n" + "\n".join(f"a{i + 1} = a{i} * a{i} + a{i}" for i in range(2000)).replace("a0", "a"),
        "\n".join(f"c{i} = {i}" for i in range(256))
        + "\na1 = "
        + " + ".join(f"(c{i} + c{i + 1})" for i in range(0, 256, 2))
        + "\n"
        + "\n".join(f"b{i} = a1" for i in range(2000)),
    ],
    ids=["sums", "squares", "one of many names"],
)
def test_a_name_is_worked_out_once(text: str) -> None:
    """Names that stand for names: the work grows with the file, and not with what the names stand for together."""
    found = module(text)

    assert found.evaluated < 20 * len(text.splitlines())


def test_long_chains_of_names_are_followed() -> None:
    """Each name is known from those above it, however many there are; one that is used above its line has no value."""
    chain = "a0 = 2\n" + "\n".join(f"a{i + 1} = a{i}" for i in range(60))
    found = module(f"{chain}\nlater = below\nbelow = 3\nuse(a60, later)\n")

    assert [found.value(argument) for argument in found.calls[0].arguments] == [2, None]


def test_what_is_worked_out_of_one_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound values are not known, tables neither, and that is said."""
    monkeypatch.setattr(python, "MOST_EVALUATED", 10)
    text = "\n".join(f"a{i} = {i}" for i in range(20)) + "\nuse(a1, {'x': 1}, [1])\n"
    found = module(text)
    one, table, entries = found.calls[0].arguments

    assert found.value(one) is None
    assert found.mapping(table) is None
    assert found.items(entries) is None
    assert found.unread == ("values that come after 10 expressions",)
    assert module("a = 1\n").unread == ()


def test_places_in_a_line_that_is_not_ascii() -> None:
    """Columns count characters, though the tree counts bytes."""
    found = module("é = 'ü'; β = 2; use(β)\n")

    assert (found.place(found.calls[0].node).column, found.source(found.calls[0].node)) == (17, "use(β)")
