"""What is no data source, though it looks like one."""

from __future__ import annotations

from pathlib import Path

from hptransfer.recipe.schema import OwnData


class Listing:
    """Returns what no data source may."""

    def read(self, _section: OwnData, _root: Path) -> list[bytes]:
        """A list."""
        return [b"text"]


listing = Listing()
