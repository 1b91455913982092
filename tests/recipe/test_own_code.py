"""The code beside `recipes/images.yaml` and `recipes/tabular.yaml`: what its pages say of it is so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.shipped import shipped_recipes
from hptransfer.training.batches import to_tensors
from hptransfer.training.losses.base import find_loss
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained

RECIPES = Path(__file__).parents[2] / "recipes"


def module(name: str) -> ModuleType:
    """A module beside the recipes."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(("recipe", "control"), [("images", "images-standard"), ("tabular", "tabular-standard")])
def test_the_negative_control_differs_in_its_parameterization_alone(recipe: str, control: str) -> None:
    """Else it would control nothing."""
    shipped = shipped_recipes()
    one, other = (load_recipe(shipped[name]).recipe for name in (recipe, control))
    names = {name: getattr(one, name) for name in ("name", "description", "parameterization", "expect")}

    assert other.parameterization.name == "standard"
    assert other.expect is not None
    assert other.expect.verdict == "DRIFTS"
    assert other.model_copy(update=names) == one


def test_the_teachers_noise_bounds_every_model() -> None:
    """By the formula in its docstring: what is left of the target is noise of variance 0.01."""
    table = module("tabular_teacher")
    random = np.random.default_rng(2026)
    directions, weights = random.normal(size=(16, 32)) / 4, random.normal(size=32) / 32**0.5
    rows, target = table.training_batch(3, 4, 40_000)

    left = target[:, 0] - np.tanh(2 * rows @ directions) @ weights

    assert left.var() == pytest.approx(0.01, rel=0.03)
    assert target.var() > 0.1


def test_the_table_trains(tmp_path: Path) -> None:
    """A trial of the recipe, shorter: below half of what the mean alone leaves."""
    loaded = load_recipe(shipped_recipes()["tabular"])
    _, target = module("tabular_teacher").evaluation_batch(0, 4096)
    wanted = TrialSpec(
        loaded.recipe, loaded.root, loaded.recipe.size(64, 2, tokens=64 * 60), {"learning_rate": 0.03}, 0
    )

    answer = trained(wanted)

    assert answer["state"] == "complete"
    assert answer["loss"] < target.var() / 2
    assert answer["provenance"]["evaluation"].startswith("4,096 examples of python validation")


def test_the_images_are_1797_and_none_is_on_both_sides() -> None:
    """Drawn ones never show a held-out image; the evaluation set is the same 360 whatever the batch."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    images = module("images_resnet")
    held = np.concatenate([images.evaluation_batch(index, 100)[0] for index in range(4)])
    drawn = np.concatenate([images.training_batch(0, step, 500)[0] for step in range(4)])

    assert held.shape == (360, 8, 8)
    assert len(images.evaluation_batch(3, 100)[0]) == 60
    assert not {image.tobytes() for image in held} & {image.tobytes() for image in drawn}


def test_the_images_loss_is_torchs_smoothed_one_and_bounded_as_it_says() -> None:
    """A perfect prediction still pays for the smoothed tenth: the entropy of (0.91, 9 times 0.01), 0.500 nats."""
    images = module("images_resnet")
    torch.manual_seed(0)
    net = images.ResNet(8, 2)
    batch = to_tensors((np.random.default_rng(0).normal(size=(5, 8, 8)), np.arange(5)), "test")

    class Perfect(nn.Module):
        def forward(self, _image: torch.Tensor) -> torch.Tensor:
            return torch.full((5, 10), 0.01).scatter(1, batch[1][:, None], 0.91).log()

    expected = functional.cross_entropy(net(batch[0]), batch[1], label_smoothing=0.1)
    torch.testing.assert_close(images.smoothed_cross_entropy(net, batch), expected)
    assert images.smoothed_cross_entropy(Perfect(), batch).item() == pytest.approx(0.5003, abs=1e-4)
    assert find_loss("cross-entropy")(net, batch).item() != pytest.approx(expected.item())
