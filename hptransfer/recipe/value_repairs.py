"""What to write instead of a value of the wrong kind: proposed from the value, and tried against the key's own schema.

A repair that is proposed has been read by the schema, so a hint that names one cannot make anything else wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import ValidationError, create_model

from hptransfer.recipe.rule_text import BASES
from hptransfer.recipe.sections import REFUSED, Section
from hptransfer.recipe.yaml.gate import KeyPath, Plain, plain_scalar, read_yaml
from hptransfer.recipe.yaml.outline import KINDS, entry, section_at, without

_TRUE, _FALSE = ("true", "yes", "on", "y"), ("false", "no", "off", "n")
_THOUSANDS = {"k": 3, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12}
#: words that may follow a number and say what the key says
_NOUNS = r"tokens?|steps?|examples?|sequences?|trials?|seeds?|octaves?|flops?|layers?|blocks?|parameters?|params?|px"
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
#: numbers of which `k` may mean 1024
_BINARY = {2**power for power in range(1, 11)}
#: sizes as commands take them: `4096x2`
_SIZE = re.compile(r"[0-9]{1,7}( ?[xX×*] ?[0-9]{1,7})+")
_TIMES = re.compile(r" ?[xX×*] ?")
#: values that are tried as examples where a key has no default and no shipped example
_EXAMPLES: tuple[Any, ...] = (
    *(64, 0.5, True, "text", "30m", "4GB", "metrics.jsonl", "loss (.*)", "readout", "package.module:name", "w64-d2"),
    *([64], [0.5], ["text"], ["train.py"], {"key": 1}, {"w64-d2": 41000}, {"learning_rate": 0.004}, [{}]),
    *({"learning_rate": {"low": 1e-4, "high": 0.1}}, {"head.weight": "readout"}),
)


@dataclass(frozen=True, slots=True)
class Repair:
    """What a value was probably meant to be.

    Attributes:
        text: in YAML, to be written after the key.
        value: as the gate reads `text`.
        why: what was wrong with the form; empty where nothing needs to be said.
    """

    text: str
    value: Plain
    why: str = ""


def repairs(path: KeyPath, value: Plain, data: Plain) -> tuple[Repair, ...]:
    """What the value at a path was probably meant to be: one, or two where it may be either; none that is not accepted.

    Args:
        path: keys and list indices that lead to the value.
        value: plain data that stands there in the file.
        data: the whole recipe as plain data, whose kinds decide among variants.
    """
    if isinstance(value, str) and (either := _either(value)):
        good = tuple(each for each in either if accepts(path, each.value, data))
        if good:
            return good
    return next(((each,) for each in _meanings(value, path, data) if accepts(path, each.value, data)), ())


def example(path: KeyPath, data: Plain) -> tuple[str, bool] | None:
    """A value that the key at a path accepts, in YAML, and whether it is the key's default; None where none is known.

    Args:
        path: keys and list indices that lead to the value.
        data: the whole recipe as plain data.
    """
    found, key = _field(path, data)
    default = None if found is None or path[-1] != key else found.model_fields[key].default
    if isinstance(default, bool | int | float | str) and default != "" and accepts(path, default, data):
        return flow(default), True
    shipped = [entry(_base(name), path) for name in ("mlp", "command")]
    shipped += [value for name in ("mlp", "command") for value in _under(path[-1], _base(name))]
    names: tuple[Any, ...] = () if found is None else tuple(_named(found, key))
    section = section_at(path, _with_section(data, path))
    lists: tuple[Any, ...] = tuple([name] for name in names)
    tried: tuple[Any, ...] = (*(each for each in shipped if each is not None), *names, *lists)
    tried = (*tried, *_of_section(section), *_EXAMPLES)
    return next(((flow(each), False) for each in tried if accepts(path, each, data)), None)


def _with_section(data: Plain, path: KeyPath) -> Plain:
    """The recipe, with nothing at a path that is no section: which variant it is to be is not known."""
    return data if isinstance(entry(data, path), dict) else without(data, {path})


def _under(key: str | int, data: Plain) -> Iterator[Plain]:
    """Values of a key wherever it stands."""
    for name, value in data.items() if isinstance(data, dict) else ():
        if name == key:
            yield value
        yield from _under(key, value)


def _taken(section: type[Section], key: str) -> Iterator[Plain]:
    """Values that a key of a section takes, those of a shipped example first."""
    for value in (*_under(key, _base("mlp")), *_named(section, key), *_EXAMPLES):
        try:
            _alone(section, key).model_validate({key: value})
        except ValidationError:
            continue
        yield value


def _of_section(section: type[Section] | None) -> Iterator[Plain]:
    """What a section must have, else each of its keys alone, with its default."""
    if section is None:
        return
    needed = [name for name, each in section.model_fields.items() if each.is_required()]
    found = {name: next(_taken(section, name), None) for name in needed}
    if needed and None not in found.values():
        yield found
    for name, each in section.model_fields.items():
        if isinstance(each.default, bool | int | float | str) and each.default != "":
            yield {name: each.default}
    if not needed:
        yield {}


def optional(path: KeyPath, data: Plain) -> bool:
    """Whether a recipe may leave out the key at a path.

    Args:
        path: keys that lead to it from the top of the recipe.
        data: the whole recipe as plain data.
    """
    found, key = _field(path, data)
    return found is not None and path[-1] == key and not found.model_fields[key].is_required()


def accepts(path: KeyPath, value: Plain, data: Plain) -> bool:
    """Whether the schema takes a value at a path by itself, whatever stands beside it.

    Args:
        path: keys and list indices that lead to the value.
        value: to be tried there.
        data: the whole recipe as plain data.
    """
    found, key = _field(path, data)
    if found is None:
        return False
    start = len(path) - 1 - next(back for back, part in enumerate(reversed(path)) if part == key)
    wrapped: Any = value
    for part in reversed(path[start + 1 :]):
        wrapped = [wrapped] if isinstance(part, int) else {part: wrapped}
    try:
        _alone(found, key).model_validate({key: wrapped})
    except ValidationError as error:
        # an entry of a list or a mapping was tried without its neighbours
        rest = path[start + 1 :]
        return bool(rest) and all(
            each["type"] == "missing" and each["loc"][1 : len(rest) + 1] != rest for each in error.errors()
        )
    return _together(found, path[: start + 1], wrapped, data)


def _together(section: type[Section], path: KeyPath, value: Any, data: Plain) -> bool:
    """Whether a section that is checked as one says nothing new with a value in the place of the one it has."""
    if not section.__pydantic_decorators__.model_validators:
        return True
    around = entry(data, path[:-1])
    kept = around if isinstance(around, dict) else {}

    def refused(content: dict[str, Any]) -> list[str]:
        try:
            section.model_validate(content)
        except ValidationError as error:
            return [each["msg"] for each in error.errors() if each["type"] == REFUSED]
        return []

    return set(refused({**kept, str(path[-1]): value})) <= set(refused(kept))


def flow(value: Plain) -> str:
    """A value in YAML on one line.

    Args:
        value: plain data, as the gate reads it.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        bare = re.fullmatch(r"[A-Za-z_./][\w./:+-]*(?<!:)", value, re.ASCII) and plain_scalar(value) == value
        return value if bare else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    return json.dumps(value)


