"""Hugging Face: TrainingArguments, the model's configuration, and a module for Trainer and accelerate."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export._huggingface_module import BUILD, BUILD_PLAIN, CORE, GUARD, MUON, USAGE
from hptransfer.export._huggingface_run import counted, run_arguments, trainer_schedule
from hptransfer.handover.decoder import decoder_of, grown_heads
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import schedule_function
from hptransfer.handover.own_names import OwnModelFormat, own_names
from hptransfer.handover.trained import Trained
from hptransfer.models.huggingface import CLASSES, nested
from hptransfer.parameterization.groups import ParameterGroup, readable
from hptransfer.parameterization.moved_multiplier import with_multiplier
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import IN_TORCH

#: what each optimizer of a plan is trained by
_OPTIMIZERS: Mapping[str, frozenset[str]] = {
    "adamw": frozenset({"adamw"}),
    "sgd": frozenset({"sgd"}),
    "muon": frozenset({"muon", "adamw"}),
}
_BETAS = "betas=(args.adam_beta1, args.adam_beta2)"
_LOGIT_ROLES = (Role.READOUT, Role.TIED_EMBEDDING)


class _HuggingFace(OwnModelFormat):
    """`training_args.json`, `config.json` and `hptransfer_hf.py`: model, init, optimizer and schedule."""

    about = About(
        framework="transformers (Trainer, accelerate)",
        counted=counted,
        read_at="transformers 5.23.0, accelerate 1.15.0",
        itself="scales nothing; Trainer alone would train all parameters at one rate, without decay for names with "
        "bias or norm, so hptransfer_hf.py makes the groups. training_args.json, which can hold no comment, has the "
        "values of the base, and the rows of hptransfer_hf.py those of this size.",
        executed="transformers 5.23.0: its model, init, Trainer.create_optimizer and schedule",
        by_hand=(
            "per_device_train_batch_size is the whole batch, on one device: divide it among devices and "
            "gradient_accumulation_steps.",
            "the data, its tokens and its order are yours; seed is 0, and what Trainer logs as learning_rate is the "
            "first group's.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        formed = in_form(target)
        for each in self._named(formed):
            # of one optimizer rows name none; the reader names the class that it finds
            yield replace(each, optimizer=each.optimizer or target.optimizer)

    def _named(self, formed: TargetFile) -> Iterable[Trained]:
        try:
            # a table of names knows where numbers begin: GPT-2's norms are ln_1 and ln_2
            decoder = decoder_of(formed)
        except UsageError:
            return own_names(formed)
        found = decoder.in_names(decoder.names)
        frozen = [re.compile(group.pattern) for group in formed.parameters if group.role == Role.FROZEN]
        return [each for each in found if not any(pattern.fullmatch(each.name) for pattern in frozen)]

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The files; config.json only of models that the recipe names by their configuration.

        Args:
            target: in the gauge of the recipe.

        Raises:
            UsageError: there are no rows, or transformers can hold neither the optimizer, the clipping nor a factor.
        """
        _require(target)
        formed = in_form(target)
        lines = header(target, "huggingface", self.about, _by_hand(target))
        files = {
            "training_args.json": json.dumps(training_arguments(target), indent=2) + "\n",
            "hptransfer_hf.py": commented(lines) + _module(formed),
        }
        if _builds(target):
            files["config.json"] = json.dumps({"_hptransfer": lines, **_configuration(target)}, indent=2) + "\n"
        return files


def _builds(target: TargetFile) -> bool:
    return target.model is not None and target.model.kind == "huggingface"


def in_form(target: TargetFile) -> TargetFile:
    """The target with the multipliers that `forward` has: of keys of the configuration, and of the logits' hook.

    Args:
        target: in any gauge; of a model that the user builds, as it is.

    Raises:
        UsageError: a multiplier can neither be held nor moved.
    """
    if not _builds(target):
        return target
    groups = []
    for group in target.parameters:
        held = held_factor(target, group)
        hooked = group.role == Role.TIED_EMBEDDING and held == 1
        same = math.isclose(held, group.multiplier, rel_tol=1e-12)
        kept = group.role == Role.FROZEN or hooked or same
        groups.append(group if kept else with_multiplier(group, held, target.optimizer))
    return target.model_copy(update={"parameters": tuple(groups)})


def held_factor(target: TargetFile, group: ParameterGroup) -> float:
    """What keys of the configuration multiply a group's output by, over the base's; 1 where none does.

    Args:
        target: of a model of transformers.
        group: one of its rows.
    """
    model = target.model
    if model is None or not model.config_values:
        return 1.0
    from hptransfer.models.config_multipliers import KEYS, factor_of, writes_behind

    factor = 1.0
    for key in KEYS.get(model.name or "", ()):
        reads_out = key.use == "readout" and group.role in _LOGIT_ROLES
        if reads_out or writes_behind(readable(group.pattern), key):
            factor *= factor_of(key, model.name or "", model.settings, model.config_values)
    return factor


