"""GPT-NeoX: its YAML configuration, whose keys are flags with `_` or `-`."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.linting.foreign._against_plan import single_rate
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_OWN = ("pipe_parallel_size", "model_parallel_size", "optimizer.params.lr", "lr_decay_style", "use_mup")


def _named(file: ForeignFile) -> dict[str, str]:
    """Names with `_` -> as the file has them."""
    return {each.name.replace("-", "_"): each.name for each in file.settings}


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form != "yaml":
        return ()
    names = _named(file)
    found = tuple(name for name in _OWN if name in names)
    return found if "pipe_parallel_size" in names or len(found) > 2 else ()


def _mup(file: ForeignFile) -> Iterator[Trap]:
    for name in ("use_mup", "use-mup"):
        setting = file.get(name)
        if setting is not None and setting.on:
            yield Trap(setting.place, shown(setting.written))


def _one_rate(file: ForeignFile) -> Iterator[Trap]:
    yield from single_rate(file.plan, file.get("optimizer.params.lr"), "`learning_rates.py`")


_PARALLEL = "pipe_parallel_size: 1\nmodel_parallel_size: 1\n"
_OPTIMIZER = "optimizer:\n  type: Adam\n  params:\n    lr: 0.01\n"

FRAMEWORK = Framework(
    "GPT-NeoX: its configurations in YAML.",
    "ea7aefd8",
    _marks,
    (
        ForeignRule(
            "gpt-neox/mup",
            "`use_mup` is off",
            "`learning_rates.py` gives every group the scheduled rate at each step (it divides only for groups with "
            "`width_mult`, which nothing sets): the rates of MuAdam are lost at the first one, while init and forward "
            "are scaled.",
            "delete `use_mup` and train the standard parameterization, tuned at its own size; or choose another "
            "framework (docs/export.md)",
            Example(f"{_PARALLEL}use_mup: true\n", f"{_PARALLEL}use_mup: false\n", "use_mup", "neox.yml"),
            _mup,
        ),
        ForeignRule(
            "gpt-neox/one-rate",
            "a plan with one rate for all parameters is trained",
            "There is no way to give groups different rates.",
            "choose a framework with groups (docs/export.md), or tune the standard parameterization",
            Example(_PARALLEL + _OPTIMIZER, f"{_PARALLEL}optimizer:\n  type: Adam\n", "lr", "neox.yml"),
            _one_rate,
            needs_plan=True,
        ),
    ),
)
