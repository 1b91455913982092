"""`export.json`: which exporter wrote a folder, from which target's file, and what its files were like then."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hptransfer.errors import Place, UsageError
from hptransfer.files import bounded_content

MANIFEST = "export.json"
_FORMAT = "hptransfer-export/1"
#: bytes of a file that an exporter writes; one that is larger is none
_LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of exported files says of itself.

    Attributes:
        folder: that the files lie in.
        exporter: name of the exporter.
        plan: the target's file that they were written from.
        files: path relative to the folder -> sha256 (hex) of what was written.
        plan_sha256: digest of what the target's file planned then; empty where it was not kept.
    """

    folder: Path
    exporter: str
    plan: Path
    files: Mapping[str, str]
    plan_sha256: str = ""

    @property
    def changed(self) -> tuple[str, ...]:
        """Files that are no longer as they were written, or that are missing."""
        return tuple(name for name, digest in self.files.items() if digest_of(self.folder / name) != digest)


def manifest_text(exporter: str, files: Mapping[str, str], plan: Path, folder: Path, plan_sha256: str = "") -> str:
    """The file's text.

    Args:
        exporter: its name, as users type it.
        files: path relative to the folder -> text.
        plan: the target's file; kept relative to the folder, so that both can be moved together.
        folder: that the files are written to.
        plan_sha256: digest of what the target's file plans; empty: not kept.
    """
    content = {
        "format": _FORMAT,
        "exporter": exporter,
        "plan": Path(os.path.relpath(plan, folder)).as_posix(),
        "plan_sha256": plan_sha256,
        "files": {name: text_digest(text) for name, text in files.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def read_manifest(path: Path, plan: Path | None = None) -> Manifest:
    """The manifest of the folder that an exported file lies in.

    Args:
        path: of an exported file, or of the folder.
        plan: the target's file, where it was named; then a copied file's first lines may stand for the manifest.

    Raises:
        UsageError: there is none, or it is damaged, or does not name the file.
    """
    place = path if path.is_dir() else path.parent
    folders = [each for each in (place, *place.parents) if (each / MANIFEST).exists()]
    if path.exists() and not folders and plan is not None and (name := _format_of(path)) is not None:
        return Manifest(place, name, plan, {})
    if not path.exists() or not folders:
        raise UsageError(
            f"an exported file must lie in the folder that `hptransfer scale --format` wrote, with its {MANIFEST}",
            received=f"no {path}" if not path.exists() else f"{path}: no {MANIFEST} there or above",
            hint="copy the whole folder, name the target's file by --plan, or export again",
        )
    found = manifest_of(folders[0] / MANIFEST)
    _require_named(path, found)
    return found


def manifest_of(file: Path) -> Manifest:
    """The content of the list itself.

    Args:
        file: that holds it, in the folder that it is of.

    Raises:
        UsageError: it is damaged.
    """
    text = exported_text(file)
    try:
        content = json.loads(text)
        files = {str(name): str(digest) for name, digest in content["files"].items()}
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        if outside := [name for name in files if not _is_inside(name)]:
            raise ValueError(f"files outside the folder: {outside[:3]}")
        digest = str(content.get("plan_sha256", ""))
        named = {key: str(content[key]) for key in ("exporter", "plan")}
        if odd := [text for text in (*named.values(), *files) if not text.isprintable()]:
            raise ValueError(f"names with control characters: {odd[:3]}")
        plan = Path(os.path.normpath(file.parent / named["plan"]))
        return Manifest(file.parent, named["exporter"], plan, files, digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{MANIFEST} must be as `hptransfer scale --format` writes it",
            received=f"{file}: {type(error).__name__}: {error}",
            hint="export again",
        ) from None


def _require_named(path: Path, manifest: Manifest) -> None:
    """A file that the export did not write would not be looked at, though it was asked for."""
    if path.is_dir() or path.name == MANIFEST:
        return
    name = Path(os.path.relpath(path, manifest.folder)).as_posix()
    if name in manifest.files:
        return
    digest = digest_of(path)
    former = [each for each, written in manifest.files.items() if written == digest]
    raise UsageError(
        "a file of an export must have the name that it was written with",
        received=f"{path}, which {MANIFEST} does not name",
        hint=f"it was called {former[0]}: rename it" if former else f"it names {', '.join(manifest.files)}",
    )


_FIRST_LINE = re.compile(r"Written by hptransfer for [^\n]{1,200}?\(format ([\w.:-]{1,100}); read at")


def _format_of(path: Path) -> str | None:
    """What the first line of an exported file says; of a folder that of any file in it."""
    for each in sorted(path.iterdir()) if path.is_dir() else [path]:
        try:
            # a header's line may be broken
            found = _FIRST_LINE.search(re.sub(r"\n\W+", " ", _content(each)[:4096].decode(errors="replace")))
        except (OSError, ValueError):
            continue
        if found is not None:
            return found[1]
    return None


def exported_text(path: Path) -> str:
    """The text of an exported file, which may be a stranger's: never one that does not end or lies elsewhere.

    Args:
        path: of a file that an exporter writes.

    Raises:
        UsageError: it is missing, is a link, a pipe, a device or too large, or is no UTF-8.
    """
    rule = f"{path.name} must be as `hptransfer scale --format` writes it: a regular text file"
    try:
        text = _content(path).decode()
    except (OSError, ValueError) as error:
        raise UsageError(rule, received=f"{path}: {error}", hint="export again") from None
    if path.suffix == ".sh" and "\r" in text:
        line = text.partition("\r")[0].count("\n") + 1
        said = f"line {line} ends with CRLF (\\r\\n), which bash takes for a part of its last word"
        raise UsageError(rule, received=said, hint="export again", place=Place(str(path), line))
    return text


def require_regular(manifest: Manifest) -> None:
    """Nothing in a folder of exported files may be one that does not end, which the files' own code could read.

    Args:
        manifest: names the folder and what was written to it.

    Raises:
        UsageError: something there is a pipe, a device or a socket, or a link to one; or what an exporter wrote is
            now a link or too large.
    """
    for name in manifest.files:
        if os.path.lexists(manifest.folder / name):
            exported_text(manifest.folder / name)
    for each in manifest.folder.iterdir():
        if not (each.is_file() or each.is_dir()) and each.exists():
            raise UsageError("an export's folder must hold files and folders alone", received=f"{each} is neither")


def _content(path: Path) -> bytes:
    if path.is_symlink():
        raise OSError(errno.EINVAL, "it is a link")
    return bounded_content(path, _LARGEST)


def _is_inside(name: str) -> bool:
    """Whether a path stays in the folder; a run folder may be a stranger's."""
    pure = PurePosixPath(name)
    return not pure.is_absolute() and ".." not in pure.parts


def text_digest(text: str) -> str:
    """sha256 (hex) of a file's text, as the list of files has it.

    Args:
        text: of the whole file.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(path: Path) -> str | None:
    """sha256 (hex) of a regular file; None of anything else, which could be endless or elsewhere.

    Args:
        path: of the file; a link is anything else.
    """
    try:
        return hashlib.sha256(_content(path)).hexdigest()
    except (OSError, ValueError):
        return None
