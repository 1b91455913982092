"""Which keys a configuration of transformers has, from the text of the installed package; nothing of it is imported.

Importing a configuration's class imports torch, which takes seconds. The classes say their keys in plain form: fields
with annotations, arguments of `__init__`, and names for names (`attribute_map`). What is not said so is not known.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

#: of a file of the package that is read
_MOST_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """What a configuration takes.

    Attributes:
        names: of its own keys.
        inside: key of each configuration in it -> what that takes; None where that depends on what the user writes.
    """

    names: frozenset[str]
    inside: Mapping[str, ConfigKeys | None] = field(default_factory=dict)

    def unknown(self, key: str) -> tuple[str, frozenset[str]] | None:
        """What of a key is not known, and what is instead; None where nothing is wrong or nothing can be said.

        Args:
            key: as a recipe has it, a key inside another one as "text_config.hidden_size".
        """
        first, dot, rest = key.partition(".")
        if not dot:
            return None if key in self.names or key in self.inside else (key, self.names | self.inside.keys())
        if first not in self.inside:
            return None if first in self.names else (key, self.names | self.inside.keys())
        inner = self.inside[first]
        return None if inner is None else inner.unknown(rest)


@cache
def config_names() -> frozenset[str] | None:
    """Every `model_type` that the installed transformers knows; None where it is not installed or not as expected."""
    found = _mapping_of_names()
    return None if found is None else frozenset(found)


@cache
def config_keys(model_type: str) -> ConfigKeys | None:
    """The keys of a configuration; None where the package's text does not say them.

    Args:
        model_type: as a `config.json` has it.
    """
    name = (_mapping_of_names() or {}).get(model_type)
    file = None if name is None else _file_of(model_type, name)
    return None if name is None or file is None else _keys(file, name)


def _package() -> Path | None:
    try:
        spec = importlib.util.find_spec("transformers")  # finds it without importing it
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


@cache
def _tree(file: Path) -> ast.Module | None:
    try:
        if file.stat().st_size > _MOST_BYTES:
            return None
        return ast.parse(file.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None


@cache
def _mapping_of_names() -> Mapping[str, str] | None:
    """`model_type` -> name of its class."""
    return _constants("CONFIG_MAPPING_NAMES")


def _constants(name: str) -> Mapping[str, str] | None:
    """A mapping of texts, from every place in which the package's lists of configurations add to it."""
    package = _package()
    if package is None:
        return None
    found: dict[str, str] = {}
    for file in ("auto_mappings.py", "configuration_auto.py"):
        tree = _tree(package / "models" / "auto" / file)
        for node in () if tree is None else ast.walk(tree):
            if _concerns(node, name):
                found |= dict(_pairs(node))
    return found or None


def _concerns(node: ast.AST, name: str) -> bool:
    """Whether it assigns to the mapping or adds to it."""
    if isinstance(node, ast.Assign):
        return any(isinstance(each, ast.Name) and each.id == name for each in node.targets)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return node.func.attr == "update" and node.func.value.id == name
    return False


