"""What an exporter is, the registry of all of them, and what is checked around each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from inspect import getdoc
from pathlib import PurePosixPath
from typing import Any, Protocol

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.header import About
from hptransfer.handover.refused import REFUSED, require_possible
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import GAUGES, Gauge
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity
from hptransfer.registry import Registry, users_code


class Exporter(Protocol):
    """Writes a target for one framework."""

    @property
    def gauge(self) -> Gauge:
        """Where the framework's models have multipliers; the target is planned in it: "plain" if nowhere."""

    @property
    def applies(self) -> frozenset[Quantity]:
        """Quantities that the framework scales by itself; the exporter writes their base values and its switch."""

    @property
    def holds(self) -> frozenset[Quantity]:
        """Quantities that the format gives to each group of parameters; any other must be one value for all groups."""

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The files of the configuration.

        Args:
            target: planned in the exporter's gauge; what the format neither holds nor the framework applies is one
                value for all groups.

        Returns:
            Path relative to the exporter's folder, with `/`, -> text.

        Raises:
            UsageError: the framework cannot express something, which the message names.
        """


class FrameworkExporter(Exporter, Protocol):
    """An exporter whose files say what the framework does, and can be read back and compared with the plan."""

    @property
    def about(self) -> About:
        """The framework, for the header of each file."""

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """The plan in the names and in the form of the framework's own model, for `verify --export`.

        Args:
            target: planned in the exporter's gauge.

        Raises:
            UsageError: the framework cannot express something, which the message names.
        """


def _fault(entry: Any) -> str | None:
    """What an object lacks to be an exporter; None where it lacks nothing."""
    if isinstance(entry, type):
        return f"a class; name an object of it, `EXPORTER = {entry.__name__}()`"
    missing = [name for name in ("gauge", "applies", "holds", "export") if not hasattr(entry, name)]
    if missing:
        return f"an object of type {type(entry).__name__} without `{missing[0]}`"
    if not isinstance(entry.gauge, str) or entry.gauge not in GAUGES:
        return f"gauge {entry.gauge!r}, which is none of {', '.join(GAUGES)}"
    for name in ("applies", "holds"):
        value = getattr(entry, name)
        if not isinstance(value, Set) or not all(isinstance(each, Quantity) for each in value):
            return f"{name} {value!r}, which is no set of `hptransfer.parameterization.rules.Quantity`"
    return None if callable(entry.export) else "an `export` that cannot be called"


EXPORTERS: Registry[Exporter] = Registry(
    "exporter", "hptransfer.export", "EXPORTER", group="hptransfer.exporters", fault=_fault
)


#: what people also call a framework -> its format
_ALSO_CALLED = {
    "hf": "huggingface",
    "hugging-face": "huggingface",
    "transformers": "huggingface",
    "trainer": "huggingface",
    "pytorch": "torch",
    "pytorch-lightning": "lightning",
    "ptl": "lightning",
    "olmo": "olmo-core",
    "mup": "bsh",
    "nemo": "automodel",
    "nemo-automodel": "automodel",
    "megatron-lm": "megatron",
    "mcore": "megatron",
    "nanogpt": "nanogpt-mup",
    "modelzoo": "cerebras",
    "yml": "yaml",
}


def exporter_named(name: str) -> Exporter:
    """The exporter of a name.

    Args:
        name: built in, an installed package's, or `module:attribute`.

    Raises:
        UsageError: there is none; of frameworks that cannot hold a plan, why, and what can be done.
    """
    if not EXPORTERS.accepts(name):
        require_possible(name)
        if (meant := _ALSO_CALLED.get(name.casefold().replace("_", "-"))) is not None:
            raise UsageError(
                f"the exporter must be one of {', '.join(EXPORTERS.names)}, or `module:attribute`",
                received=name,
                hint=f"did you mean `{meant}`?",
            )
    return EXPORTERS.look_up(name)


def export_target(name: str, target: TargetFile) -> dict[str, str]:
    """A target in the form of one framework.

    Args:
        name: of the exporter: built in, an installed package's, or `module:attribute`.
        target: planned in the exporter's gauge.

    Returns:
        Path relative to the exporter's folder -> text, at least one.

    Raises:
        UsageError: there is no such exporter, it cannot express the target, or it fails.
    """
    exporter = exporter_named(name)
    _require_said(target)
    _require_held(name, exporter, target)
    rule = "an exporter must write every target that its framework can express"
    with users_code(rule, name, own=name not in EXPORTERS.built_in):
        files = dict(exporter.export(target))
    _require_writable(name, files)
    return files


def _require_said(target: TargetFile) -> None:
    """Values that every plan of this optimizer has; without them a framework's own would be trained with."""
    missing = [] if "learning_rate" in target.hyperparameters else ["hyperparameters: learning_rate"]
    trained_by = {group.optimizer or target.optimizer for group in target.parameters}
    if trained_by & {"adamw", "adam"}:
        missing += [f"optimizer_values: {name}" for name in ("beta1", "beta2") if name not in target.optimizer_values]
    if missing:
        raise UsageError(
            "a target must say all that its optimizer takes",
            received=f"without {', '.join(missing)}",
            hint="add them, or write the target again",
        )


