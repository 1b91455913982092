"""What a forger writes: everything else in a file as it follows from edited trials, by the package's own functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml

from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.checking.rejudged import rejudged
from hptransfer.engine.durations import with_durations
from hptransfer.engine.flops import is_short
from hptransfer.recipe.load import load_recipe
from hptransfer.tuning.outcome import outcome_of
from tests.support.kept_evidence import Kept


def forge_check(kept: Kept, change: Callable[[Any], object]) -> None:
    """Edits transfer.json, and has the rest of it follow."""
    kept.edit("transfer.json", change)
    path = kept.file("transfer.json")
    loaded = with_durations(load_recipe(kept.recipe))
    tuned = Tuned.parse(kept.file("tuned.yaml").read_text(), kept.file("tuned.yaml"))
    written = TransferFile.parse(path.read_text(), path)
    again = rejudged(loaded.recipe, loaded.root, written, tuned.hyperparameters, written.spent.target_flops)
    assert again is not None
    path.write_text(json.dumps(to_document(again.document)))


def forge_search(kept: Kept, change: Callable[[Any], object]) -> None:
    """Edits tuned.yaml, and has the rest of it follow."""

    def recounted(document: Any) -> None:
        change(document)
        document["carried"] = len(document["evidence"]["trials"])

    kept.edit("tuned.yaml", recounted)
    path = kept.file("tuned.yaml")
    recipe = with_durations(load_recipe(kept.recipe)).recipe
    written = Tuned.parse(path.read_text(), path)
    outcome = outcome_of(recipe, written)
    assert outcome is not None
    content = outcome.content(written.spent.target_flops, short=is_short(recipe, recipe.target_size()))
    assert content is not None

    def follow(document: Any) -> None:
        document.update(to_document(content))
        document["trials"].update(finished=len(outcome.searched), diverged=outcome.diverged)
        document["provenance"]["seeds"] = to_document(outcome.seeds)

    kept.edit("tuned.yaml", follow)
    assert yaml.safe_load(path.read_text())["trials"]["finished"] == len(outcome.searched)


def without(content: Any, gone: Callable[[Any], bool]) -> None:
    """Leaves trials out of `evidence.trials`, and out of the groups that name them."""
    evidence = content["evidence"]
    kept = [place for place, line in enumerate(evidence["trials"]) if not gone(line)]
    assert 0 < len(kept) < len(evidence["trials"])
    moved = {old: new for new, old in enumerate(kept)}
    evidence["trials"] = [evidence["trials"][place] for place in kept]
    evidence["groups"] = {
        name: [moved[place] for place in places if place in moved] for name, places in evidence["groups"].items()
    }
