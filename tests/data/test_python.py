"""Batches of the user's own functions: any structure, pure functions, fixed evaluation sets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hptransfer.data.base import BatchFunctions, read_data
from hptransfer.data.python import PythonData
from hptransfer.errors import RecipeError, UsageError
from hptransfer.recipe.objective import NO_UNIT, evaluation_text, unit_of
from hptransfer.testing.data_sources import DataSourceConformance
from hptransfer.training.batches import Batches, described
from hptransfer.training.data import load_batches
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained
from tests.support.recipe_texts import MLP, edited, load_text

OWN = "tests.support.own_batches"


def section(source: str, evaluation: str = "line_evaluation", **more: Any) -> dict[str, Any]:
    """A `data` section over functions of `own_batches`."""
    return {"kind": "python", "source": f"{OWN}:{source}", "evaluation": f"{OWN}:{evaluation}", **more}


def batches(source: str, evaluation: str = "line_evaluation", **more: Any) -> Batches:
    """What the loop gets."""
    return load_batches(PythonData.model_validate(section(source, evaluation, **more)), Path.cwd())


class TestPairs(DataSourceConformance):
    """A table as tuples of arrays."""

    def section(self, folder: Path) -> dict[str, Any]:
        """Nothing to prepare."""
        return section("line", arguments={"slope": 3.0})

    def changed(self, folder: Path) -> dict[str, Any]:
        """Another argument."""
        return section("line", arguments={"slope": 3.5})


class TestNested(DataSourceConformance):
    """Dicts of tuples and lists."""

    def section(self, folder: Path) -> dict[str, Any]:
        """Nothing to prepare."""
        return section("nested", "nested_evaluation")


del DataSourceConformance


def test_arrays_become_tensors_that_models_take() -> None:
    """Floats as float32, whatever NumPy's default; unsigned integers that torch hardly knows as int64."""
    batch = batches("nested", "nested_evaluation").batch(0, 0, 4, 1)

    assert described(batch) == "{pair: (float32 (4, 4, 4), float32 (4,)), more: [int64 (4,)], labels: int64 (4,)}"
    x_Bx2, y_Bx1 = batches("line").batch(0, 5, 4, 1)
    assert x_Bx2.dtype == torch.float32
    np.testing.assert_array_equal(x_Bx2.numpy(), np.random.default_rng((0, 5)).normal(size=(4, 2)).astype(np.float32))
    assert torch.allclose(y_Bx1, 2 * x_Bx2.sum(1, keepdim=True))


def test_an_evaluation_set_ends_where_it_ends() -> None:
    """Ten rows in batches of four: four, four, two; the whole set once, in order."""
    found = list(batches("line", "ten_rows").validation_batches(99, 4, 1, 10))

    assert [len(x) for x, _ in found] == [4, 4, 2]
    assert torch.cat([x for x, _ in found]).flatten().tolist() == list(range(20))


@pytest.mark.parametrize(
    ("source", "rule", "received"),
    [
        ("unseeded", "pure function of seed, step and batch size", "gave two batches for (3, 0, 4)"),
        ("stateful", "pure function of seed, step and batch size", "gave two batches for (3, 0, 4)"),
        ("short", "must give `batch_size` examples", ":short at batch_size=4: float32 (3,)"),
        ("uneven", "examples along its first axis", "(float32 (4, 2), float32 (5,))"),
        ("words", "tensors or NumPy arrays of numbers", f"{OWN}:words: str"),
        ("failing", "must give batches", "in failing: RuntimeError: no such table"),
        ("absent", "must be importable", "AttributeError"),
        ("_CALLS", "must name a function", "count"),
    ],
)
def test_functions_that_give_no_batches_are_refused(source: str, rule: str, received: str) -> None:
    """What must hold, whose function it is, and what came instead."""
    with pytest.raises(UsageError, match=rule) as caught:
        batches(source).batch(3, 0, 4, 1)

    assert received in str(caught.value.findings[0].received)


