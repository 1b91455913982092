"""Data that a trainer of the user's reads by itself."""

from __future__ import annotations

from pathlib import Path

from hptransfer.data.base import SplitText
from hptransfer.errors import UsageError
from hptransfer.recipe.sections import DataSection, ExternalData


class ExternalSource:
    """Gives nothing to read; what is known of the data is the section itself."""

    section = ExternalData

    def read(self, section: DataSection, root: Path, /) -> SplitText:
        """As `DataSource.read`.

        Raises:
            UsageError: always, because the trainer alone reads these data.
        """
        raise UsageError(
            "data that are trained on here must be named",
            received="`data: {kind: external}`",
            hint="name them, for example `data: {kind: stdlib-text}`",
        )


SOURCE = ExternalSource()
