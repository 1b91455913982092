"""What differs between the identity that evidence was gathered under and the present one, part by part and named.

Both are `Identity.shared`. The earlier one comes from a file and may be anything: whatever has another form differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from hptransfer.parameterization.applied_rules import as_text
from hptransfer.recipe.schema import Recipe

PartKind = Literal["rules", "code", "data", "model", "recipe"]
_ABSENT = object()
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class PartChange:
    """One thing that is not what it was.

    Attributes:
        kind: what evidence is stale by.
        text: what it was and what it is.
        in_recipe: whether the text names a key that the recipe itself says.
        shared: whether all trials share it, so that none of before fits; else those of some sizes do.
    """

    kind: PartKind
    text: str
    in_recipe: bool = False
    shared: bool = True


def changed_parts(before: Mapping[str, Any], now: Mapping[str, Any], recipe: Recipe) -> list[PartChange]:
    """Every part that differs; the rules only where the present ones are known.

    Args:
        before: what evidence was gathered under.
        now: what holds now; without "rules" where the model was not read.
        recipe: the present one: says by which keys the base and its duration are written.
    """
    found = [PartChange("rules", text) for text in _leaves("what identifies a trial: version", before, now, "identity")]
    for name in ("training", "objective"):
        found += [PartChange("recipe", text, in_recipe=True) for text in _leaves(name, before, now, name)]
    found += [PartChange("recipe", text, in_recipe=True) for text in _base(before, now, recipe)]
    found += [PartChange("model", text, in_recipe=True) for text in _leaves("model", before, now, "model")]
    found += _data(before.get("data"), now.get("data"))
    options = _leaves("parameterization", before, now, "parameterization")
    found += [PartChange("rules", text, in_recipe=True) for text in options]
    for text in _leaves("trainer", before, now, "trainer"):
        found.append(PartChange("code", text, in_recipe=not text.startswith("trainer.version:")))
    found += _code(before.get("code", {}), now.get("code", {}))
    if "rules" in now:
        found += _rules(before.get("rules", ()), now["rules"])
    return list(dict.fromkeys(found))


def _base(before: Mapping[str, Any], now: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    """Sizes of the base by the keys that a user writes; its tokens follow from the duration and the batch."""
    old, new = before.get("base"), now.get("base", {})
    if not isinstance(old, Mapping) or not all(_is_count(old.get(axis)) for axis in new):
        yield from _differing("base", old, new)  # no version wrote it
        return
    written = {"width": "sizes.base.width", "depth": "sizes.base.depth", "batch_size": "training.batch_size"}
    for axis, key in written.items():
        if old.get(axis) != new.get(axis):
            yield f"{key}: {old[axis]} -> {new[axis]}"
    if any(old[axis] != new[axis] for axis in ("batch_size", "tokens")):
        alike = all(_without_content(before.get(part)) == _without_content(now.get(part)) for part in ("model", "data"))
        yield from _duration(old, new, recipe, alike=alike)


def _duration(old: Mapping[str, int], new: Mapping[str, int], recipe: Recipe, *, alike: bool) -> Iterator[str]:
    """How long the base trains, by the key that says it; nothing where the number of steps is the same.

    Args:
        old: sizes of the base as the evidence has them.
        new: sizes of the base as they are now.
        recipe: the present one, which says how long is trained.
        alike: whether an example has as many predicted positions as before, as far as the sections tell.
    """
    training, tokens = recipe.training, f"base.tokens: {old['tokens']} -> {new['tokens']}"
    if training.steps is not None and alike:
        # of one batch as many positions are predicted as before, in proportion to its examples
        steps = Fraction(old["tokens"] * new["batch_size"] * training.steps, new["tokens"] * old["batch_size"])
        if steps != training.steps:
            was = str(steps) if steps.denominator == 1 else "another duration"
            yield f"training.steps: {was} -> {training.steps} ({tokens})"
    elif old["tokens"] == new["tokens"]:
        return
    elif training.steps is not None:
        yield f"training.steps, or the length of an example ({tokens})"
    elif training.tokens is not None:
        yield f"training.tokens: {old['tokens']} -> {new['tokens']}"
    else:
        yield f"training.tokens_per_parameter, or the number of parameters ({tokens})"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _without_content(section: Any) -> Any:
    """A section of the identity without the digest of the data's content."""
    return {k: v for k, v in section.items() if k != "fingerprint"} if isinstance(section, Mapping) else section


