"""The sources of the running Python's standard library."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hptransfer.data.base import SplitText, split_text
from hptransfer.errors import MachineError
from hptransfer.recipe.sections import DataSection


class StdlibText(DataSection):
    """The Python standard library's own sources: real text on every machine, fingerprinted because versions differ."""

    kind: Literal["stdlib-text"]
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """share of files (not bytes) kept for validation"""


class StdlibSource:
    """Reads top-level modules only."""

    section = StdlibText

    def read(self, section: StdlibText, _root: Path, /) -> SplitText:
        """As `DataSource.read`.

        Raises:
            MachineError: this Python carries no sources of its standard library.
        """
        texts = {name: path.read_bytes() for name, path in stdlib_files().items()}
        return split_text(texts, section.validation_fraction)


SOURCE = StdlibSource()


def stdlib_files() -> dict[str, Path]:
    """Top-level modules of the running Python's standard library by file name, sorted.

    `sys.stdlib_module_names` keeps out what an installation adds, for example `_sysconfigdata*` with a machine's paths.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found = {path.name: path for path in sorted(folder.glob("*.py")) if path.stem in sys.stdlib_module_names}
    if len(found) < 2:
        raise MachineError(
            "`stdlib-text` needs the standard library's source files",
            received=f"{len(found)} *.py files in the folder of this Python's standard library",
            hint="name your own files with `data: {kind: text, files: [...]}`",
        )
    return found