def _require_writable(name: str, files: Mapping[Any, Any]) -> None:
    """Whatever an exporter returned must be files in its folder, all of which can be written."""
    if not files:
        raise UsageError("an exporter must write at least one file", received=name)
    for path, text in files.items():
        if not (_is_text(path) and _is_text(text)):
            received = f"{name}: {path!r}: {type(text).__name__}"
            raise UsageError("an exporter must return texts, which UTF-8 can express, by path", received=received)
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
            raise UsageError("an exporter must name files inside its own folder", received=f"{name}: {path!r}")
    paths = [PurePosixPath(path) for path in files]
    for path in paths:
        if paths.count(path) > 1 or any(path in other.parents for other in paths):
            received = f"{name}: {str(path)!r}, which is another file's path or folder too"
            raise UsageError("an exporter must give each file a path of its own", received=received)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()


def _require_held(name: str, exporter: Exporter, target: TargetFile) -> None:
    """What the format gives once for all groups of parameters must be equal in all of them."""
    for quantity in Quantity:
        if quantity in exporter.holds | exporter.applies:
            continue
        trained = [group for group in target.parameters if group.role != Role.FROZEN]
        known = {group.pattern: getattr(group, quantity.value) for group in trained}
        values = {pattern: value for pattern, value in known.items() if value is not None}
        expected = 1.0 if quantity is Quantity.MULTIPLIER else next(iter(values.values()), None)
        other = next((pattern for pattern, value in values.items() if value != expected), None)
        if other is not None:
            whose = "1" if quantity is Quantity.MULTIPLIER else f"that of {next(iter(values))}, {expected!r}"
            raise UsageError(
                f"{name} must be able to express `{quantity.value}` of each group of parameters",
                received=f"{other}: {values[other]!r}, which is not {whose}",
                hint=f"choose another format; an exporter of your own that writes it for each group has "
                f"`Quantity.{quantity.name}` in `holds`",
            )


# The page of all exporters: `python -m hptransfer.export.base > docs/export.md`.

