"""A folder's `__init__` is its table of contents: nothing else of it is imported from outside.

`python -m tests.support.source_tree` prints the `__all__` that each folder's users need today; `--write` writes it.
"""

from __future__ import annotations

import pytest

from tests.support.source_tree import defined_in, entrances, imports, modules, offered, packages, wanted_from


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_enters_other_rooms_by_what_they_offer(name: str) -> None:
    """An import from outside a folder names a module or folder that its `__all__` lists."""
    refused = [
        f"line {each.line}: {each.imported}"
        for each in imports(name)
        for package, inner in entrances(each)
        if inner not in offered(package)
    ]

    assert refused == []


@pytest.mark.parametrize("package", packages())
def test_what_a_room_offers_exists(package: str) -> None:
    """A name in `__all__` that is no module of the folder is defined by its `__init__`."""
    known = {name.removeprefix(f"{package}.") for name in modules()} | defined_in(package)

    assert [name for name in offered(package) if name not in known] == []


@pytest.mark.parametrize("package", packages())
def test_a_room_offers_no_module_that_nobody_takes(package: str) -> None:
    """The table of contents is as short as can be; what users import (docs) is named in `FOR_USERS`."""
    known = modules()
    idle = [name for name in offered(package) if f"{package}.{name}" in known and name not in wanted_from(package)]

    assert [name for name in idle if f"{package}.{name}" not in FOR_USERS] == []


#: modules that only users of the package import
FOR_USERS: frozenset[str] = frozenset()