def test_an_evaluation_function_must_be_pure_and_long_enough() -> None:
    """Losses of trials are compared on the same examples only."""
    with pytest.raises(UsageError, match="fewer only where the set ends"):
        list(batches("line", "ten_rows").validation_batches(3, 4, 1))
    with pytest.raises(UsageError, match="pure function of index and batch size"):
        next(batches("line", "unseeded_evaluation").validation_batches(1, 4, 1))


def test_code_and_arguments_are_in_the_fingerprint_and_nothing_is_run(tmp_path: Path) -> None:
    """A module that fails on import is digested all the same; comments do not count."""
    code = "raise SystemExit(3)\n\ndef batch(seed, step, batch_size):\n    return {}\n"
    data = PythonData(kind="python", source="lane_data:batch", evaluation="lane_data:batch")
    found = []
    for number in ("1", "1  # and a comment", "2"):
        (tmp_path / "lane_data.py").write_text(code.format(number))
        content = read_data(data, tmp_path)
        assert isinstance(content, BatchFunctions)
        found.append(content.fingerprint)

    assert found[0] == found[1] != found[2]
    assert "lane_data" not in sys.modules


TABLE = f"""\
{{kind: python, source: '{OWN}:line', evaluation: '{OWN}:line_evaluation', evaluation_examples: 100}}"""


def table_recipe(loss: str = "mse") -> str:
    """A recipe's text over a table."""
    model = ("{kind: mlp}", f"{{kind: factory, factory: '{OWN}:Regression'}}")
    return edited(MLP, model, ("{kind: stdlib-text}", TABLE), ("  steps: 100\n", f"  steps: 100\n  loss: {loss}\n"))


def test_a_table_trains_and_says_what_it_was_measured_on(tmp_path: Path) -> None:
    """One prediction per row; the loss falls far below the targets' variance 8; evaluation, unit and error are kept."""
    recipe = load_text(tmp_path, table_recipe()).recipe
    wanted = TrialSpec(recipe, tmp_path, recipe.size(16, 2, tokens=64 * 200), {"learning_rate": 0.02}, 0)

    answer = trained(wanted)

    assert recipe.predictions_per_example == 1
    assert recipe.steps(recipe.size(16, 2)) == 100
    assert answer["state"] == "complete"
    assert answer["loss"] < 1
    kept = answer["provenance"]
    assert kept["evaluation"] == f"100 examples of python validation, sha256 {kept['data'][:8]}"
    assert kept["evaluation"] == evaluation_text(recipe, kept["data"])
    assert kept["unit"] == unit_of(recipe) == "squared units of the target"
    assert 0 < float(kept["evaluation_error"]) < answer["loss"]


def test_a_users_own_loss_has_no_unit_that_is_known_without_its_code(tmp_path: Path) -> None:
    """It is not imported for a word in a report."""
    assert unit_of(load_text(tmp_path, table_recipe("nowhere:loss")).recipe) == NO_UNIT


def test_modules_beside_the_recipe_are_found(tmp_path: Path) -> None:
    """From whatever folder the command runs, in workers too; after all other places."""
    (tmp_path / "beside_the_recipe.py").write_text(
        "import torch\n\ndef batch(seed, step, batch_size):\n    return torch.zeros(batch_size)\n\n"
        "def evaluation(index, batch_size):\n    return torch.zeros(batch_size)\n"
    )
    code = (
        "import sys; from pathlib import Path; from hptransfer.data.python import PythonData; "
        "from hptransfer.trainers._data import cached_batches; "
        "module = 'beside_the_recipe'; "
        "data = PythonData(kind='python', source=f'{module}:batch', evaluation=f'{module}:evaluation'); "
        "print(cached_batches(data, Path(sys.argv[1])).batch(0, 0, 3, 1).tolist(), sys.path[-1] == sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "[0.0, 0.0, 0.0] True\n"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("{kind: python, source: 'a:b'}", "`data.evaluation` must be given"),
        ("{kind: python, source: 'a b', evaluation: 'a:b'}", "`data.source`"),
    ],
)
def test_faults_of_a_section(tmp_path: Path, data: str, rule: str) -> None:
    """A fixed evaluation set is required, and references have their form."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, edited(MLP, ("{kind: stdlib-text}", data)))

    assert rule in caught.value.findings[0].rule