_HEADER = """\
# Exporters

Generated by `python -m hptransfer.export.base` from the exporters themselves; do not edit.

`hptransfer scale RECIPE` writes `target.yaml`. `--format NAME[,NAME]`, repeatable, writes the same target for other
frameworks too: the files of each lie in `export/NAME/` next to it. A target that is refused is written for none.
`hptransfer export target.yaml --format NAME` does the same with a target that was written before.

All files of all formats are written beside their places before the first is moved to its own: where the disk is full,
nothing is written. Files in these folders that were edited, or that no export wrote, are named and kept, and nothing is
written; `--overwrite` replaces them. Values of `target.yaml` that must be one of a list are checked when it is read.

Every file that can hold comments begins with the evidence: FORCED, verdict and scope, the registered prediction, which
rules scaled what, what the framework does by itself, whose code was executed on such files, and what is left to do by
hand. `hptransfer verify --export FILE` reads a file back through the framework's own code, and compares what each
parameter would be trained with (init, rate, decay, eps, factors in `forward`), betas, clipping and schedule with the
plan; it names what differs, and what that comes from. [One plan in every format](export-table.md) shows all of them
side by side.

## What was written, and reading it back

- Writing is all or nothing: where one file cannot be written, none is. Files of an earlier export that are none of this
  one are removed; those that were edited stay, and are named.
- `export.json` beside the files has the plan's path, a digest of what it planned, and one of each file. Where the plan
  has changed since, `verify --export` says so and compares with the plan as it is; files that were edited are named.
- For files that were copied elsewhere: `hptransfer verify --export FILE --plan target.yaml`.
- `verify --export` executes what the exported Python files say, and the framework's code on it: verify only files that
  you would run. A file that ends the process (`os._exit`) is an error, not a success.
- The sha256 in a header has the first digits of that digest: of rows, hyperparameters, sizes and schedule, not of dates
  and evidence. It is the same in every format, and `verify --export` prints that of the plan as it is.
- A schedule is compared step by step. Frameworks that count steps otherwise than a plan are held exactly to what that
  makes of it; header, page and `verify --export` say it in the same words. Of Trainer, Megatron-LM, levanter,
  lm-engine, modelzoo and nanoGPT-mup the warmup is one step late: step 0 trains at rate 0. Of DeepSpeed's own schedules
  the warmup is two steps late. Of NeMo Automodel the decay begins one step early. All others count as a plan does.

A command that trains a proxy ([trainers.md](trainers.md#any-program)) can have the same files of its own size: before
it trains, `hptransfer export "$HPTRANSFER_PLAN_FILE" --format NAME --output "$HPTRANSFER_TRIAL_DIR"` writes them below
`$HPTRANSFER_TRIAL_DIR/NAME`. Proxy and target then go through one path.

An exporter says what its framework scales by itself: there the base value and the framework's switch are written. Of
all other quantities it says which the format gives to each group of parameters; where it has one value for all and the
plan needs several, the export is an error that names quantity and group, and nothing is written.

"""
_REFUSED = """
## Refused

These frameworks cannot hold a rate for each role in their configuration; `--format` says so, and nothing is written.

| name | read at | why | what can be done |
|---|---|---|---|"""
_OWN = """
## An exporter of your own

A file that defines `EXPORTER`, for example

    import json
    from hptransfer.parameterization.rules import Quantity

    class Groups:
        \"\"\"Every value by pattern of parameter names, for a trainer that scales nothing itself.\"\"\"

        gauge = "plain"
        applies = frozenset()
        holds = frozenset(Quantity)

        def export(self, target):
            groups = {
                group.pattern: {quantity.value: getattr(group, quantity.value) for quantity in Quantity}
                for group in target.parameters
            }
            return {"groups.json": json.dumps({"steps": target.training.steps, "groups": groups}, indent=2)}

    EXPORTER = Groups()

What a format gives once for all groups is left out of `holds`; a target whose groups differ in it is then refused.
An exporter with `about` (`hptransfer.handover.header.About`) and `trained(target)` (the plan in the framework's names,
`hptransfer.handover.trained.Trained`) is compared by `verify --export`, if the entry-point group `hptransfer.readers`
has a reader of the same name (`hptransfer.roundtrip.base.Reader`).

`hptransfer scale recipe.yaml --format my_export:EXPORTER` uses it; an installed package that names it in the
entry-point group `hptransfer.exporters` gives it a name. `target` is a `hptransfer.artifacts.target.TargetFile`, whose
fields say their units. `hptransfer.testing.exporters.ExporterConformance` is the test suite for exporters. In
hptransfer itself an exporter is one file of `hptransfer/export/`, named as users type it.
"""


def document() -> str:
    """The page as Markdown; exporters of installed packages are not on it."""
    rows = [
        "| name | writes | scaled by the framework | per group of parameters | multipliers |",
        "|---|---|---|---|---|",
    ]
    for name in EXPORTERS.built_in:
        exporter = EXPORTERS.look_up(name)
        about = (getdoc(type(exporter)) or "").splitlines()[0].rstrip(".")
        said = (_linked(name, exporter), about, _listed(exporter.applies), _listed(exporter.holds))
        rows.append(f"| {' | '.join(said)} | `{exporter.gauge}` |")
    refused = [f"| `{name}` | {each.read_at} | {each.reason} | {each.way_out} |" for name, each in REFUSED.items()]
    return "\n".join([_HEADER + "\n".join(rows), _REFUSED, *refused, _OWN])


def _linked(name: str, exporter: Exporter) -> str:
    """The name, with a link to the page of an exporter that knows its framework."""
    return f"[`{name}`](export-{name}.md)" if hasattr(exporter, "about") else f"`{name}`"


def _listed(quantities: Collection[Quantity]) -> str:
    """Quantities in the order of the enumeration."""
    named = ", ".join(f"`{quantity.value}`" for quantity in Quantity if quantity in quantities)
    return named or "nothing"


if __name__ == "__main__":
    print(document(), end="")
