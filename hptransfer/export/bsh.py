"""mup (microsoft): base shapes, and a module that gives mup's optimizers the values of the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import yaml

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import heads_by_hand
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import (
    GROUPS,
    clipping_by_hand,
    groups_text,
    module_text,
    require_applicable,
)
from hptransfer.handover.own_names import named_groups, own_names
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup, readable
from hptransfer.parameterization.moved_multiplier import with_multiplier
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity

SHAPES = "base_shapes.bsh"
MODULE = "hptransfer_mup.py"

_START = """
import mup

def start_(model):  # fresh from its own code, readout a mup.MuReadout; call it once
    # rescale_params would multiply the readout once more
    mup.set_base_shapes(model, str(pathlib.Path(__file__).parent / "base_shapes.bsh"), rescale_params=False)
    init_(model)
    return model
"""
#: roles whose module has to be a MuReadout, which divides by the width's growth
MULTIPLIED = (Role.READOUT, Role.ROUTER)


class _Bsh:
    """`base_shapes.bsh` and `hptransfer_mup.py`: mup's MuReadout and MuAdamW, MuAdam or MuSGD, without hptransfer."""

    gauge: Gauge = "multipliers"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        framework="mup",
        read_at="mup 1.0.0",
        itself="MuAdam and MuAdamW divide the rate of what grows in two axes by the width's growth and multiply its "
        "decay by it (MuSGD likewise by the tables for SGD), and MuReadout divides the logits by it, so groups.json "
        "has the values before that. set_base_shapes rescales the readout by default; hptransfer_mup.py forbids that.",
        executed="mup 1.0.0: set_base_shapes, MuReadout and its optimizers, on parameters with the plan's names and "
        "shapes",
        by_hand=(
            "import hptransfer_mup; build the model with mup.MuReadout as its readout, then start_(model), "
            "optimizer(model), scheduler(optimizer).",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return own_names(in_form(target))

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The three files.

        Args:
            target: with its multipliers in `forward`.

        Raises:
            UsageError: there are no rows, mup has no such optimizer, or a multiplier is not MuReadout's.
        """
        require_applicable(target, "bsh", optimizers=("adamw", "adam", "sgd"), plain=False)
        formed = in_form(target)
        hands = (*self.about.by_hand, *clipping_by_hand(target), *_by_hand(formed))
        lines = header(target, "bsh", replace(self.about, by_hand=hands), heads_by_hand(target))
        shapes = {name: _base_shape(group, _grown(target)) for name, group in named_groups(formed)}
        before = formed.model_copy(update={"parameters": tuple(_before(each, formed) for each in formed.parameters)})
        return {
            SHAPES: commented(lines) + yaml.safe_dump(shapes, indent=4, sort_keys=False),
            GROUPS: groups_text(before, lines),
            MODULE: commented(lines) + module_text(before, "mup.Mu") + _START,
        }


def _grown(target: TargetFile) -> float:
    return target.size.width / target.base.width


def in_form(target: TargetFile) -> TargetFile:
    """The target with the one multiplier that mup's models have, MuReadout's.

    Args:
        target: with its multipliers in `forward`.

    Raises:
        UsageError: a table is tied, so that its multiplier cannot move.
    """
    tied = [readable(group.pattern) for group in target.parameters if group.role == Role.TIED_EMBEDDING]
    if tied:
        raise UsageError(
            "the format bsh writes no tied tables: mup's MuSharedReadout was never run here",
            received=", ".join(tied),
            hint="untie the weights, or apply the plan with `hptransfer.load_plan` and `hptransfer.scale_logits`",
        )
    groups = tuple(
        group if group.role == Role.FROZEN else with_multiplier(group, _multiplier(group, target), target.optimizer)
        for group in target.parameters
    )
    return target.model_copy(update={"parameters": groups})


def _multiplier(group: ParameterGroup, target: TargetFile) -> float:
    """What the module of a parameter multiplies by, over the base's."""
    return 1 / _infinite(group, target)[-1] if group.role in MULTIPLIED else 1.0


def _axes(group: ParameterGroup) -> tuple[bool, ...]:
    """Which axes grow with the width."""
    if group.role in (Role.READOUT_BIAS, Role.FROZEN):
        return tuple(False for _ in group.shape)
    if group.role == Role.HIDDEN_WEIGHT:
        return tuple(axis < 2 for axis in range(len(group.shape)))
    if group.role in (Role.EMBEDDING, *MULTIPLIED):
        return tuple(axis == len(group.shape) - 1 for axis in range(len(group.shape)))
    return tuple(axis == 0 for axis in range(len(group.shape)))


def _base_shape(group: ParameterGroup, grown: float) -> list[int | None]:
    """Base length of each axis that grows, None of others."""
    lengths = zip(group.shape, _axes(group), strict=True)
    return [max(1, round(length / grown)) if grows else None for length, grows in lengths]


def _infinite(group: ParameterGroup, target: TargetFile) -> tuple[float, ...]:
    """Growth of each axis that grows, as mup will compute it from the file."""
    base = _base_shape(group, _grown(target))
    return tuple(length / of for length, of in zip(group.shape, base, strict=True) if of is not None)


def _before(group: ParameterGroup, target: TargetFile) -> ParameterGroup:
    """The group before mup's optimizer multiplies rate and decay."""
    ratios = _infinite(group, target)
    if target.optimizer == "sgd":
        # of matrices fan-in over fan-out, of the rest one over the growth
        factor = {0: 1.0, 1: 1 / ratios[0] if ratios else 1.0}.get(len(ratios)) or ratios[1] / ratios[0]
    else:
        factor = ratios[-1] if len(ratios) == 2 else 1.0
    return replace(group, learning_rate=group.learning_rate * factor, weight_decay=group.weight_decay / factor)


def _by_hand(target: TargetFile) -> Iterator[str]:
    readouts = [readable(group.pattern) for group in target.parameters if group.role in MULTIPLIED]
    yield f"a mup.MuReadout (output_mult as at the base) must hold {', '.join(readouts) or 'no parameter'}."
    before = [_before(group, target) for group in target.parameters if group.role != Role.FROZEN]
    if len({(round(each.learning_rate, 15), round(each.weight_decay, 12)) for each in before}) > 1:
        yield (
            "groups.json has several base values, so MuAdamW(model.parameters(), lr=...) would not do: rules or "
            "choices of this plan are not mup's."
        )


EXPORTER = _Bsh()
