"""Was the registered prediction right? A finished run of the target against the interval in `target.yaml`.

The prediction that is registered there is made here too, from what `check` wrote.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.engine.durations import with_durations
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.objective import objective_record
from hptransfer.recipe.schema import Recipe
from hptransfer.results_table.cells import ResultTable, cell_text, column_numbers, distinct
from hptransfer.results_table.column_names import normalized_column_name
from hptransfer.results_table.columns import infer_loss, infer_seed, infer_step, setting_columns
from hptransfer.results_table.readers import read_table
from hptransfer.scaling.evidence_behind import evidence_objections, refuse_comparison
from hptransfer.scaling.registering import kept_beside
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.prediction import (
    Prediction,
    prediction_document,
    register,
    registered,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """A finished run against what was predicted.

    Attributes:
        path: the file that holds the prediction.
        prediction: as it was registered.
        loss: of the finished run, in the objective's unit, as what is minimized; not finite where it diverged.
        inside: whether the loss lies inside the predicted interval; a run that diverged lies outside.
        evaluation: what the loss was measured on, as the user or the file says; None where nobody does.
        objections: what speaks against the evidence behind the prediction, where the user insisted.
    """

    path: Path
    prediction: dict[str, Any]
    loss: float
    inside: bool
    evaluation: str | None = None
    objections: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """The comparison as JSON-able data."""
        loss = self.loss if math.isfinite(self.loss) else None
        found = {"inside": self.inside, "loss": loss, "evaluation": self.evaluation, "prediction": self.prediction}
        return found | ({"forced": list(self.objections)} if self.objections else {})


#: what a file of results calls the set that its losses are measured on
_EVALUATIONS = ("evaluation", "evaluation_set", "eval_set", "eval_dataset")


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run's loss.

    Attributes:
        loss: in the objective's unit; the mean of several seeds.
        evaluation: what it is measured on, as its file says; None where nothing does.
    """

    loss: float
    evaluation: str | None = None


def verify(
    recipe: str,
    finished: str,
    runs: Path,
    *,
    evaluation: str | None = None,
    any_evaluation: bool = False,
    force: bool = False,
) -> Verification:
    """Compare a finished run of the target with what was predicted.

    Args:
        recipe: path or name of a recipe, or the file that holds the prediction, as `scale` wrote or kept it.
        finished: the run's final value of the objective, or a file with it; see `finished_loss`.
        runs: the folder of run folders.
        evaluation: what the loss was measured on, where the user says it; None: as the file says, or as predicted.
        any_evaluation: compare although the loss was measured on something else.
        force: compare although the evidence behind the prediction was edited, or is of something else.

    Raises:
        UsageError: there is no prediction, it was edited, the loss cannot be read, or is of another evaluation.
        RefusedError: the evidence beside it was edited, or is of another recipe, other rules, code or data.
        InconclusiveError: the prediction says nothing about the loss.
    """
    path = _target(recipe, runs)
    prediction = registered(TargetFile.read(path, missing=lambda: _missing(path)).prediction)
    if prediction["loss"] is None:
        raise InconclusiveError(
            "a loss must have been predicted to be verified",
            received=f"{path}: {' '.join(prediction['basis'])}",
            hint=_others(path),
        )
    objective = prediction.get("objective", {})
    found = finished_loss(finished)
    said = evaluation or found.evaluation
    if said is not None and not any_evaluation:
        _require_same(said, objective.get("evaluation"))
    objections = () if path == Path(recipe) else _objections(recipe, RunFolder(path.parent))
    if objections and not force:
        refuse_comparison(objections, recipe)
    # what is maximized is predicted, as it is compared, with its sign changed
    loss = found.loss * (-1 if objective.get("direction") == "maximize" else 1)
    low, high = prediction["loss"]["low"], prediction["loss"]["high"]
    inside = math.isfinite(loss) and (low is None or low <= loss) and (high is None or loss <= high)
    return Verification(path, prediction, loss, inside, said, objections)


def _require_same(said: str, registered_set: str | None) -> None:
    """A loss on other examples is another number: the same runs gave 2.437 on 1,024 windows and 2.528 on 20,000."""
    if registered_set is None or same_evaluation(said, registered_set):
        return
    raise UsageError(
        "a prediction holds for the evaluation that it was registered with, and for no other",
        received=f"a loss on {said}; registered: {registered_set}",
        hint="evaluate the run there, or compare all the same with `--any-evaluation`",
        code="prediction/other-evaluation",
    )


def same_evaluation(said: str, registered_set: str) -> bool:
    """Whether words name an evaluation: all of its text, or the part of it that tells it from others.

    Args:
        said: in the user's words, or as a file has it.
        registered_set: as the prediction has it: perhaps a name, then number, kind and sha256 of the examples.
    """
    plain, whole = (" ".join(text.lower().split()) for text in (said, registered_set))
    name, _, detail = whole.partition(" (")
    digest = re.search(r"sha256 ([0-9a-f]+)", whole)
    short = plain.removeprefix("sha256").strip(" :")
    of_digest = digest is not None and len(short) >= _SHORTEST_DIGEST and re.fullmatch("[0-9a-f]+", short) is not None
    if of_digest and digest is not None:
        return short.startswith(digest[1]) or digest[1].startswith(short)
    return plain in (whole, name, detail.rstrip(")"))