def _field(path: KeyPath, data: Plain) -> tuple[type[Section] | None, str]:
    """The innermost section around a path that the schema knows, and its key on the way."""
    for end in range(len(path) - 1, -1, -1):
        section, key = section_at(path[:end], data), str(path[end])
        if section is not None and key in section.model_fields:
            return section, key
    return None, ""


@cache
def _alone(section: type[Section], key: str) -> type[Section]:
    """A section of this one key."""
    field = section.model_fields[key]
    model: type[Section] = create_model(section.__name__, __base__=Section, **{key: (field.annotation, field)})  # type: ignore[call-overload]  # names made while it runs
    return model


@cache
def _base(name: str) -> Plain:
    return read_yaml(BASES[name].encode(), name).data


def _named(section: type[Section], key: str) -> Iterator[str]:
    """Names that the key's own type lists."""
    schema = _alone(section, key).model_json_schema()

    def listed(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from (each for each in (*part.get("enum", ()), part.get("const")) if isinstance(each, str))
            for each in part.values():
                yield from listed(each)
        elif isinstance(part, list):
            for each in part:
                yield from listed(each)

    yield from listed(schema["properties"][key])


def _meanings(value: Plain, path: KeyPath, data: Plain) -> Iterator[Repair]:
    """What the value may have been meant to be, the likeliest first."""
    if isinstance(value, str):
        yield from _of_text(value)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        if value in (0, 1):
            yield _repair(bool(value))
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
            yield _repair(int(value))
    elif isinstance(value, list):
        yield from _of_list(value)
    elif isinstance(value, dict):
        yield from _of_mapping(value)
    elif value is None:
        section, key = _field(path, data)
        if section is not None and "none" in _named(section, key):
            yield _repair("none")
        return
    if isinstance(value, list) or (isinstance(value, str) and _SIZE.fullmatch(value.strip())):
        parts: list[Plain] = value if isinstance(value, list) else [*map(int, _TIMES.split(value.strip()))]
        yield from _by_position(parts, path, data)
    if not isinstance(value, list | dict):
        yield from _in_a_section(value, path, data)
        yield _repair([value])


def _of_text(value: str) -> Iterator[Repair]:
    bare = value.strip()
    folded = bare.casefold()
    if folded in (*_TRUE, *_FALSE):
        text = "true" if folded in _TRUE else "false"
        yield Repair(text, text == "true", "without quotes" if folded == text else "")
    yield from _of_number(bare)
    if folded in ("null", "none", "~", "nil"):
        yield Repair("null", None, "without quotes" if folded == "null" else "")
    parts = [plain_scalar(part) if len(part) < 64 else part for part in re.split(r"\s*,\s*|\s+", bare)]
    if len(parts) > 1 and all(isinstance(part, int | float) for part in parts):
        yield _repair(list(parts))
    if bare != value:
        yield _repair(bare)


def _of_number(bare: str) -> Iterator[Repair]:
    """How to write as a number what is nearly one: `"1e-3"`, `1_000`, `1,000`, `0,004`, `2^-7`, `10k`, `5%`, `1/2`."""
    if power := re.fullmatch(r"(2|10)(?:\^|\*\*)(-?[0-9]{1,2})", bare):
        yield _read(f"{float(power[1]) ** int(power[2]):.12g}")
        return
    if ratio := re.fullmatch(r"([0-9]{1,6})/([1-9][0-9]{0,5})", bare):
        yield _read(f"{int(ratio[1]) / int(ratio[2]):.12g}")
        return
    if re.fullmatch(_NUMBER, bare) and len(bare) <= 24:
        yield _read(bare, "without quotes")
        return
    if share := re.fullmatch(rf"({_NUMBER}) ?%", bare):
        yield _read(f"{float(share[1]) / 100:.12g}", "shares are fractions of 1")
        return
    if scaled := re.fullmatch(rf"({_NUMBER})(?: ?([kKMGBT]))?(?: ?(?:{_NOUNS}))?", bare, re.ASCII):
        yield _read(_scaled(scaled[1], _THOUSANDS.get(scaled[2] or "", 0)), "numbers have no unit")
        return
    yield from _separated(bare)


def _scaled(number: str, power: int) -> str:
    """A decimal number times a power of ten, exactly."""
    if not power:
        return number
    value = float(f"{number}e{power}") if "e" not in number.lower() else float(number) * 10.0**power
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def _separated(bare: str) -> Iterator[Repair]:
    """Numbers with separators of digits, or a comma before their decimals."""
    number, why = re.sub(r"(?<=[0-9])_(?=[0-9])", "", bare), "numbers have no digit separators"
    if re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?", number):
        number = number.replace(",", "")
    elif re.fullmatch(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]+)?", number):
        # thousands are never written with an exponent; `1,000e-3` may be meant either way all the same
        if re.search(r"[1-9][0-9]{0,2},[0-9]{3}[eE]", number):
            return
        number, why = number.replace(",", "."), "decimals follow a point"
    if number != bare and re.fullmatch(_NUMBER, number) and len(number) <= 24:
        yield _read(number, why)


