"""Recipes with the user's own models: planned, trained on bytes, measured; and refused where that is not possible."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from hptransfer.commands.plan import plan_command
from hptransfer.commands.validate import validate_command
from hptransfer.errors import UsageError
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trials.messages import DiagnosticMessage
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained

RECIPE = """\
name: own
model:
  kind: {model}
data: {{kind: stdlib-text}}
training: {{steps: 3, batch_size: 4, learning_rate: 0.01, evaluation_batches: 1}}
parameterization: {{name: completep}}
sizes:
  base: {{width: 16, depth: 2}}
  widths: [16, 32]
  target: {{width: 32, depth: 4}}
tune:
  space:
    learning_rate: {{low: 1.0e-3, high: 1.0e-1}}
"""
FACTORY = r"""factory
  factory: tests.support.own_models:blocks
  width_argument: channels
  depth_argument: layers
  arguments: {factor: 3}
  context: 8
  residual_writers: ['stack\.\d+\.3\.(weight|bias)']"""
LLAMA = """huggingface
  config: llama
  context: 8
  settings: {hidden_size: 16, intermediate_size: 32, num_attention_heads: 2, vocab_size: 256}"""


def loaded(tmp_path: Path, model: str) -> LoadedRecipe:
    """A recipe with this model."""
    path = tmp_path / "own.yaml"
    path.write_text(RECIPE.format(model=model))
    return load_recipe(path)


def request(recipe: LoadedRecipe, **values: float) -> TrialSpec:
    """The target's trial."""
    return TrialSpec(recipe.recipe, recipe.path.parent, recipe.recipe.size(32, 4), values, seed=0)


@pytest.mark.parametrize("model", [FACTORY, LLAMA], ids=["factory", "huggingface"])
def test_own_models_train(tmp_path: Path, model: str) -> None:
    """A decoder of the user's own trains on bytes with the plan's groups, twice the same."""
    if model == LLAMA:
        pytest.importorskip("transformers", reason="needs the extra `hf`")
    wanted = request(loaded(tmp_path, model))
    trial = trained(wanted)

    assert trial["state"] == "complete"
    assert 0 < trial["loss"] < 10 * math.log(256)
    assert trial["flops"] > 0
    assert trained(wanted)["loss"] == trial["loss"]


def test_own_models_are_measured(tmp_path: Path) -> None:
    """A coordinate check finds embedding, hidden layers, branches, the stream and the logits by role."""
    message = DiagnosticMessage.of("coordinate", request(loaded(tmp_path, FACTORY)), options={"steps": [1, 3, 10]})
    layers = run_diagnostic(message.payload())["layers"]

    assert {layer["layer"]: layer["kind"] for layer in layers if ".1" not in layer["layer"][:7]} == {
        "table": "embedding",
        **{f"stack.{n}": "residual" for n in (0, 2, 3)},
        **{f"stack.{n}.1": "hidden" for n in (0, 2, 3)},
        **{f"stack.{n}.3": "branch" for n in (0, 2, 3)},
        "head": "logits",
    }


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    """A model without logits can be planned but not trained here; the error says so."""
    recipe = loaded(tmp_path, "factory\n  factory: tests.support.own_models:regression")
    recipe.path.write_text(recipe.text.replace("completep", "mup").replace("depth: 4", "depth: 2"))
    again = load_recipe(recipe.path)
    wanted = TrialSpec(again.recipe, again.path.parent, again.recipe.size(32, 2), {}, 0)

    with pytest.raises(UsageError, match="logits") as caught:
        trained(wanted)
    assert "your own loss" in str(caught.value.findings[0].hint)


def test_the_plan_of_an_own_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`plan` prints the groups of a factory's model."""
    recipe = loaded(tmp_path, FACTORY)
    assert plan_command(str(recipe.path), None, None, False, True) == 0
    rows = {row["pattern"]: row for row in json.loads(capsys.readouterr().out)["parameters"]}

    assert rows[r"stack\.\d+\.3\.weight"]["rules"]["learning_rate"] == "m_in^-1 m_L^-1"
    assert rows[r"stack\.\d+\.1\.weight"]["shape"] == [96, 32]


def test_validate_does_not_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` reads recipes of strangers and never runs their code."""
    recipe = loaded(tmp_path, FACTORY.replace("own_models:blocks", "explosive:blocks"))

    assert validate_command([str(recipe.path)]) == 0
    assert "tests.support.explosive" not in sys.modules
    assert "valid" in capsys.readouterr().out


def test_validate_with_trust_builds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --trust the model is built, without memory, and what the plan asks for is a finding."""
    missing = loaded(tmp_path, FACTORY.replace("own_models:blocks", "own_models:nothing"))
    assert validate_command([str(missing.path)], trust=True) == 1
    assert "the factory must name a function" in capsys.readouterr().out

    recipe = loaded(tmp_path, FACTORY)
    assert validate_command([str(recipe.path)], trust=True) == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tests.support.own_models:blocks", "no_such_module:f", "no_such_module: ModuleNotFoundError"),
        ("width_argument: channels", "width_argument: wide", "takes (channels, layers, factor), not `wide`"),
        ("own_models:blocks", "own_models:Tensor.size", "TypeError"),
    ],
)
def test_factories_that_fail(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A factory that cannot be imported or called is a usage error that says what was found."""
    recipe = loaded(tmp_path, FACTORY.replace(old, new))

    with pytest.raises(UsageError) as caught:
        plan_command(str(recipe.path), None, None, False, True)
    assert said in str(caught.value.findings[0].received)


def test_the_line_of_an_error_answers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each hint's `roles: {...}`, pasted into the recipe, decides the parameter it was for."""
    model = "factory\n  factory: tests.support.own_models:mixtures"
    recipe = loaded(tmp_path, model)
    mup = recipe.text.replace("completep", "mup")
    recipe.path.write_text(mup)
    with pytest.raises(UsageError) as caught:
        plan_command(str(recipe.path), None, None, False, True)
    lines = [str(finding.hint).partition("`roles: {")[2].partition("}`")[0] for finding in caught.value.findings]
    assert len(lines) == 1  # a gate beside as many experts is decided
    recipe.path.write_text(mup.replace(model, f"{model}\n  roles: {{{', '.join(lines)}}}"))

    assert plan_command(str(recipe.path), None, None, False, True) == 0
    rows = {row["pattern"]: row["role"] for row in json.loads(capsys.readouterr().out)["parameters"]}
    assert rows == {r"\d+\.experts": "hidden weight", r"\d+\.router\.weight": "router"}
