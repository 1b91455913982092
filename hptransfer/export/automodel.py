"""NeMo Automodel: sections of a YAML recipe with a multiplier per group, and a module that builds the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.handover.counting import peak_a_step_early
from hptransfer.handover.decoder import heads_by_hand, require_fixed_heads
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.module_text import GROUPS, decay_steps, groups_text, init_text, require_applicable
from hptransfer.handover.own_names import OwnModelFormat
from hptransfer.parameterization.groups import ParameterGroup, readable
from hptransfer.parameterization.roles import Role

CONFIG = "automodel.yaml"
MODULE = "hptransfer_automodel.py"

_BUILD = """
def build_model():  # the recipe's model._target_; whole and in float32, before Automodel shards it
    import transformers
    config = transformers.AutoConfig.for_model({name!r}, **{settings!r})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    init_(model)
    return model
"""
_OPTIMIZER = """
def optimizer(params, group_eps, **keys):  # the recipe's optimizer._target_: Automodel's groups, with an eps for each
    groups = list(params)
    if len(groups) != len(group_eps) or any("lr_mult" not in group for group in groups):
        raise ValueError("each pattern of param_group_overrides must find parameters, and each parameter one of them; "
                         "stages of a pipeline, which lack some, cannot be trained so")
    return {constructor}([{{**group, "eps": eps}} for group, eps in zip(groups, group_eps)], **keys)
"""
_CLASSES = {"adamw": "torch.optim.AdamW", "adam": "torch.optim.Adam"}


class _Automodel(OwnModelFormat):
    """`automodel.yaml` with `param_group_overrides`; `hptransfer_automodel.py` builds and starts the model."""

    about = About(
        framework="NeMo Automodel",
        counted=peak_a_step_early,
        read_at="36044ad3",
        itself="scales nothing. Its scheduler multiplies lr_mult and wd_mult into rate and decay at every step "
        "(without a scheduler neither has any effect); it skips a pattern that matches nothing, with a warning. Its "
        "config has neither init nor an eps per group: hptransfer_automodel.py builds the model whole and starts it, "
        "before Automodel wraps it, and gives Automodel's groups their eps. Its defaults clip at 1.0, warm up from a "
        "tenth of the rate and end at a hundredth of it, so all three are written.",
        executed="NeMo Automodel 36044ad3: its groups, optimizer and scheduler, unmodified and with GPU imports "
        "stubbed, outside the repository; tests hold a record of what they return",
        by_hand=(
            "add your dataset, dataloader, loss_fn, distributed and checkpoint sections; local_batch_size is yours.",
            "put this folder on PYTHONPATH and set NEMO_ENABLE_USER_MODULES=1, so that model._target_ is found.",
            "search the log for `matched no parameters`: torch.compile of single layers renames parameters.",
        ),
    )

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The three files.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: there are no rows, the optimizer is neither adamw nor adam, a multiplier must be in `forward`,
                or Automodel's scheduler has no such shape.
        """
        require_applicable(target, "automodel", optimizers=tuple(_CLASSES))
        _require(target)
        if _builds(target):
            require_fixed_heads(target, "a model of transformers that is built from its configuration")
        lines = header(target, "automodel", self.about, (*_by_hand(target), *heads_by_hand(target)))
        text = yaml.safe_dump(_configuration(target), sort_keys=False, width=120)
        return {
            CONFIG: commented(lines) + text,
            GROUPS: groups_text(target, lines),
            MODULE: commented(lines)
            + init_text(target)
            + _OPTIMIZER.format(constructor=_CLASSES[target.optimizer])
            + _build(target),
        }


def _require(target: TargetFile) -> None:
    training = target.training
    if training is not None and training.schedule == "inverse-sqrt" and training.floor:
        raise UsageError(
            "automodel's inverse-square-root schedule stops at its minimum rate, the plan's approaches it",
            received=f"floor: {training.floor!r}",
            hint="plan with `floor: 0`",
        )


def _builds(target: TargetFile) -> bool:
    return target.model is not None and target.model.kind == "huggingface"


