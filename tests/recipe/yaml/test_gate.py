from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer.recipe.yaml.gate import MAX_BYTES, MAX_FAULTS, Document, read_yaml

WORDS = st.text("abcdefg", min_size=1, max_size=6)
DATA = st.dictionaries(
    WORDS,
    st.recursive(
        st.integers(-1000, 1000) | WORDS | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=5,
)


def read(text: str | bytes) -> Document:
    """What the gate makes of a text."""
    return read_yaml(text.encode() if isinstance(text, str) else text, "r.yaml")


def places(document: Document) -> list[str]:
    """Where the faults are."""
    return [str(fault.place) for fault in document.faults]


@given(DATA, st.booleans())
@settings(max_examples=50)
def test_what_pyyaml_writes_is_read_back(data: dict[str, object], flow: bool) -> None:
    """Plain data written by PyYAML in either style arrives unchanged."""
    document = read(yaml.safe_dump(data, default_flow_style=flow))

    assert document.faults == ()
    assert document.data == data


def test_positions_of_keys_and_values() -> None:
    """Every entry has the line and column of its key and of its value, counted from 1."""
    positions = read("a: 1\nb:\n  - x\n  - {c: d}\n").positions

    assert positions[("a",)].key == (1, 1)
    assert positions[("a",)].value == (1, 4)
    assert positions[("b",)].key == (2, 1)
    assert positions[("b", 0)].value == (3, 5)
    assert positions[("b", 1, "c")].key == (4, 6)
    assert positions[("b", 1, "c")].value == (4, 9)


def test_quoted_scalars_are_text() -> None:
    """Quotes turn numbers, words and merge signs into text."""
    assert read("{a: '1', b: \"true\", c: \"<<\", '<<': 2}").data == {"a": "1", "b": "true", "c": "<<", "<<": 2}


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("a: 1\na: 2\n", "`a` must be given once", "r.yaml:2:1"),
        ("a: &x 1\n", "anchors (`&name`) are not allowed", "r.yaml:1:4"),
        ("a: *x\n", "aliases (`*name`) are not allowed", "r.yaml:1:4"),
        ("a: !!python/name:os.system x\n", "tags (`!name`) are not allowed", "r.yaml:1:4"),
        ("a: !!str 1\n", "tags (`!name`) are not allowed", "r.yaml:1:4"),
        ("a: !!python/object/apply:os.system [id]\n", "tags (`!name`) are not allowed", "r.yaml:1:4"),
        ("a: {b: 1}\nc:\n  <<: {b: 2}\n", "merge keys (`<<`) are not allowed", "r.yaml:3:3"),
        ("? [a, b]\n: 1\n", "keys must be plain text", "r.yaml:1:3"),
        ("? {a: 1}\n: 1\n", "keys must be plain text", "r.yaml:1:3"),
        ("*a : 1\n", "keys must be plain text", "r.yaml:1:1"),
        ("a: 1\n---\nb: 2\n", "a recipe must be one YAML document", "r.yaml:2:1"),
        ("%YAML 1.1\n---\na: 1\n", "directives (`%...`) are not allowed", "r.yaml:1:1"),
        ("a: " + "9" * 5000, "a number must have at most 64 characters", "r.yaml:1:4"),
        ('a: "\\0"\n', "text must not contain control or invisible characters", "r.yaml:1:4"),
        ('a: "\\ud800"\n', "text must not contain control or invisible characters", "r.yaml:1:4"),
        ('"\\e": 1\n', "keys must be plain text", "r.yaml:1:1"),
        ("", "a recipe must not be empty", "r.yaml:1:1"),
        ("# only a comment\n", "a recipe must not be empty", "r.yaml:1:1"),
        ("[" * 17 + "]" * 17, "nesting must be at most 16 deep", "r.yaml:1:17"),
        ("a: \0\n", "a recipe must not contain control or invisible characters", "r.yaml:1:4"),
        ("a: 1\nb: \x1b[31m\n", "a recipe must not contain control or invisible characters", "r.yaml:2:4"),
        ("a: \u202e1\n", "a recipe must not contain control or invisible characters", "r.yaml:1:4"),
        ("a: 1\u2028b: 2\n", "a recipe must not contain control or invisible characters", "r.yaml:1:5"),
        (b"\xef\xbb\xbfa: 1\n", "a recipe must be UTF-8 without a byte order mark", "r.yaml:1:1"),
        ("a: 1\n".encode("utf-16"), "a recipe must be UTF-8 without a byte order mark", "r.yaml:1:1"),
        (b"a: 1\nb: caf\xe9\n", "a recipe must be UTF-8", "r.yaml:2:7"),
        (b"a" * (MAX_BYTES + 1), "a recipe must be at most 65536 bytes long", "r.yaml"),
    ],
)
def test_refused(text: str | bytes, rule: str, place: str) -> None:
    """Each construct outside plain data is one finding, at its position."""
    document = read(text)

    assert [fault.rule for fault in document.faults] == [rule]
    assert places(document) == [place]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 1\n", "indent with spaces"),
        ("a: b: c\n", "quote text that contains `: `"),
        ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> main\n", "merge conflict markers"),
        ("a: [1, 2\n", "brackets"),
        ("a: * b\n", "quote text that starts with `*`"),
        ('a: "\\UFFFFFFFF"\n', None),  # PyYAML lets a ValueError escape here
        ("%YAML 999\n---\na: 1", "brackets"),
    ],
)
def test_syntax_faults(text: str, hint: str | None) -> None:
    """What is not YAML is one finding with a hint for the usual causes."""
    (fault,) = read(text).faults

    assert fault.rule.startswith("a recipe must be valid YAML: ")
    assert hint is None or hint in str(fault.hint)


def test_all_faults_at_once() -> None:
    """Faults after the first are found too, and the rest of the data is kept; an anchor's alias is no second one."""
    document = read("a: &x 1\nb: *x\nb: 2\nc: !t 3\nd: 4\n")

    assert places(document) == ["r.yaml:1:4", "r.yaml:3:1", "r.yaml:4:4"]
    assert document.faults[0].received == "&x, and 1 more of its kind"
    assert document.data == {"a": 1, "b": None, "c": None, "d": 4}
    assert document.unreadable == {("b",), ("c",)}


def test_a_merge_makes_its_mapping_unreadable() -> None:
    """What a merge key would have added is unknown, so nothing is said about that mapping's keys."""
    assert read("a:\n  <<: {x: 1}\n  y: 2\n").unreadable == {("a",)}


def test_a_duplicate_inside_a_skipped_value_is_found() -> None:
    """The value of a duplicate key is read for its own faults, and then dropped."""
    document = read("a: 1\na: {b: 1, b: 2}\n")

    assert places(document) == ["r.yaml:2:1", "r.yaml:2:11"]
    assert document.data == {"a": 1}


def test_node_limit() -> None:
    """A document of more than 5,000 nodes is refused at the first one too many."""
    assert read(f"[{'1,' * 4998}1]").faults == ()
    assert [fault.rule for fault in read(f"[{'1,' * 5000}1]").faults] == ["a recipe must have at most 5000 entries"]


def test_fault_limit() -> None:
    """A file that breaks a rule a thousand times is reported fifty times."""
    assert len(read("".join(f"k{i}: !x 1\n" for i in range(1000))).faults) == MAX_FAULTS
    assert len(read("\x01" * 1000).faults) == MAX_FAULTS


def test_joined_emoji_are_text() -> None:
    """Joiners that scripts and emoji need are not refused."""
    assert read("a: \U0001f469\u200d\U0001f4bb\n").data == {"a": "\U0001f469\u200d\U0001f4bb"}
