"""Over how much of a run weight decay averages: numbers worked out by hand from the papers' formulas, held and not.

tau_iter = 1 / (eta lambda) steps (Wang & Aitchison, arXiv 2405.13698), tau = B / (eta lambda D) (Bergsma et al., arXiv
2505.13738), with B and D in tokens: 1 / (eta lambda S) of a run of S steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hptransfer.errors import UsageError
from hptransfer.parameterization.decay_timescale import DecayTimescale, decay_timescales, share_text, timescale_notes
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from tests.support.reading import parameters_of

GPT = GptModel(kind="gpt", context=8, head_dim=8)
#: 2048 tokens a step (256 sequences of 8): 5,000 steps
BASE = Size(16, 2, 256, 10_240_000)
VALUES = {"learning_rate": 1e-3, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-8, "beta1": 0.9, "beta2": 0.95}
#: a larger model on four times the tokens with twice the batch: 10,000 steps
LARGE = Size(64, 2, 512, 40_960_000)


def planned(size: Size, *, optimizer: str = "adamw", name: str = "mup", **options: Any) -> Plan:
    """A plan of the decoder, with decay."""
    values = VALUES if options.get("weight_decay") != "independent" else VALUES | {"weight_decay": 1e-4}
    return plan(
        Parameterization(name),
        BASE,
        size,
        parameters_of(GPT, BASE, size),
        values | {"momentum": 0.9},
        optimizer=optimizer,
        options=Options(**options),
    )


def steps(size: Size) -> int:
    """Optimizer steps: tokens over the tokens of a batch."""
    return size.tokens // (size.batch_size * 8)


def timescales(size: Size, **options: Any) -> tuple[DecayTimescale, ...]:
    """Those of a size, with the base as the proxy."""
    proxy = planned(BASE, **options)
    return decay_timescales(planned(size, **options), steps(size), proxy, steps(BASE))


def test_the_timescale_is_that_of_the_formula() -> None:
    """1 / (0.001 * 0.1) is 10,000 steps; of 5,000 steps that is 2 runs, of 10,000 steps 1."""
    (found,) = timescales(LARGE)

    assert [found.proxy_steps, found.proxy_share] == pytest.approx([10_000, 2.0])
    assert [found.steps, found.share] == pytest.approx([10_000, 1.0])
    assert not found.kept
    assert set(found.parameters) == {"embedding", "hidden vector", "hidden weight", "outer vector", "readout"}


def test_a_width_alone_keeps_it_where_rate_times_decay_is_constant() -> None:
    """`constant` is that rule; `unscaled` decay lengthens it for hidden weights as their rate falls, by 4 here."""
    wider = replace(BASE, width=64)
    (constant,) = timescales(wider)
    unscaled = {name: found for found in timescales(wider, weight_decay="unscaled") for name in found.parameters}

    assert constant.kept
    assert unscaled["hidden weight"].share == pytest.approx(8.0)
    assert unscaled["hidden vector"].share == pytest.approx(2.0)
    assert unscaled["hidden vector"].kept


@pytest.mark.parametrize("name", ["mup", "completep", "standard"])
@pytest.mark.parametrize("decay", ["constant", "independent", "unscaled"])
@pytest.mark.parametrize("extra", [{}, {"batch_rule": "sde"}, {"token_exponent": 0.32}])
def test_held_keeps_it_under_every_rule_of_the_rate(name: str, decay: str, extra: dict[str, Any]) -> None:
    """Only batch and tokens change, so the share of the run is 2 for every parameter, whatever the rate follows."""
    longer = replace(LARGE, width=BASE.width)
    (found,) = timescales(longer, name=name, weight_decay=decay, decay_timescale="held", **extra)

    assert found.kept
    assert found.share == pytest.approx(2.0)


def test_held_decay_grows_as_the_batch_and_falls_as_the_tokens() -> None:
    """The best decay is linear in the batch at fixed tokens (2505.13738, abstract) and falls with them (2405.13698)."""
    held: dict[str, Any] = {"decay_timescale": "held"}
    base = planned(BASE, **held).rows[0].weight_decay

    assert planned(replace(BASE, batch_size=512), **held).rows[0].weight_decay == pytest.approx(2 * base)
    assert planned(replace(BASE, tokens=4 * BASE.tokens), **held).rows[0].weight_decay == pytest.approx(base / 4)
    assert planned(replace(BASE, batch_size=512)).rows[0].weight_decay == base
    row = planned(LARGE, **held).rows[0]
    assert row.rules["weight_decay"].endswith("m_B m_D^-1")
    assert "decay_timescale: held" in row.sources["weight_decay"]


def test_complete_d_p_keeps_it_by_itself() -> None:
    """Its rate and its decay both go as sqrt(m_B / m_D), so that their product is that of the steps."""
    (found,) = timescales(replace(LARGE, width=BASE.width), name="complete-d-p", batch_rule="sde", betas="half-life")

    assert found.kept


def test_coupled_decay_has_no_timescale() -> None:
    """SGD's decay is part of its gradient: nothing is said of it, and nothing can be held."""
    assert timescales(LARGE, optimizer="sgd") == ()
    with pytest.raises(UsageError, match="decay_timescale"):
        planned(LARGE, optimizer="sgd", decay_timescale="held")


def test_decay_of_zero_has_none() -> None:
    """A weight that never shrinks never forgets."""
    without = plan(
        Parameterization("mup"), BASE, BASE, parameters_of(GPT, BASE, BASE), VALUES | {"weight_decay": 0.0},
        optimizer="adamw",
    )  # fmt: skip

    assert decay_timescales(without, 10, without, 10) == ()
    assert timescale_notes((), held=False) == ()


def test_groups_of_two_optimizers_are_told_apart() -> None:
    """Muon's matrices and AdamW's rest may have rates of their own: 5 times the rate is a fifth of the timescale."""
    sizes = (BASE, BASE)
    values = VALUES | {"momentum": 0.9, "adam_learning_rate": 5.0}
    made = [
        plan(Parameterization("mup"), BASE, size, parameters_of(GPT, BASE, size), values, optimizer="muon")
        for size in sizes
    ]
    found = {name: each.share for each in decay_timescales(made[0], 5000, made[1], 5000) for name in each.parameters}

    assert found["hidden weight"] == pytest.approx(2.0)
    assert found["readout"] == pytest.approx(0.4)


def test_the_note_offers_to_hold_what_moves() -> None:
    """It names the formula, both runs and the option; where the option is set it offers nothing."""
    (note,) = timescale_notes(timescales(LARGE), held=False)
    (held,) = timescale_notes(timescales(LARGE, decay_timescale="held"), held=True)

    assert "10,000 steps, 1 times the run; 10,000 steps, 2 times the run at the proxy" in note
    assert "`parameterization.decay_timescale: held` keeps the share" in note
    assert "(kept)" in held
    assert "decay_timescale" not in held


@pytest.mark.parametrize(("share", "said"), [(25.0, "25 times the run"), (0.25, "0.25 of the run")])
def test_a_share_above_one_is_a_multiple(share: float, said: str) -> None:
    """25 of the run would read as steps."""
    assert share_text(share) == said
