"""Hugging Face: scripts with the Trainer, its arguments as JSON, YAML or a command line, and model configurations."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from hptransfer.linting.foreign._against_plan import number, single_rate
from hptransfer.linting.foreign._group_values import GroupValue, base_values, group_rule
from hptransfer.linting.foreign._patterns import searched
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Level, Trap
from hptransfer.linting.foreign.torch import rates_differ
from hptransfer.linting.planned import same
from hptransfer.linting.reading.python import Call, Module, module_of
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown

_ARGUMENTS = frozenset(
    {
        "per_device_train_batch_size", "lr_scheduler_type", "lr_scheduler_kwargs", "num_train_epochs", "adam_beta2",
        "output_dir", "model_name_or_path", "gradient_accumulation_steps", "learning_rate",
    }
)  # fmt: skip
#: factors in forward that model configurations of some families have, with their defaults there
_MULTIPLIERS = {
    "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0, "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0, "attention_in_multiplier": 1.0, "attention_out_multiplier": 1.0, "key_multiplier": 1.0,
}  # fmt: skip
#: kinds of schedule -> the argument that is a rate, and the one that is a share
_FLOORS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("min_lr", "min_lr_ratio"),
    "polynomial": ("lr_end", "lr_end"),
}


def _marks(file: ForeignFile) -> tuple[str, ...]:
    module = module_of(file)
    if module is not None:
        return tuple(dict.fromkeys(call.last for call in module.calls if _is_arguments(call) or _is_trainer(call)))
    if file.form in {"json", "yaml"} and file.get("model_type") is not None:
        return ("model_type",)
    names = {each.name for each in file.settings} & _ARGUMENTS
    telling = names & {"per_device_train_batch_size", "lr_scheduler_type"}
    return tuple(sorted(names)) if telling and len(names) > 1 else ()


def _is_arguments(call: Call) -> bool:
    return call.last.endswith("TrainingArguments") or call.last in {"SFTConfig", "DPOConfig", "GRPOConfig"}


def _is_trainer(call: Call) -> bool:
    return call.last in {"Trainer", "Seq2SeqTrainer", "SFTTrainer"} and "model" in call.keywords


def _settings(file: ForeignFile) -> dict[str, Setting]:
    """The Trainer's arguments by name, whatever they are written in; keys of a mapping have their path."""
    module = module_of(file)
    if module is None:
        return {each.name: each for each in file.settings}
    found: dict[str, Setting] = {}
    for call in module.calls:
        if _is_arguments(call):
            entries = dict(call.keywords)
            for key, value in (module.mapping(entries.get("lr_scheduler_kwargs")) or {}).items():
                entries[f"lr_scheduler_kwargs.{key}"] = value
            for name, node in entries.items():
                written = f"{name}={module.source(node)}"
                known = module.known(node)
                found[name] = Setting(name, module.value(node), written, module.place(node), known, node=node)
    return found


def _own_groups(module: Module) -> bool:
    """Whether a script gives the Trainer an optimizer of its own."""
    given = {"optimizers", "optimizer_cls_and_kwargs"}
    own = any(given & set(call.keywords) for call in module.calls if _is_trainer(call))
    return own or "create_optimizer" in module.text or rates_differ(module)


def _several(file: ForeignFile) -> bool:
    module = module_of(file)
    return (module is not None and _own_groups(module)) or (file.plan is not None and file.plan.several)


def _floor(file: ForeignFile) -> Iterator[Trap]:
    settings = _settings(file)
    kind = settings.get("lr_scheduler_type")
    rate, share = _FLOORS.get("" if kind is None else str(kind.value), ("", ""))
    setting = settings.get(f"lr_scheduler_kwargs.{rate}")
    if rate and setting is not None and (setting.number or 0) > 0 and _several(file):
        peak = settings.get("learning_rate")
        hint = None
        if share != rate and peak is not None and peak.number and setting.number:
            hint = f"write `{share}: {number(setting.number / peak.number)}`, a share of each group's rate"
        yield Trap(setting.place, shown(setting.written), hint)


