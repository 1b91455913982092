"""Plain PyTorch: training scripts that build groups with rates of their own and then give them all one.

A rule here speaks only where the file itself builds such groups: one rate for all groups is right in a script that has
one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from hptransfer.linting.foreign._group_values import GroupValue, group_rule
from hptransfer.linting.foreign._patterns import searched
from hptransfer.linting.foreign.base import Example, Framework, RuleForm, Trap
from hptransfer.linting.reading.python import Call, Module, imported_packages, module_of
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_MUP = frozenset({"MuAdam", "MuAdamW", "MuSGD"})


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form == "json" and file.get("hptransfer.0") is not None and file.get("groups.0.pattern") is not None:
        return ("hptransfer's groups.json",)
    found = imported_packages(file.tree) if file.tree is not None else set()
    return tuple(f"import {name}" for name in sorted(found & {"torch", "lightning", "pytorch_lightning"}))


def _values(file: ForeignFile) -> Iterator[GroupValue]:
    """Rows of an exported `groups.json`."""
    names = tuple(file.plan.trained) if file.plan is not None else ()
    for setting in file.ending("pattern") if file.form == "json" else ():
        found = searched(f"^(?:{setting.value})$", names) or frozenset()
        row = setting.name.removesuffix("pattern") + "optimizer."
        for key, quantity in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
            if (given := file.get(row + key)) is not None:
                yield GroupValue(found, str(setting.value), quantity, given.number, given.place)


def rates_differ(module: Module) -> bool:
    """Whether a script itself builds groups with rates of their own.

    Args:
        module: the script that was read.
    """
    if any(call.last in _MUP or call.name.endswith("load_plan") for call in module.calls):
        return True
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            keys = {keyword.arg for keyword in node.keywords}
        else:
            continue
        if {"params", "lr"} <= keys:
            return True
    return False


def _with_groups(check: Callable[[Module], Iterator[Trap]]) -> Callable[[ForeignFile], Iterator[Trap]]:
    def checked(file: ForeignFile) -> Iterator[Trap]:
        module = module_of(file)
        if module is not None and (rates_differ(module) or (file.plan is not None and file.plan.several)):
            yield from check(module)

    return checked


def _overwritten(module: Module) -> Iterator[Trap]:
    """`for group in optimizer.param_groups: group["lr"] = rate`, the rate having nothing of the group in it."""
    for loop in ast.walk(module.tree):
        if not (
            isinstance(loop, ast.For) and isinstance(loop.iter, ast.Attribute) and loop.iter.attr == "param_groups"
        ):
            continue
        if not isinstance(loop.target, ast.Name):
            continue
        bound = {loop.target.id}
        for node in ast.walk(loop):
            if not isinstance(node, ast.Assign):
                continue
            from_group = any(isinstance(each, ast.Name) and each.id in bound for each in ast.walk(node.value))
            for target in node.targets:
                if isinstance(target, ast.Name) and from_group:
                    bound.add(target.id)
                elif _is_rate(target, loop.target.id) and not from_group:
                    yield Trap(module.place(node), shown(module.source(node)))


def _is_rate(target: ast.expr, group: str) -> bool:
    return (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == group
        and isinstance(target.slice, ast.Constant)
        and target.slice.value == "lr"
    )


def _one_cycle(module: Module) -> Iterator[Trap]:
    for call in module.named("OneCycleLR", "CyclicLR"):
        name = "max_lr"
        value = call.argument(name, 1 if call.last == "OneCycleLR" else 2)
        if value is not None and module.number(value) is not None:
            yield Trap(module.place(call.node), f"{call.last} with {name} {shown(module.source(value))}")


def _floor(module: Module) -> Iterator[Trap]:
    for call in module.named("CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau"):
        name = "min_lr" if call.last == "ReduceLROnPlateau" else "eta_min"
        value = call.argument(name, _POSITIONS[call.last])
        if value is not None and (module.number(value) or 0) > 0:
            yield Trap(module.place(value), f"{call.last} with {name} {shown(module.source(value))}")


_POSITIONS = {"CosineAnnealingLR": 2, "CosineAnnealingWarmRestarts": 3, "ReduceLROnPlateau": 6}


def _resumed(module: Module) -> Iterator[Trap]:
    for call in module.named("load_state_dict"):
        if _is_optimizer(call):
            yield Trap(module.place(call.node), shown(module.source(call.node)))


def _is_optimizer(call: Call) -> bool:
    owner = call.name.rpartition(".")[0].rpartition(".")[2].lower()
    return owner in {"opt", "optim", "optimizer"} or owner.endswith(("_optimizer", "_optim", "_opt"))


_GROUPS = """\
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR
optimizer = torch.optim.AdamW([{"params": hidden, "lr": 1e-3}, {"params": rest, "lr": 4e-3}])
"""
_rule = RuleForm("torch", "train.py", lambda text: _GROUPS + text, _with_groups)


def _groups_json(rate: str) -> str:
    """An export, shortened."""
    said = "Written by hptransfer for PyTorch (format torch; read at torch 2.13.0)."
    pattern = r"model\\.layers\\.\\d+\\.mlp\\.up_proj\\.weight"
    row = f'{{"pattern": "{pattern}",\n "optimizer": {{"lr": {rate}}}}}'
    return f'{{"hptransfer": ["{said}"],\n "groups": [{row}]}}\n'


FRAMEWORK = Framework(
    "Plain PyTorch and Lightning: training scripts. Rules speak where the script builds groups with rates of their "
    "own, or a plan with several rates is named.",
    "2.13.0",
    _marks,
    (
        _rule(
            "rate-overwritten",
            "a schedule multiplies each group's own rate",
            "It gives every group the same rate, at each step.",
            'keep each group\'s peak, and multiply it: `group["lr"] = factor * group["initial_lr"]`',
            'for group in optimizer.param_groups:\n    group["lr"] = rate(step)\n',
            'for group in optimizer.param_groups:\n    group["lr"] = factor(step) * group["initial_lr"]\n',
            'group["lr"] = rate',
            _overwritten,
        ),
        _rule(
            "one-cycle",
            "`OneCycleLR` and `CyclicLR` are given a rate for each group",
            "One number as `max_lr` gives every group the same rate.",
            'write `max_lr=[group["lr"] for group in optimizer.param_groups]`, or use LambdaLR',
            "scheduler = OneCycleLR(optimizer, max_lr=4e-3, total_steps=100)\n",
            'scheduler = OneCycleLR(optimizer, max_lr=[g["lr"] for g in optimizer.param_groups], total_steps=100)\n',
            "OneCycleLR(optimizer",
            _one_cycle,
        ),
        _rule(
            "absolute-min-lr",
            "a lowest rate is a share of each group's own",
            "`eta_min` and `min_lr` are absolute and the same for all groups, so the ratios of rates are not kept.",
            "use LambdaLR with a factor that falls to a share of the peak, or a floor of 0",
            "scheduler = CosineAnnealingLR(optimizer, T_max=100, eta_min=1e-4)\n",
            "scheduler = CosineAnnealingLR(optimizer, T_max=100)\n",
            "1e-4)",
            _floor,
            "warning",
        ),
        _rule(
            "resumed-rates",
            "the rates of a resumed optimizer are those of the file",
            "`load_state_dict` puts back the rates, decays and eps that were saved: what the file says since does "
            "nothing. A run that goes on as it was is right.",
            "where values were changed since the checkpoint, write them into the groups again after loading",
            'optimizer.load_state_dict(checkpoint["optimizer"])\n',
            'model.load_state_dict(checkpoint["model"])\n',
            "optimizer.load_state_dict",
            _resumed,
            "warning",
        ),
        group_rule("torch", Example(_groups_json("0.0003125"), _groups_json("0.0025"), '"lr"', "groups.json"), _values),
    ),
    broad=True,
)
