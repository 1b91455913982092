"""Nothing that is read can run code: no pickle, no YAML that makes objects; nothing writes cells for a spreadsheet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.source_tree import TOP

#: modules whose data run code when they are read
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "_pickle", "jsonpickle"}
#: imported for the name of what torch raises, and for nothing else
ONLY_THE_EXCEPTION = {"training/checkpoint.py": {"UnpicklingError"}}
#: loaders that make plain data: `OnceLoader` (artifacts/yaml_keys.py), `_Plain` (trainers/_rendered_config.py)
SAFE_LOADERS = {"OnceLoader", "_Plain", "yaml.SafeLoader", "yaml.CSafeLoader"}


def faults(text: str, name: str = "x.py") -> Iterator[str]:
    """Each way in which a module may read what runs code, or writes a table that a spreadsheet computes."""
    tree = ast.parse(text)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _dotted(node.value) == "pickle"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            for module in {each.partition(".")[0] for each in names} & RUNS_CODE:
                if isinstance(node, ast.ImportFrom) or used - ONLY_THE_EXCEPTION.get(name, set()) or not used:
                    yield f"line {node.lineno}: imports {module}"
        elif isinstance(node, ast.Call):
            called = _dotted(node.func)
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if called == "torch.load" and given.get("weights_only") != "True":
                yield f"line {node.lineno}: torch.load without weights_only=True"
            if called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
                yield f"line {node.lineno}: numpy.load with pickle"
            if called in ("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"):
                yield f"line {node.lineno}: {called}"
            if called == "yaml.load" and not {ast.unparse(each) for each in node.args[1:]} & SAFE_LOADERS:
                yield f"line {node.lineno}: yaml.load without a safe loader"
            if called in ("csv.writer", "csv.DictWriter") or called.endswith(".to_csv"):
                yield f"line {node.lineno}: {called}: cells that begin with = + - @ are formulas to a spreadsheet"


def _dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


@pytest.mark.parametrize("path", sorted(TOP.rglob("*.py")), ids=lambda path: str(path.relative_to(TOP)))
def test_no_module_reads_what_runs_code(path: Path) -> None:
    """Of the package itself, roundtrips and testing suites included."""
    assert list(faults(path.read_text(encoding="utf-8"), str(path.relative_to(TOP)))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.loads(b'')",
        "from pickle import loads",
        "import joblib.memory",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import yaml\nyaml.load('x', yaml.Loader)",
        "import yaml\nyaml.unsafe_load('x')",
        "import csv\ncsv.writer(None)",
        "frame.to_csv('x')",
    ],
)
def test_each_way_is_found(text: str) -> None:
    """Negative controls."""
    assert list(faults(text))


def test_loaders_of_our_own_are_safe_ones() -> None:
    """The names above are subclasses of PyYAML's SafeLoader, or of its twin on libyaml: both make plain data only."""
    from hptransfer.artifacts.yaml_keys import OnceLoader
    from hptransfer.trainers._rendered_config import _Plain

    assert issubclass(OnceLoader, yaml.CSafeLoader | yaml.SafeLoader)
    assert issubclass(_Plain, yaml.SafeLoader)
