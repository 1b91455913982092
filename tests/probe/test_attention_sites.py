"""Where queries meet keys: head dimension, scale, projections, norms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hptransfer.probe.findings import Attention, Probe
from hptransfer.probe.probing import probe
from tests.support import probed_models as models
from tests.support.probed_models import HEAD_DIM, Bytes

Build = Callable[[int, int], nn.Module]


def seen(build: Build) -> Probe:
    """The probe of a model that runs without a question."""
    answer = probe(build, (64, 2))
    assert answer.unknown == ()
    return answer


def the_one(answer: Probe) -> Attention:
    """Its only site: equal ones of several layers are one."""
    (site,) = answer.attention
    return site


@pytest.mark.parametrize("early", [False, True])
def test_growing_heads_show_their_scale_and_queries(early: bool) -> None:
    """Four heads at every width, by hand: 1/sqrt(head_dim) behind the product or on the queries."""
    answer = seen(lambda width, depth: Bytes(width, depth, heads=4, bias=True, early=early))
    site = the_one(answer)

    assert site.head_dims == (16, 32)
    assert site.scales == pytest.approx((16**-0.5, 32**-0.5))
    assert site.queries == tuple(f"layers.{i}.attn.q.{kind}" for i in range(2) for kind in ("weight", "bias"))
    assert not site.normed
    assert [(each.width_power, each.purpose) for each in answer.factors] == [(-0.5, "attention")] * 2


def test_mup_s_scale_is_read_as_it_is() -> None:
    """1/head_dim, as Tensor Programs V asks for."""
    site = the_one(seen(lambda width, depth: Bytes(width, depth, heads=4, power=1.0)))

    assert site.scales == (1 / 16, 1 / 32)


@pytest.mark.parametrize("norm", [nn.LayerNorm, models.OnePlus, models.NormalizedGain])
def test_a_norm_behind_the_queries_is_seen(norm: Callable[[int], nn.Module]) -> None:
    """Of torch, by hand with gain 1 + w, by hand as a unit vector: the projection stands before it."""
    site = the_one(seen(lambda width, depth: Bytes(width, depth, qk_norm=norm)))

    assert site.normed
    assert site.queries == ("layers.0.attn.q.weight", "layers.1.attn.q.weight")


def test_fixed_heads_have_one_scale_at_every_width() -> None:
    """Heads follow the width: nothing changes, and a softcap is no scale."""
    answer = seen(lambda width, depth: Bytes(width, depth, softcap=20.0))
    site = the_one(answer)

    assert site.head_dims == (HEAD_DIM, HEAD_DIM)
    assert site.scales == pytest.approx((HEAD_DIM**-0.5,) * 2)
    assert answer.factors == ()


@pytest.mark.parametrize("norm_first", [False, True])
def test_torch_s_own_encoder_is_seen_through(norm_first: bool) -> None:
    """The fused kernel's default scale counts; one matrix for queries, keys and values names no query."""
    answer = seen(lambda width, depth: models.Encoder(width, depth, norm_first=norm_first))
    site = the_one(answer)

    assert site.head_dims == (16, 32)
    assert site.scales == pytest.approx((16**-0.5, 32**-0.5))
    assert site.queries == ()
    assert {each.purpose for each in answer.factors} == {"attention"}


@pytest.mark.parametrize("weights", [False, True])
def test_multihead_attention_with_and_without_its_weights(weights: bool) -> None:
    """nn.MultiheadAttention takes another path when it returns the probabilities; the scale is the same."""

    class Attends(nn.Module):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, width), nn.Linear(width, 1)
            self.attention = nn.MultiheadAttention(width, 2, dropout=0.3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x[:, None] if x.dim() == 2 else x)
            answer: Tensor = self.last(h + self.attention(h, h, h, need_weights=weights)[0])
            return answer

    site = the_one(seen(Attends))

    assert site.head_dims == (32, 64)
    assert site.scales == pytest.approx((32**-0.5, 64**-0.5))


def test_rotary_positions_and_a_given_scale() -> None:
    """A rotation by constants is none of the scale; `scale=` is."""
    site = the_one(seen(models.Rotary))

    assert (site.head_dims, site.scales, site.queries) == ((HEAD_DIM,) * 2, (1 / HEAD_DIM,) * 2, ())


def test_a_router_and_gates_are_no_attention() -> None:
    """A softmax over scores of experts, sigmoids of recurrent layers."""
    for build in (
        lambda width, depth: models.Mixture(width, depth, models.Experts),
        lambda width, depth: models.Mixture(width, depth, models.StackedExperts),
        models.Recurrent,
    ):
        assert probe(build, (64, 2)).attention == ()


def test_kernels_agree_with_attention_written_out() -> None:
    """The scale that is read reproduces torch's fused attention to the rounding of single precision."""
    width, heads = 64, 4
    module = models.CausalAttention(width, heads).eval()
    x = torch.randn(2, 5, width)
    q, k, v = (m(x).view(2, 5, heads, -1).transpose(1, 2) for m in (module.q, module.k, module.v))
    site = the_one(seen(lambda width, depth: Bytes(width, depth, heads=heads)))

    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=site.scales[0])

    assert torch.allclose(module.out(fused.transpose(1, 2).reshape(2, 5, width)), module(x), atol=1e-6)
