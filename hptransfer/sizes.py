"""The size of one training run: what is varied when hyperparameters are transferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from hptransfer.errors import UsageError

#: an axis of sizes, a field of `Size`
SizeAxis = Literal["width", "depth", "batch_size", "tokens"]
#: every axis, in the order in which they are shown
AXES: tuple[SizeAxis, ...] = get_args(SizeAxis)
#: axes of the model, which a recipe's shapes give; the others are axes of the run, which its `training` gives
MODEL_AXES: tuple[SizeAxis, ...] = ("width", "depth")
#: axis -> key of a recipe's `sizes`, and of what was checked, that lists the values of its ladder
LADDERS: Mapping[SizeAxis, str] = MappingProxyType({axis: f"{axis.removesuffix('s')}s" for axis in AXES})


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width, depth, batch and duration of a run; every multiplier of a rule is a ratio of two of these.

    Attributes:
        width: the model's width axis (d_model, or the hidden width of an MLP), at least 1.
        depth: number of repeated layers (transformer blocks, or hidden layers of an MLP), at least 1.
        batch_size: examples (sequences) per optimizer step, at least 1.
        tokens: predicted positions over the whole run, at least 1.
    """

    width: int
    depth: int
    batch_size: int
    tokens: int

    def __post_init__(self) -> None:
        for name in AXES:
            if getattr(self, name) < 1:
                raise UsageError(f"`{name} >= 1` must hold for a size", received=f"{name}={getattr(self, name)}")

    @property
    def label(self) -> str:
        """Short name used for studies, tables and file names, for example `w128-d2`."""
        return shape_label(self.width, self.depth)

    def label_relative_to(self, usual: Size) -> str:
        """The label with batch and tokens where they are not the usual ones, for example `w128-d2-b256-t1000000`."""
        batch = "" if self.batch_size == usual.batch_size else f"-b{self.batch_size}"
        return self.label + batch + ("" if self.tokens == usual.tokens else f"-t{self.tokens}")


#: what `shape_label` writes, as a regular expression
SHAPE_LABEL = r"^w[1-9][0-9]{0,6}-d[1-9][0-9]{0,3}$"


def shape_label(width: int, depth: int) -> str:
    """Short name of a model's shape, for example `w128-d2`.

    Args:
        width: the model's width axis.
        depth: number of repeated layers.
    """
    return f"w{width}-d{depth}"


def rule_name(axis: SizeAxis) -> str:
    """What rules call an axis: "batch" for "batch_size", any other by its own name.

    Args:
        axis: field of a size.
    """
    return axis.removesuffix("_size")


def times_text(ratio: float) -> str:
    """A ratio of sizes as people write it: 4, 62.1, 1024.

    Args:
        ratio: of two sizes, positive.
    """
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}"


def size_text(value: float) -> str:
    """A size as people write it: 512, 0.25, 50.4; whole sizes keep all their digits.

    Args:
        value: of an axis, positive.
    """
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def grouped(value: float) -> str:
    """A size for a sentence: all digits of a whole number, in groups of three from 10,000 on.

    Args:
        value: of an axis, positive.
    """
    return f"{int(value):,}" if float(value).is_integer() and value >= 10_000 else size_text(value)


def size_word(axis: str) -> str:
    """What one size is called after "a larger" or "each": "width", and "size" where the axis is a count or a label.

    Args:
        axis: what sizes are called, for example "width" or "parameters".
    """
    return axis if axis in ("width", "depth", "batch_size") else "size"
