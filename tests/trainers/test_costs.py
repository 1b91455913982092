"""Costs of runs: a Llama with a published number of parameters, built-in models by hand, and models of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from hptransfer.models.build import build_model, training_flops
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._costs import run_cost
from hptransfer.trainers._data import cached_batches
from hptransfer.trainers._flops import run_flops
from tests.support.identities import trained
from tests.support.tiny import ROOT, recipe, request

LLAMA = Path(__file__).parents[1] / "data" / "cost" / "llama-7b.yaml"
OWN = "tests.support.own_models"


def own(function: str, **more: object) -> Recipe:
    """A tiny recipe with a model of one's own."""
    model = {"kind": "factory", "factory": f"{OWN}:{function}", "context": 4, "embedding": None, **more}
    return recipe(model=model)


def test_llama_2_7b_as_published() -> None:
    """6,738,415,616 parameters (meta-llama/Llama-2-7b-hf, model.safetensors.index.json: 13,476,831,232 bytes of bf16).

    Operations per token: 6 for each weight of a matrix that multiplies, which the table of 32000 x 4096 does not, and
    12 * 32 layers * 4096 positions * 4096 of attention (arXiv 2204.02311, appendix B).
    """
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    loaded = load_recipe(LLAMA).recipe
    target = loaded.target_size()

    found = run_cost(loaded, target, ROOT, 1)

    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    assert found.parameters == 6_738_415_616
    assert found.flops == (6 * matrices + 12 * 32 * 4096 * 4096) * target.tokens
    assert found.gradients == 4 * 6_738_415_616
    assert found.optimizer == 2 * 4 * 6_738_415_616 + 4 * 291  # a step count for each of 291 tensors
    assert found.weights is not None
    assert 0 <= found.weights - 4 * 6_738_415_616 < 1e4  # buffers: rotary frequencies
    assert found.notes == ()


def test_a_context_window_mlp_by_hand() -> None:
    """Width 16, two layers, windows of 4 bytes of 4 numbers; 8 examples; every number in 4 bytes."""
    wanted = request().recipe
    size = wanted.size(16, 2)

    found = run_cost(wanted, size, ROOT)

    weights = 256 * 4 + 16 * 16 + 16 * 16 + 16 * 256
    assert found.parameters is not None
    others = found.parameters - weights  # biases and norms
    assert 0 < others < 400
    assert found.flops == 6 * (weights - 256 * 4) * 5 * 8
    assert found.gradients == 4 * found.parameters
    assert found.examples == 8
    assert found.memory == sum(filter(None, (found.weights, found.gradients, found.optimizer, found.activations)))


def test_activations_grow_with_the_examples_at_once() -> None:
    """Twice the examples keep twice as much, but for what does not depend on them; more than a batch is a batch."""
    wanted = request().recipe
    size = wanted.size(16, 2)
    one, two, all_, more = (run_cost(wanted, size, ROOT, examples).activations for examples in (1, 2, 8, 99))

    assert one is not None
    assert two is not None
    assert one < two <= 2 * one
    assert all_ == more


def test_a_recorded_trial_has_the_counted_flops() -> None:
    """What a trainer records is what `cost` says: built in and one's own."""
    for wanted in (recipe(), own("blocks", width_argument="channels", depth_argument="layers")):
        record = trained(request(wanted))

        assert (
            record["flops"]
            == run_flops(wanted, wanted.size(16, 2), ROOT)
            == run_cost(wanted, wanted.size(16, 2), ROOT).flops
        )


def test_a_model_of_ones_own_by_hand() -> None:
    """Two blocks of two matrices 16 x 32, a head of 16 x 256; a prediction for each of 4 positions."""
    wanted = own("blocks", width_argument="channels", depth_argument="layers")

    assert run_flops(wanted, wanted.size(16, 2), ROOT) == 6 * (2 * 2 * 16 * 32 + 16 * 256) * 5 * 8 * 4


def test_a_model_that_does_not_run_on_the_meta_device_is_said() -> None:
    """It reads a number of its input: FLOPs fall back to linear layers, activations are unknown, each in a sentence."""
    wanted = own("peeking")

    found = run_cost(wanted, wanted.size(16, 2), ROOT)

    assert found.flops == training_flops(build_model(wanted.model, 16, 2), wanted.size(16, 2).tokens, 4) > 0
    assert found.activations is None
    assert found.memory is None
    assert any("without attention and convolutions" in note for note in found.notes)
    assert any("activations are not known: the model does not run on the meta device" in note for note in found.notes)


def test_roles_that_are_not_decided_leave_the_optimizers_memory_unknown() -> None:
    """Everything else is still counted."""
    wanted = own("mixtures")

    found = run_cost(wanted, wanted.size(16, 2), ROOT)

    assert found.optimizer is None
    assert found.parameters == 2 * (4 * 16 + 4 * 16 * 16)
    assert any("the optimizer's memory is not known" in note for note in found.notes)


def test_convolutions_on_the_users_own_images_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of the recipe's data goes through the model: 2 x outputs x (kernel x inputs) per image, thrice."""
    pytest.importorskip("sklearn")
    loaded = load_recipe("images")
    monkeypatch.syspath_prepend(str(loaded.root))
    size = loaded.recipe.size(16, 1)
    # by hand, 8 x 8 images: see images_resnet.py for the layers
    module = build_model(loaded.recipe.model, 16, 1)
    products = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal products
        assert isinstance(layer.weight, Tensor)
        products += output[0].numel() * layer.weight[0].numel()

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    images, _ = cached_batches(loaded.recipe.data, loaded.root).batch(0, 0, 1, 1)
    module(images)

    assert run_flops(loaded.recipe, size, loaded.root) == 3 * 2 * products * size.tokens