def logit_factor(target: TargetFile) -> float:
    """What a hook multiplies the logits by; 1 where there is none.

    Args:
        target: as `in_form` gives it.
    """
    tied = [group for group in target.parameters if group.role == Role.TIED_EMBEDDING]
    return next((group.multiplier for group in tied if held_factor(target, group) == 1), 1.0)


def _require(target: TargetFile) -> None:
    if not target.parameters:
        raise UsageError(
            "the recipe must name the model, so that values can be given to its parameters",
            received=f"{target.recipe or 'the plan'} without rows: whoever trains builds the model",
            hint="name it under `model`, for example `kind: huggingface`",
        )
    trained_by = {group.optimizer or target.optimizer for group in target.parameters if group.role != Role.FROZEN}
    if not trained_by <= _OPTIMIZERS.get(target.optimizer, frozenset()):
        others = [group for group in target.parameters if (group.optimizer or target.optimizer) not in _OPTIMIZERS]
        raise UsageError(
            f"the format huggingface writes the optimizers {', '.join(_OPTIMIZERS)} (muon with adamw beside it)",
            received=f"{', '.join(sorted(trained_by))}: {', '.join(readable(each.pattern) for each in others[:5])}",
            hint="`hptransfer.load_plan(...).param_groups(model, optimizer=...)` gives the groups of each optimizer, "
            "and `Trainer(optimizers=...)` takes what is made of them",
        )
    if "muon" in trained_by and target.muon_scale not in IN_TORCH:
        raise UsageError(
            f"torch's Muon multiplies its rate by one of {', '.join(sorted(IN_TORCH))}",
            received=f"muon_scale: {target.muon_scale}",
            hint="plan with one of these under `parameterization`",
        )
    if target.training is not None and target.training.clip_norm == "scaled":
        raise UsageError(
            "Trainer has no clipping by gradients over their expected sizes",
            received="clip_norm: scaled",
            hint="`hptransfer.load_plan(...).clip_grad_norm_(model, max_norm)` clips so, in a loop of your own",
        )
    _require_factors(target)


def _require_factors(target: TargetFile) -> None:
    """What `forward` must multiply, and transformers would not."""
    multiplied = [group for group in target.parameters if group.multiplier != 1]
    if multiplied and not _builds(target):
        raise UsageError(
            "transformers must build the model where `forward` has to multiply something",
            received=", ".join(f"{readable(each.pattern)} ({each.role}): {each.multiplier!r}" for each in multiplied),
            hint="name its configuration (`model: {kind: huggingface}`), untie the weights, or apply the plan with "
            "`hptransfer.load_plan` and `hptransfer.scale_logits`",
        )
    heads = grown_heads(target)
    if heads is None or target.model is None:
        return
    from hptransfer.models.config_multipliers import KEYS

    keys = [key.name for key in KEYS.get(target.model.name or "", ()) if key.use == "attention"]
    if not set(keys) & set(target.model.config_values):
        raise UsageError(
            "attention logits must be scaled by 1/head_dim where heads grow, and this configuration has no key for it",
            received=f"{target.model.name}: head_dim {heads[0]} at the base, {heads[1]} here",
            hint="let the number of heads follow the width, or choose a family with such a key, for example granite, "
            "whose value the plan says with `probe: false` under `model`",
        )


def _configuration(target: TargetFile) -> dict[str, Any]:
    model = target.model
    if model is None:
        return {}
    double = target.training is not None and target.training.precision == "float64"
    return {
        "model_type": model.name,
        "dtype": "float64" if double else "float32",
        **nested({**model.settings, **model.config_values}),
    }


def base_values(target: TargetFile) -> dict[str, float]:
    """The values in training_args.json that the rows follow: those of the base.

    Args:
        target: with its multipliers anywhere.
    """
    given = target.hyperparameters
    rates = [group.learning_rate for group in target.parameters]
    values = {"learning_rate": given.get("learning_rate") or max(rates, default=0.0) or 1.0}
    return values | {"weight_decay": given.get("weight_decay", 0.0), "eps": given.get("eps", 1e-8)}


