"""JSON of which an object has a key twice is refused, at the second of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.artifacts.json_keys import json_content
from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.errors import Place, UsageError


@pytest.mark.parametrize(
    ("text", "line", "column", "first"),
    [
        ('{"a": 1,\n "b": 2,\n  "a": 1}', 3, 3, 1),
        ('{"b": [{"a": "}{"},\n{"c": {}, "a": 1, "a": 2}]}', 2, 19, 2),
        ('{"a\\"": "\\\\",\n"a": {"a": 1}, "a" : 1}', 2, 16, 2),
        ('{"a": 1, "\\u0061": 1}', 1, 10, 1),
    ],
)
def test_a_key_twice_has_its_place(text: str, line: int, column: int, first: int) -> None:
    """Braces and quotes in texts, escapes, lists and objects in each other lead to no other place."""
    with pytest.raises(json.JSONDecodeError, match=f"is in line {first} already") as caught:
        json_content(text)

    assert (caught.value.lineno, caught.value.colno) == (line, column)


@pytest.mark.parametrize(
    "text", ['{"a": {"a": "a"}, "b": [{"a": 1}, {"a": 2}]}', "[1, -2.5e3, null, true]", '"a"', "{}"]
)
def test_other_json_is_read_as_json_reads_it(text: str) -> None:
    """The negative control: one name in several objects, and as key and value."""
    assert json_content(text) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2', '[{"a": 1, "a": 2}}', '{"a": {"b": 1, "b": 2}, oops'])
def test_a_fault_beside_it_is_refused_as_well(text: str) -> None:
    """Whatever comes first, it is an error with a place and no other one."""
    with pytest.raises(json.JSONDecodeError):
        json_content(text)


@pytest.mark.parametrize("kind", [TransferFile, PlanFile, RecipeSnapshot])
def test_every_file_of_json_is_refused(kind: type[TransferFile | PlanFile | RecipeSnapshot]) -> None:
    """One reader reads them; the place is that of the second key."""
    path = Path("some.json")
    with pytest.raises(UsageError) as caught:
        kind.parse(f'{{"format": 0,\n "format": {kind.FORMAT}}}', path)

    (finding,) = caught.value.findings
    assert finding.place == Place(str(path), 2, 2)
    assert "the key `format` is in line 1 already" in str(finding.received)