def _flattening(file: ForeignFile) -> Iterator[Trap]:
    setting = _settings(file).get("lr_scheduler_type")
    settings = _settings(file)
    floor = settings.get("lr_scheduler_kwargs.min_lr")
    if setting is None or str(setting.value) != "reduce_lr_on_plateau" or not _several(file):
        return
    if floor is not None and (floor.number or 0) > 0:
        yield Trap(floor.place, shown(floor.written))


def _resumed(file: ForeignFile) -> Iterator[Trap]:
    module = module_of(file)
    if module is None or not _own_groups(module):
        return
    for call in module.named("train"):
        value = call.argument("resume_from_checkpoint", 0)
        if value is not None and module.value(value) is not False and "trainer" in call.name.lower():
            yield Trap(module.place(value), shown(module.source(call.node)))


def _beta2(file: ForeignFile) -> Iterator[Trap]:
    settings, plan = _settings(file), file.plan
    rate = settings.get("learning_rate")
    if plan is None or plan.beta2 is None or rate is None or not file.complete:
        return
    setting = settings.get("adam_beta2")
    if setting is not None and setting.number is not None and not same(setting.number, plan.beta2):
        yield Trap(setting.place, f"{shown(setting.written)}, planned {plan.beta2:g}")
    elif setting is None and not same(0.999, plan.beta2):
        module = module_of(file)
        if module is None or not (
            _own_groups(module) or any(call.open for call in module.calls if _is_arguments(call))
        ):
            yield Trap(rate.place, f"no adam_beta2: 0.999, planned {plan.beta2:g}")


def _one_rate(file: ForeignFile) -> Iterator[Trap]:
    module = module_of(file)
    if module is not None and any(_is_trainer(call) for call in module.calls) and not _own_groups(module):
        yield from single_rate(file.plan, _settings(file).get("learning_rate"), "the Trainer")


def _multipliers(file: ForeignFile) -> Iterator[Trap]:
    plan, family = file.plan, file.get("model_type")
    if plan is None or plan.model is None or family is None or family.value != plan.model:
        return
    for name, default in _MULTIPLIERS.items():
        setting = file.get(name)
        planned = plan.settings.get(name, default)
        if setting is None or setting.number is None or not isinstance(planned, int | float):
            continue
        if not same(setting.number, float(planned)):
            yield Trap(setting.place, f"{shown(setting.written)}, planned {planned:g}")


def _values(file: ForeignFile) -> Iterator[GroupValue]:
    """Rows of an exported `hptransfer_hf.py`; of arguments the base's values, which all rows move with."""
    module, plan = module_of(file), file.plan
    if plan is None:
        return
    if module is None:
        yield from base_values(file, "learning_rate", "weight_decay")
        return
    rows = [value for _, name, value in module.assigned if name == "ROWS" and isinstance(value, ast.List)]
    for node in rows[0].elts if rows else ():
        row = module.mapping(node) or {}
        names = searched(f"^(?:{module.value(row.get('pattern'))})$", tuple(plan.trained)) or ()
        for name in ("learning_rate", "weight_decay"):
            if (given := row.get(name)) is not None:
                yield GroupValue(
                    names, str(module.value(row["pattern"])), name, module.number(given), module.place(given)
                )


def _rule(
    name: str,
    sentence: str,
    why: str,
    hint: str,
    example: Example,
    check: Callable[[ForeignFile], Iterator[Trap]],
    level: Level = "error",
    *,
    needs_plan: bool = False,
) -> ForeignRule:
    return ForeignRule(f"huggingface/{name}", sentence, why, hint, example, check, level, needs_plan)


def _script(arguments: str, trainer: str = "optimizers=(optimizer, None)", after: str = "") -> str:
    first = "from transformers import Trainer, TrainingArguments\n\n"
    made = f'args = TrainingArguments(output_dir="out", learning_rate=0.01{arguments})\n'
    return f"{first}{made}trainer = Trainer(model=model, args=args{trainer and ', '}{trainer})\n{after}"