def _pairs(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Pairs of texts, as tuples or in dictionaries."""
    for each in ast.walk(node):
        if isinstance(each, ast.Tuple) and len(each.elts) == 2:
            first, second = each.elts
            if (key := _text(first)) and (value := _text(second)):
                yield key, value
        elif isinstance(each, ast.Dict):
            for first_, second in zip(each.keys, each.values, strict=True):
                if first_ is not None and (key := _text(first_)) and (value := _text(second)):
                    yield key, value


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def _folders() -> Mapping[str, str]:
    return _constants("SPECIAL_MODEL_TYPE_TO_MODULE_NAME") or {}


def _file_of(model_type: str, name: str) -> Path | None:
    """The file that defines a class of configuration."""
    package = _package()
    if package is None:
        return None
    folder = package / "models" / _folders().get(model_type, model_type).replace("-", "_")
    files = sorted(folder.glob("configuration_*.py")) or sorted(package.glob("models/*/configuration_*.py"))
    return next((file for file in files if _class(file, name) is not None), None)


def _class(file: Path, name: str) -> ast.ClassDef | None:
    tree = _tree(file)
    found = (node for node in (tree.body if tree else ()) if isinstance(node, ast.ClassDef) and node.name == name)
    return next(found, None)


@cache
def _keys(file: Path, name: str) -> ConfigKeys | None:
    """Keys of a class and of those that it is made from; None where one of them cannot be found."""
    node = _class(file, name)
    if node is None:
        return None
    names, inside = _said(node, file)
    for base in node.bases:
        place = _imported_from(base, file)
        inner = None if place is None else _keys(*place)
        if inner is not None:
            names, inside = names | inner.names, {**inner.inside, **inside}
        elif not ast.unparse(base).endswith(_NO_CONFIGURATIONS):
            return None
    return ConfigKeys(frozenset(names | _EVERYWHERE), inside)


#: ends of names of classes that a configuration comes from and that add no keys of their own
_NO_CONFIGURATIONS = ("Mixin", "object", "dict")


def _imported_from(base: ast.expr, file: Path) -> tuple[Path, str] | None:
    """File and name of a class that is named in a file: its own, or one that it imports from the package."""
    if not isinstance(base, ast.Name):
        return None
    if _class(file, base.id) is not None:
        return file, base.id
    tree = _tree(file)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == base.id:
                    folder = file.parents[node.level - 1]
                    module = folder.joinpath(*(node.module or "").split("."))
                    found = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__init__.py"
                    return _imported_from(ast.Name(alias.name), found)
    return None


#: names under which classes say which configurations are in them
_INSIDE = ("sub_configs", "sub_configs_defaults")


def _said(node: ast.ClassDef, file: Path) -> tuple[set[str], dict[str, ConfigKeys | None]]:
    """Keys that one class says by itself."""
    names: set[str] = set()
    inside: dict[str, ConfigKeys | None] = {}
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            names |= _of_function(each)
            continue
        target = each.targets[0] if isinstance(each, ast.Assign) else getattr(each, "target", None)
        if not isinstance(target, ast.Name):
            continue
        value: ast.AST | None = getattr(each, "value", None)
        if target.id == "attribute_map" and value is not None:
            names |= {key for pair in _pairs(value) for key in pair}
        elif target.id in _INSIDE and isinstance(value, ast.Dict):
            inside |= _inside(value, file)
        elif isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation):
            names.add(target.id)
    return names, inside


def _inside(value: ast.Dict, file: Path) -> dict[str, ConfigKeys | None]:
    """Key of each configuration in another -> its keys; None where it may be of any family."""
    found: dict[str, ConfigKeys | None] = {}
    for key, kind in zip(value.keys, value.values, strict=True):
        if key is not None and (text := _text(key)):
            place = _imported_from(kind, file)
            found[text] = None if place is None else _keys(*place)
    return found


#: methods that read or write files: what they take is no key
_OF_FILES = frozenset({"save_pretrained", "push_to_hub"})
#: keys that any configuration takes beside those of its class: of files, of classes, and of what is generated with it
_EVERYWHERE = frozenset(
    {
        "_name_or_path",
        "label_names",
        "num_classes",
        "bos_token_id",
        "eos_token_id",
        "layer_types",
        "pad_token_id",
        "vocab_size",
    }
)


def _of_function(node: ast.FunctionDef) -> set[str]:
    """Arguments of `__init__`, attributes that a method sets, keys that it takes from `kwargs`, and set properties."""
    decorators = {ast.unparse(each) for each in node.decorator_list}
    if "classmethod" in decorators or node.name in _OF_FILES:
        return set()
    found: set[str] = set()
    if node.name == "__init__":
        found |= {each.arg for each in (*node.args.args, *node.args.kwonlyargs)} - {"self"}
    if f"{node.name}.setter" in decorators:
        found.add(node.name)
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and _is_name(each.value, "self"):
            found.add(each.attr)
        elif isinstance(each, ast.Call) and (text := _taken_from_kwargs(each)):
            found.add(text)
    return found


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _taken_from_kwargs(call: ast.Call) -> str | None:
    """The key of `kwargs.pop("key")`, and of `get` and `setdefault` alike."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr in ("pop", "get", "setdefault") and call.args):
        return None
    return _text(call.args[0]) if _is_name(function.value, "kwargs") else None
