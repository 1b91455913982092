"""YAML and JSON leaf by leaf, within bounds."""

from __future__ import annotations

import json
import random

import pytest

from hptransfer.errors import UsageError
from hptransfer.linting.reading.documents import read_json_file, read_yaml_file


def test_yaml_has_names_and_places() -> None:
    """Paths with dots, places of keys; numbers as frameworks take them."""
    file = read_yaml_file("a:\n  lr: 1e-3\n  list:\n    - {b: yes, c: 'x'}\n", "f.yaml")

    assert [(each.name, each.value, str(each.place)) for each in file.settings] == [
        ("a.lr", 0.001, "f.yaml:2:3"),
        ("a.list.0.b", "yes", "f.yaml:4:8"),
        ("a.list.0.c", "x", "f.yaml:4:16"),
    ]


def test_json_has_names_and_places() -> None:
    """Tabs and escapes too; what the standard library reads is read alike."""
    text = '{\n\t"a": {"lr": 1e-3,\n\t"s": "x\\u0041", "l": [true, null, -2]}}'
    file = read_json_file(text, "f.json")

    assert [(each.name, each.value, str(each.place)) for each in file.settings] == [
        ("a.lr", 0.001, "f.json:2:8"),
        ("a.s", "xA", "f.json:3:2"),
        ("a.l.0", True, "f.json:3:24"),
        ("a.l.1", None, "f.json:3:30"),
        ("a.l.2", -2, "f.json:3:36"),
    ]
    assert json.loads(text)["a"]["s"] == "xA"


def test_aliases_are_not_followed() -> None:
    """What is behind one may be anything: the file is not complete, and a tag builds nothing."""
    file = read_yaml_file("a: &x {lr: 1}\nb:\n  <<: *x\nc: !!python/object/apply:os.system ['true']\n", "f.yaml")

    assert file.number("a.lr") == 1
    assert not file.complete


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100,
        "- " * 100,
        "a: [1, 2",
        "\t- a",
        "{" * 60_000,
        '"\\UFFFFFFFF"',
        "%YAML 9.9\n",
        "? [a]\n: b: c: d",
        "x, " * 5,
        "- 1\n" * 30_000,
        "a: b\n  c: d",
    ],
)
def test_yaml_that_is_none_is_said_to_be(text: str) -> None:
    """Deep, endless, unfinished: a usage error or plain settings, nothing else."""
    said = ["f.yaml"]
    try:
        read_yaml_file(text, "f.yaml")
    except UsageError as error:
        said = [str(finding.received) for finding in error.findings]

    assert all(each.startswith("f.yaml") for each in said)


def test_a_bomb_of_aliases_stays_small() -> None:
    """No alias is expanded."""
    assert len(read_yaml_file(BOMB, "f.yaml").settings) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", '{"a" 1}', '{"a": 1} x', "[" * 100_000, '{"a":' * 50_000, "nan", "'a'"]
)
def test_json_that_is_none_is_said_to_be(text: str) -> None:
    """With the line and column of what cannot be read."""
    with pytest.raises(UsageError) as caught:
        read_json_file(text, "f.json")
    assert str(caught.value.findings[0].received).startswith("f.json:")


def test_any_json_is_read_as_the_standard_library_reads_it() -> None:
    """Random documents: as many leaves, with the same values."""
    pick = random.Random(1)

    def document(depth: int) -> object:
        kind = pick.randrange(6 if depth < 4 else 4)
        if kind >= 4:
            inner = [document(depth + 1) for _ in range(pick.randrange(4))]
            return inner if kind == 4 else {f"k{i}": each for i, each in enumerate(inner)}
        return (pick.randrange(-9, 9), pick.choice([True, False, None]), pick.random(), 'a"\\\n\x1b')[kind]

    def leaves(value: object) -> list[object]:
        if isinstance(value, dict | list):
            return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each)]
        return [value]

    for _ in range(300):
        value = document(0)
        text = json.dumps(value, indent=pick.choice([None, 2]))
        assert [each.value for each in read_json_file(text, "f.json").settings] == leaves(value)
