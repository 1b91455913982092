"""What a table of runs shows besides transfer: groups against each other, and steps against examples to one loss."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.checking.judge_table import JudgedGroup, JudgedSlice
from hptransfer.results_table.column_names import normalized_column_name
from hptransfer.transfer.hyperbola import FEWEST_BATCHES, Hyperbola, fit_hyperbola, steps_to_reach
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.penalty import Penalty, penalties

#: a column that counts what a run needed to reach its loss: steps_to_target, tokens_to_loss, examples_needed
_NEEDED = re.compile(r"^(steps|updates|iterations|tokens|examples|samples)_(to|until|needed|required)(_|$)")
#: a column of how long runs were trained, whose values make groups of runs
_LENGTH = re.compile(r"^(total_|train_|training_|max_|num_|n_)?(steps|updates|iterations|tokens|examples|samples)$")
_STEPS = frozenset({"steps", "updates", "iterations"})


@dataclass(frozen=True, slots=True)
class BatchTradeoff:
    """A ladder of batch sizes that reach one loss.

    Attributes:
        group: the group whose runs they are; None for all rows.
        loss: what was reached, where it was read off runs of several lengths; None elsewhere.
        hyperbola: the law through them; None where fewer than four batch sizes reach the loss.
        reached: batch sizes whose steps to the loss are known.
    """

    group: str | None
    loss: float | None
    hyperbola: Hyperbola | None
    reached: int

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.hyperbola is None:
            return (
                f"{self.reached} batch sizes reach one loss on both sides of it; {FEWEST_BATCHES} are needed to fit "
                "the hyperbola of steps and examples"
            )
        at = "" if self.loss is None else f" to loss {self.loss:.4g}"
        return f"{self.hyperbola.sentence}{at}"


@dataclass(frozen=True, slots=True)
class TableMechanics:
    """What a slice shows besides its verdict.

    Attributes:
        penalties: of every group against the best one; none where groups are lengths of training.
        tradeoffs: of batch sizes that reach one loss.
    """

    penalties: tuple[Penalty, ...]
    tradeoffs: tuple[BatchTradeoff, ...]

    @property
    def sentences(self) -> Iterator[str]:
        """Everything found, a line each."""
        for penalty in self.penalties:
            yield penalty.sentence
        for each in self.tradeoffs:
            yield each.sentence if each.group is None else f"{each.group}: {each.sentence}"


def table_mechanics(judged: JudgedSlice) -> TableMechanics:
    """Compare groups, and fit batch sizes that reach one loss, where the slice has either.

    Args:
        judged: one hyperparameter of a table, with its groups.
    """
    groups = [group for group in judged.groups if group.name is not None]
    length = None if judged.roles.group is None else _LENGTH.match(normalized_column_name(judged.roles.group))
    if judged.roles.axis != "batch_size":
        found = () if length else penalties({str(group.name): group.report for group in groups})
        return TableMechanics(found, ())
    if length:
        return TableMechanics((), tuple(_over_lengths(groups, length[2])))
    counted = _NEEDED.match(normalized_column_name(judged.roles.loss))
    if counted is None:
        return TableMechanics(penalties({str(group.name): group.report for group in groups}), ())
    return TableMechanics((), tuple(_counted(group, counted[1]) for group in judged.groups))


def _counted(group: JudgedGroup, unit: str) -> BatchTradeoff:
    """Batch sizes of a table whose objective is what a run needed: the fewest over the learning rates count."""
    sizes = [size for size in group.report.sizes if size.optimum.edge is None]
    needed = {size.value: size.optimum.loss.estimate for size in sizes}
    return _tradeoff(group.name, None, needed, unit)


def _over_lengths(groups: Sequence[JudgedGroup], unit: str) -> Iterator[BatchTradeoff]:
    """Batch sizes whose runs have several lengths, each length a group."""
    curves: dict[float, dict[float, float]] = {}
    for group in groups:
        length = _number(str(group.name))
        for size in () if length is None else _known(group.report):
            curves.setdefault(size[0], {})[float(length or 0)] = size[1]
    if curves:
        loss, needed = steps_to_reach(curves)
        yield _tradeoff(None, None if math.isnan(loss) else loss, needed, unit)


def _known(report: AxisReport) -> Iterator[tuple[float, float]]:
    """(batch size, best loss) of the sizes whose optimum is not on an edge of the grid."""
    for size in report.sizes:
        if size.optimum.edge is None:
            yield size.value, size.optimum.loss.estimate


def _tradeoff(group: str | None, loss: float | None, needed: Mapping[float, float], unit: str) -> BatchTradeoff:
    """The law through what each batch size needed, as steps."""
    steps = {batch: count if unit in _STEPS else count / batch for batch, count in needed.items() if count > 0}
    if len(steps) < FEWEST_BATCHES:
        return BatchTradeoff(group, loss, None, len(steps))
    names = (unit, "examples") if unit in _STEPS else (f"{unit} per example of the batch", unit)
    fitted = fit_hyperbola(list(steps), list(steps.values()))
    return BatchTradeoff(group, loss, replace(fitted, unit=names), len(steps))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
