"""A data source: a word many times, then what a file holds."""

from __future__ import annotations

from pathlib import Path

from hptransfer.data.base import SplitText, split_text
from hptransfer.recipe.schema import OwnData


class Repeated:
    """A quarter of it is kept for validation."""

    def read(self, section: OwnData, root: Path) -> SplitText:
        """Both parts from one file."""
        text = str(section.arguments["word"]).encode() * 400 + (root / str(section.arguments["file"])).read_bytes()
        return split_text({"only": text}, 0.25)


SOURCE = Repeated()