#: hexadecimal digits that tell one fingerprint from another
_SHORTEST_DIGEST = 6


def finished_loss(text: str) -> Finished:
    """The final loss that a user gives as a number or as a file.

    Args:
        text: a number in the objective's unit; or a table with a loss column, of which the last step counts, or the
            mean over several seeds; or a JSON object.

    Raises:
        UsageError: it is neither, the file holds no loss, or runs of different settings.
    """
    try:
        return Finished(float(text))
    except ValueError:
        pass
    path = Path(text)
    if not path.exists():
        raise UsageError("a finished run is given as its loss or as a file with it", received=text)
    table = read_table(path)
    loss, missing = column_numbers(table, infer_loss(table))
    kept = [row for row in range(len(table)) if not missing[row]]
    if not kept:
        raise UsageError("the file of a finished run must hold its loss", received=f"{path}: no value")
    table, losses = table.take(kept), [float(loss[row]) for row in kept]
    _refuse_sweeps(table, path)
    seeds = infer_seed(table)
    own = ["" if seeds is None else cell_text(cell) for cell in (table.columns[seeds] if seeds else [None] * len(kept))]
    step = infer_step(table)
    if step is None:
        return Finished(math.fsum(losses) / len(losses), _evaluation_in(table, path))
    order, _ = column_numbers(table, step)
    last = {seed: max((row for row, of in enumerate(own) if of == seed), key=lambda row: (order[row], row))
            for seed in dict.fromkeys(own)}  # fmt: skip
    return Finished(math.fsum(losses[row] for row in last.values()) / len(last), _evaluation_in(table, path))


def _refuse_sweeps(table: ResultTable, path: Path) -> None:
    """A mean over runs of different settings is nobody's loss."""
    mixed = [name for name in setting_columns(table) if len(distinct(table.columns[name])) > 1]
    # what a history counts up is no setting
    mixed = [name for name in mixed if name != infer_step(table)]
    if mixed:
        values = ", ".join(cell_text(cell) for cell in distinct(table.columns[mixed[0]])[:4])
        raise UsageError(
            "the file of a finished run must hold runs of one setting, of which seeds alone may differ",
            received=f"{path}: several values of {', '.join(mixed)} ({values}, ...)",
            hint="give the loss itself, or a file with the target's run alone",
            code="prediction/sweep",
        )


def _evaluation_in(table: ResultTable, path: Path) -> str | None:
    """What a file says its losses are measured on."""
    for name in table.columns:
        if normalized_column_name(name) in _EVALUATIONS:
            said = [cell_text(cell) for cell in distinct(table.columns[name])]
            if len(said) > 1:
                raise UsageError(
                    "the losses of a finished run must be measured on one set",
                    received=f"{path}: {', '.join(said[:4])}",
                    hint="leave the rows of the others out",
                )
            return said[0] if said else None
    return None


def _target(recipe: str, runs: Path) -> Path:
    """The file that holds the prediction."""
    named = Path(recipe)
    if named.name.endswith(("target.yaml", "target.yml")) or _is_target(named):
        return named
    return RunFolder(runs / load_recipe(recipe).recipe.name).target


def _objections(recipe: str, folder: RunFolder) -> tuple[str, ...]:
    """What speaks against the evidence in a recipe's run folder."""
    if not folder.transfer.exists():
        return ()
    loaded = with_durations(load_recipe(recipe), cache=folder.readings)
    return evidence_objections(loaded, folder, recipe)


def _is_target(path: Path) -> bool:
    """Whether a file is a target's, whatever its name: a recipe has no format number."""
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^format:", text, re.MULTILINE) is not None


def _others(path: Path) -> str | None:
    """Which other predictions were registered before this file was written."""
    kept = kept_beside(path)
    if not kept:
        return None
    command = shlex.join(["hptransfer", "verify", str(kept[-1])])
    return f"an earlier prediction was kept: `{command} LOSS` compares a run with it"


def _missing(path: Path) -> UsageError:
    return UsageError(
        "a prediction must be registered before it can be verified",
        received=f"no {path}",
        hint="`hptransfer scale` writes it together with the target's configuration",
    )


# The registered prediction that goes into `target.yaml`.


def registered_now(prediction: Prediction, recipe: Recipe, size: Size, fingerprint: str) -> dict[str, Any]:
    """A prediction as the target's file holds it, dated now, with what its loss is measured on.

    Args:
        prediction: of the run at this size.
        recipe: gives its name and the objective, for which alone the prediction holds.
        size: the target that it predicts for.
        fingerprint: sha256 (hex) of the recipe's data.
    """
    content = {
        "recipe": recipe.name,
        "size": asdict(size),
        "objective": objective_record(recipe, fingerprint),
        **prediction_document(prediction),
    }
    return register(content, written=datetime.now(UTC).isoformat(timespec="seconds"))
