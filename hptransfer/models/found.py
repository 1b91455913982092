"""What running a model told its reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hptransfer.probe.findings import Probe


@dataclass(frozen=True, slots=True)
class Found:
    """What running a model told, in names of the model at the base depth.

    Attributes:
        writers: parameters whose output is added to a residual stream; they count where neither a preset nor patterns
            are given, and what is given must not leave one of them out. None: the model was not run.
        summed_axes: raw parameter -> axes that are summed over; none of them: it is multiplied element by element.
        readouts: weights whose output becomes an output of the model.
        shared_layers: whether layers are shared, so that depth changes no parameter.
        looked_up: weights that products take and whose rows are looked up too.
    """

    writers: Sequence[str] | None = None
    summed_axes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    readouts: Sequence[str] = ()
    shared_layers: bool = False
    looked_up: Sequence[str] = ()


NOTHING = Found()


def found_of(probe: Probe | None) -> Found:
    """What a probe tells of the roles; nothing where the model was not run.

    Args:
        probe: what the runs told; None: there were none.
    """
    if probe is None or not probe.example:
        return NOTHING
    writers = dict.fromkeys(name for writer in probe.writers for name in writer.parameters)
    return Found(
        writers=tuple(writers),
        summed_axes=probe.summed_axes,
        readouts=probe.readouts,
        shared_layers=bool(probe.repeated_use),
        looked_up=probe.looked_up,
    )
