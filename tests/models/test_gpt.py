"""The decoder: causality, positions, and equality with torch's own transformer layer."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from hptransfer.models.gpt import Block, Gpt, rotary_angles, rotate


def tiny(positions: str = "rotary") -> Gpt:
    """A decoder of two blocks in float64."""
    torch.manual_seed(0)
    return Gpt(16, 2, context=8, head_dim=4, positions=positions).double()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_future_tokens_do_not_change_past_logits(positions: str) -> None:
    """Logits at positions before a change are equal bit for bit; the changed position's differ."""
    net = tiny(positions)
    tokens_BxT = torch.randint(256, (3, 8))
    other_BxT = tokens_BxT.clone()
    other_BxT[:, 5] = (tokens_BxT[:, 5] + 1) % 256

    logits_BxTxV, other_BxTxV = net(tokens_BxT), net(other_BxT)

    assert torch.equal(logits_BxTxV[:, :5], other_BxTxV[:, :5])
    assert not torch.equal(logits_BxTxV[:, 5], other_BxTxV[:, 5])
    assert not torch.equal(logits_BxTxV[:, 7], other_BxTxV[:, 7])  # and attention carries it forward


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_order_of_earlier_tokens_matters(positions: str) -> None:
    """Swapping two earlier tokens changes the last logits, so positions are seen; attention alone would not notice."""
    net = tiny(positions)
    tokens_BxT = torch.tensor([[1, 2, 3, 4, 5]])

    assert not torch.allclose(net(tokens_BxT)[:, -1], net(tokens_BxT[:, [1, 0, 2, 3, 4]])[:, -1])


def test_without_positions_one_block_ignores_the_order_of_earlier_tokens() -> None:
    """Negative control of the test above: with a zeroed position table the order is invisible to one block."""
    torch.manual_seed(0)
    net = Gpt(16, 1, context=8, head_dim=4, positions="learned").double()
    assert net.positions is not None
    torch.nn.init.zeros_(net.positions.weight)
    tokens_BxT = torch.tensor([[1, 2, 3, 4, 5]])

    assert torch.allclose(net(tokens_BxT)[:, -1], net(tokens_BxT[:, [1, 0, 2, 3, 4]])[:, -1])


def test_rotary_products_depend_on_differences_of_positions() -> None:
    """Equation 16 of RoFormer (arXiv 2104.09864): <R_m q, R_n k> is a function of n - m."""
    torch.manual_seed(0)
    angles_TxK = rotary_angles(40, 8, torch.zeros(1, dtype=torch.float64))
    q_K, k_K = torch.randn(2, 8, dtype=torch.float64)

    def product(m: int, n: int) -> torch.Tensor:
        return (
            rotate(q_K[None, None, None], angles_TxK[m])[0, 0, 0]
            @ rotate(k_K[None, None, None], angles_TxK[n])[0, 0, 0]
        )

    assert torch.allclose(product(3, 7), product(30, 34), rtol=1e-12)
    assert torch.allclose(product(0, 9), product(21, 30), rtol=1e-12)
    assert not torch.allclose(product(3, 7), product(3, 8))


def test_rotary_turns_the_first_pair_by_one_radian_per_position() -> None:
    """At position 1 the pair (0, K/2) turns by exactly one radian: frequency 10000^0 (RoFormer, section 3.2.2)."""
    angles_TxK = rotary_angles(2, 4, torch.zeros(1, dtype=torch.float64))
    east = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)

    turned = rotate(east[None, None, None], angles_TxK[1])[0, 0, 0]

    # cos 1 and sin 1
    assert torch.allclose(turned, torch.tensor([0.5403023058681398, 0.0, 0.8414709848078965, 0.0], dtype=torch.float64))


def test_attention_equals_torch_multi_head_attention() -> None:
    """With our projections, torch's MultiheadAttention (scale 1/sqrt(head_dim), causal mask) gives the same output."""
    torch.manual_seed(0)
    block = Block(16, head_dim=4, mlp_ratio=4).double()
    peer = torch.nn.MultiheadAttention(16, 4, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat((block.q.weight, block.k.weight, block.v.weight)))
        peer.out_proj.weight.copy_(block.attention_out.weight)
    x_BxTxD = torch.randn(2, 6, 16, dtype=torch.float64)
    hidden_TxT = torch.ones(6, 6, dtype=torch.bool).triu(1)

    expected_BxTxD, _ = peer(x_BxTxD, x_BxTxD, x_BxTxD, attn_mask=hidden_TxT, need_weights=False)

    assert torch.allclose(block.attention(x_BxTxD, None), expected_BxTxD, rtol=1e-10)


def test_a_block_that_writes_nothing_is_the_identity() -> None:
    """The residual stream passes unchanged when both branches' last matrices are zero: nothing else scales it."""
    block = Block(16, head_dim=4, mlp_ratio=4)
    torch.nn.init.zeros_(block.attention_out.weight)
    torch.nn.init.zeros_(block.down.weight)
    x_BxTxD = torch.randn(2, 6, 16)

    assert torch.equal(block(x_BxTxD, None), x_BxTxD)


def test_mlp_branch_by_hand() -> None:
    """All-ones weights: the norm of a constant vector is ones, up gives D, down gives F * gelu(D)."""
    block = Block(4, head_dim=4, mlp_ratio=2).double()
    for parameter in block.parameters():
        torch.nn.init.ones_(parameter)
    torch.nn.init.zeros_(block.attention_out.weight)
    x_BxTxD = torch.full((1, 1, 4), 3.0, dtype=torch.float64)

    y_BxTxD = block(x_BxTxD, None)

    # gelu(4) = 4 * Phi(4) = 3.99987331; F = 8; 3 + 8 * 3.99987331 = 34.9989865; the norm's eps 1e-5 shifts it by < 1e-4
    assert torch.allclose(y_BxTxD, torch.full((1, 1, 4), 34.9989865, dtype=torch.float64), atol=1e-4)


def test_weights_are_untied_and_without_biases() -> None:
    """Embedding and readout are two tensors; the only vectors are norm gains."""
    net = tiny()

    assert net.readout.weight is not net.embedding.weight
    assert {name.split(".")[-2] for name, p in net.named_parameters() if p.ndim == 1} == {
        "attention_norm",
        "mlp_norm",
        "final_norm",
    }


def test_shorter_sequences_are_prefixes() -> None:
    """A prefix of a sequence gives a prefix of the logits."""
    net = tiny()
    tokens_BxT = torch.randint(256, (2, 8))

    assert torch.allclose(net(tokens_BxT[:, :3]), net(tokens_BxT)[:, :3])


def test_loss_of_a_zero_readout_is_the_uniform_one() -> None:
    """A zero readout predicts all 256 bytes equally: ln 256 nats."""
    net = tiny()
    torch.nn.init.zeros_(net.readout.weight)
    tokens_BxT = torch.randint(256, (2, 8))

    loss = functional.cross_entropy(net(tokens_BxT).flatten(0, 1), tokens_BxT.flatten())

    assert loss.item() == pytest.approx(5.545177444479562, rel=1e-12)
