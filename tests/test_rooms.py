"""Rooms offer modules in their `__init__`; nothing outside a room imports another of its modules."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import hptransfer

PACKAGE = Path(hptransfer.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def offers(room: str) -> list[str] | None:
    """What the room's `__init__` lists, None where it lists nothing."""
    listed: list[str] | None = getattr(import_module(f"hptransfer.{room}"), "__all__", None)
    return listed


def imported_from(room: str) -> set[tuple[str, str]]:
    """(module of the room, file) of every import from outside the room."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        inside = file.relative_to(PACKAGE).parts[0] == room
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and not inside and node.module:
                parts = [*node.module.split("."), *(alias.name for alias in node.names)]
                if parts[:2] == ["hptransfer", room]:
                    found.add((parts[2], str(file.relative_to(PACKAGE))))
    return found


@pytest.mark.parametrize("room", [room for room in ROOMS if offers(room) is not None])
def test_what_is_imported_from_a_room_is_offered(room: str) -> None:
    """A module that the room keeps for itself can change without anybody else noticing."""
    offered = offers(room) or []

    assert {(module, file) for module, file in imported_from(room) if module not in offered} == set()


@pytest.mark.parametrize("room", [room for room in ROOMS if offers(room) is not None])
def test_what_is_offered_exists(room: str) -> None:
    """Every name of the list is a module of the room, or an attribute of its `__init__`."""
    for name in offers(room) or []:
        module = import_module(f"hptransfer.{room}")
        assert hasattr(module, name) or import_module(f"hptransfer.{room}.{name}")
