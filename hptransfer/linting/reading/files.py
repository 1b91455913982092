"""A file of another framework, in whichever form it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hptransfer.errors import UsageError
from hptransfer.linting.reading.documents import read_json_file, read_yaml_file
from hptransfer.linting.reading.python import read_python_file
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.shell import read_script
from hptransfer.linting.reading.text import foreign_text

_READERS: dict[str, Callable[[str, str], ForeignFile]] = {
    ".py": read_python_file,
    ".yaml": read_yaml_file,
    ".yml": read_yaml_file,
    ".json": read_json_file,
    ".sh": read_script,
    ".bash": read_script,
    ".slurm": read_script,
    ".sbatch": read_script,
    ".args": read_script,
    ".txt": read_script,
}


def read_foreign(path: Path) -> ForeignFile:
    """What a file sets.

    Args:
        path: of the file, whose ending says what it is written in; a file without one whose first line is `#!` is a
            script.

    Raises:
        UsageError: it cannot be read, or is not what its ending says.
    """
    text = foreign_text(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and text.startswith("#!"):
        reader = read_python_file if "python" in text.split("\n", 1)[0] else read_script
    if reader is None:
        raise UsageError(
            f"a configuration's name must end with one of {', '.join(_READERS)}",
            received=str(path),
            hint="copy it to a name that says what it is written in: `run.sh` for arguments of a command",
        )
    return reader(text, str(path))
