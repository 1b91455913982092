"""Building models from a recipe's section."""

from __future__ import annotations

import pytest
import torch

from hptransfer.errors import UsageError
from hptransfer.models.build import build_model, training_flops
from hptransfer.recipe.model_sections import GptModel, MlpModel

MLP = MlpModel(kind="mlp")
GPT = GptModel(kind="gpt")


@pytest.mark.parametrize("model", [MLP, GPT, GptModel(kind="gpt", positions="learned")])
def test_meta_device_allocates_nothing(model: MlpModel | GptModel) -> None:
    """A model of tens of billions of parameters builds on the meta device, with no parameter or buffer elsewhere."""
    net = build_model(model, 8192, 80, device="meta")

    assert sum(parameter.numel() for parameter in net.parameters()) > 5e9
    assert all(tensor.is_meta for tensor in [*net.parameters(), *net.buffers()])


@pytest.mark.parametrize("model", [MLP, GPT, GptModel(kind="gpt", positions="learned")])
def test_meta_and_cpu_models_have_the_same_parameters(model: MlpModel | GptModel) -> None:
    """Names, order and shapes do not depend on the device, so a plan made on meta fits."""
    shapes = [
        [(name, parameter.shape) for name, parameter in build_model(model, 32, 2, device=device).named_parameters()]
        for device in ("cpu", "meta")
    ]

    assert shapes[0] == shapes[1]


def test_a_meta_model_works_after_it_is_materialised() -> None:
    """Nothing but parameters is lost on meta: to_empty and an init give the same logits as a model built on the CPU."""
    there = build_model(GPT, 32, 2, device="meta").to_empty(device="cpu")
    here = build_model(GPT, 32, 2)
    there.load_state_dict(here.state_dict())
    tokens_BxT = torch.randint(256, (2, 8))

    assert torch.equal(there(tokens_BxT), here(tokens_BxT))


def test_heads_must_divide_the_width() -> None:
    """A width that is no multiple of head_dim is a usage error that names the next one that is."""
    with pytest.raises(UsageError, match="width % head_dim == 0") as caught:
        build_model(GPT, 40, 2)

    assert caught.value.findings[0].received == "width=40, head_dim=16"
    assert caught.value.findings[0].hint == "use a multiple of 16, for example 48"


def test_rotary_needs_an_even_head_dim() -> None:
    """Rotary positions turn pairs of coordinates; learned ones do not."""
    with pytest.raises(UsageError, match="head_dim % 2 == 0"):
        build_model(GptModel(kind="gpt", head_dim=15), 30, 1)

    build_model(GptModel(kind="gpt", head_dim=15, positions="learned"), 30, 1)


@pytest.mark.parametrize(("width", "depth"), [(0, 1), (16, 0), (-16, 1)])
def test_sizes_start_at_one(width: int, depth: int) -> None:
    """No model has a width or depth below 1."""
    with pytest.raises(UsageError, match=">= 1"):
        build_model(MLP, width, depth)


def test_mlp_flops_by_hand() -> None:
    """6 per weight and prediction; the embedding table is looked up and costs nothing."""
    net = build_model(MlpModel(kind="mlp", context=2, embedding=4), 8, 2)

    # input 8 * 8, hidden 8 * 8, readout 8 * 256: 2176 weights
    assert training_flops(net, predictions=10, context=2) == 6 * 2176 * 10


def test_gpt_flops_equal_torchs_own_count() -> None:
    """FlopCounterMode of torch counts the same matrix products in a forward and backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    net = build_model(GptModel(kind="gpt", context=8, head_dim=4), 16, 2)
    tokens_BxT = torch.randint(256, (3, 8))
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        net(tokens_BxT).sum().backward()

    # a look-up needs no gradient of its input, so every matrix costs 2 forward and 4 backward in both counts
    assert counter.get_total_flops() == training_flops(net, predictions=3 * 8, context=8)
