"""NeMo Automodel: its YAML configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hptransfer.linting.foreign._group_values import base_values, group_rule
from hptransfer.linting.foreign._patterns import HUGGING_FACE, searched
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown

_PATTERN = re.compile(r"optimizer\.param_group_overrides\.\d+\.pattern")


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form != "yaml":
        return ()
    targets = [each for each in file.ending("_target_") if str(each.value).startswith("nemo_automodel")]
    own = [each.name for each in file.settings if _PATTERN.fullmatch(each.name)]
    return (*(shown(each.value) for each in targets[:2]), *own[:1])


def _patterns(file: ForeignFile) -> list[Setting]:
    return [each for each in file.settings if _PATTERN.fullmatch(each.name)]


def _ignored(file: ForeignFile) -> Iterator[Trap]:
    target, patterns = file.get("optimizer._target_"), _patterns(file)
    if target is not None and patterns and re.search(r"(^|\.)dion", str(target.value).lower()):
        yield Trap(target.place, f"{shown(target.value)} with {len(patterns)} overrides")


def _shadowed(file: ForeignFile) -> Iterator[Trap]:
    taken: frozenset[str] = frozenset()
    for setting in _patterns(file):
        names = searched(str(setting.value), HUGGING_FACE)
        if names is None:
            return
        if names and names <= taken:
            yield Trap(setting.place, shown(setting.written))
        taken |= names


def _file(target: str, *patterns: str) -> str:
    rows = "".join(f"    - {{pattern: '{pattern}', lr_mult: 0.25}}\n" for pattern in patterns)
    return f"optimizer:\n  _target_: {target}\n  lr: 0.01\n  param_group_overrides:\n{rows}"


_EXPORT = "# Written by hptransfer for NeMo Automodel (format automodel; read at 36044ad3).\n"

FRAMEWORK = Framework(
    "NeMo Automodel: its configurations in YAML.",
    "36044ad3",
    _marks,
    (
        ForeignRule(
            "automodel/overrides-ignored",
            "`param_group_overrides` is given with an optimizer that reads it",
            "Optimizers of the Dion family build their own groups, and ignore the overrides.",
            "use torch.optim.AdamW, or give that optimizer its own rates",
            Example(_file("dion.Dion", r"mlp\."), _file("torch.optim.AdamW", r"mlp\."), "_target_", "automodel.yaml"),
            _ignored,
        ),
        ForeignRule(
            "automodel/shadowed-pattern",
            "each pattern matches parameters that none before it matches",
            "Patterns are searched in the name, not matched with the whole of it, and the first one that is found "
            "wins: a later one then gives nothing its rate.",
            "put the narrow pattern first, or anchor both: `^lm_head\\.weight$`",
            Example(
                _file("torch.optim.AdamW", "weight", r"^lm_head\."),
                _file("torch.optim.AdamW", r"^lm_head\.", "weight"),
                "pattern: '^lm_head",
                "automodel.yaml",
            ),
            _shadowed,
        ),
        group_rule(
            "automodel",
            Example(
                _EXPORT + _file("torch.optim.AdamW", r"mlp\.").replace("0.01", "0.00125"),
                _EXPORT + _file("torch.optim.AdamW", r"mlp\."),
                "lr: 0.00125",
                "automodel.yaml",
            ),
            lambda file: base_values(file, "optimizer.lr"),
        ),
    ),
)
