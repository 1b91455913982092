"""Every key of the schema with values of a wrong kind: the hint is there, can be pasted, and pasting it mends it."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from hptransfer.errors import Finding
from hptransfer.recipe.faults import schema_findings
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import Document, KeyPath, Plain, read_yaml
from hptransfer.recipe.yaml.outline import entry
from tests.support.recipe_values import WRONG, Key, keys, laid_in

KEYS = tuple(keys())
#: what a hint tells to write, in the words of the hints
_WRITE = re.compile(r"write (?:`(?P<marked>[^`]*)`|(?P<bare>.+?))(?: without quotes| or more| or less|: .*)?")
_EITHER = re.compile(r"write (\S+) or (\S+): .*may be either")
_MEANT = re.compile(r"did you mean `([^`]*)`\?.*")
_EXAMPLE = re.compile(r"(?:.*, )?(?:or write a value: )?for example `(?:[\w-]+: )?([^`]*)`.*")
_WHERE = re.compile(r".*: write `([^`]*)` where .*")
#: what was meant for the key beside it
_ELSEWHERE = re.compile(r"write `(clip): (.*)`: that is the largest norm.*")
#: hints without a value: a bound that is open, a text to be shortened
_OPEN = re.compile(r"write a number (above|below) \S+|shorten it|write a finite number.*")
_DELETE = "delete the line"


@cache
def read(raw: str) -> Plain:
    """A value as the gate reads it; the reading is that of recipes."""
    data = read_yaml(f"a: {raw}".encode(), "r.yaml").data
    return entry(data, ("a",))


def found(data: dict[str, Any]) -> dict[KeyPath, tuple[Finding, ...]]:
    """Findings of the schema by the path of the entry."""
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        by_path: dict[KeyPath, tuple[Finding, ...]] = {}
        for path, finding in schema_findings(error.errors(include_url=False), Document(data, {}), "r.yaml"):
            by_path[path] = (*by_path.get(path, ()), finding)
        return by_path
    return {}


def written(hint: str, raw: str) -> list[str] | None:
    """What to write by a hint, in YAML, each of several ways; None to delete the line; nothing for a hint without one.

    Args:
        hint: of a finding on a value.
        raw: in YAML, what stands there.
    """
    if hint.startswith(_DELETE):
        return None
    known = {"put text in quotes": [f'"{raw}"'], "write true or false": ["true", "false"]}
    if hint in known or _OPEN.fullmatch(hint):
        return known.get(hint, [])
    for form in (_EITHER, _MEANT, _WHERE, _EXAMPLE, _WRITE):
        if match := form.fullmatch(hint):
            return [each for each in match.groups() if each is not None]
    return []


def test_every_key_is_there() -> None:
    """The keys of the schema's sections, so that a new one is tested as well."""
    assert len(KEYS) > 160
    assert {path[0] for path in (key.path for key in KEYS)} == set(Recipe.model_fields)
    for variant in {key.variant for key in KEYS}:
        data = next(key.data for key in KEYS if key.variant == variant)
        assert found(dict(data)) == {}, variant


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_hint_mends_the_value(key: Key) -> None:
    """One finding on the key and nothing about others; what its hint says to write is accepted, and adds no finding."""
    for raw in WRONG:
        data = laid_in(key.data, key.path, read(raw))
        before = found(data)
        # of a value with parts, which are faulty by themselves, the parts' hints are tried
        told = {path: each for path, each in before.items() if path[: len(key.path)] == key.path}
        for path, findings in told.items():
            assert all(finding.hint for finding in findings), (raw, findings)
            on_value = [finding for finding in findings if finding.received is not None]
            if not on_value or _other(on_value[0]):
                continue  # the key is wrong, not the value
            (finding,) = on_value
            assert finding.hint is not None
            tried = written(finding.hint, raw)
            if match := _ELSEWHERE.fullmatch(finding.hint):
                beside = laid_in(removed(data, path), (*path[:-1], match[1]), read(match[2]))
                outcomes = [found(beside)]
            elif tried is None:
                outcomes = [found(removed(data, path))]
            else:
                outcomes = [found(laid_in(data, path, read(each))) for each in tried]
                assert outcomes or _OPEN.fullmatch(finding.hint), (raw, finding)
            for after in outcomes:
                assert path not in after, (raw, finding, after)
                more = {new for new in after if new not in before and not _of_new_kind(path, new, after)}
                assert not more, (raw, finding, after)


def _of_new_kind(path: KeyPath, new: KeyPath, after: dict[KeyPath, tuple[Finding, ...]]) -> bool:
    """A kind that is now known has keys of its own, which a recipe must then give; entries have an order."""
    if any(finding.rule.startswith("`up_to_width` of `resources` must rise") for finding in after[new]):
        return True  # a rule across entries, which was not asked before
    return path[-1] == "kind" and new[:-1] == path[:-1] and _other(after[new][0])


def _other(finding: Finding) -> bool:
    """Findings on keys, which are not values."""
    return finding.code in {"recipe/unknown-key", "recipe/missing-key"}


def removed(data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    """The recipe without a line."""
    whole = copy.deepcopy(data)
    inner: Any = whole
    for part in path[:-1]:
        inner = inner[part]
    del inner[path[-1]]
    return whole


def test_a_hint_that_is_wrong_would_be_seen() -> None:
    """Negative control: what a hint says is read from its text, and 35e-4 for `3,5e-4` or nothing at all is noticed."""
    assert written("write 35e-4: decimals follow a point", "x") == ["35e-4"]
    assert written("as docs/recipe.md describes the key", "x") == []
    assert written("write `[64]`", "64") == ["[64]"]
    assert written("write `{name: mup}`: a mapping", "x") == ["{name: mup}"]
    assert written("write a whole number, for example `steps: 100`", "x") == ["100"]
    assert written("delete the line, or write a value: for example `trials: 16`, the default", "null") is None


@pytest.mark.parametrize(
    ("path", "raw", "hint"),
    [
        (("check", "adaptive"), "no", "write false"),
        (("check", "adaptive"), "off", "write false"),
        (("check", "adaptive"), "Yes", "write true"),
        (("check", "adaptive"), '"true"', "write true without quotes"),
        (("check", "adaptive"), "0", "write false"),
        (("training", "steps"), '"10k"', "write 10000: numbers have no unit"),
        (("training", "steps"), "1M tokens", "write 1000000: numbers have no unit"),
        (("training", "batch_size"), "64k", 'write 64000 or 65536: "64k" (text) may be either'),
        (("training", "warmup"), "5%", "write 0.05: shares are fractions of 1"),
        (("training", "learning_rate"), '"1e-3 "', "write 1e-3 without quotes"),
        (("training", "learning_rate"), "[0.001]", "write 0.001"),
        (("parameterization",), "mup", "write `{name: mup}`"),
        (("model",), "gpt", "write `{kind: gpt}`"),
        (("sizes", "widths"), "64, 128", "write `[64, 128]`"),
        (("tune", "space", "learning_rate"), "[0.001, 0.1]", "write `{low: 0.001, high: 0.1}`"),
        (("name",), "{small}", "write small"),
        (("tune", "trials"), "null", "delete the line, or write a value: for example `trials: 16`, the default"),
    ],
)
def test_what_people_write(path: KeyPath, raw: str, hint: str) -> None:
    """The meaning of the usual mistakes, by hand."""
    (key,) = [each for each in KEYS if each.variant == "mlp" and each.path == path]

    (finding,) = found(laid_in(key.data, path, read(raw)))[path]

    assert finding.hint == hint
