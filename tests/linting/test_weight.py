"""Short recipes that ask for models of many parts: told from their numbers, and built under limits, if at all."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.execution.confined import Limits
from hptransfer.linting.compared.facts import NONE
from hptransfer.linting.compared.plans import planned
from hptransfer.linting.levels import _apart
from hptransfer.linting.levels.base import LevelOutcome, Subject, ValidationOptions
from hptransfer.linting.levels.evidence import LEVEL as EVIDENCE
from hptransfer.linting.levels.shapes import LEVEL as SHAPES
from hptransfer.linting.validate import validate
from hptransfer.linting.weight import counted_parts, why_heavy
from hptransfer.recipe.load import load_recipe, parse_recipe
from hptransfer.recipe.shipped import shipped_recipes
from tests.support.kept_evidence import Kept
from tests.support.recipe_texts import GPT, LLAMA, MLP, edited

BOTH = ValidationOptions(("static", "shapes"))


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_counts_are_told_from_extents() -> None:
    """By the words of a key; the numbers are those of published configurations, and one that is none."""
    settings = {
        "hidden_size": 16384,
        "vocab_size": 256_000,
        "max_position_embeddings": 10_485_760,
        "rope_theta": 500_000,
        "bos_token_id": 128_000,
        "relative_attention_num_buckets": 32,
        "num_attention_heads": 128,
        "n_routed_experts": 256,
        "num_hidden_layers": 126,
        "vision_config": {"depths": [2, 2, 30], "num_labels": 10**8, "tie": True},
    }

    assert counted_parts(settings) == {
        "num_attention_heads": 128,
        "n_routed_experts": 256,
        "num_hidden_layers": 126,
        "vision_config.depths": 30,
        "vision_config.num_labels": 10**8,
    }


def test_no_shipped_recipe_is_heavy() -> None:
    """Nor is a published model of 80 layers: they are built where the command runs, without a process more."""
    for path in shipped_recipes().values():
        assert why_heavy(load_recipe(path).recipe) is None
    deep = edited(LLAMA, ("depth: 4", "depth: 80"))
    assert why_heavy(parse_recipe(deep.encode(), Path("x.yaml")).recipe) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (edited(GPT, ("depth: 4", "depth: 4096")), "its sizes have 4,108 layers together"),
        (edited(LLAMA, ("depth: 4", "depth: 1000")), "its sizes have 1,012 layers together"),
        (edited(LLAMA, ("vocab_size: 256", "vocab_size: 256, num_labels: 100000000")), "`num_labels` is 100,000,000"),
        (edited(LLAMA, ("vocab_size: 256", "vocab_size: 1000000000")), "`vocab_size` is 1,000,000,000"),
    ],
)
def test_what_is_heavy_is_said(text: str, why: str) -> None:
    """From the numbers alone; `diff` plans no such model."""
    loaded = parse_recipe(text.encode(), Path("x.yaml"))

    assert why_heavy(loaded.recipe) == why
    assert planned(loaded, NONE, None, trust=False) == f"its model is beyond what is planned here: {why}"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's memory")
def test_counts_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    """In a moment, without torch: the level `shapes` does not run."""
    text = edited(LLAMA, ("vocab_size: 256", "vocab_size: 256, num_labels: 100000000"))
    path = _written(tmp_path, text)
    script = (
        "import pathlib, re, resource, sys\n"
        "from hptransfer.linting.validate import validate\n"
        "from hptransfer.linting.levels.base import ValidationOptions\n"
        f"result = validate({str(path)!r}, ValidationOptions(('static', 'shapes')))\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print([each.id for each in result.errors], 'torch' in sys.modules)\n"
        # the kernel's other count begins with the memory of whoever started the process
        "most = re.search(r'VmHWM:\\s*(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]\n"
        "print(used.ru_utime < 2, int(most) < 300_000)\n"
    )

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == ["['HPT253'] False", "True True"]


@pytest.mark.parametrize("limits", [Limits(seconds=0.5), Limits(memory=1 << 20)])
def test_a_model_beyond_the_limits_is_not_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    """It is no fault of the recipe's form: exit status 3, with what was reached and why the limits were set."""
    monkeypatch.setattr(_apart, "LIMITS", limits)
    path = _written(tmp_path, edited(GPT, ("depth: 4", "depth: 4096")))

    result = validate(str(path), BOTH)

    assert [each.id for each in result.errors] == ["HPT933"]
    assert "its sizes have 4,108 layers together" in str(result.errors[0].received)
    assert result.unanswered
    assert result.sound is None


def _same(first: LevelOutcome, second: LevelOutcome) -> None:
    assert replace(second, left_to=dict(second.left_to)) == replace(first, left_to=dict(first.left_to))


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is one that is built under limits."""
    monkeypatch.setattr(_apart, "why_heavy", lambda recipe: "it is said to be")


def _subject(path: Path, options: ValidationOptions) -> Subject:
    return Subject(str(path), load_recipe(path), options)


def test_shapes_are_the_same_in_a_process(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Errors with their places, what is undecided, and what is left to other levels."""
    texts = [MLP, edited(LLAMA, ("hidden_size: 64", "hidden_act: nothing, hidden_size: 64"))]
    subjects = [_subject(_written(tmp_path, text), replace(BOTH, max_flops=1.0)) for text in texts]
    here = [SHAPES.run(each) for each in subjects]
    request.getfixturevalue("heavy")

    assert here[0].errors[0].code == "caps/flops"
    assert here[1].errors[0].code == "recipe/model"
    for subject, outcome in zip(subjects, here, strict=True):
        _same(outcome, SHAPES.run(subject))


def test_evidence_is_the_same_in_a_process(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Findings on files of the run folder keep their places; a deep target is no way around a comparison."""
    kept = Kept(tmp_path)
    kept.edit("target.yaml", lambda content: content["hyperparameters"].update(learning_rate=1.0))
    subject = _subject(kept.recipe, ValidationOptions(("static", "evidence"), runs=kept.root / "kept"))
    here = EVIDENCE.run(subject)
    request.getfixturevalue("heavy")

    assert [each.code for each in here.errors] == ["evidence/other-target"]
    _same(here, EVIDENCE.run(subject))


@pytest.mark.usefixtures("heavy")
def test_a_rule_of_ones_own_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing rule is the user's fault, wherever it fails."""
    (tmp_path / "own_rules.py").write_text(
        "from hptransfer.linting.base import FunctionRule\n"
        "def fails(loaded):\n    raise KeyError('nothing')\n"
        "RULES = (FunctionRule('own/fails', 'it fails', fails, at='shapes'),)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(UsageError, match="own/fails"):
        validate(str(_written(tmp_path, MLP)), replace(BOTH, rules=("own_rules:RULES",)))
