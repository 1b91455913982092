"""A program's own configuration file with some of its values replaced: YAML, JSON, TOML or Python."""

from __future__ import annotations

import ast
import errno
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import yaml

from hptransfer.errors import Place, UsageError
from hptransfer.files import bounded_content
from hptransfer.recipe import suggestion
from hptransfer.recipe.command_sections import CommandTrainer, ConfigFile
from hptransfer.recipe.sections import Setting

#: bytes; a file that is larger is no configuration
_LARGEST = 1 << 20
#: keys and entries of lists, each alias counted with all that it stands for
_MOST_ENTRIES = 100_000


def rendered_config(section: ConfigFile, root: Path, values: Mapping[str, Setting]) -> str:
    """The text of a template with values in it.

    Args:
        section: names the template, and allows new keys.
        root: the recipe's folder, where relative names start.
        values: by dotted key; numbers stay numbers.

    Raises:
        UsageError: the template cannot be read, or lacks a key.
    """
    path = root / section.template
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"a configuration must be one of {', '.join(_FORMS)}, by its suffix", received=section.template
        )
    text = _text(path, root)
    try:
        return form(text, values, _Keys(path, section.new))
    except (yaml.YAMLError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        line = (str(error).splitlines() or ["brackets are nested too deeply"])[0][:200]
        raise UsageError("a configuration's template must be readable", received=line, place=Place(str(path))) from None


def require_template(command: CommandTrainer, root: Path) -> None:
    """The template of a command's configuration must be there, with every key that is set.

    Args:
        command: the recipe's section; without `config` nothing is required.
        root: the recipe's folder, where relative names start.

    Raises:
        UsageError: it cannot be read, or lacks a key.
    """
    if command.config is not None:
        rendered_config(command.config, root, command.config.set)


def _text(path: Path, root: Path) -> str:
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            raise OSError(errno.EPERM, "a link leads out of the recipe's folder")
        return bounded_content(path, _LARGEST).decode("utf-8").replace("\r\n", "\n")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # a circle of links is a RuntimeError
        rule = "a configuration's template must be a file that can be read"
        hint = "`config.template` is relative to the recipe's folder"
        raise UsageError(rule, received=f"{path}: {error}", hint=hint) from None


@dataclass(frozen=True, slots=True)
class _Keys:
    """Refuses keys that a template does not have.

    Attributes:
        path: of the template, for messages.
        new: whether new ones are welcome.
    """

    path: Path
    new: bool

    def require(self, key: str, known: Mapping[str, Any] | list[str]) -> None:
        """Refuses a key that is not there.

        Args:
            key: dotted, as `config.set` has it.
            known: keys that are there, in whole too.
        """
        if self.new or key in known:
            return
        names = list(known)
        raise UsageError(
            "`config.set` must name keys that the template has",
            received=key,
            hint=(suggestion.hint(key, names, "keys") if names else "the template has none")
            + "; `new: true` adds keys",
            place=Place(str(self.path)),
        )


def _data_form(
    load: Callable[[str], Any], dump: Callable[[Any], str]
) -> Callable[[str, Mapping[str, Setting], _Keys], str]:
    def render(text: str, values: Mapping[str, Setting], keys: _Keys) -> str:
        data = load(text)
        data = {} if data is None else _apart(data, [_MOST_ENTRIES])
        if not isinstance(data, dict):
            raise UsageError("a configuration must be a mapping at its top", received=str(keys.path))
        known = _leaves(data)
        for key, value in values.items():
            keys.require(key, known)
            _put(data, key, value, keys)
        return dump(data)

    return render


def _apart(data: Any, left: list[int]) -> Any:
    """A copy without aliases: what is set in one place must not change another.

    Args:
        data: as it was loaded; an alias is the same object again.
        left: how many entries there may still be; a few lines of aliases of aliases are billions.
    """
    if not isinstance(data, dict | list):
        return data
    left[0] -= len(data)
    if left[0] < 0:
        raise ValueError(f"it has more than {_MOST_ENTRIES:,} entries, aliases counted with all that they stand for")
    if isinstance(data, list):
        return [_apart(value, left) for value in data]
    return {key: _apart(value, left) for key, value in data.items()}


def _leaves(data: Any, prefix: str = "") -> dict[str, Any]:
    """Every key, dotted, those of sections too."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    found: dict[str, Any] = {}
    for key, value in items:
        name = f"{prefix}{key}"
        found[name] = value
        if isinstance(value, dict | list):
            found |= _leaves(value, f"{name}.")
    return found


def _put(data: Any, key: str, value: Setting, keys: _Keys) -> None:
    """Sets a dotted key; a key with dots in it is taken whole where a mapping has it so."""
    if isinstance(data, dict) and key in data:
        data[key] = value
        return
    first, _, rest = key.partition(".")
    if isinstance(data, list):
        _put_entry(data, key, value, keys)
        return
    for end in range(key.count("."), 0, -1):
        head, tail = ".".join(key.split(".")[:end]), ".".join(key.split(".")[end:])
        if isinstance(data.get(head), dict | list):
            _put(data[head], tail, value, keys)
            return
    if not rest:
        data[first] = value
        return
    if first in data:
        raise UsageError(
            "a key below another one must belong to a section",
            received=f"{key}: `{first}` is {str(data[first])[:80]!r}",
            place=Place(str(keys.path)),
        )
    data[first] = {}
    _put(data[first], rest, value, keys)


def _put_entry(data: list[Any], key: str, value: Setting, keys: _Keys) -> None:
    first, _, rest = key.partition(".")
    index = {str(number): number for number in range(len(data))}.get(first)
    if index is None:
        known = f"0 to {len(data) - 1}" if data else "none: the list is empty"
        raise UsageError(
            "a key below a list must be the number of one of its entries",
            received=f"{first!r} in `{key}`",
            hint=f"entries are {known}; to make a list longer, write it so in the template",
            place=Place(str(keys.path)),
        )
    if not rest:
        data[index] = value
    elif isinstance(data[index], dict | list):
        _put(data[index], rest, value, keys)
    else:
        raise UsageError(
            "a key below another one must belong to a section",
            received=f"{rest!r} below entry {first}, which is {str(data[index])[:80]!r}",
            place=Place(str(keys.path)),
        )


_MERGE, _MOST_SOURCES = "tag:yaml.org,2002:merge", 64


class _Plain(yaml.SafeLoader):
    """YAML 1.1, in which numbers are also those of YAML 1.2: `1e-3` is one."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges `<<`, whose entries are copied: merges of merges could be billions.

        Args:
            node: a mapping, into which what its key `<<` names is copied.
        """
        for key, value in node.value:
            if key.tag == _MERGE and isinstance(value, yaml.SequenceNode) and len(value.value) > _MOST_SOURCES:
                raise yaml.YAMLError(f"a merge `<<` names more than {_MOST_SOURCES} mappings")
        before = len(node.value)
        super().flatten_mapping(node)
        self._merged += max(0, len(node.value) - before)
        if self._merged > _MOST_ENTRIES:
            raise yaml.YAMLError(f"its merges `<<` copy more than {_MOST_ENTRIES:,} entries")


_Plain.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Plain.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _yaml_of(data: Any) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def _toml_of(data: Mapping[str, Any]) -> str:
    return "".join(f"{line}\n" for line in _toml_lines(data, ()))


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Values first, then tables: a line after a table's header belongs to it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict) and not _is_tables(value)}
    lines = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key in plain:
            continue
        inner = (*path, key)
        name = ".".join(map(_toml_key, inner))
        for each in [value] if isinstance(value, dict) else value:
            header = f"[{name}]" if isinstance(value, dict) else f"[[{name}]]"
            lines += ["", header, *_toml_lines(each, inner)]
    return lines


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _toml_value(value: object) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case datetime() | date() | time():
            text = value.isoformat()
        case int():
            text = str(value)
        case float():
            text = repr(value) if re.search(r"[.en]", repr(value)) else f"{value!r}.0"
        case list():
            text = f"[{', '.join(map(_toml_value, value))}]"
        case dict():
            text = f"{{ {', '.join(f'{_toml_key(key)} = {_toml_value(item)}' for key, item in value.items())} }}"
        case None:
            hint = "leave the key out of `config.set`"
            raise UsageError("TOML has no value for nothing", received="null", hint=hint)
        case _:  # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text


def _python(text: str, values: Mapping[str, Setting], keys: _Keys) -> str:
    """Assignments at the top of a module; the rest of the text, comments too, stays as it is."""
    tree = ast.parse(text)
    places: dict[str, ast.expr] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and value is not None:
            places |= _python_places(target.id, value)
    known = list(places)
    edits = []
    added = ""
    for key, setting in values.items():
        keys.require(key, known)
        if key in places:
            edits.append((places[key], repr(setting)))
        elif key.isidentifier():
            added += f"{key} = {setting!r}\n"
        else:
            raise UsageError("a new key of a Python file must be a name", received=key)
    return _with_edits(text, edits) + (f"\n{added}" if added else "")


def _python_places(name: str, value: ast.expr) -> dict[str, ast.expr]:
    """Where a variable's value stands, and those of the entries of a dict."""
    found = {name: value}
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        entries = {
            str(key.value): item for key, item in pairs if isinstance(key, ast.Constant) and type(key.value) is str
        }
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        entries = {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg is not None}
    else:
        return found
    for key, item in entries.items():
        found |= _python_places(f"{name}.{key}", item)
    return found


def _with_edits(text: str, edits: list[tuple[ast.expr, str]]) -> str:
    lines = [line.encode() for line in re.findall(r"[^\n]*\n|[^\n]+", text)]  # columns count bytes
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    content = b"".join(lines)
    for node, new in sorted(edits, key=lambda edit: -starts[edit[0].lineno - 1] - edit[0].col_offset):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        content = content[:begin] + new.encode() + content[end:]
    return content.decode()


_FORMS: Mapping[str, Callable[[str, Mapping[str, Setting], _Keys], str]] = {
    ".yaml": _data_form(lambda text: yaml.load(text, _Plain), _yaml_of),  # noqa: S506 - a safe one
    ".yml": _data_form(lambda text: yaml.load(text, _Plain), _yaml_of),  # noqa: S506
    ".json": _data_form(json.loads, lambda data: json.dumps(data, indent=2, ensure_ascii=False) + "\n"),
    ".toml": _data_form(tomllib.loads, _toml_of),
    ".py": _python,
}
