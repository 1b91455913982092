"""What a difference is said to come from, where the growths of width and depth have powers in common."""

from __future__ import annotations

import pytest

from hptransfer.handover.causes import Growth, cause_of

#: width sixteen times, depth four times: the width's square root is the depth's growth
GROWTH = Growth(16.0, 4.0, {"learning_rate": 0.01, "weight_decay": 0.1, "eps": 1e-8})
RULES = {"init_std": "m_in^-0.5 m_L^-1", "learning_rate": "m_in^-1 m_L^-1", "eps": "m_L^-1"}

CAUSES = {
    # CompleteP's residual factor of 1/4 left out
    "multiplier": (
        "multiplier", 0.25, 1.0,
        "not scaled: that is the base's, and the rule asks for 0.25 times it, the depth's growth to the power -1",
    ),
    "depth alone": ("eps", 2.5e-9, 1.6e-7, "off by 64"),  # 16^1.5, but the rule knows nothing of the width
    "both": (
        "init_std", 0.02 / 16, 0.02,
        "off by the width's growth to the power 0.5 and the depth's growth to the power 1, as without the rule's "
        "m_in^-0.5 m_L^-1",
    ),
    "twice": (
        "init_std", 0.02 / 16, 0.02 / 256,
        "off by the width's growth to the power -0.5 and the depth's growth to the power -1, as with twice the "
        "rule's m_in^-0.5 m_L^-1",
    ),
    "no rule": ("weight_decay", 0.1, 0.4, "off by 4; the plan does not scale it with width or depth"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CAUSES))
def test_the_plans_own_rule_is_the_cause(name: str) -> None:
    """What the rule explains wins, and no power is guessed of an axis that the rule has not."""
    quantity, planned, used, cause = CAUSES[name]

    assert cause_of(quantity, planned, used, GROWTH, RULES, 1e-12) == cause


def test_two_powers_that_fit_are_both_named() -> None:
    """Without rules nothing decides between the width's square root and the depth."""
    assert cause_of("init_std", 0.02, 0.08, GROWTH, None, 1e-12) == (
        "off by the width's growth to the power 0.5 or the depth's growth to the power 1"
    )
