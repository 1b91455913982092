"""axolotl: its YAML configuration."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_OWN = ("lr_groups.0.name", "embedding_lr", "datasets.0.path", "sequence_len", "micro_batch_size", "sample_packing")


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form != "yaml" or file.get("base_model") is None:
        return ()
    return tuple(name for name in _OWN if file.get(name) is not None)


def _tied_rate(file: ForeignFile) -> Iterator[Trap]:
    for name in ("embedding_lr", "embedding_lr_scale"):
        setting, plan = file.get(name), file.plan
        if setting is None or setting.number is None or plan is None:
            continue
        table, readout = plan.rates.get("embedding", ()), plan.rates.get("readout", ())
        if table and readout and not any(same(one, other) for one in table for other in readout):
            rates = f"planned {table[0]:g} for the table and {readout[0]:g} for the readout"
            yield Trap(setting.place, f"{shown(setting.written)}; {rates}")


def _loraplus(file: ForeignFile) -> Iterator[Trap]:
    setting = file.get("loraplus_lr_ratio")
    if setting is not None and setting.value is not None and file.get("lr_groups.0.lr") is not None:
        yield Trap(setting.place, f"{shown(setting.written)} with lr_groups")


_MODEL = "base_model: org/model\nsequence_len: 2048\n"
_GROUPS = "lr_groups:\n  - name: up\n    modules: [up_proj]\n    lr: 0.001\n"

FRAMEWORK = Framework(
    "axolotl: its configurations in YAML.",
    "067b021c",
    _marks,
    (
        ForeignRule(
            "axolotl/embedding-lr",
            "table and readout have one rate where `embedding_lr` gives them one",
            "`embedding_lr` and `embedding_lr_scale` are the rate of embed_tokens and of lm_head, and take both out of "
            "weight decay.",
            "leave it out, and give the readout a group of `lr_groups`",
            Example(f"{_MODEL}embedding_lr: 0.01\n", f"{_MODEL}learning_rate: 0.01\n", "embedding_lr", "axolotl.yaml"),
            _tied_rate,
            needs_plan=True,
        ),
        ForeignRule(
            "axolotl/lr-groups",
            "`lr_groups` is given without `loraplus_lr_ratio`",
            "With `loraplus_lr_ratio` another optimizer is built, and `lr_groups` does nothing.",
            "delete `loraplus_lr_ratio`",
            Example(f"{_MODEL}{_GROUPS}loraplus_lr_ratio: 16\n", _MODEL + _GROUPS, "loraplus_lr_ratio", "axolotl.yaml"),
            _loraplus,
        ),
    ),
)
