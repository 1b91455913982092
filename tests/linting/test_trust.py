"""Whose code `shapes` runs: nobody's without trust, and with it in a process of its own under limits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from hptransfer.errors import Finding, UsageError
from hptransfer.evidence.present import present
from hptransfer.execution.confined import Limits
from hptransfer.linting.catalogue import rule_of
from hptransfer.linting.levels._trusted import run_trusted
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import Validation, validate
from hptransfer.registry import imported, look_in, untrusted_recipe
from tests.support.recipe_texts import LLAMA, MLP, edited, load_text

SHAPES = ("static", "shapes")
#: writes a file when it is imported, under whatever name
CANARY = "from pathlib import Path\nPath(__file__).with_name('ran').write_text('it ran')\n"
NET = f"""{CANARY}
from tests.support.own_models import blocks

def build(width, depth):
    return blocks(width, depth)

def example():
    import torch
    return torch.zeros(1, 8, dtype=torch.long)
"""


def asked(folder: Path, text: str, *, trust: bool = False) -> Validation:
    """The recipe in `text`, with the levels up to `shapes`."""
    (folder / "recipe.yaml").write_text(text)
    return validate(str(folder / "recipe.yaml"), ValidationOptions(SHAPES, trust=trust))


OWN = edited(MLP, ("{kind: mlp}", "{kind: factory, factory: 'canary_net:build', context: 16}"))


@pytest.mark.parametrize(
    "text",
    [
        OWN,
        edited(LLAMA, ("vocab_size: 256}", "vocab_size: 256}, example: 'canary_net:example'")),
        edited(LLAMA, ("steps: 100", "steps: 100\n  loss: 'canary_net:loss'")),
        edited(LLAMA, ("{kind: stdlib-text}", "{kind: python, source: 'canary_net:a', evaluation: 'canary_net:b'}")),
        edited(LLAMA, ("{kind: stdlib-text}", "{kind: 'canary_net:SOURCE'}")),
        edited(LLAMA, ("data:", "trainer: 'canary_net:TRAINER'\ndata:")),
        edited(LLAMA, ("data:", "trainer: {function: 'canary_net:train'}\ndata:")),
        edited(MLP, ("tune:", "check: {diagnostics: ['canary_net:D']}\ntune:")),
    ],
    ids=["factory", "example", "loss", "batches", "source", "trainer", "function", "diagnostic"],
)
def test_nothing_of_a_stranger_runs(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trust no module beside the recipe, or in the current folder, is imported; what was not asked is said."""
    (tmp_path / "canary_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    result = asked(tmp_path, text)

    assert result.errors == ()
    assert not (tmp_path / "ran").exists()
    assert "canary_net" not in sys.modules
    assert sys.path == before
    if "diagnostics" not in text:
        assert any("--trust" in note or "every command that trains" in note for note in result.notes)


def test_evidence_runs_no_example_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration of transformers may name code for its inputs, which is code as a factory is."""
    (tmp_path / "canary_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    text = edited(LLAMA, ("vocab_size: 256}", "vocab_size: 256}, example: 'canary_net:example'"))

    now = present(load_text(tmp_path, text), {}, "", trust=False)

    assert not (tmp_path / "ran").exists()
    assert "rules" not in now.parts
    assert "with `--trust` only" in now.undecided[-1]


def test_a_module_beside_the_recipe_hides_nothing(tmp_path: Path) -> None:
    """Transformers looks for packages that are not installed: a file of that name beside the recipe is not found."""
    for name in ("kernels", "accelerate", "flash_attn", "peft"):
        (tmp_path / f"{name}.py").write_text(CANARY)

    assert asked(tmp_path, LLAMA).errors == ()
    assert not (tmp_path / "ran").exists()


def test_the_guard_itself(tmp_path: Path) -> None:
    """What would import a recipe's code is refused where the recipe is not trusted, and runs outside."""
    before = list(sys.path)
    with untrusted_recipe():
        look_in(tmp_path)
        with pytest.raises(UsageError, match="must be trusted to run"):
            imported("a function", "json:dumps")
    assert sys.path == before
    assert imported("a function", "json:dumps") is not None


def test_with_trust_it_runs_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is built and planned, and this process never imports it."""
    (tmp_path / "canary_net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))

    result = asked(tmp_path, OWN, trust=True)

    assert result.errors == ()
    assert result.notes == ()  # `static` does not deny what `shapes` decided
    assert (tmp_path / "ran").exists()
    assert "canary_net" not in sys.modules


def test_what_the_code_does_wrong_is_a_finding(tmp_path: Path) -> None:
    """With its file and line, at the recipe's `model`, as in this process."""
    (tmp_path / "canary_net.py").write_text("def build(width, depth):\n    return 1 / 0\n")

    (found,) = asked(tmp_path, OWN, trust=True).errors

    assert found.code == "recipe/model"
    assert "canary_net.py:2" in str(found.received)
    assert str(found.place) == f"{tmp_path / 'recipe.yaml'}:2:1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os; os._exit(7)", "exit status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("print('{\"errors\": []}'); import os; os._exit(0)", "no answer"),
    ],
)
def test_code_that_ends_its_process(tmp_path: Path, body: str, said: str) -> None:
    """Is a finding of the recipe; what it prints is no answer."""
    (tmp_path / "canary_net.py").write_text(f"def build(width, depth):\n    {body}\n")

    (found,) = asked(tmp_path, OWN, trust=True).errors

    assert found.code == "trust/process"
    assert found.id == "HPT961"
    assert said in str(found.received)
    assert found.place is not None


def sleeps(payload: dict[str, float]) -> None:
    """Longer than it may, in a child of its own as well."""
    import subprocess

    subprocess.Popen(["sleep", str(payload["seconds"])])
    time.sleep(payload["seconds"])


def takes(payload: dict[str, int]) -> int:
    """More memory than it may."""
    return len(bytearray(payload["bytes"]))


def test_time_ends_it() -> None:
    """With all that it started."""
    start = time.monotonic()
    said = run_trusted(f"{__name__}:sleeps", {"seconds": 60.0}, Limits(seconds=3))

    assert isinstance(said, Finding)
    assert said.code == "trust/time"
    assert time.monotonic() - start < 30


def test_memory_ends_it() -> None:
    """A piece of 64 GB is refused, and 1 MB is not."""
    said = run_trusted(f"{__name__}:takes", {"bytes": 2**36})

    assert isinstance(said, Finding)
    assert "MemoryError" in str(said.received)
    assert run_trusted(f"{__name__}:takes", {"bytes": 2**20}) == 2**20


@pytest.mark.parametrize(
    ("why", "task", "limits"),
    [
        ("time", "hangs", Limits(seconds=2.0)),
        ("process", "leaves", Limits()),
        ("memory", "takes_memory", Limits(memory=100 * 2**20)),
        ("processes", "forks", Limits(processes=8)),
        ("output", "floods", Limits(flood=2**20)),
        ("answer", "answers_much", Limits(answer=2**16)),
    ],
)
def test_each_limit_has_a_rule(why: str, task: str, limits: Limits) -> None:
    """What ends a process is a finding with a code that the catalogue has."""
    said = run_trusted(f"tests.support.confined_tasks:{task}", {}, limits)

    assert isinstance(said, Finding)
    assert said.code == f"trust/{why}"
    assert rule_of(said.code) is not None
