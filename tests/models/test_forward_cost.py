"""What a pass takes, against hand-derived forms, torch's own counter, and what real tensors and optimizers hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from hptransfer.models.build import build_model
from hptransfer.models.forward_cost import forward_cost, state_bytes
from hptransfer.recipe.model_sections import GptModel

#: adds up what real tensors hold
Hold = Callable[[Tensor], Tensor]


def tokens(examples: int, length: int, device: str = "meta") -> Tensor:
    """Integers of a vocabulary of 256."""
    return torch.zeros(examples, length, dtype=torch.int64, device=device)


def held_by_autograd(module: nn.Module, run: Callable[[], Tensor]) -> int:
    """Bytes of the distinct storages that a real pass on the CPU keeps, without the module's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = run()
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)


def test_a_linear_layer_by_hand() -> None:
    """8 x 16 by 16 x 4: 2 * 8 * 16 * 4 operations; its input is kept, 8 * 16 numbers of 4 bytes."""
    with torch.device("meta"):
        layer, x = nn.Linear(16, 4, bias=False), torch.empty(8, 16)

    found = forward_cost(layer, lambda: layer(x).sum())

    assert (found.flops, found.kept) == (2 * 8 * 16 * 4, 8 * 16 * 4)


def test_a_convolution_by_hand() -> None:
    """Each of 4 * 6 * 6 outputs of each example adds up 3 * 3 * 3 products."""
    with torch.device("meta"):
        layer, x = nn.Conv2d(3, 4, 3), torch.empty(2, 3, 8, 8)

    assert forward_cost(layer, lambda: layer(x).sum()).flops == 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)


def test_a_decoder_equals_torchs_counter_on_real_tensors() -> None:
    """FlopCounterMode, with attention as products of matrices."""
    section = GptModel(kind="gpt", context=8, head_dim=4)
    meta, real = build_model(section, 16, 2, "meta"), build_model(section, 16, 2)

    found = forward_cost(meta, lambda: meta(tokens(3, 8)).sum())
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        real(tokens(3, 8, "cpu")).sum()

    assert found.flops == counter.get_total_flops() > 0


def test_what_is_kept_is_what_a_real_pass_keeps() -> None:
    """Of a decoder on the CPU, whose attention is fused there; the loss too."""
    section = GptModel(kind="gpt", context=32, head_dim=16)
    meta, real = build_model(section, 64, 3, "meta"), build_model(section, 64, 3)

    def loss(module: nn.Module, batch: Tensor) -> Callable[[], Tensor]:
        return lambda: functional.cross_entropy(module(batch).flatten(0, 1), batch.flatten())

    found = forward_cost(meta, loss(meta, tokens(4, 32))).kept

    assert found == held_by_autograd(real, loss(real, tokens(4, 32, "cpu")))


def test_what_a_real_llama_keeps() -> None:
    """An unmodified model of transformers on the CPU, to the byte."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=160, num_attention_heads=4, num_hidden_layers=3, vocab_size=256
    )
    real = transformers.LlamaForCausalLM(config)
    with torch.device("meta"):
        meta = transformers.LlamaForCausalLM(config)

    def loss(module: nn.Module, batch: Tensor) -> Callable[[], Tensor]:
        return lambda: functional.cross_entropy(module(batch).logits.flatten(0, 1), batch.flatten())

    found = forward_cost(meta, loss(meta, tokens(4, 32))).kept

    assert found == held_by_autograd(real, loss(real, tokens(4, 32, "cpu")))


def test_attention_with_shared_keys_and_a_mask() -> None:
    """4 heads of queries and 2 of keys: 2 * 2 * B H T S K operations; inputs, output, mask and logarithms are kept."""
    with torch.device("meta"):
        q = torch.empty(1, 4, 5, 8, requires_grad=True)
        k, v, mask = torch.empty(1, 2, 7, 8), torch.empty(1, 2, 7, 8), torch.empty(5, 7)
    attend = functional.scaled_dot_product_attention

    found = forward_cost(nn.Identity(), lambda: attend(q, k, v, attn_mask=mask, enable_gqa=True).sum())

    assert found.flops == 2 * 2 * 4 * 5 * 7 * 8
    assert found.kept == 4 * (4 * 5 * 8 + 2 * (2 * 7 * 8) + 4 * 5 * 8 + 4 * 5 + 5 * 7)


def test_tensors_made_in_forward_are_on_the_models_device() -> None:
    """Positions that `forward` makes without naming a device."""
    with torch.device("meta"):
        layer = nn.Linear(4, 4)

    def run() -> Tensor:
        total: Tensor = layer(torch.ones(2, 4)) + torch.arange(4)
        return total.sum()

    assert forward_cost(layer, run).flops == 2 * 2 * 4 * 4


@pytest.mark.parametrize(
    "build",
    [
        lambda groups: torch.optim.AdamW(groups, fused=True),
        lambda groups: torch.optim.SGD(groups, momentum=0.9, foreach=True),
        torch.optim.SGD,
        torch.optim.Adafactor,
    ],
    ids=["adamw", "sgd", "sgd without momentum", "adafactor"],
)
def test_optimizer_state_is_what_the_real_optimizer_holds(
    build: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
) -> None:
    """After one real step on the CPU, tensors of the state and their bytes."""
    module = build_model(GptModel(kind="gpt", context=8, head_dim=4), 16, 2)
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    groups = [{"params": [*module.parameters(), frozen], "lr": 0.01}]
    real = build([{**groups[0], "params": list(groups[0]["params"])}])  # type: ignore[call-overload]  # a list
    module(tokens(2, 8, "cpu")).sum().backward()
    real.step()
    held = sum(x.nbytes for state in real.state.values() for x in state.values() if isinstance(x, Tensor))

    assert state_bytes(groups, build) == held


def test_adamw_keeps_two_numbers_per_parameter() -> None:
    """By hand: two averages of 4 bytes for each of 10 * 20 + 20 parameters, and a step count of 4 for each tensor."""
    layer = nn.Linear(10, 20)
    groups = [{"params": list(layer.parameters()), "lr": 0.01}]

    assert state_bytes(groups, torch.optim.AdamW) == 2 * 4 * (10 * 20 + 20) + 2 * 4