def training_arguments(target: TargetFile) -> dict[str, Any]:
    """Keys of `transformers.TrainingArguments`; all whose default is not the plan's, and those that are equal too.

    Args:
        target: with its multipliers anywhere.
    """
    base, betas, training = base_values(target), target.optimizer_values, target.training
    return {
        "learning_rate": base["learning_rate"],
        "weight_decay": base["weight_decay"],
        "adam_beta1": betas.get("beta1", 0.9),
        "adam_beta2": betas.get("beta2", 0.999),
        "adam_epsilon": base["eps"],
        "optim": "sgd" if target.optimizer == "sgd" else "adamw_torch",
        **({} if training is None else run_arguments(training, base["learning_rate"])),
        "seed": 0,
    }


def _by_hand(target: TargetFile) -> Iterator[str]:
    training = target.training
    if training is None or training.schedule == "own":
        yield (
            "lr_scheduler_type, warmup_steps and max_grad_norm are not in training_args.json: those of the tuned runs "
            "are not known. Write them; Trainer's defaults are linear, 0 and 1.0."
        )
    elif trainer_schedule(training, 1.0) is None:
        yield "transformers has no schedule of this shape: pass optimizers=hptransfer_hf.optimizers(model, args)."
    elif training.schedule == "linear" and training.floor:
        yield "lr_end in lr_scheduler_kwargs is absolute: move it with learning_rate."
    if not _builds(target):
        yield "build the model by your own code, then call init_(model)."
    if _builds(target) and logit_factor(in_form(target)) != 1:
        yield (
            "build_model multiplies the logits, in front of the output embeddings, so that hptransfer.scale_logits is "
            "not needed here: call multiply_logits(model) again on what "
            "from_pretrained has loaded, and leave fused losses off that read the head's weight without calling it."
        )


def _module(target: TargetFile) -> str:
    training, factor = target.training, logit_factor(target)
    auto = CLASSES.get(target.model.task or "causal-lm", "") if target.model is not None else ""
    unheld = training is not None and training.schedule != "own" and trainer_schedule(training, 1.0) is None
    parts = [
        USAGE.replace(
            "@MODEL@", "hptransfer_hf.build_model()" if _builds(target) else "...  # yours, then init_(model)"
        ),
        '"""Model, init, optimizer and schedule of the run; see above."""\n\n',
        *(["import functools\n"] if factor != 1 else []),
        "import json\nimport math\nimport pathlib\nimport re\n\nimport torch\nimport transformers\n\n",
        "HERE = pathlib.Path(__file__).parent\n",
        "# what training_args.json has, where nobody changes it; rows are final values, and move with it\n",
        f"BASE = {base_values(target)!r}\n",
        "ROWS = [\n",
        *(f"    {_row(each, parted=target.optimizer == 'muon')!r},\n" for each in target.parameters),
        "]\n",
        *([f"LOGITS = {factor!r}\n"] if factor != 1 else []),
        *([(BUILD if factor != 1 else BUILD_PLAIN).replace("@AUTO@", auto)] if _builds(target) else []),
        CORE.replace("@CONSTRUCTOR@", _constructor(target)).replace("@GUARD@", GUARD if unheld else ""),
        *([MUON.replace("@SCALE@", repr(target.muon_scale))] if target.optimizer == "muon" else []),
        schedule_function(training),
    ]
    return "".join(parts)


def _constructor(target: TargetFile) -> str:
    momentum = target.optimizer_values.get("momentum", 0.0)
    return {
        "adamw": f"torch.optim.AdamW(groups, lr=args.learning_rate, {_BETAS})",
        "sgd": f"torch.optim.SGD(groups, lr=args.learning_rate, momentum={momentum!r})",
        "muon": f"MuonAndAdamW(groups, lr=args.learning_rate, momentum={momentum!r}, {_BETAS})",
    }[target.optimizer]


def _row(group: ParameterGroup, *, parted: bool) -> dict[str, Any]:
    frozen = group.role == Role.FROZEN
    row = {
        "pattern": group.pattern,
        "count": group.count,
        "shape": list(group.shape),
        "init": _start(group),
        "learning_rate": None if frozen else group.learning_rate,
        "weight_decay": group.weight_decay,
        "eps": group.eps,
    }
    return row | ({"optimizer": group.optimizer} if parted else {})


def _start(group: ParameterGroup) -> tuple[str, float | None]:
    """What `init_` does: "scale" by, "draw" with std, "fill" with, or "keep"."""
    if group.role == Role.FROZEN or group.init == "kept":
        return ("keep", None)
    if group.init_std is not None:
        if group.own_init_std is None:
            return ("draw", group.init_std)
        return ("scale", group.init_std / group.own_init_std)
    value = {"ones": 1.0, "zeros": 0.0, "constant": group.init_value}.get(group.init)
    return ("keep", None) if value is None else ("fill", value)


EXPORTER = _HuggingFace()