def _data(before: Any, now: Any) -> Iterator[PartChange]:
    """The section; its content where nothing else changed."""
    old, new = (dict(each) if isinstance(each, Mapping) else {} for each in (before, now))
    contents = old.pop("fingerprint", None), new.pop("fingerprint", None)
    yield from (PartChange("data", text, in_recipe=True) for text in _differing("data", old, new))
    if old == new and contents[0] != contents[1]:
        yield PartChange("data", f"content of the data: sha256 {_short(contents[0])} -> {_short(contents[1])}")


def _code(before: Any, now: Any) -> Iterator[PartChange]:
    old, new = (each if isinstance(each, Mapping) else {} for each in (before, now))
    for module in sorted({*map(str, old), *map(str, new)}):
        if old.get(module) != new.get(module):
            what = f"{_short(old.get(module))} -> {_short(new.get(module))}"
            yield PartChange("code", f"code of {module}: sha256 {what}")


def _short(digest: Any) -> str:
    return "none" if digest is None else _shown(digest)[:10].strip('"')[:8]


def _leaves(name: str, before: Mapping[str, Any], now: Mapping[str, Any], part: str) -> Iterator[str]:
    yield from _differing(name, before.get(part, {}), now.get(part, {}))


def _differing(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differing(f"{path}.{key}", old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif old is _ABSENT or new is _ABSENT or old != new:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is _ABSENT or value in ({}, None):
        return "as by default"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _rules(before: Any, now: Any) -> Iterator[PartChange]:
    """Rules whose exponents differ, a role once; parameters that are others, or start otherwise."""
    old_rows, new_rows = _rows(before), _rows(now)
    for pattern in {**old_rows, **new_rows}:
        old, new = old_rows.get(pattern, {}), new_rows.get(pattern, {})
        if old.keys() != new.keys():
            yield PartChange("model", f"{pattern}: {_roles(old)} -> {_roles(new)}")
            continue
        for role, rows in new.items():
            yield from _row(pattern, role, old[role], rows)


def _row(
    pattern: str, role: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[PartChange]:
    if len(old) != len(new):
        yield PartChange("model", f"{pattern}: {len(old)} kinds of {role} -> {len(new)}")
        return
    for one, other in zip(old, new, strict=True):
        for name in ("init", "in_block"):
            if one.get(name) != other.get(name):
                yield PartChange("model", f"{pattern}: {name} {_shown(one.get(name))} -> {_shown(other.get(name))}")
        if one.get("multipliers") != other.get("multipliers"):
            yield PartChange(
                "rules", f"{role} multipliers: {_shown(one.get('multipliers'))} -> {_shown(other.get('multipliers'))}"
            )
        powers, others = _exponents(one), _exponents(other)
        for quantity in {**powers, **others}:
            was, is_now = powers.get(quantity, {}), others.get(quantity, {})
            if was != is_now:
                yield PartChange("rules", f"{role} {quantity}: {_powers(was)} -> {_powers(is_now)}")


def _exponents(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = row.get("exponents")
    return found if isinstance(found, Mapping) else {}


def _powers(value: Any) -> str:
    return as_text(value) if value is None or isinstance(value, Mapping) else _shown(value)


def _roles(rows: Mapping[str, Any]) -> str:
    return ", ".join(rows) or "none"


def _rows(texts: Any) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """Pattern -> role -> rows of `Identity.shared`'s rules, which are JSON texts."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for text in texts if isinstance(texts, Sequence) and not isinstance(texts, str) else ():
        try:
            row = json.loads(text)
            found.setdefault(str(row["pattern"]), {}).setdefault(str(row["role"]), []).append(row)
        except (ValueError, TypeError, KeyError, RecursionError):
            found.setdefault("a row that no version wrote", {})
    return found