_COSINE = ', lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={{"{}": {}}}'
_EXPORT = (
    "# Written by hptransfer for transformers (format huggingface; read at 5.24.0).\nper_device_train_batch_size: 8\n"
)
_PLATEAU = ', lr_scheduler_type="reduce_lr_on_plateau", lr_scheduler_kwargs={{"min_lr": {}}}'

FRAMEWORK = Framework(
    "Hugging Face transformers: scripts with the Trainer, its arguments in JSON, YAML or a command line, and models' "
    "`config.json`.",
    "5.24.0",
    _marks,
    (
        _rule(
            "absolute-min-lr",
            "a lowest rate is given as a share where groups have rates of their own",
            "`min_lr` and `lr_end` are divided by the optimizer's default rate, which a factory of groups need not "
            "have set: the floor is then another share than was meant.",
            "give the share: `min_lr_rate` for cosine_with_min_lr, `min_lr_ratio` for warmup_stable_decay; for "
            'polynomial set `optimizer.defaults["lr"]` to the base rate',
            Example(
                _script(_COSINE.format("min_lr", "1e-3")),
                _script(_COSINE.format("min_lr_rate", "0.1")),
                "1e-3",
                "train.py",
            ),
            _floor,
            "warning",
        ),
        _rule(
            "plateau-floor",
            "`reduce_lr_on_plateau` has no lowest rate where groups have rates of their own",
            "It is absolute and the same for all groups, so the ratios of rates are not kept.",
            "leave `min_lr` out",
            Example(_script(_PLATEAU.format("1e-4")), _script(_PLATEAU.format("0.0")), "1e-4", "train.py"),
            _flattening,
            "warning",
        ),
        _rule(
            "resumed-rates",
            "the rates of a resumed run are those of the file",
            "`resume_from_checkpoint` puts back the rates, decays and eps that were saved: what the file says since "
            "does nothing. A run that goes on as it was is right.",
            "where values were changed since the checkpoint, load the model alone and start the optimizer anew",
            Example(
                _script("", after="trainer.train(resume_from_checkpoint=True)\n"),
                _script("", after="trainer.train()\n"),
                "True",
                "train.py",
            ),
            _resumed,
            "warning",
        ),
        _rule(
            "beta2",
            "Adam's beta2 is the plan's",
            "Where nothing is written the Trainer takes 0.999.",
            "write the plan's beta2 as `adam_beta2`",
            Example(
                '{"per_device_train_batch_size": 8, "output_dir": "out", "learning_rate": 0.01}\n',
                '{"per_device_train_batch_size": 8, "output_dir": "out", "learning_rate": 0.01, "adam_beta2": 0.95}\n',
                '"learning_rate"',
                "args.json",
            ),
            _beta2,
            needs_plan=True,
        ),
        _rule(
            "one-rate",
            "a plan with several rates is trained with an optimizer that has groups",
            "The Trainer's own optimizer has one rate, of `learning_rate`.",
            "give the Trainer `optimizer_cls_and_kwargs` or `optimizers`: `hptransfer scale --format huggingface` "
            "writes a factory",
            Example(_script("", ""), _script("", "optimizer_cls_and_kwargs=(factory, {})"), "0.01", "train.py"),
            _one_rate,
            needs_plan=True,
        ),
        _rule(
            "multipliers",
            "factors of the model's configuration are those of the plan",
            "They are in `forward`; a plan that does not count with them has them in init and rates already, so they "
            "are applied twice.",
            "write the plan's, see `model` in target.yaml",
            Example(
                '{"model_type": "granite", "hidden_size": 1024, "logits_scaling": 4.0}\n',
                '{"model_type": "granite", "hidden_size": 1024, "logits_scaling": 1.0}\n',
                '"logits_scaling"',
                "config.json",
            ),
            _multipliers,
            needs_plan=True,
        ),
        group_rule(
            "huggingface",
            Example(
                _EXPORT + "learning_rate: 0.00125\n",
                _EXPORT + "learning_rate: 0.01\n",
                "learning_rate",
                "training_args.yaml",
            ),
            _values,
        ),
    ),
)
