"""LitGPT: configurations of `litgpt pretrain` and `finetune` in YAML."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.linting.foreign._against_plan import single_rate
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_OWN = ("train.lr_warmup_steps", "train.global_batch_size", "train.micro_batch_size", "train.max_norm")


def _marks(file: ForeignFile) -> tuple[str, ...]:
    return tuple(name for name in _OWN if file.get(name) is not None) if file.form == "yaml" else ()


def _one_rate(file: ForeignFile) -> Iterator[Trap]:
    yield from single_rate(file.plan, file.get("optimizer.init_args.lr"), "`pretrain.py`")


def _floor(file: ForeignFile) -> Iterator[Trap]:
    floor, rate = file.get("train.min_lr"), file.number("optimizer.init_args.lr")
    if floor is not None and floor.number is not None and rate is not None and floor.number > rate:
        yield Trap(floor.place, f"{shown(floor.written)}, above the rate {rate:g}")


_TRAIN = "train:\n  global_batch_size: 512\n  lr_warmup_steps: 100\n"
_OPTIMIZER = "optimizer:\n  class_path: torch.optim.AdamW\n  init_args:\n    lr: "

FRAMEWORK = Framework(
    "LitGPT: configurations in YAML.",
    "0.5.13",
    _marks,
    (
        ForeignRule(
            "litgpt/one-rate",
            "a plan with one rate for all parameters is trained",
            "The optimizer has one group, and every group gets the scheduled rate at each step.",
            "choose a framework with groups (docs/export.md), or tune the standard parameterization",
            Example(f"{_TRAIN}{_OPTIMIZER}0.01\n", _TRAIN, "lr:", "pretrain.yaml"),
            _one_rate,
            needs_plan=True,
        ),
        ForeignRule(
            "litgpt/min-lr",
            "`train.min_lr` is below the peak rate",
            "It is absolute; above the peak, the schedule rises to it.",
            "write `train.min_lr` as a share of the rate, for example a tenth",
            Example(
                f"{_TRAIN}  min_lr: 4.0e-05\n{_OPTIMIZER}1.0e-05\n",
                f"{_TRAIN}  min_lr: 4.0e-05\n{_OPTIMIZER}4.0e-04\n",
                "min_lr",
                "pretrain.yaml",
            ),
            _floor,
        ),
    ),
)
