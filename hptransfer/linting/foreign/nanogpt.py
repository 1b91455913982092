"""nanoGPT and nanoGPT-mup, both branches: a configuration in Python, or the command line of `train.py`."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.handover.nanogpt_mup import COMPLETEP_DEFAULTS, DEFAULTS, FILE
from hptransfer.linting.foreign._against_plan import Applied, applied_rules, number
from hptransfer.linting.foreign._commands import overridden_rule, repeated_rule
from hptransfer.linting.foreign._group_values import base_values, group_rule
from hptransfer.linting.foreign.base import Example, Framework, RuleForm, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.python import names_in
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown

_OWN = frozenset({"n_embd", "n_layer", "n_head", "block_size", "gradient_accumulation_steps", "wandb_run_name"})
_OTHERS = frozenset(
    {"lr_decay_iters", "max_iters", "warmup_iters", "always_save_checkpoint", "eval_iters", "init_from"}
)
_WIDTH = "mup_width_multiplier"
#: what divides a rate by the width where it stands in the rate's expression
_OF_WIDTH = frozenset({_WIDTH, "n_embd"})


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.form not in {"python", "shell"}:
        return ()
    names = [each.name for each in file.settings]
    mup = [name for name in names if name.startswith("mup_") and not name.startswith("mup_base_")]
    if file.form == "shell":
        if _export(file) is not None:
            return (FILE,)
        program = any(word.rpartition("/")[2] == "train.py" for word in file.words)
        return tuple(mup[:1]) if mup and _OWN & set(names) else ("train.py",) if program and "n_embd" in names else ()
    own = sorted(_OWN & set(names)) + sorted(_OTHERS & set(names))
    return tuple(dict.fromkeys([*mup, *own])) if (mup and own) or len(own) > 3 else ()


def _export(file: ForeignFile) -> int | None:
    """Index of the configuration that hptransfer exported, in a command."""
    places = [index for index, word in enumerate(file.words) if word.rpartition("/")[2] == FILE]
    return max(places, default=None)


def _said(setting: Setting) -> str:
    return f"{setting.name} = {shown(setting.written)}" if setting.node is not None else shown(setting.written)


def _seen(file: ForeignFile) -> bool:
    """Whether what is not set is left at its default: no configuration in another file is named."""
    return file.complete and not any(word.endswith(".py") for word in file.words if not word.endswith("train.py"))


def _missing(file: ForeignFile, name: str) -> bool:
    return _seen(file) and file.missing(name)


def _no_multiplier(file: ForeignFile) -> Iterator[Trap]:
    switch = file.get("mup_enabled")
    if switch is not None and switch.on and _missing(file, _WIDTH):
        yield Trap(switch.place, f"{_said(switch)} without {_WIDTH}: it is 1, and nothing is scaled")


def _switch_off(file: ForeignFile) -> Iterator[Trap]:
    setting, switch = file.get(_WIDTH), file.get("mup_enabled")
    if setting is None or setting.number in (None, 1.0):
        return
    if switch is None and _missing(file, "mup_enabled"):
        yield Trap(setting.place, f"{_said(setting)} without mup_enabled")
    elif switch is not None and switch.known and not switch.on:
        yield Trap(switch.place, f"{_said(switch)} with {_said(setting)}")


def _no_whole_base(file: ForeignFile) -> Iterator[Trap]:
    width, setting = file.number("n_embd"), file.get(_WIDTH)
    if width is None or setting is None or not setting.number or not file.on("mup_enabled"):
        return
    base = width / setting.number
    stated = file.number("mup_base_width") or file.number("base_width")
    if stated is not None and not same(base, stated):
        yield Trap(setting.place, f"{_said(setting)}, and {width:g} / {stated:g} is {number(width / stated)}")
    elif setting.number.is_integer() and width % setting.number != 0:  # with digits after the point it may be rounded
        yield Trap(setting.place, f"{_said(setting)} of n_embd {width:g}: a base width of {number(base)}")


def _rate_by_hand(file: ForeignFile) -> Iterator[Trap]:
    setting = file.get("learning_rate")
    if setting is None or setting.node is None or not file.on("mup_enabled"):
        return
    used = sorted(names_in(setting.node) & _OF_WIDTH)
    if used and not file.on("mup_disable_hidden_lr_scaling"):
        yield Trap(setting.place, _said(setting), f"write the base rate alone, without `{used[0]}`")


def _disabled(file: ForeignFile) -> Iterator[Trap]:
    if not file.on("mup_enabled") or file.on("mup_enable_coord_check_logging"):
        return
    setting = file.get("mup_disable_hidden_lr_scaling")
    if setting is not None and setting.on:
        yield Trap(setting.place, _said(setting))


def _plain_attention(file: ForeignFile) -> Iterator[Trap]:
    setting = file.get("mup_disable_attention_scaling")
    # a plan, and what is exported of one, are of models that have 1/sqrt(head_dim) at every size
    known = file.plan is not None or file.exporter is not None or file.on("mup_enable_coord_check_logging")
    if setting is not None and setting.on and file.on("mup_enabled") and not known:
        yield Trap(setting.place, _said(setting))


def _no_depth(file: ForeignFile) -> Iterator[Trap]:
    switch = file.get("depth_alpha_enabled")
    if switch is not None and switch.on and _missing(file, "depth_multiplier"):
        yield Trap(switch.place, f"{_said(switch)} without depth_multiplier: it is 1, and no branch is scaled")


def _floor(file: ForeignFile) -> Iterator[Trap]:
    rate, floor, decay = file.get("learning_rate"), file.get("min_lr"), file.get("decay_lr")
    if rate is None or rate.number is None or (decay is not None and not decay.on):
        return
    if floor is not None and floor.number is not None and floor.number > rate.number:
        yield Trap(floor.place, f"{_said(floor)}, above learning_rate {number(rate.number)}")
    elif _missing(file, "min_lr") and rate.number < 6e-5:
        yield Trap(rate.place, f"{_said(rate)} without min_lr: it is 6e-05")


def _plan_sizes(file: ForeignFile) -> Iterator[Trap]:
    plan = file.plan
    if plan is None:
        return
    pairs: list[tuple[str, float]] = [("n_embd", plan.width), ("n_layer", plan.depth)]
    pairs += [(_WIDTH, plan.width_mult)] if file.on("mup_enabled") else []
    pairs += [("depth_multiplier", plan.depth / plan.base_depth)] if file.on("depth_alpha_enabled") else []
    for name, planned in pairs:
        setting = file.get(name)
        if setting is not None and setting.number is not None and not same(setting.number, planned):
            yield Trap(setting.place, f"{_said(setting)}, planned {number(planned)}")


def _multiplier(file: ForeignFile) -> float | None:
    setting = file.get(_WIDTH)
    return setting.number if setting is not None else 1.0 if _missing(file, _WIDTH) else None


_SIZES = "n_layer = 2\nn_head = 16\nn_embd = 1024\nblock_size = 1024\n"
_rule = RuleForm("nanogpt", "config.py", lambda text: _SIZES + text)


def _example(wrong: str, right: str, at: str) -> Example:
    return Example(_SIZES + wrong, _SIZES + right, at, "config.py")


_ON = "mup_enabled = True\nmup_width_multiplier = 4.0\n"
_EXPORT = "# Written by hptransfer for nanoGPT-mup (format nanogpt-mup; read at b2a5e60, branch master).\n"
_APPLIED = Applied(
    "nanogpt",
    lambda file: file.on("mup_enabled") and not file.on("mup_disable_hidden_lr_scaling"),
    "learning_rate",
    "init_std",
    _multiplier,
)

FRAMEWORK = Framework(
    "nanoGPT and nanoGPT-mup (`master` and `completep`): configurations in Python, and command lines of `train.py`.",
    "nanoGPT-mup b2a5e60, 6f8bc3b",
    _marks,
    (
        _rule(
            "width-multiplier",
            "`mup_enabled` is given with `mup_width_multiplier`",
            "The multiplier is 1 where nothing is said, and then nothing is scaled.",
            "add `mup_width_multiplier = n_embd / BASE`, BASE being the width that the rate was tuned at",
            "mup_enabled = True\n",
            _ON,
            "mup_enabled",
            _no_multiplier,
            "warning",
        ),
        _rule(
            "mup-switched-off",
            "`mup_width_multiplier` is given with `mup_enabled`",
            "Without the switch all other settings of muP are ignored.",
            "add `mup_enabled = True`, or delete the multiplier",
            "mup_width_multiplier = 4.0\n",
            _ON,
            "mup_width_multiplier",
            _switch_off,
        ),
        _rule(
            "base-width",
            "`n_embd` over `mup_width_multiplier` is the base width",
            "It must be a width that a model can have, and the one that the file names, where it names one.",
            "write `mup_width_multiplier = n_embd / BASE`, BASE being the width that the rate was tuned at",
            "mup_enabled = True\nmup_width_multiplier = 3.0\n",
            _ON,
            "mup_width_multiplier",
            _no_whole_base,
        ),
        _rule(
            "rate-by-hand",
            "`learning_rate` is the base's with `mup_enabled`",
            "The rate of hidden weights is divided by `mup_width_multiplier` in the optimizer; the file does too.",
            "write the base rate alone",
            f"{_ON}learning_rate = 0.01 / mup_width_multiplier\n",
            f"{_ON}learning_rate = 0.01\n",
            "learning_rate",
            _rate_by_hand,
        ),
        _rule(
            "mup-disabled",
            "`mup_disable_hidden_lr_scaling` is off outside of a coordinate check",
            "It leaves hidden weights with the base's rate, for the step by step figures of a coordinate check.",
            "delete it, where the rates are meant to be scaled",
            f"{_ON}mup_disable_hidden_lr_scaling = True\n",
            _ON,
            "mup_disable_hidden_lr_scaling",
            _disabled,
            "warning",
        ),
        _rule(
            "plain-attention",
            "attention is scaled at this size as at the base",
            "`mup_disable_attention_scaling` multiplies logits by 1/sqrt(head_dim), else it is 1/head_dim. Either is "
            "right where the base was tuned with it, and heads keep their size.",
            "give every size what the base was tuned with, whichever it is",
            f"{_ON}mup_disable_attention_scaling = True\n",
            _ON,
            "mup_disable_attention_scaling",
            _plain_attention,
            "warning",
        ),
        _rule(
            "depth-multiplier",
            "`depth_alpha_enabled` is given with `depth_multiplier`",
            "The multiplier is 1 where nothing is said, and then no residual branch is scaled.",
            "add `depth_multiplier = n_layer / BASE`, BASE being the depth that the rate was tuned at",
            f"{_ON}depth_alpha_enabled = True\n",
            f"{_ON}depth_alpha_enabled = True\ndepth_multiplier = 2.0\n",
            "depth_alpha_enabled",
            _no_depth,
            "warning",
        ),
        _rule(
            "min-lr",
            "`min_lr` is below `learning_rate` where the rate decays",
            "It is absolute, and 6e-5 where nothing is said; above the peak, the schedule rises to it.",
            "write `min_lr` as a share of `learning_rate`, for example a tenth, or `decay_lr = False`",
            "learning_rate = 1e-5\nmin_lr = 6e-5\n",
            "learning_rate = 6e-4\nmin_lr = 6e-5\n",
            "min_lr",
            _floor,
        ),
        _rule(
            "plan-sizes",
            "sizes and multipliers are those of the plan",
            "The multipliers are sizes over base sizes; with others the rates are not the plan's.",
            "give the plan's sizes, or write a plan for these with `hptransfer scale`",
            "mup_enabled = True\nmup_width_multiplier = 2.0\n",
            _ON,
            "mup_width_multiplier",
            _plan_sizes,
            needs_plan=True,
        ),
        *applied_rules(
            _APPLIED,
            _example(f"{_ON}learning_rate = 0.0025\n", f"{_ON}learning_rate = 0.01\n", "learning_rate"),
            _example("learning_rate = 0.01\n", f"{_ON}learning_rate = 0.01\n", "learning_rate"),
            _example(f"{_ON}init_std = 0.01\n", f"{_ON}init_std = 0.02\n", "init_std"),
        ),
        group_rule(
            "nanogpt",
            _example(
                f"{_ON}{_EXPORT}learning_rate = 0.00125\n", f"{_ON}{_EXPORT}learning_rate = 0.01\n", "learning_rate"
            ),
            lambda file: base_values(file, "learning_rate", "weight_decay"),
        ),
        overridden_rule(
            "nanogpt",
            f"`{FILE}`",
            "put it in front of that file, or delete it",
            Example(
                f"python train.py {FILE} --learning_rate=0.001\n",
                f"python train.py --learning_rate=0.001 {FILE} --out_dir=a\n",
                "--learning_rate",
                "run.sh",
            ),
            _export,
            lambda _, name: name in DEFAULTS or name in COMPLETEP_DEFAULTS,
        ),
        repeated_rule(
            "nanogpt",
            Example(
                "python train.py --n_embd=1024 --learning_rate=0.01 --learning_rate=0.001\n",
                "python train.py --n_embd=1024 --learning_rate=0.01 --learning_rate=1e-2\n",
                "--learning_rate=0.001",
                "run.sh",
            ),
            _export,
        ),
    ),
)
