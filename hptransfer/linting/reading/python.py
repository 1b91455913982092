"""Python by `ast`: calls with their arguments, and values that are constant. Nothing is imported or run."""

from __future__ import annotations

import ast
import itertools
import math
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hptransfer.errors import Place, UsageError
from hptransfer.linting.reading.settings import ForeignFile, Setting, Value
from hptransfer.linting.reading.text import shown

#: bits of an integer that is worked out; it has a float
_LARGEST = 1000
#: expressions within one another that are worked out
_DEEPEST = 20
#: nodes of one file whose values are worked out, by all rules together; a configuration asks for some thousands
MOST_EVALUATED = 1_000_000


def read_python_file(text: str, path: str) -> ForeignFile:
    """A module's tree, and its variables as settings.

    Args:
        text: of the whole file, one module.
        path: as it was named, for places.

    Raises:
        UsageError: it is no Python, or nested too deeply to be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the file's strings
            tree = ast.parse(text)
    except SyntaxError as error:
        received = f"{path}:{error.lineno or 1}:{error.offset or 1}: {shown(error.msg)}"
        raise UsageError("a .py file must be valid Python", received=received) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError("a .py file must be valid Python", received=f"{path}: {type(error).__name__}") from None
    module = Module(tree, path, text)
    settings = tuple(
        Setting(name, module.value(node), module.source(node), module.place(target), module.known(node), node=node)
        for target, name, node in module.assigned
    )
    return ForeignFile(path, "python", text, settings, tree=tree, kept={"module": module})


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the source.

    Attributes:
        name: what is called, with its dots: "torch.optim.AdamW"; "" where it is no name.
        keywords: name of an argument -> its expression.
        arguments: expressions given by their position.
        open: whether `*` or `**` gives more.
        node: the call in the tree.
    """

    name: str
    keywords: Mapping[str, ast.expr]
    arguments: tuple[ast.expr, ...]
    open: bool
    node: ast.Call

    @property
    def last(self) -> str:
        """The name behind the last dot."""
        return self.name.rpartition(".")[2]

    def argument(self, name: str, position: int | None = None) -> ast.expr | None:
        """An argument's expression; None where it is not given.

        Args:
            name: of the parameter that is called.
            position: from 0, where it can be given without its name.
        """
        if name in self.keywords:
            return self.keywords[name]
        return self.arguments[position] if position is not None and position < len(self.arguments) else None