def _either(value: str) -> tuple[Repair, ...]:
    """Both that `64k` may mean."""
    match = re.fullmatch(rf"([0-9]{{1,4}}) ?[kK](?: ?(?:{_NOUNS}))?", value.strip())
    if match is None or int(match[1]) not in _BINARY:
        return ()
    number = int(match[1])
    return _repair(number * 1000), _repair(number * 1024)


def _of_list(value: list[Plain]) -> Iterator[Repair]:
    if len(value) == 1:
        yield _repair(value[0])
    if len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and low != high:
            yield _repair({"low": min(low, high), "high": max(low, high)})
    merged: dict[str, Plain] = {}
    for each in value:
        if not isinstance(each, dict) or merged.keys() & each.keys():
            return
        merged |= each
    if 0 < len(flow(merged)) <= 100:
        yield Repair(flow(merged), merged, "without the dashes of a list")


def _of_mapping(value: dict[str, Plain]) -> Iterator[Repair]:
    if len(value) == 1 and next(iter(value.values())) is None:
        (key,) = value
        yield Repair(json.dumps(f"{{{key}}}", ensure_ascii=False), f"{{{key}}}", "braces in text need quotes")
        yield _repair(key)
        yield _repair([key])


def _by_position(parts: list[Plain], path: KeyPath, data: Plain) -> Iterator[Repair]:
    """`target: [4096, 2]` and `4096x2`, the form of `init --target`, for `{width: 4096, depth: 2}`."""
    for section in _sections(path, data):
        needed = [name for name, each in section.model_fields.items() if each.is_required()]
        if len(needed) == len(parts) > 1:
            yield _repair(dict(zip(needed, parts, strict=True)))


def _in_a_section(value: Plain, path: KeyPath, data: Plain) -> Iterator[Repair]:
    """`parameterization: mup` for `{name: mup}`."""
    found, key = _field(path, data)
    if found is None or path[-1] != key:
        return
    if path[0] in KINDS and len(path) == 1:
        yield _repair({"kind": value})
    for kind in _sections(path, data):
        for name in kind.model_fields:
            yield _repair({name: value})


def _sections(path: KeyPath, data: Plain) -> Iterator[type[Section]]:
    """Sections that the key at a path takes, where it is one of the schema."""
    found, key = _field(path, data)
    if found is None or path[-1] != key:
        return
    annotation = found.model_fields[key].annotation
    inner: list[Any] = [annotation, *get_args(annotation)]
    yield from (kind for kind in inner if isinstance(kind, type) and issubclass(kind, Section))


def _repair(value: Plain) -> Repair:
    return Repair(flow(value), value)


def _read(text: str, why: str = "") -> Repair:
    return Repair(text, plain_scalar(text), why)
