"""Whether evidence is of the recipe, rules, code and data as they are now; if not, what changed, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from hptransfer.artifacts.carried import Carried
from hptransfer.data.text import TextFiles, line_ends_of
from hptransfer.errors import Finding, HptransferError, Place
from hptransfer.evidence.files import Evidence
from hptransfer.evidence.present import Present
from hptransfer.evidence.repair import again, reused
from hptransfer.provenance import versions
from hptransfer.recipe.changes import changes
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size, shape_label
from hptransfer.trials.changed_parts import PartChange, PartKind, changed_parts
from hptransfer.trials.identity import digest

_CODES: Mapping[PartKind, str] = {kind: f"evidence/stale-{kind}" for kind in get_args(PartKind)}
_RULES: Mapping[PartKind, str] = {
    "rules": "evidence must be of the rules that hold now",
    "code": "evidence must be of the code that trains now",
    "data": "evidence must be of the data that the recipe names now",
    "model": "evidence must be of the model that the recipe names now",
    "recipe": "evidence must be of the recipe as it is now",
}
_MOST_NAMED = 6
#: sections of which no trial says that they were others
_BY_NO_TRIAL = ("check", "tune")
#: data of this kind are the texts of Python's own library
_OF_PYTHON = "stdlib-text"


@dataclass(frozen=True, slots=True)
class Written:
    """One file of evidence, for what both have in common.

    Attributes:
        path: of the file, for findings on it.
        recipe_hash: sha256 (hex) of what evidence rests on in the recipe it is of.
        identity: sha256 (hex) of what its trials share.
        carried: its trials; None in a file of an earlier version.
        versions: of Python and packages, as far as it says them.
    """

    path: Path
    recipe_hash: str
    identity: str
    carried: Carried | None
    versions: Mapping[str, str]


def written_files(evidence: Evidence) -> Iterator[Written]:
    """The files of evidence that are there.

    Args:
        evidence: what a run folder holds, as it was read.
    """
    tuned, transfer = evidence.tuned, evidence.transfer
    if tuned is not None:
        path = evidence.folder / "tuned.yaml"
        yield Written(path, tuned.recipe_hash, tuned.identity, tuned.evidence, tuned.provenance.versions)
    if transfer is not None:
        path, known = evidence.folder / "transfer.json", transfer.provenance
        yield Written(path, transfer.recipe_hash, transfer.identity, transfer.evidence, {"python": known.python})


def sizes_of(evidence: Evidence, recipe: Recipe) -> dict[str, Size]:
    """A size of each shape at which trials were trained, by its label; none that is larger than any of the recipe.

    Args:
        evidence: what a run folder holds, as it was read.
        recipe: beside which the evidence lies.
    """
    lines = (line for each in written_files(evidence) if each.carried for line in each.carried.trials)
    sizes = (Size(*line.size) for line in lines)
    return {shape_label(size.width, size.depth): size for size in sizes if not is_beyond(recipe, size)}


def is_beyond(recipe: Recipe, size: Size) -> bool:
    """Whether a size is wider or deeper than all of the recipe: a file may state any, and no model is built for that.

    Args:
        recipe: its proxy, ladder and target are the ones that count.
        size: stated by a file.
    """
    widest, deepest = max(width for width, _ in recipe.shapes()), max(depth for _, depth in recipe.shapes())
    return size.width > widest or size.depth > deepest


def stale(evidence: Evidence, now: Present) -> Iterator[Finding]:
    """What changed since, a finding for each kind of change; files of which the same is said share one.

    Args:
        evidence: what a run folder holds, as it was read.
        now: what determines its trials now.
    """
    said: dict[tuple[PartKind, str], list[Path]] = {}
    fitting = True
    for written in written_files(evidence):
        found: dict[PartKind, list[str]] = {}
        changed = list(_changes(written, now))
        # what trials share is in the key of each of them
        fitting = fitting and not any(change.shared for change in changed)
        for change in changed:
            found.setdefault(change.kind, []).append(change.text)
        if of_another_recipe(written, now):
            named = any(change.in_recipe for change in changed)
            if more := _recipe_changes(evidence, now, named=named):
                found.setdefault("recipe", []).extend(more)
        for kind, texts in found.items():
            said.setdefault((kind, _named(texts)), []).append(written.path)
    for (kind, text), paths in said.items():
        received = f"{' and '.join(path.name for path in paths)}: {text}"
        line_ends = _line_ends(evidence, now) if kind == "data" else None
        hint = line_ends or _hint(evidence, now, fitting)
        yield Finding(_RULES[kind], received, hint, Place(str(paths[0])), _CODES[kind])


def of_another_recipe(written: Written, now: Present) -> bool:
    """Whether a file rests on other keys of the recipe than those that hold now, so that its fields must differ.

    Args:
        written: a file of evidence.
        now: what determines its trials now.
    """
    return written.recipe_hash != now.loaded.hash


def _named(texts: list[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _hint(evidence: Evidence, now: Present, fitting: bool) -> str:
    run = again("run", now.loaded.path, evidence)
    kept = reused(evidence) if fitting else "no finished trial fits any more, so all are trained again"
    return f"if this is meant, run {run} and commit what it writes: {kept}"


def _line_ends(evidence: Evidence, now: Present) -> str | None:
    """The hint where the text is that of the evidence but for its line ends, which a checkout may have changed."""
    section = now.loaded.recipe.data
    if not isinstance(section, TextFiles):
        return None
    for written in written_files(evidence):
        data = written.carried.identity.get("data") if written.carried else None
        known = data.get("fingerprint") if isinstance(data, Mapping) else None
        here = now.parts["data"]["fingerprint"] if "data" in now.parts else None
        if known is None or known == here:
            continue
        try:
            ends = line_ends_of(str(known), section, now.loaded.root)
        except (HptransferError, OSError):
            return None
        if ends is not None:
            quoted = (f'"{pattern}"' if " " in pattern else pattern for pattern in section.files)
            files = ", ".join(f"`{pattern} -text`" for pattern in quoted)
            other = "CRLF" if ends == "LF" else "LF"
            return (
                f"only line ends differ: the evidence is of {ends}, the files here have {other}. If git changed them, "
                f"write {files} into .gitattributes beside the recipe and check the files out anew"
            )
    return None


def _changes(written: Written, now: Present) -> Iterator[PartChange]:
    if written.carried is None or not now.parts:
        return
    before: dict[str, Any] = written.carried.identity
    if now.loaded.recipe.data.kind == _OF_PYTHON and _other_python(written):
        before = _with_data_of(before, now.parts)  # another Python has another text: see `environment`
    found = changed_parts(before, now.parts, now.loaded.recipe)
    yield from found
    if not found:
        others = [at for at, rules in now.rules_at.items() if written.carried.rules.get(at, rules) != rules]
        if others:
            text = f"shapes of parameters, or the rules that follow from them, at {', '.join(others)}"
            yield PartChange("model", text, shared=False)


def identity_here(evidence: Evidence, now: Present) -> str:
    """The sha256 (hex) of what holds now, with the text that evidence which is not stale was trained on.

    Args:
        evidence: what a run folder holds, as it was read.
        now: what determines its trials now.
    """
    parts = now.parts
    for written in written_files(evidence):
        if now.loaded.recipe.data.kind == _OF_PYTHON and _other_python(written) and written.carried is not None:
            parts = _with_data_of(now.parts, written.carried.identity)
    return digest(parts)


def _other_python(written: Written) -> bool:
    known = written.versions.get("python")
    return known is not None and known != versions()["python"]


def _with_data_of(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    data = before.get("data")
    if not isinstance(data, Mapping):
        return dict(before)
    return {**before, "data": {**data, "fingerprint": now["data"]["fingerprint"]}}


def _recipe_changes(evidence: Evidence, now: Present, *, named: bool) -> list[str]:
    """By the recipe that the folder remembers, where that is the one of the evidence.

    Where a changed key is named already, that is why the recipe has another hash: nothing is said of it twice, and
    nothing is called unknown. What no trial depends on by itself is added.
    """
    snapshot = evidence.snapshot
    if snapshot is None:
        return (
            []
            if named
            else [f"another version of {now.loaded.path.name}; what changed is not known without recipe.json"]
        )
    found = [
        f"{each.key}: {each.old} -> {each.new}"
        for each in changes(snapshot.recipe, now.loaded.recipe)
        if not named or each.key.split(".")[0] in _BY_NO_TRIAL
    ]
    return found if found or named else ["another version of the recipe than the one that recipe.json remembers"]


def environment(evidence: Evidence, now: Present) -> Iterator[Finding]:
    """What evidence was gathered with that is another here: losses differ by rounding, or by Python's own text.

    Args:
        evidence: what a run folder holds, as it was read.
        now: what determines its trials now.
    """
    here = versions("torch")
    for written in written_files(evidence):
        before: dict[str, set[str]] = {}
        for made in written.carried.made if written.carried else ():
            for name in ("torch", "platform"):
                if name in made:
                    before.setdefault(name, set()).add(made[name])
        said = [
            f"{name} {', '.join(sorted(known))} -> {here[name]}"
            for name, known in before.items()
            if known != {here[name]}
        ]
        if now.loaded.recipe.data.kind == _OF_PYTHON and _other_python(written):
            said.append(f"the text of Python {written.versions['python']} -> {here['python']}")
        if said:
            yield Finding(
                "evidence should be of the versions that train here",
                "; ".join(said),
                "nothing need be done where both give the same losses; `hptransfer verify` compares the target's run",
                Place(str(written.path)),
                "evidence/other-environment",
            )


def stale_target(loaded: LoadedRecipe, evidence: Evidence) -> Iterator[Finding]:
    """A target of other evidence than that which lies beside it, by the digests that it carries.

    Args:
        loaded: the recipe, for the hint of what to run.
        evidence: what its run folder holds, as it was read.
    """
    target, tuned = evidence.target, evidence.tuned
    if target is None or tuned is None:
        return
    known = target.provenance
    pairs = {
        "provenance.recipe_hash": (known.recipe_hash, tuned.recipe_hash),
        "provenance.identity": (known.identity, tuned.identity),
    }
    found = [f"{field} {was[:8]}, tuned.yaml has {now[:8]}" for field, (was, now) in pairs.items() if was != now]
    if found:
        forced = "; it was forced" if target.verdict.forced else ""
        yield Finding(
            "target.yaml must be of the same recipe, rules, code and data as the evidence beside it",
            "; ".join(found) + forced,
            f"run {again('scale', loaded.path, evidence)} again",
            Place(str(evidence.folder / "target.yaml")),
            "evidence/stale-target",
        )
