"""DeepSpeed: its JSON configuration."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown

_OWN = ("train_micro_batch_size_per_gpu", "train_batch_size", "zero_optimization.stage", "steps_per_print")
_RATES = {
    "WarmupLR": "scheduler.params.warmup_max_lr",
    "WarmupDecayLR": "scheduler.params.warmup_max_lr",
    "OneCycle": "scheduler.params.cycle_max_lr",
    "LRRangeTest": "scheduler.params.lr_range_test_min_lr",
}


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form != "json":
        return ()
    return tuple(name for name in _OWN if file.get(name) is not None)


def _kind(file: ForeignFile) -> str:
    found = file.get("scheduler.type")
    return "" if found is None else str(found.value)


def _one_rate(file: ForeignFile) -> Iterator[Trap]:
    """A scheduler that sets one rate, where groups are known to have several."""
    optimizer, kind = file.get("optimizer.type"), file.get("scheduler.type")
    mup = optimizer is not None and str(optimizer.value).lower() in {"muadam", "muadamw", "musgd"}
    if kind is None or not (mup or (file.plan is not None and file.plan.several)):
        return
    setting = file.get(_RATES.get(_kind(file), ""))
    if setting is not None and setting.number is not None:
        yield Trap(setting.place, f"{shown(kind.value)} with {shown(setting.written)}")
    elif _kind(file) == "WarmupDecayLR" and setting is None:
        yield Trap(kind.place, "WarmupDecayLR without warmup_max_lr: 0.001 for all groups")


def _muon_rate(file: ForeignFile) -> Iterator[Trap]:
    optimizer = file.get("optimizer.type")
    if optimizer is None or str(optimizer.value).lower() != "muon":
        return
    given: list[Setting] = [each for name in ("muon_lr", "adam_lr") if (each := file.get(f"optimizer.params.{name}"))]
    if not given:
        yield Trap(optimizer.place, "Muon without muon_lr and adam_lr")


_WARMUP = '"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 100'

FRAMEWORK = Framework(
    "DeepSpeed: its configuration in JSON.",
    "0.19.8",
    _marks,
    (
        ForeignRule(
            "deepspeed/one-rate",
            "a scheduler keeps the rates of groups where they differ",
            "WarmupLR and WarmupDecayLR with a number as `warmup_max_lr`, and OneCycle, give every group the same rate "
            "at each step; WarmupDecayLR does so with 0.001 where none is given. What MuAdam, MuAdamW and MuSGD, or a "
            "plan, gave each group is lost.",
            "use WarmupLR without `warmup_max_lr`, or WarmupCosineLR, which multiply each group's own rate",
            Example(
                '{"train_batch_size": 8, "optimizer": {"type": "MuAdamW", "params": {"lr": 0.01}},\n'
                f' {_WARMUP}, "warmup_max_lr": 0.01}}}}}}\n',
                '{"train_batch_size": 8, "optimizer": {"type": "MuAdamW", "params": {"lr": 0.01}},\n'
                f" {_WARMUP}}}}}}}\n",
                '"warmup_max_lr"',
                "ds_config.json",
            ),
            _one_rate,
        ),
        ForeignRule(
            "deepspeed/muon-rates",
            "Muon is given `muon_lr` and `adam_lr`",
            "Where neither is given, matrices under Muon and all others under Adam share `lr`; the two are hardly ever "
            "best at the same value.",
            "write both, as they were tuned",
            Example(
                '{"train_batch_size": 8, "optimizer": {"type": "Muon", "params": {"lr": 0.01}}}\n',
                '{"train_batch_size": 8, "optimizer": {"type": "Muon", "params": {"muon_lr": 0.02, "adam_lr": 0.1}}}\n',
                '"type"',
                "ds_config.json",
            ),
            _muon_rate,
            "warning",
        ),
    ),
)
