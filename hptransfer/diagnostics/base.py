"""What a diagnostic is: a measurement in addition to the verdict, and everything that is made of it above training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from hptransfer.artifacts.json_data import to_document
from hptransfer.parameterization.roles import Parameter
from hptransfer.recipe import registered
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import Registry, users_code
from hptransfer.sizes import Size, SizeAxis
from hptransfer.trainers._bench import Bench
from hptransfer.transfer.judge import AxisReport
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial

Report = TypeVar("Report")
#: of a model, by width and depth
ReadParameters: TypeAlias = Mapping[tuple[int, int], Sequence[Parameter]]

__all__ = [
    "DIAGNOSTICS",
    "Bench",
    "Columns",
    "Diagnosed",
    "Diagnostic",
    "Facts",
    "Line",
    "ReadParameters",
    "Request",
    "Shown",
    "Stage",
]


class Stage(Enum):
    """When a check makes a diagnostic and shows it."""

    BEFORE_LADDER = "before any trial of the ladder"
    WITH_VERDICT = "with the verdict, whose limits it may add to; from trials alone"
    AFTER_VERDICT = "after the verdict"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a check knows.

    Attributes:
        recipe: model, data, training and ladders of the check.
        root: folder of the recipe, where data patterns start.
        values: base-size value of every hyperparameter at the tuned point.
        hyperparameter: name of the first that is checked.
        checked: names of all that are checked.
        proxy: size at which the values were tuned.
        ladders: sizes of every axis, increasing; empty where an axis is not checked.
        sizes: every size of the check once, the proxy's and the corner's too, small ones first.
        trials: finished trials of the first hyperparameter's ladder; none before the ladder.
        searched: finished trials at the proxy, of the search too; none before the ladder.
        parameters: of the model at each width and depth that was read, for a check that is judged again; none else.
    """

    recipe: Recipe
    root: Path
    values: Mapping[str, float]
    hyperparameter: str
    checked: tuple[str, ...]
    proxy: Size
    ladders: Mapping[SizeAxis, tuple[Size, ...]]
    sizes: tuple[Size, ...]
    trials: Sequence[Trial] = ()
    searched: Sequence[Trial] = ()
    parameters: ReadParameters = field(default_factory=dict)

    def spec(self, size: Size, seed: int) -> TrialSpec:
        """A run at the tuned point.

        Args:
            size: width, depth, batch and tokens of the run.
            seed: of initialisation and data order, at least 0.
        """
        return TrialSpec(self.recipe, self.root, size, self.values, seed)


@dataclass(frozen=True, slots=True)
class Request:
    """One measurement that a worker is asked for.

    Attributes:
        spec: the run to measure in.
        options: JSON-able settings that determine the measurement in addition to the run, for `Bench.options`.
    """

    spec: TrialSpec
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; "±" is shown as "+-" where a terminal lacks it.

    Attributes:
        text: what is said; empty for a blank line.
        style: "", "bold", "dim" or "yellow".
        wraps: whether the line is broken at the terminal's width; False leaves that to the terminal.
    """

    text: str
    style: str = ""
    wraps: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """A table of text.

    Attributes:
        header: name of each column.
        rows: cells, one row each.
        left: number of columns, from the first on, that are aligned to the left; the others to the right.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


Shown = Line | Columns


class Diagnostic(Protocol[Report]):
    """A diagnostic: what it asks workers to measure, how it judges that, how it reads, and its JSON document.

    Subclass it, override what differs, and name an instance `DIAGNOSTIC` in a module of this folder, or anywhere else
    and refer to it as `module:attribute`. `hptransfer.testing.diagnostics` checks that it keeps these promises.

    Attributes:
        always: whether every check makes it; others are made on request (`check.diagnostics`, `check --diagnostic`).
        stage: when it is made and shown.
        version: of what is measured; raise it with the measurement, so that kept ones are made anew.
        rule: what a worker that cannot measure breaks, as a sentence.
    """

    always: bool = False
    stage: Stage = Stage.AFTER_VERDICT
    version: int = 1
    rule: str = "a diagnostic must be able to measure at every size"

    def requests(self, facts: Facts) -> Sequence[Request]:
        """What workers are to measure, small sizes first; nothing for what is computed from trials alone."""
        return ()

    def measure(self, bench: Bench) -> Mapping[str, Any]:
        """Measure one request; runs in a worker, so torch is imported inside.

        Args:
            bench: model, data and settings of the run.

        Returns:
            JSON-able data; "size" (a mapping) and "seed" are added to it.
        """
        name = type(self).__name__
        raise NotImplementedError(f"{name} asks for measurements and makes none")

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> Report | None:
        """What the measurements say.

        Args:
            facts: what the check knows at this stage.
            measured: what `measure` returned, in the order of `requests`.

        Returns:
            The report; None where there is too little to judge.
        """
        ...

    def show(self, report: Report) -> Iterable[Shown]:
        """The report as a person reads it, a blank line at its end."""
        ...

    def document(self, report: Report) -> Any:
        """The report as JSON-able data."""
        return to_document(report)

    def again(self, document: Any, facts: Facts) -> Any:
        """The document with whatever in it follows from the rest, computed again; by default all of it is measured.

        Args:
            document: as `document` gave it, read back from `transfer.json`, which anybody may have edited.
            facts: what the check knew, its trials among it.

        Raises:
            ValueError: it is no such document.
        """
        return document

    def limits(self, report: Report, axis: AxisReport, facts: Facts) -> tuple[str, ...]:
        """What the report says that one axis of the verdict cannot show, one sentence each; with the verdict only."""
        return ()


def _fault(entry: Any) -> str | None:
    """What an object lacks to be a diagnostic; None where it lacks nothing."""
    if isinstance(entry, type):
        return f"a class; name an object of it, `DIAGNOSTIC = {entry.__name__}()`"
    for name, kind in (("always", bool), ("stage", Stage), ("version", int), ("rule", str)):
        if not isinstance(getattr(entry, name, None), kind):
            return f"an object of type {type(entry).__name__} whose `{name}` is no {kind.__name__}"
    functions = ("requests", "measure", "judge", "show", "document", "limits")
    missing = [name for name in functions if not callable(getattr(entry, name, None))]
    return f"an object of type {type(entry).__name__} without a function `{missing[0]}`" if missing else None


#: all diagnostics, by name
DIAGNOSTICS: Registry[Diagnostic[Any]] = replace(registered.DIAGNOSTICS, fault=_fault)


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What a diagnostic found.

    Attributes:
        name: of the diagnostic, as it is looked up.
        report: as its `judge` returned it; None where there was too little to judge.
        shown: the report as lines and tables; empty without a report.
        document: the report as JSON-able data; None without a report.
    """

    name: str
    report: Any
    shown: tuple[Shown, ...]
    document: Any

    @classmethod
    def of(cls, name: str, report: Any) -> Diagnosed:
        """A report with what is shown and written of it.

        Args:
            name: by which the diagnostic is looked up.
            report: as its `judge` returned it.
        """
        if report is None:
            return cls(name, None, (), None)
        diagnostic = DIAGNOSTICS.look_up(name)
        with users_code("a diagnostic must show every report", name, own=name not in DIAGNOSTICS.built_in):
            return cls(name, report, tuple(diagnostic.show(report)), diagnostic.document(report))
