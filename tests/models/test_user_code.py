"""Models of a user's own: however they are named and imported, and where they fail, their file and line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hptransfer
from hptransfer.errors import Finding, UsageError
from hptransfer.models.build import build_model
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.registry import look_in

BLOCKS = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, width, depth, factor=2):
        super().__init__()
        self.first = nn.Linear(8, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, 4)

    @classmethod
    def build(cls, width, depth):
        return cls(width, depth)
"""
FILES = {
    "lazy_model.py": "def build(width, depth):\n    from lazy_layers import Net\n    return Net(width, depth)\n",
    "lazy_layers.py": BLOCKS,
    "lazy_package/__init__.py": "",
    "lazy_package/layers.py": BLOCKS,
    "lazy_package/model.py": """\
import functools
from .layers import Net

def build(width, depth):
    from .late import wrapped
    return wrapped(Net(width, depth))

def keyword_only(*, width, depth):
    return Net(width, depth)

def named_else(n_embd, n_layer, heads=4):
    return Net(n_embd, n_layer)

def needs_more(width, depth, vocabulary):
    return Net(width, depth)

def pair(width, depth):
    return Net(width, depth), None

narrow = functools.partial(Net, factor=1)
""",
    "lazy_package/late.py": "def wrapped(net):\n    return net\n",
    "failing_model.py": """\
import torch
from torch import nn

def in_build(width, depth):
    if width > 64:
        raise ValueError("no such\\n width")
    return nn.Linear(8, width)

def in_torch(width, depth):
    layers = [nn.Linear(width, width)]
    return nn.Sequential(*layers, torch.zeros(3) @ torch.zeros(4))
""",
    "broken_model.py": "import torch\n\ndef build(width, depth:\n    pass\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with modules in it; what is imported there is forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] in {Path(file).parts[0].removesuffix(".py") for file in FILES}
    ]:
        del sys.modules[name]


def names(model: str | Callable[..., object], **options: object) -> list[str]:
    """Of the parameters that are planned."""
    arguments = {"base": (64, 2), "target": (128, 2), "hyperparameters": {"learning_rate": 0.1}}
    plan = hptransfer.plan(model, parameterization="mup", **arguments | options)  # type: ignore[arg-type]
    return [row.parameter.name for row in plan.rows]


def refused(model: str, **options: object) -> Finding:
    """The first finding of a plan that is refused."""
    with pytest.raises(UsageError) as caught:
        names(model, **options)
    return caught.value.findings[0]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "reference",
    [
        "lazy_model:build",
        "lazy_package.model:build",
        "lazy_package.model:keyword_only",
        "lazy_package.model:narrow",
        "lazy_package.model:Net",
        "lazy_package.model:Net.build",
    ],
)
def test_every_way_to_write_a_factory(reference: str) -> None:
    """A lazy import, relative ones, keyword-only arguments, `functools.partial`, a class and its method."""
    assert names(reference)[0] == "first.weight"
    assert len(names(reference)) == 8


def test_beside_the_recipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe's factory imports lazily from the recipe's folder, wherever the command runs, as a worker does."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    look_in(folder)

    module = build_model(FactoryModel(kind="factory", factory="lazy_model:build"), 64, 2)

    assert len(list(module.parameters())) == 8


@pytest.mark.usefixtures("folder")
def test_another_name_of_the_width() -> None:
    """The function's own arguments are listed, and those that were meant can be pasted; pasted they work."""
    finding = refused("lazy_package.model:named_else")

    assert finding.received == "lazy_package.model:named_else takes (n_embd, n_layer, heads), not `width` and `depth`"
    assert finding.hint == "write `width='n_embd'` and `depth='n_layer'`"
    assert len(names("lazy_package.model:named_else", width="n_embd", depth="n_layer")) == 8


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("reference", "received", "hint"),
    [
        ("lazy_package.model:needs_more", "nothing gives `vocabulary`", "arguments: {vocabulary: ...}"),
        ("lazy_package.model:keyword_onli", "lazy_package.model:keyword_onli", "lazy_package.model:keyword_only"),
        ("lazy_package.model:pair", "tuple", "return the module alone"),
        ("no_such_module:build", "ModuleNotFoundError", "in the folder of the module"),
    ],
)
def test_refusals(reference: str, received: str, hint: str) -> None:
    """What is missing, and what to write."""
    finding = refused(reference)

    assert received in str(finding.received)
    assert hint in str(finding.hint)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("failing_model:in_build", "failing_model.py:6 in in_build: ValueError: no such width"),
        ("failing_model:in_torch", "failing_model.py:11 in in_torch: RuntimeError: "),
        ("broken_model:build", "broken_model.py:3: SyntaxError: "),
    ],
)
def test_an_error_names_the_users_line(reference: str, said: str) -> None:
    """File, line, function, type and message; no file of ours or of torch's, in one line."""
    received = str(refused(reference).received)

    assert said in received
    assert "hptransfer/" not in received
    assert "site-packages" not in received
    assert "\n" not in received


def test_inside_a_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run inside of a package, the error says how to name the module."""
    monkeypatch.chdir(folder / "lazy_package")

    assert "`lazy_package.model:build`" in str(refused("model:build").hint)
    sys.modules.pop("model", None)


def test_the_words_of_the_command_line(folder: Path) -> None:
    """A refusal of several findings says the first one in its message, as `hptransfer plan` prints it."""
    stacked = "nn.Parameter(torch.zeros(3, width, width))"
    more = f"self.odd = {stacked}\n        self.even = {stacked}\n        self.last ="
    (folder / "asking.py").write_text(f"import torch\n{BLOCKS.replace('self.last =', more)}")
    with pytest.raises(UsageError) as caught:
        names("asking:Net")
    sys.modules.pop("asking", None)

    assert len(caught.value.findings) == 2
    assert "odd (3, " in str(caught.value)
    assert str(caught.value).startswith(caught.value.findings[0].rule)
