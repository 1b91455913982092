"""Whether a plan of a family's small model is right: the coordinate check on random data, or the refusal it met.

Judged are the changes of the residual stream, of what the readout reads and of the logits, in width under muP at steps
1 to 3 and in depth under CompleteP at steps 3 and 10 (in the first step CompleteP's change falls with depth by design).
Statistics and bands are those of the package's coordinate check; a row that three seeds leave open gets more.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

import hptransfer
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, Measurement
from hptransfer.diagnostics.coordinate import judge_coordinates
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.roles import Role
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training._undisturbed import undisturbed
from hptransfer.training._watched_model import Look, Structure, _factor, learn, look
from hptransfer.training.coordinates import finite_rms, random_share
from tests.support.families import BASE_DEPTH, BASE_WIDTH, Family, batch

Axis = Literal["width", "depth"]
RULES: dict[Axis, str] = {"width": "mup", "depth": "completep"}
#: sizes that are compared; the later ones where small sizes show a slope, or lack a kind of layer at their base
SIZES: dict[Axis, tuple[tuple[int, int], ...]] = {
    "width": ((64, 512), (128, 1024)),
    "depth": ((2, 8), (4, 16), (8, 32)),
}
STEPS: dict[Axis, tuple[int, ...]] = {"width": (1, 2, 3), "depth": (3, 10)}
#: three, and more where they leave a row open
SEEDS = (3, 6, 12)
#: small beside the weights: what is judged is the linear beginning of training
HYPERPARAMETERS = {"learning_rate": 2**-10, "eps": 1e-12, "weight_decay": 0.0}
#: a call of a model on a batch, and the loss of its output
Batch = tuple[Callable[[], Any], Callable[[Any], Tensor]]
#: said where a base is too shallow for a pattern of layers
_EVERY_KIND = "every kind of layer must occur at the base size"
JUDGED = frozenset({"residual", "logits", "stream"})
#: answers to questions that a refusal prints
_ROLES = re.compile(r"roles: \{(.*)\}")
_ROLE = re.compile(r"'((?:[^'])+)': '([^']+)'")


@dataclass
class Outcome:
    """What became of one family along one axis.

    Attributes:
        family: `model_type` of its configuration.
        axis: along which sizes differ.
        tied: whether the readout shares its weight with the embedding.
        status: "flat", "open" (seeds do not tell), "OFF", "refused" or "unmeasured".
        why: the refusal, or the worst rows.
        sizes: the sizes that were compared, increasing.
        base: width or depth of the plans' base.
        slopes: "layer@step" -> (slope, standard error, lowest and highest that is right, verdict).
        answered: questions that the plan asked, answered as it proposed.
        notes: what the plan says.
        seconds: wall time that the comparison took.
    """

    family: str
    axis: Axis
    tied: bool = False
    status: str = "unmeasured"
    why: str = ""
    sizes: tuple[int, int] = (0, 0)
    base: int = 0
    slopes: dict[str, tuple[float, float, float, float, str]] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def gate(family: Family, axis: Axis) -> Outcome:
    """Plan a family's small model along an axis, train it a few steps at both sizes, and judge.

    Args:
        family: as `families.family` gives it.
        axis: width under muP, or depth under CompleteP.
    """
    begun = time.monotonic()
    outcome = Outcome(family.name, axis, family.tied)
    for sizes in SIZES[axis]:
        _measure(family, axis, sizes, outcome)
        # what small sizes alone show goes at larger ones, and what lacks a factor stays
        if outcome.status not in ("open", "OFF") and not (outcome.status == "refused" and _EVERY_KIND in outcome.why):
            break
    outcome.seconds = time.monotonic() - begun
    return outcome


def _measure(family: Family, axis: Axis, sizes: tuple[int, int], outcome: Outcome) -> None:
    base = (BASE_WIDTH, sizes[0] if _EVERY_KIND in outcome.why else BASE_DEPTH)
    outcome.sizes, outcome.base, outcome.why = sizes, base[0] if axis == "width" else base[1], ""
    try:
        plans = {size: _plan(family, axis, base, size, outcome.answered) for size in sizes}
    except UsageError as error:
        outcome.status = "refused"
        outcome.why = "; ".join(f"{each.rule} [{each.received}] hint: {each.hint}" for each in error.findings)
        return
    outcome.notes = list(plans[sizes[-1]].whole_plan.notes)
    measured: list[Measurement] = []
    seen = 0
    for seeds in SEEDS:
        for seed in range(seen, seeds):
            for size, plan in plans.items():
                measured += train(family.build, partial(_batch, family.task), plan, axis, size, seed)
        seen = seeds
        rows = judge_coordinates(measured, axis=axis).rows
        judge(outcome, [row for row in rows if row.judged], axis)
        if outcome.status != "open":
            break


def judge(outcome: Outcome, rows: Sequence[CoordinateRow], axis: Axis) -> None:
    """Write the status of an outcome from the rows of its check.

    Args:
        outcome: that the judgement is written into.
        rows: those of the report that were judged.
        axis: along which sizes differ.
    """
    if not any(row.kind == "logits" for row in rows):
        outcome.status, outcome.why = "unmeasured", "no logits were seen"
        return
    outcome.slopes = {
        f"{row.layer}@{row.step}": (row.slope, row.standard_error, *row.allowed, row.verdict.value) for row in rows
    }
    explained = (_falls_at_random,) if axis == "width" else (_settles, _begins_late)
    judged = [row for row in rows if row.kind in JUDGED and not any(each(row, rows) for each in explained)]
    off = [row for row in judged if row.verdict is RowVerdict.FAILS]
    outside = [row for row in judged if _outside(row) > 0 and row.verdict is not RowVerdict.HOLDS]
    worst = sorted(off or outside, key=_outside)[::-1]
    outcome.status = "OFF" if off else "open" if outside else "flat"
    outcome.why = ", ".join(f"{row.layer} {row.slope:+.2f} at step {row.step}" for row in worst[:4])


def _falls_at_random(row: CoordinateRow, rows: Sequence[CoordinateRow]) -> bool:
    """Whether logits fall with width as a random readout's do, and what is left without its share is noise.

    f(t) - f(0) = (W(t) - W(0)) h(t) + W(0) (h(t) - h(0)). Both h's change and the first part are flat by themselves;
    the second part is random at width 64 to six sevenths and falls as width^-1/2 at most.
    """
    if row.kind != "logits":
        return False
    at = {each.kind: each for each in rows if each.step == row.step and each.kind in ("learned", "stream", "whole")}
    flat = all(at[kind].verdict is not RowVerdict.FAILS for kind in ("learned", "stream") if kind in at)
    return flat and "learned" in at and -0.5 <= at["whole"].slope <= 0.15


def _settles(row: CoordinateRow, rows: Sequence[CoordinateRow]) -> bool:
    """Whether what comes behind the last norm rises with depth as the stream before it may.

    Where a random start of the branches outweighs the embedding's, the stream at init falls with depth, as 1/L in the
    square, and changes relative to it rise by as much (docs/coordinate-check.md); a norm behind it hides the fall.
    """
    ends = [each for each in rows if each.kind == "residual" and each.step == row.step and each.judged]
    high = max((each.allowed[1] for each in ends if each.verdict is RowVerdict.HOLDS), default=0.0)
    return row.kind in ("stream", "logits") and 0 < row.slope <= high + 0.15


def _begins_late(row: CoordinateRow, rows: Sequence[CoordinateRow]) -> bool:
    """Whether a change that falls with depth at step 3 is flat by step 10.

    Under CompleteP the first steps' changes fall with depth by design, until the writers have grown beyond a small init
    (its own plot: from 0.13 to 0.03 at step 1, flat by step 3 to 10). What lacks a factor of depth grows, and stays so.
    """
    late = [each for each in rows if each.layer == row.layer and each.step > row.step]
    return row.slope < row.allowed[0] and bool(late) and all(_outside(each) <= 0 for each in late)


def _outside(row: CoordinateRow) -> float:
    """How far a slope is beyond its band; what has none is farthest."""
    low, high = row.allowed
    excess = max(low - 0.15 - row.slope, row.slope - high - 0.15)
    return 99.0 if math.isnan(excess) else excess


def _plan(family: Family, axis: Axis, base: tuple[int, int], size: int, answered: dict[str, str]) -> AppliedPlan:
    target = (size, BASE_DEPTH) if axis == "width" else (BASE_WIDTH, size)
    for _ in range(4):
        try:
            return hptransfer.plan(
                _answering(family, answered),
                base=base,
                target=target,
                hyperparameters=HYPERPARAMETERS,
                parameterization=RULES[axis],
                roles=(answered or None) if family.lists else None,
            )
        except UsageError as error:
            more = dict(_proposed(error))
            if not more or set(more) <= set(answered):
                raise
            answered |= more
    raise AssertionError(f"{family.name} asks again and again: {answered}")


def _answering(family: Family, answered: dict[str, str]) -> Any:
    if family.lists:
        return family.model
    return family.section.model_copy(update={"roles": dict(answered)})


def _proposed(error: UsageError) -> Iterator[tuple[str, str]]:
    """What the refusal says to paste."""
    for finding in error.findings:
        found = _ROLES.search(finding.hint or "")
        if found:
            yield from ((pattern.replace("\\\\", "\\"), role) for pattern, role in _ROLE.findall(found[1]))


def _batch(task: str, seed: int, module: nn.Module) -> Batch:
    inputs, loss_of = batch(task, seed, module)
    return (lambda: module(**inputs)), loss_of


def train(
    build: Callable[[int, int], nn.Module],
    batch_of: Callable[[int, nn.Module], Batch],
    plan: AppliedPlan,
    axis: Axis,
    size: int,
    seed: int,
) -> list[Measurement]:
    """The changes of one run of a few steps on one batch.

    Args:
        build: the model from a width and a depth.
        batch_of: a call of the model on a batch that the seed draws, and the loss of its output.
        plan: at the size that is trained.
        axis: along which sizes differ.
        size: the width or depth that is trained.
        seed: of the model's init and of the batch.
    """
    torch.manual_seed(seed)
    module = build(*((size, BASE_DEPTH) if axis == "width" else (BASE_WIDTH, size)))
    forward, loss_of = batch_of(seed, module)
    if any(row.parameter.role is Role.TIED_EMBEDDING and row.multiplier != 1 for row in plan.rows):
        hptransfer.scale_logits(module, plan)
    plan.init_(module, seed)
    optimizer = torch.optim.AdamW(plan.param_groups(module))
    module.train()
    run = _Run(module, forward, readout_of(module, plan))
    measured = []
    for step in range(1, STEPS[axis][-1] + 1):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(forward()))
        optimizer.step()
        if step in STEPS[axis]:
            measured += [Measurement(size, seed, step, *row) for row in run.changes()]
    return measured


def readout_of(module: nn.Module, plan: AppliedPlan) -> str | None:
    """The module that maps to logits, by the plan's roles; None where no module of its own does.

    Args:
        module: with the plan's names.
        plan: which says what reads out.
    """
    roles = (Role.READOUT, Role.TIED_EMBEDDING)
    names = {row.parameter.name for row in plan.rows if row.parameter.role in roles and not row.parameter.in_block}
    tensors = {id(tensor) for name, tensor in module.named_parameters() if name in names}
    found = [
        name for name, each in module.named_modules() if isinstance(each, nn.Linear) and id(each.weight) in tensors
    ]
    return found[-1] if found else None


class _Run:
    """What a model computes on one batch, now and at init."""

    def __init__(self, module: nn.Module, forward: Callable[[], Any], readout: str | None) -> None:
        self.module, self.forward = module, forward
        self.structure = Structure()
        self.first = self._look()
        found = self.structure.readout
        self.readout = found or (readout if readout in self.first.calls else None)
        weight = None if self.readout is None else getattr(module.get_submodule(self.readout), "weight", None)
        self.weight = weight.detach().clone() if isinstance(weight, Tensor) and weight.ndim == 2 else None

    def _look(self) -> Look:
        with undisturbed(self.module):
            seen = look(self.module, self.forward)
        self.structure = learn(self.module, seen, self.structure)
        return seen

    def changes(self) -> Iterator[tuple[str, str, float | None, float | None, float | None]]:
        """(layer, kind, change, size at init, share of a random readout) of all that is judged."""
        first, now = self.first, self._look()
        for name in self.structure.blocks:
            if name in first.calls and first.calls[name].returned.shape == now.calls[name].returned.shape:
                start, end = first.calls[name].returned, now.calls[name].returned
                yield name, "residual", finite_rms(end - start), finite_rms(start) or None, None
        random = None
        logits = (first.logits, now.logits)
        if self.readout is not None and self.weight is not None:
            was, is_ = first.calls[self.readout].read, now.calls[self.readout].read
            assert was is not None and is_ is not None  # noqa: PT018  # for the type checker
            outside = _factor_before(first, self.readout)
            yield "read", "stream", finite_rms((is_ - was) / outside), finite_rms(was / outside) or None, None
            if self.structure.readout is None:  # a cap or a slice follows
                logits = (first.calls[self.readout].returned, now.calls[self.readout].returned)
            bias = getattr(self.module.get_submodule(self.readout), "bias", None)
            given = functional.linear(was, self.weight) if bias is None or not bias.any() else None
            after = (None if given is None or logits[0] is None else _factor(given, logits[0], 1e-3)) or 1.0
            random = random_share(self.weight * after, is_ - was)
            weight: Any = self.module.get_submodule(self.readout).weight
            learned = functional.linear(is_, weight.detach() - self.weight) * after
            yield (
                "learned",
                "learned",
                finite_rms(learned),
                finite_rms(logits[0]) if logits[0] is not None else None,
                None,
            )
        if logits[0] is not None and logits[1] is not None:
            yield "logits", "logits", finite_rms(logits[1] - logits[0]), finite_rms(logits[0]) or None, random
            yield "whole", "whole", finite_rms(logits[1] - logits[0]), finite_rms(logits[0]) or None, None


def _factor_before(seen: Look, readout: str) -> float:
    """By which `forward` multiplies what a module gives before the readout reads it."""
    read = seen.calls[readout].read
    names = list(seen.calls)
    before = [seen.calls[name].returned for name in names[: names.index(readout)]]
    alike = [given for given in before if read is not None and given.shape == read.shape]
    return (_factor(alike[-1], read) if alike and read is not None else None) or 1.0
