"""How many parameters of a model count, for durations in tokens per parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from hptransfer.parameterization.role_multipliers import multiplier_group
from hptransfer.parameterization.roles import Parameter

#: which parameters count: all but tables of embeddings; neither those nor readouts; all
CountedParameters = Literal["without-embeddings", "hidden", "all"]


def count_parameters(parameters: Iterable[Parameter], counted: CountedParameters) -> int:
    """Number of entries of the parameters that count.

    Kaplan et al. (arXiv 2001.08361) count neither embeddings nor the readout, Hoffmann et al. (arXiv 2203.15556) all. A
    tied embedding is a table of embeddings here; biases go with their layers.

    Args:
        parameters: of a model at one size, each with its role.
        counted: which of them count.
    """
    left_out = {"without-embeddings": {"embedding"}, "hidden": {"embedding", "readout"}, "all": set[str]()}[counted]
    return sum(math.prod(each.shape) for each in parameters if multiplier_group(each) not in left_out)