@dataclass
class Module:
    """A file's tree, asked by rules.

    Attributes:
        tree: of the whole module.
        path: as it was named, for places.
        text: of the whole file.
        calls: in the order of the file.
        assigned: target, name and expression of each assignment at the top.
        evaluated: nodes whose value was worked out until now; beyond `MOST_EVALUATED` none is known.
    """

    tree: ast.Module
    path: str
    text: str
    calls: list[Call] = field(init=False)
    assigned: list[tuple[ast.AST, str, ast.expr]] = field(init=False)
    evaluated: int = field(init=False, default=0)
    _values: dict[str, ast.expr] = field(init=False)
    _named: dict[str, Value] = field(init=False)
    _rows: _Rows = field(init=False)
    _by_node: dict[int, Call] = field(init=False)

    def __post_init__(self) -> None:
        self.calls = sorted(
            (_call(node) for node in ast.walk(self.tree) if isinstance(node, ast.Call)),
            key=lambda call: (call.node.lineno, call.node.col_offset),
        )
        self.assigned = [
            (target, target.id, node.value)
            for node in self.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        bound: Counter[str] = Counter()  # a name that is bound twice anywhere has no one value
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] += 1
            elif isinstance(node, ast.arg):
                bound[node.arg] += 2
        self._values = {name: value for _, name, value in self.assigned if bound[name] == 1}
        self._rows = _Rows(self.text)
        self._by_node = {id(call.node): call for call in self.calls}
        # in the order of the file, so that each name is worked out once, from those above it
        self._named = {}
        for name, value in self._values.items():
            self._named[name] = self.value(value)

    @property
    def unread(self) -> tuple[str, ...]:
        """What was not worked out because there is too much of it, a sentence; empty where all was."""
        if self.evaluated <= MOST_EVALUATED:
            return ()
        return (f"values that come after {MOST_EVALUATED:,} expressions",)

    def call_of(self, node: ast.AST) -> Call | None:
        """The call that a node is; None where it is none."""
        return self._by_node.get(id(node))

    def place(self, node: ast.AST) -> Place:
        """Where a node begins."""
        line = getattr(node, "lineno", 1)
        return Place(self.path, line, self._rows.column(line, getattr(node, "col_offset", 0)))

    def source(self, node: ast.AST) -> str:
        """What a node is written as, at most a line of it."""
        line, end = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        stop = getattr(node, "end_col_offset", None) if line == end else None
        return self._rows.part(line, getattr(node, "col_offset", 0), stop).strip()

    def known(self, node: ast.AST | None) -> bool:
        """Whether the value of an expression is known without running it."""
        return node is not None and (_is_none(node) or self.value(node) is not None)

    def value(self, node: ast.AST | None, depth: int = 0) -> Value:
        """The value of an expression that is constant; None where it is not, or is None itself."""
        found: Value = None
        if depth > _DEEPEST or not self._within(1):
            return found
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                found = value if not isinstance(value, int) or value.bit_length() < _LARGEST else None
            case ast.Name(id=name):
                found = self._named.get(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                found = _worked_out(0, ast.Sub(), self.value(operand, depth + 1))
            case ast.BinOp(left=left, op=operation, right=right):
                found = _worked_out(self.value(left, depth + 1), operation, self.value(right, depth + 1))
            case ast.Call(func=ast.Attribute(attr="sqrt"), args=[argument], keywords=[]):
                root = self.value(argument, depth + 1)
                found = math.sqrt(root) if isinstance(root, int | float) and root >= 0 else None
        return found

    def number(self, node: ast.AST | None) -> float | None:
        """The value of an expression that is a constant number."""
        found = self.value(node)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def mapping(self, node: ast.AST | None) -> dict[str, ast.expr] | None:
        """Entries of `{...}` or `dict(...)`; None where not all are seen."""
        if isinstance(node, ast.Name):
            node = self._values.get(node.id)
        if isinstance(node, ast.Call) and _dotted(node.func) == "dict":
            if node.args or not self._within(len(node.keywords)):
                return None
            entries = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
            return entries if len(entries) == len(node.keywords) else None
        if not isinstance(node, ast.Dict) or not self._within(len(node.keys)):
            return None
        found: dict[str, ast.expr] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                return None
            found[key.value] = value
        return found

    def items(self, node: ast.AST | None) -> list[ast.expr] | None:
        """Entries of a list or tuple; None where not all are seen."""
        if isinstance(node, ast.Name):
            node = self._values.get(node.id)
        if not isinstance(node, ast.List | ast.Tuple) or any(isinstance(each, ast.Starred) for each in node.elts):
            return None
        return list(node.elts) if self._within(len(node.elts)) else None

    def _within(self, nodes: int) -> bool:
        """Whether so many more may be worked out."""
        self.evaluated += nodes
        return self.evaluated <= MOST_EVALUATED

    def named(self, *names: str) -> Iterator[Call]:
        """Calls of what has one of these names behind its last dot, in the order of the file."""
        return (call for call in self.calls if call.last in names)


class _Rows:
    """Lines of a text by the offsets that `ast` gives, bytes of UTF-8; each line is looked at once, however long."""

    def __init__(self, text: str) -> None:
        self._rows = text.split("\n")
        self._encoded: dict[int, tuple[bytes, list[int] | None]] = {}

    def column(self, line: int, offset: int) -> int:
        """The column, from 1, of a byte of a line, from 0."""
        _, columns = self._row(line)
        return offset + 1 if columns is None else columns[min(offset, len(columns) - 1)] + 1

    def part(self, line: int, start: int, stop: int | None) -> str:
        """The text between two bytes of a line; "" beyond the last line."""
        return self._row(line)[0][start:stop].decode(errors="ignore")

    def _row(self, line: int) -> tuple[bytes, list[int] | None]:
        """A line's bytes, and per byte how many characters begin before it; None where each is a character."""
        if line not in self._encoded:
            row = self._rows[line - 1] if line <= len(self._rows) else ""
            encoded = row.encode()
            begins = (byte & 0xC0 != 0x80 for byte in encoded)
            counts = None if row.isascii() else [0, *itertools.accumulate(begins)]
            self._encoded[line] = encoded, counts
        return self._encoded[line]


def module_of(file: ForeignFile) -> Module | None:
    """A Python file's tree with its questions; None for other forms.

    Args:
        file: read, in any form.
    """
    if file.tree is None:
        return None
    if "module" not in file.kept:
        file.kept["module"] = Module(file.tree, file.path, file.text)
    module: Module = file.kept["module"]
    return module


def names_in(node: ast.AST) -> set[str]:
    """Names that an expression reads, without dots.

    Args:
        node: an expression, or a whole module.
    """
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


def imported_packages(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports anywhere.

    Args:
        tree: of the whole module.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _call(node: ast.Call) -> Call:
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
    starred = any(isinstance(each, ast.Starred) for each in node.args) or len(keywords) < len(node.keywords)
    arguments = tuple(each for each in node.args if not isinstance(each, ast.Starred))
    return Call(_dotted(node.func), keywords, arguments, starred, node)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < 20:
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join((node.id, *reversed(parts)))
    return ".".join(("?", *reversed(parts))) if parts else ""


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _worked_out(left: Value, operation: ast.operator, right: Value) -> Value:
    """Arithmetic of two constant numbers, within bounds."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return None
    if isinstance(operation, ast.Pow) and (abs(right) > _EXPONENT or abs(left) > _POWER):
        return None
    worked = _OPERATIONS.get(type(operation))
    try:
        found = None if worked is None else worked(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return None
    if isinstance(found, int) and found.bit_length() >= _LARGEST:
        return None  # a square of a square of a square is soon more than fits in memory
    return found if isinstance(found, int | float) else None


#: largest exponent, and number that is raised to one
_EXPONENT, _POWER = 64, 1e6
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
