"""The target's configuration, from what `tune` found and what `check` concluded, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.engine.identity import identity_here
from hptransfer.evidence.objections import weigh
from hptransfer.export.base import export_target, exporter_named
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.scaling.ahead import look_ahead
from hptransfer.scaling.groups import in_gauge
from hptransfer.scaling.objections import objections_to, refuse, require_larger
from hptransfer.scaling.registering import as_registered
from hptransfer.scaling.target import build_target
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """The target's configuration; nothing is written yet.

    Attributes:
        target: the content of `target.yaml`, in the recipe's gauge; a prediction that is registered keeps its date.
        text: the whole text of that file, with its header.
        exports: name of a further exporter -> path relative to its folder -> text.
        forced: whether the user insisted on a target that the evidence does not support.
    """

    target: TargetFile
    text: str
    exports: Mapping[str, Mapping[str, str]]
    forced: bool = False

    @property
    def exit_status(self) -> int:
        """0 where the check reaches the target, or that is accepted, or the user insisted; 3 where it does not."""
        settled = self.target.scope is None or self.target.scope.settled
        return 0 if settled or self.forced else Verdict.INCONCLUSIVE.exit_status


def scale(
    loaded: LoadedRecipe,
    folder: RunFolder,
    name: str,
    *,
    force: bool,
    size: Size | None = None,
    formats: Sequence[str] = (),
    use: Literal["tuned", "predicted"] = "tuned",
    path: Path | None = None,
    given: Sequence[str] = (),
) -> ScaleResult:
    """The configuration of one size, or a refusal.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        folder: where `tuned.yaml` and `transfer.json` lie.
        name: what the user called the recipe, for hints.
        force: go on although the evidence does not support it; the target then says so.
        size: width, depth, examples per step and tokens of the run; None for the recipe's target.
        formats: names of further exporters, as `--format` takes them.
        use: "predicted" for the optimum that the ladder's path predicts at the target in place of the tuned value.
        path: where it will be written; None for the run folder's own file.
        given: the user's further options, for hints.

    Raises:
        UsageError: nothing was tuned; the size is smaller than the base or cannot be built; a format is not known or
            cannot express the target.
        RefusedError: the check failed, is missing, or is of another recipe, other rules, code or data.
        InconclusiveError: the check came to no conclusion.
    """
    size = size or loaded.recipe.target_size()
    require_larger(loaded.recipe, size)
    gauges = {wanted: exporter_named(wanted).gauge for wanted in formats}
    tuned = read_tuned(folder.tuned, name)
    checked = read_transfer(folder.transfer)
    present = identity_here(loaded, folder)
    identity = present.digest
    ahead = look_ahead(loaded.recipe, loaded.root, size, checked, use)
    weighed = weigh(loaded, folder.path, tuned, checked, present)
    against = objections_to(loaded, tuned, checked, identity, ahead, weighed.changed)
    objections = (*against, *weighed.contradictions)
    if objections and not force:
        refuse(objections, checked, name, ahead, given)
    if force and not ahead.settled and ahead.scope is not None:
        objections = (*objections, ahead.scope.sentence)
    target = build_target(loaded, size, tuned, checked, objections, identity, ahead)
    if bare := weighed.without_trials:
        said = (
            f"{' and '.join(bare)} carry no trials (an earlier version wrote them), so nothing in them was recomputed"
        )
        target = target.model_copy(update={"notes": (*target.notes, said)})
    target = as_registered(target, path or folder.target)
    text = export_target("hptransfer", target)["target.yaml"]
    exports = {
        wanted: export_target(wanted, in_gauge(target, loaded.recipe, gauge)) for wanted, gauge in gauges.items()
    }
    return ScaleResult(target, text, exports, force)
