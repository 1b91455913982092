"""Batches of the user's own functions: images, tables, pairs, whatever the loss takes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hptransfer.data.base import BatchFunctions
from hptransfer.recipe.sections import DataSection, Setting
from hptransfer.recipe.text_forms import REFERENCE
from hptransfer.trials.code import code_digests

_Reference = Annotated[str, Field(pattern=REFERENCE, max_length=200)]


class PythonData(DataSection):
    """Your own functions that give batches; imported and called by workers that train, never by `validate`."""

    kind: Literal["python"]
    source: _Reference
    """`module:function`, called as `function(seed, step, batch_size, **arguments)` for a training batch, a pure
    function of these (docs/data.md)"""
    evaluation: _Reference
    """`module:function`, called as `function(index, batch_size, **arguments)`: batch `index` of the fixed evaluation
    set"""
    arguments: dict[str, Setting] = Field(default_factory=dict)
    """further keyword arguments of both"""
    predictions_per_example: Annotated[int, Field(ge=1, le=10**6)] = 1
    """what one example counts for where sizes and durations are in tokens: 1 for an image, a row of a table or a pair,
    its length for a sequence"""

    def predictions(self) -> int:
        """What one example counts for."""
        return self.predictions_per_example


class PythonSource:
    """Names functions; their code is digested, not run."""

    section = PythonData

    def read(self, section: PythonData, root: Path, /) -> BatchFunctions:
        """As `DataSource.read`.

        Raises:
            UsageError: local code cannot be read or parsed.
        """
        code = code_digests(section.source, root) | code_digests(section.evaluation, root)
        named = {"source": section.source, "evaluation": section.evaluation, "arguments": section.arguments}
        fingerprint = hashlib.sha256(json.dumps({**named, "code": code}, sort_keys=True).encode()).hexdigest()
        return BatchFunctions(section.source, section.evaluation, section.arguments, fingerprint)


SOURCE = PythonSource()
