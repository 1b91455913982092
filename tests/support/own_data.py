"""Data sources as a user would write them, outside the package."""

from __future__ import annotations

from pathlib import Path

from hptransfer.data.base import SplitText, split_text
from hptransfer.recipe.schema import OwnData


class Repeated:
    """A word many times, then what a file holds."""

    def read(self, section: OwnData, root: Path) -> SplitText:
        """Both parts from one file."""
        text = str(section.arguments["word"]).encode() * 400 + (root / str(section.arguments["file"])).read_bytes()
        return split_text({"only": text}, 0.25)


class Listing:
    """Returns what no data source may."""

    def read(self, _section: OwnData, _root: Path) -> list[bytes]:
        """A list."""
        return [b"text"]


repeated = Repeated()
listing = Listing()
