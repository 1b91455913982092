"""The shape of the package and of its tests: sizes, imports, documentation. Ceilings may only go down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import source_tree
from tests.support.source_tree import ROOT, circles, functions, imports, modules, short_argument_docs, short_docs_of

#: how many of each there may be; none where nothing stands here
CEILINGS = {"import circles": 0, "functions over 80 lines": 0, "imports of more than 15 modules": 0, "short docs": 0}
#: modules that may import more than 15 others, and why
WIDE = {"hptransfer": "the public names, each loaded on first use from where it is"}

MODULES = sorted(modules())
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])


def length(name: str) -> int:
    """Lines of a module."""
    return len(modules()[name].read_text(encoding="utf-8").splitlines())


def test_the_reading_of_sources_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Negative control: a circle under TYPE_CHECKING and inside a function, and documentation of one word."""
    sources = {
        "hptransfer.left_of_circle": "if TYPE_CHECKING:\n    from hptransfer.right_of_circle import thing\n",
        "hptransfer.right_of_circle": (
            "def thing(size: int) -> None:\n"
            '    """What it is.\n\n    Args:\n        size: where.\n        other: of more words than that.\n    """\n'
            "    import hptransfer.left_of_circle\n"
        ),
    }
    files = {name: tmp_path / f"{name}.py" for name in sources}
    for name, text in sources.items():
        files[name].write_text(text)
    monkeypatch.setattr(source_tree, "modules", lambda: files)

    assert circles() == [["hptransfer.left_of_circle", "hptransfer.right_of_circle"]]
    assert short_argument_docs("hptransfer.right_of_circle") == ["hptransfer.right_of_circle:thing size: where."]


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("hptransfer.commands.")])
def test_a_command_is_thin(name: str) -> None:
    """Parse, call, render, write: 100 lines."""
    assert length(name) <= 100


def test_a_file_is_read_in_one_sitting() -> None:
    """500 lines."""
    assert [name for name in MODULES if length(name) > 500] == []


def test_a_function_fits_on_a_screen() -> None:
    """80 lines, its documentation included."""
    long = [
        f"{name}.{function.name}"
        for name in MODULES
        for function in functions(name)
        if (function.end_lineno or 0) - function.lineno + 1 > 80
    ]

    assert len(long) <= CEILINGS["functions over 80 lines"], long


def test_a_module_knows_few_others() -> None:
    """At most 15 modules of this package, wherever it imports them."""
    wide = {name: len({each.imported for each in imports(name)}) for name in MODULES}
    found = {name: count for name, count in wide.items() if count > 15 and name not in WIDE}

    assert len(found) <= CEILINGS["imports of more than 15 modules"], found


def test_imports_have_no_circles() -> None:
    """Between files, imports for annotations and inside functions included."""
    assert len(circles()) <= CEILINGS["import circles"], circles()


def test_arguments_are_documented_by_phrases() -> None:
    """With unit and shape; "size: where." says nothing."""
    found = [line for name in MODULES for line in short_argument_docs(name)]
    # of tests and benchmarks too, whose support modules many tests share
    found += [
        line
        for path in TESTS
        for line in short_docs_of(ast.parse(path.read_text("utf-8")), str(path.relative_to(ROOT)))
    ]

    assert len(found) <= CEILINGS["short docs"], found


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_test_module(path: Path) -> None:
    """What tests share lies in tests/support."""
    wanted = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted += [f"{node.module}.{alias.name}" for alias in node.names]

    assert [name for name in wanted if name.startswith("tests.") and ".test_" in name] == []