def _build(target: TargetFile) -> str:
    if not _builds(target) or target.model is None:
        return ""
    return _BUILD.format(name=target.model.name, settings=_nested(target.model.settings))


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with dots as mappings inside mappings."""
    content: dict[str, Any] = {}
    for key, value in settings.items():
        *path, leaf = key.split(".")
        place = content
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = value
    return content


def _base(target: TargetFile, name: str) -> float:
    """The value that each group's multiplier multiplies: that of the base, where it can be."""
    values = [getattr(group, name) for group in target.parameters if group.role != Role.FROZEN]
    given = target.hyperparameters.get(name) or 0.0
    return given if given > 0 else max(values, default=0.0)


def _configuration(target: TargetFile) -> dict[str, Any]:
    rate, decay = _base(target, "learning_rate"), _base(target, "weight_decay")
    training = target.training
    batch = target.size.batch_size if training is None else training.batch_size
    known = training is not None and training.schedule != "own"
    values = target.optimizer_values
    return {
        "step_scheduler": {"global_batch_size": batch, **({} if training is None else {"max_steps": training.steps})},
        **({"model": {"_target_": "hptransfer_automodel.build_model"}} if _builds(target) else {}),
        "optimizer": {
            **_eps(target),
            "lr": rate,
            "weight_decay": decay,
            "betas": [values.get("beta1", 0.9), values.get("beta2", 0.999)],
            "param_group_overrides": [
                _override(group, rate, decay) for group in target.parameters if group.role != Role.FROZEN
            ],
        },
        "lr_scheduler": _scheduler(training, rate, decay),
        # without it Automodel clips at 1.0
        **({"clip_grad_norm": {"max_norm": training.clip or float("inf")}} if known and training is not None else {}),
    }


def _eps(target: TargetFile) -> dict[str, Any]:
    """Who makes the optimizer: torch's class where one eps is enough."""
    groups = [group.eps for group in target.parameters if group.role != Role.FROZEN]
    if len(set(groups)) == 1 and groups[0] is not None:
        return {"_target_": _CLASSES[target.optimizer], "eps": groups[0]}
    return {"_target_": "hptransfer_automodel.optimizer", "group_eps": groups}


def _override(group: ParameterGroup, rate: float, decay: float) -> dict[str, Any]:
    return {
        "pattern": f"^{group.pattern}$",  # Automodel searches, a pattern matches whole names
        "lr_mult": group.learning_rate / rate if rate else 1.0,
        "wd_mult": group.weight_decay / decay if decay else 1.0,
    }


_STYLES = {
    "constant": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "wsd": "WSD",
    "inverse-sqrt": "inverse-square-root",
}


def _scheduler(training: TrainingRecord | None, rate: float, decay: float) -> dict[str, Any]:
    """Automodel's own, which warms up from `init_lr`: that is the rate of the plan's first step."""
    decays = {"start_wd": decay, "end_wd": decay, "wd_incr_style": "constant"}
    if training is None or training.schedule == "own":
        # a scheduler there must be: it is what applies the multipliers
        start = {"lr_decay_style": "constant", "lr_warmup_steps": 0, "init_lr": rate, "max_lr": rate, "min_lr": rate}
        return start | decays
    rising = round((training.warmup or 0.0) * training.steps)
    style: dict[str, Any] = {"lr_decay_style": _STYLES[training.schedule]}
    if training.schedule == "wsd" and not decay_steps(training):
        style = {"lr_decay_style": "constant"}  # Automodel would divide by the length of the decay
    elif training.schedule == "wsd":
        style |= {"wsd_decay_steps": decay_steps(training), "lr_wsd_decay_style": "linear"}
    # its inverse square root is one of the warmup's length, so that has to be the plan's
    early = 0 if training.schedule == "inverse-sqrt" else 1
    return {
        **style,
        "lr_warmup_steps": max(rising - early, 0),
        "lr_decay_steps": training.steps,
        "init_lr": rate / max(rising, 1),
        "max_lr": rate,
        "min_lr": rate * training.floor,
        **decays,
    }


def _by_hand(target: TargetFile) -> Iterator[str]:
    training = target.training
    if training is None or training.schedule == "own":
        yield (
            "lr_scheduler is constant and clip_grad_norm is left out (Automodel then clips at 1.0): those of the tuned "
            "runs are not known. Change both, but keep an lr_scheduler."
        )
    if not _builds(target):
        yield "model._target_ must be a function of your own that builds the model whole and calls init_(model)."
    frozen = [readable(group.pattern) for group in target.parameters if group.role == Role.FROZEN]
    if frozen:
        yield f"set requires_grad to False, else they train at the base's rate: {', '.join(frozen)}."


EXPORTER = _Automodel()
