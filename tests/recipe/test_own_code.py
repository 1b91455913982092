"""The code beside `diffusion.yaml`, `images.yaml` and `tabular.yaml` in `recipes/`: what its pages say of it is so."""

from __future__ import annotations

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
from tests.support.recipe_code import beside_the_recipes


@pytest.mark.parametrize(
    ("recipe", "control"), [(name, f"{name}-standard") for name in ("diffusion", "images", "tabular")]
)
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
    table = beside_the_recipes("tabular_teacher")
    random = np.random.default_rng(2026)
    directions, weights = random.normal(size=(16, 32)) / 4, random.normal(size=32) / 32**0.5
    rows, target = table.training_batch(3, 4, 40_000)

    left = target[:, 0] - np.tanh(2 * rows @ directions) @ weights

    assert left.var() == pytest.approx(0.01, rel=0.03)
    assert target.var() > 0.1


def test_the_table_trains() -> None:
    """A trial of the recipe, shorter: below half of what the mean alone leaves."""
    loaded = load_recipe(shipped_recipes()["tabular"])
    _, target = beside_the_recipes("tabular_teacher").evaluation_batch(0, 4096)
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
    images = beside_the_recipes("images_resnet")
    held = np.concatenate([images.evaluation_batch(index, 100)[0] for index in range(4)])
    drawn = np.concatenate([images.training_batch(0, step, 500)[0] for step in range(4)])

    assert held.shape == (360, 8, 8)
    assert len(images.evaluation_batch(3, 100)[0]) == 60
    assert not {image.tobytes() for image in held} & {image.tobytes() for image in drawn}


def test_the_images_loss_is_torchs_smoothed_one_and_bounded_as_it_says() -> None:
    """A perfect prediction still pays for the smoothed tenth: the entropy of (0.91, 9 times 0.01), 0.500 nats."""
    images = beside_the_recipes("images_resnet")
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


def test_the_digits_noise_has_the_variance_and_the_mixture_that_the_page_says() -> None:
    """Both sides: cos(pi t / 2) of an image and sin(pi t / 2) of noise whose variance is 1, one time in each part."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    diffusion, images = beside_the_recipes("diffusion_dit"), beside_the_recipes("images_resnet")
    parts = [diffusion.evaluation_batch(index, 500) for index in range(3)]
    mixed, time, label, noise = (np.concatenate([part[place] for part in parts]) for place in range(4))
    held = images.evaluation_batch(0, 360)
    angle = np.pi / 2 * time[:, None, None].astype(np.float64)

    assert [len(part[0]) for part in parts] == [500, 500, 440]
    assert noise.var() == pytest.approx(1, abs=0.02)  # of 92,160 numbers: a standard error of 0.005
    part = 1440 * np.sort(time.astype(np.float64)) - np.arange(1440)
    assert -1e-3 < part.min() < part.max() < 1 + 1e-3  # times are float32
    np.testing.assert_allclose(mixed - np.sin(angle) * noise, np.cos(angle) * np.tile(held[0], (4, 1, 1)), atol=1e-5)
    np.testing.assert_array_equal(label, np.tile(held[1], 4))


def test_training_noise_is_drawn_by_seed_and_step() -> None:
    """The same again, other noise in another step, and none of the evaluation's images."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    diffusion, images = beside_the_recipes("diffusion_dit"), beside_the_recipes("images_resnet")
    first, again, other = (diffusion.training_batch(3, step, 200) for step in (4, 4, 5))
    mixed, time, _, noise = (part.astype(np.float64) for part in first)
    angle = np.pi / 2 * time[:, None, None]
    shown = ((mixed - np.sin(angle) * noise) / np.cos(angle))[time < 0.9]
    held = images.evaluation_batch(0, 360)[0]

    for one, same, changed in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != changed).any()
    assert np.abs(shown[:, None] - held[None]).max((2, 3)).min() > 0.01


def test_the_diffusion_transformer_first_predicts_nothing() -> None:
    """Zero readout: its loss is the mean square of the noise, by torch's own function; gates at zero, heads of 16."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    diffusion = beside_the_recipes("diffusion_dit")
    torch.manual_seed(0)
    model = diffusion.DiT(64, 2)
    batch = to_tensors(diffusion.evaluation_batch(0, 8), "test")

    assert torch.equal(model(*batch[:3]), torch.zeros(8, 8, 8))
    assert diffusion.loss(model, batch).item() == pytest.approx(batch[3].square().mean().item(), rel=1e-6)
    assert [block.attention.num_heads for block in model.blocks] == [4, 4]
    assert [name for name, each in model.named_parameters() if not each.requires_grad] == ["positions"]


def test_positions_of_the_diffusion_transformer_are_sinusoids_of_row_and_column() -> None:
    """By the formula of the sinusoidal encoding (arXiv 1706.03762, section 3.5), for one entry of each half."""
    diffusion = beside_the_recipes("diffusion_dit")
    table = diffusion.sinusoids(4, 32)[0].double()

    assert table.shape == (16, 32)
    assert table[2 * 4 + 3, 1].item() == pytest.approx(np.sin(2 / 10_000 ** (2 / 16)), abs=1e-6)  # row 2
    assert table[2 * 4 + 3, 16 + 8 + 1].item() == pytest.approx(np.cos(3 / 10_000 ** (2 / 16)), abs=1e-6)  # column 3
    assert table.square().mean().item() == pytest.approx(0.5, rel=1e-6)


def test_the_diffusion_transformer_trains() -> None:
    """A trial of the recipe at width 32: below half of what a prediction of zero costs."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    loaded = load_recipe(shipped_recipes()["diffusion"])
    wanted = TrialSpec(loaded.recipe, loaded.root, loaded.recipe.size(32, 2), {"learning_rate": 0.01}, 0)

    answer = trained(wanted)

    assert answer["state"] == "complete"
    assert answer["loss"] < 0.5
    assert answer["provenance"]["evaluation"].startswith("held-out digits, each with four noises (1,440")
