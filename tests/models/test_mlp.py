"""The MLP proxy: what it computes, layer by layer."""

from __future__ import annotations

import pytest
import torch

from hptransfer.models.mlp import Mlp


def ones_(module: torch.nn.Module) -> None:
    """Set every weight, bias and gain to 1."""
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)


def test_forward_by_hand_without_norm() -> None:
    """All-ones weights give numbers that can be added up on paper."""
    net = Mlp(3, 2, context=2, embedding=4, activation="relu", norm="none")
    ones_(net)

    logits_BxV = net(torch.tensor([[5, 250]]))

    # window of 2 bytes * 4 ones = 8, + bias 1 = 9 per unit; hidden 3 * 9 + 1 = 28; readout 3 * 28 + 1 = 85
    assert logits_BxV.shape == (1, 256)
    assert (logits_BxV == 85.0).all()


def test_layernorm_removes_the_scale_of_pre_activations() -> None:
    """With a norm, scaling the input layer's weights leaves the logits where they were."""
    torch.manual_seed(0)
    net = Mlp(16, 2, context=2, embedding=4, activation="gelu").double()
    window_BxC = torch.randint(256, (8, 2))
    before_BxV = net(window_BxC)
    with torch.no_grad():
        net.input.weight.mul_(100)
        net.input.bias.mul_(100)

    assert torch.allclose(net(window_BxC), before_BxV, atol=1e-4)


def test_every_byte_of_the_window_matters() -> None:
    """Changing any one byte changes the logits, so the window is concatenated and not summed away."""
    torch.manual_seed(0)
    net = Mlp(16, 2, context=4, embedding=4, activation="tanh")
    window_BxC = torch.tensor([[1, 2, 3, 4]])
    logits_BxV = net(window_BxC)

    for position in range(4):
        other_BxC = window_BxC.clone()
        other_BxC[0, position] = 77
        assert not torch.equal(net(other_BxC), logits_BxV)
    assert not torch.equal(net(window_BxC.flip(1)), logits_BxV)


def test_depth_counts_hidden_layers_the_input_layer_included() -> None:
    """Depth 1 is a single hidden layer: no weight grows on both axes."""
    names = {name for name, _ in Mlp(8, 1, context=2, embedding=4).named_parameters()}

    assert not any(name.startswith("hidden") for name in names)
    assert len(Mlp(8, 4, context=2, embedding=4).hidden) == 3


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_activations(activation: str) -> None:
    """Each activation of the recipe trains: gradients reach every parameter."""
    torch.manual_seed(0)
    net = Mlp(8, 3, context=2, embedding=4, activation=activation)

    net(torch.randint(256, (16, 2))).square().sum().backward()

    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
