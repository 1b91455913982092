"""The files of a run folder that somebody else may have committed: regular ones, of bounded size, through no link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TypeVar

from hptransfer.artifacts.pasted import DEFAULT_RUNS
from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot
from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.artifacts.unparsed import undecoded
from hptransfer.errors import Finding, HptransferError, Place
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.shipped import shipped_recipes

#: bytes of a file; evidence of a thousand trials has a tenth of it
LARGEST = 8 << 20
#: files without which there is no evidence
NEEDED = ("tuned.yaml", "transfer.json")
Folder = TypeVar("Folder", bound=PurePath)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run folder holds of a recipe's evidence.

    Attributes:
        folder: the run folder in which the files lie.
        tuned: content of `tuned.yaml`; None where there is none, or it cannot be read.
        transfer: content of `transfer.json`, as `tuned`.
        target: content of `target.yaml`, as `tuned`.
        snapshot: content of `recipe.json`, as `tuned`; only used to name what changed.
        unreadable: why a file that is there could not be read.
    """

    folder: Path
    tuned: Tuned | None = None
    transfer: TransferFile | None = None
    target: TargetFile | None = None
    snapshot: RecipeSnapshot | None = None
    unreadable: tuple[Finding, ...] = ()


def folder_of(loaded: LoadedRecipe, runs: Path | None) -> Path:
    """Where a recipe's evidence lies: below `runs`; else in one of the two folders of `run_folders`, as `chosen` says.

    Where neither holds any, it is the one that is there, else the one beside the recipe.

    Args:
        loaded: the recipe, whose name the folder has.
        runs: the folder of run folders that the user named; None where none was.
    """
    if runs is not None:
        return runs / loaded.recipe.name
    folders = run_folders(loaded)
    there = [folder for folder in folders if behind_a_link(folder) or os.path.lexists(folder)]
    # nothing is asked behind a link, whose end may lie outside: such a folder counts, and is refused when it is read
    return chosen(there or folders[-1:], lambda path: behind_a_link(path.parent) or os.path.lexists(path))


def behind_a_link(folder: Path) -> bool:
    """Whether a run folder, or the folder of run folders, is a link.

    Args:
        folder: a run folder; it need not exist.
    """
    return os.path.islink(folder.parent) or os.path.islink(folder)


def chosen(folders: Sequence[Folder], holds: Callable[[Folder], bool]) -> Folder:
    """The first folder that holds all evidence, else the first that holds some, else the first.

    So an empty folder, or a search that has only begun, hides no evidence.

    Args:
        folders: at least one, in the order in which they count.
        holds: whether there is a file of a path.
    """
    for enough in (all, any):
        for folder in folders:
            if enough(holds(folder / name) for name in NEEDED):
                return folder
    return folders[0]


def run_folders(loaded: LoadedRecipe) -> tuple[Path, ...]:
    """Where a recipe's run folder may lie when nobody says: in `runs` here, then in `runs` beside the recipe.

    Args:
        loaded: the recipe, whose name the folder has; of one that comes with hptransfer nothing lies beside it.
    """
    here = Path(DEFAULT_RUNS) / loaded.recipe.name
    beside = loaded.path.parent / DEFAULT_RUNS / loaded.recipe.name
    shipped = loaded.path in shipped_recipes().values() and not os.path.lexists(beside.parent)
    return (here,) if shipped or os.path.abspath(beside) == os.path.abspath(here) else (here, beside)


def elsewhere(loaded: LoadedRecipe, folder: Path) -> Path | None:
    """Another run folder of the recipe that holds all the evidence, behind no link; None where there is none.

    Args:
        loaded: the recipe, whose name the folder has.
        folder: the one that was read.
    """
    others = (each for each in run_folders(loaded) if os.path.abspath(each) != os.path.abspath(folder))
    asked = (each for each in others if not behind_a_link(each))
    return next((each for each in asked if all(os.path.lexists(each / name) for name in NEEDED)), None)


def read_evidence(folder: Path, *, named: bool = False) -> Evidence:
    """The artifacts of a run folder.

    Args:
        folder: a run folder; it need not exist.
        named: whether the user named the folder of run folders, which then may be a link of the user's own.
    """
    found: dict[str, object] = {}
    faults = []
    kinds = {"tuned": Tuned, "transfer": TransferFile, "target": TargetFile, "snapshot": RecipeSnapshot}
    names = {"tuned": "tuned.yaml", "transfer": "transfer.json", "target": "target.yaml", "snapshot": "recipe.json"}
    for part, kind in kinds.items():
        path = folder / names[part]
        try:
            text = _text(folder, names[part], named=named)
            found[part] = kind.parse(text, path)  # type: ignore[attr-defined]  # all of them are artifacts
        except FileNotFoundError:
            continue
        except HptransferError as error:
            if part != "snapshot":  # it only names what changed; an older one is no fault
                faults += [_as_found(each, path) for each in error.findings]
        except UnicodeDecodeError as error:
            why = undecoded(error)
            rule, place = f"{path.name} must be text, as hptransfer wrote it", Place(str(path), why.line, why.column)
            faults.append(_as_found(Finding(rule, str(why), place=place), path))
        except (OSError, ValueError) as error:
            faults.append(_not_read(str(error), path))
    return Evidence(folder, unreadable=tuple(faults), **found)  # type: ignore[arg-type]  # by the kinds above


_AS_WRITTEN = "commit the file as the command wrote it"
_CODE = "evidence/unreadable"


def _as_found(finding: Finding, path: Path) -> Finding:
    """What reading a file's text found in it, at its place."""
    received = (finding.received or "").removeprefix(f"{path}: ") or None
    place = finding.place or Place(str(path))
    return replace(finding, received=received, hint=finding.hint or _AS_WRITTEN, place=place, code=_CODE)


def _not_read(received: str, path: Path) -> Finding:
    """A file whose text was not read at all."""
    rule = f"{path.name} must be what hptransfer wrote: a regular file of at most {LARGEST >> 20} MiB, behind no link"
    return Finding(rule, received, _AS_WRITTEN, Place(str(path)), _CODE)


def _text(folder: Path, name: str, *, named: bool) -> str:
    """Content of a file; neither the file, the folder nor, where nobody named it, the one above may be a link."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    folders = flags | os.O_DIRECTORY | os.O_NOFOLLOW
    above = folders if not named else flags | os.O_DIRECTORY
    with (
        _opened(folder.parent, above, None, hint=None if named else _LINKED) as runs,
        _opened(folder, folders, runs) as directory,
        _opened(folder / name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, directory) as descriptor,
        os.fdopen(descriptor, "rb", closefd=False) as file,
    ):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and no regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it is longer than {LARGEST:,} bytes")
    return content.decode()


_LINKED = "results that lie elsewhere are named with `--runs`"


@contextmanager
def _opened(path: Path, flags: int, folder: int | None, *, hint: str | None = None) -> Iterator[int]:
    """The descriptor of an entry of a folder, closed at the end.

    Raises:
        OSError: it cannot be opened; what it is instead is said of a link.
    """
    try:
        descriptor = os.open(path if folder is None else path.name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and flags & os.O_NOFOLLOW and os.path.lexists(path):
            said = f"{path} is a link{', or no folder' if flags & os.O_DIRECTORY else ''}"
            raise OSError(error.errno, f"{said}{'' if hint is None else f': {hint}'}") from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)
