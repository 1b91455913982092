"""Over how much of a run decoupled weight decay averages, at the proxy and at another size, per group of parameters.

AdamW's weights are an average of its updates that forgets with timescale 1 / (rate * decay) in steps (Wang & Aitchison,
arXiv 2405.13698). Over the run that is tau = batch / (rate * decay * tokens), batch and tokens in one unit (Bergsma et
al., arXiv 2505.13738): a share of the run, and epochs of the data where the run goes through them once. The rate is the
peak: a schedule that falls makes the average longer towards the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hptransfer.parameterization.groups import layer_template
from hptransfer.parameterization.plan_parameter import Plan, PlannedParameter

#: optimizers that shrink a weight by rate * decay apart from its update, whatever the gradient's size
_DECOUPLED = frozenset({"adamw", "lion", "muon"})
SOURCE = "arXiv 2405.13698, 2505.13738"
#: relative difference below which two timescales are one
_SAME = 1e-9
#: of shares: a run has whole steps
_KEPT = 0.01
#: from here on steps are whole numbers
_WHOLE = 100


@dataclass(frozen=True, slots=True)
class DecayTimescale:
    """How long weight decay averages, for parameters that share it.

    Attributes:
        parameters: their roles, or their names where one role has several timescales.
        steps: 1 / (learning rate * weight decay) at the size, in optimizer steps.
        share: tau, the same as a share of the run; above 1 the run ends before its beginning is forgotten.
        proxy_steps: the same at the proxy, in steps; None where the proxy has no such parameter.
        proxy_share: and as a share of the proxy's run.
    """

    parameters: tuple[str, ...]
    steps: float
    share: float
    proxy_steps: float | None
    proxy_share: float | None

    @property
    def kept(self) -> bool:
        """Whether the share of the run is the proxy's."""
        return self.proxy_share is not None and abs(self.share / self.proxy_share - 1) < _KEPT

    @property
    def sentence(self) -> str:
        """One line for a person."""
        here = f"{steps_text(self.steps)}, {share_text(self.share)}"
        if self.proxy_share is None or self.proxy_steps is None:
            return f"{', '.join(self.parameters)}: {here}"
        there = f"{steps_text(self.proxy_steps)}, {share_text(self.proxy_share)} at the proxy"
        kept = " (kept)" if self.kept else ""
        return f"{', '.join(self.parameters)}: {here}{kept}; {there}"


def share_text(share: float) -> str:
    """A share of a run's steps: "0.25 of the run", "25 times the run".

    Args:
        share: steps over those of the run, positive.
    """
    return f"{share:.3g} {'of' if share < 1 else 'times'} the run"


def decay_timescales(plan: Plan, steps: int, proxy: Plan, proxy_steps: int) -> tuple[DecayTimescale, ...]:
    """The timescales of what is decayed, at a size and at the proxy; empty where nothing is, or decay is coupled.

    Args:
        plan: of the size, in any gauge: rate times decay is the same in all.
        steps: optimizer steps of its run, tokens over the batch's.
        proxy: plan of the same model at the size where values were tuned.
        proxy_steps: optimizer steps of its run there.
    """
    before = dict(_rates(proxy.rows, proxy.optimizer))
    found: dict[tuple[str, float, float | None], list[str]] = {}
    for (name, role), rate in _rates(plan.rows, plan.optimizer):
        known = before.get((name, role))
        same = next((key for key in found if key[0] == role and _equal(key[1], rate) and _equal(key[2], known)), None)
        found.setdefault(same or (role, rate, known), []).append(name)
    several = {role for role, *_ in found if sum(key[0] == role for key in found) > 1}
    merged: dict[tuple[float, float | None], list[str]] = {}
    for (role, rate, known), names in found.items():
        same_rate = next((key for key in merged if _equal(key[0], rate) and _equal(key[1], known)), (rate, known))
        merged.setdefault(same_rate, []).extend(names if role in several else [role])
    return tuple(
        DecayTimescale(
            tuple(names),
            1 / rate,
            1 / (rate * steps),
            None if known is None else 1 / known,
            None if known is None else 1 / (known * proxy_steps),
        )
        for (rate, known), names in merged.items()
    )


def timescale_notes(timescales: Sequence[DecayTimescale], *, held: bool) -> tuple[str, ...]:
    """What a plan says of its timescales, a sentence each; empty without any.

    Args:
        timescales: those of a size, with the proxy's.
        held: whether the recipe holds them.
    """
    if not timescales:
        return ()
    said = "; ".join(f"{each.sentence}" for each in timescales)
    moved = not held and any(each.proxy_share is not None and not each.kept for each in timescales)
    way = ". `parameterization.decay_timescale: held` keeps the share where batch or tokens change" if moved else ""
    return (f"weight decay averages over 1 / (learning rate * weight decay) steps at the peak ({SOURCE}). {said}{way}",)


def _rates(rows: Iterable[PlannedParameter], optimizer: str) -> Iterable[tuple[tuple[str, str], float]]:
    """((name without layer numbers, role), decay per step) of what decoupled decay shrinks, once per value."""
    seen = set()
    for row in rows:
        rate = row.learning_rate * row.weight_decay
        if rate > 0 and (row.optimizer or optimizer) in _DECOUPLED:
            key = (layer_template(row.parameter.name), row.parameter.role.value)
            if (key, rate) not in seen:
                seen.add((key, rate))
                yield key, rate


def _equal(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left / right - 1) < _SAME


def steps_text(count: float) -> str:
    """A number of steps as people write it.

    Args:
        count: positive, a whole number or not.
    """
    return f"{count:,.0f} steps" if count >= _WHOLE else f"{count:.3g} steps"
