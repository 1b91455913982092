"""levanter: its optimizer section, for plans with one rate, or with Muon's and Adam's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.counting import from_zero
from hptransfer.handover.decoder import Decoder, decoder_of, require_fixed_heads
from hptransfer.handover.decoder_settings import computed
from hptransfer.handover.header import About, header
from hptransfer.handover.levanter import COMMIT, FILE, PATHS, managed
from hptransfer.handover.parts import Part, places
from hptransfer.handover.switched import near, yaml_file
from hptransfer.handover.trained import Trained, trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.rules import Quantity

_KIMI = {"original": False, "match_rms_adamw": True}
_HINT = (
    "train the standard parameterization there, or choose a format with a rate for each group: olmo-core, torchtitan"
)


class _Levanter:
    """`hptransfer_levanter.yaml`: the optimizer and its schedule, where one rate or Muon's two can hold the plan."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    # values are checked here, since Muon's split holds two rates; inits come with the checkpoint
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        plain=False,
        framework="levanter",
        counted=from_zero,
        read_at=f"stanford-crfm/levanter, commit {COMMIT}",
        itself="scales nothing; its decay mask leaves out norms, embeddings and biases unless it is written, so it is. "
        "Its Llama's init is fixed in the code (initializer_range is not read), so the start comes as a checkpoint.",
        executed=f"levanter {COMMIT} on a CPU (jax 0.7.2): its optimizer configurations, decay mask, Muon's split, one "
        "update and the schedule, on its own Llama; what they returned is kept, and files are compared with that; not "
        "executed: its trainer, checkpoints, Muon's scale",
        by_hand=(
            "save the start that the plan says: build the recipe's model, `hptransfer.load_plan(...).init_(model, "
            "seed=0)`, `model.save_pretrained(FOLDER)`, and name FOLDER as initialize_from_hf with "
            "use_hf_model_config: true; levanter's own draw is another init.",
            "add your data and tracker sections; train_batch_size is sequences per step.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return tuple(_rows(target, decoder_of(target)))

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The YAML.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: levanter cannot hold a row, which the message names.
        """
        decoder = decoder_of(target)
        require_fixed_heads(target, "levanter")
        _require_llama(target, decoder)
        config = {"optimizer": _optimizer(target, decoder), "trainer": _trainer(target)}
        return {FILE: yaml_file(header(target, "levanter", self.about), config)}


def _places(decoder: Decoder) -> Iterator[tuple[Part, ParameterGroup, str]]:
    for part, layer, name in places(decoder.names, decoder.layers):
        if (part, layer) in decoder.rows:
            yield part, decoder.rows[part, layer], name


def _rows(target: TargetFile, decoder: Decoder) -> Iterator[Trained]:
    """The plan in the names of the checkpoint; the start is the checkpoint's."""
    for _, group, name in _places(decoder):
        yield replace(trained(name, group, optimizer=target.optimizer), init_std=None)


def _require_llama(target: TargetFile, decoder: Decoder) -> None:
    does = computed(target, decoder, "levanter")
    if not does.rms or not decoder.gated or does.attention_bias:
        raise UsageError(
            "the format levanter writes for its Llama", received=str(target.model and target.model.name), hint=_HINT
        )
    multiplied = [name for _, group, name in _places(decoder) if group.multiplier != 1]
    if multiplied:
        raise UsageError(
            "levanter's Llama multiplies nothing in forward", received=", ".join(multiplied[:4]), hint=_HINT
        )


def _one(rows: Iterable[tuple[ParameterGroup, str]], quantity: str) -> float | None:
    """The one value of some rows."""
    found = [(float(value), name) for group, name in rows if (value := getattr(group, quantity)) is not None]
    if not found:
        return None
    first, whose = found[0]
    other = [(value, name) for value, name in found if not near(value, first)]
    if other:
        listed = "; ".join(f"{name}: {value:.12g}" for value, name in other[:4])
        raise UsageError(
            f"levanter has one {quantity.replace('_', ' ')} for all parameters of an optimizer",
            received=f"{whose}: {first:.12g}; {listed}",
            hint=_HINT,
        )
    return first


def _optimizer(target: TargetFile, decoder: Decoder) -> dict[str, Any]:
    rows = list(_places(decoder))
    if target.optimizer not in ("adamw", "muon"):
        raise UsageError("the format levanter writes adamw and muon", received=target.optimizer, hint=_HINT)
    muon = target.optimizer == "muon"
    split = [
        (part, name)
        for part, group, name in rows
        if (group.optimizer or "adamw") != ("muon" if managed(part) else "adamw")
    ]
    if muon and split:
        raise UsageError(
            "levanter's Muon trains the linear layers but the readout",
            received=", ".join(name for _, name in split[:4]),
            hint=_HINT,
        )
    if muon and target.muon_scale not in _KIMI:
        raise UsageError(
            f"levanter's Muon multiplies by {' or '.join(_KIMI)}",
            received=f"muon_scale: {target.muon_scale}",
            hint=_HINT,
        )
    first = [(group, name) for part, group, name in rows if not muon or managed(part)]
    rest = [(group, name) for part, group, name in rows if muon and not managed(part)]
    decayed = [(part, group, name) for part, group, name in rows if group.weight_decay]
    values = target.optimizer_values
    optimizer: dict[str, Any] = {"type": "muon" if muon else "adam", "learning_rate": _one(first, "learning_rate")}
    if muon:
        optimizer |= {"adam_lr": _one(rest, "learning_rate"), "momentum": float(values["momentum"])}
        optimizer["use_kimi_scaling"] = _KIMI[str(target.muon_scale)]
    optimizer |= {
        "beta1": float(values["beta1"]),
        "beta2": float(values["beta2"]),
        "epsilon": _one([(group, name) for _, group, name in rows], "eps"),
        "weight_decay": _one([(group, name) for _, group, name in decayed], "weight_decay") or 0.0,
        "default_weight_decay_mask": False,
        "weight_decay_modules": list(dict.fromkeys(PATHS[part].removesuffix(".weight") for part, _, _ in decayed)),
    }
    return optimizer | _schedule(target, muon)


def _schedule(target: TargetFile, muon: bool) -> dict[str, Any]:
    training = target.training
    if training is None or training.schedule == "own" or training.warmup is None:
        return {}
    if training.clip_norm == "scaled" or (muon and training.clip is not None):
        raise UsageError(
            "levanter clips by the global norm, and beside Muon what Adam trains alone",
            received=f"clip: {training.clip}, clip_norm: {training.clip_norm}",
            hint="tune with `clip_norm: global`, and with `clip: null` under Muon",
        )
    kinds = {"constant": "constant", "linear": "linear", "cosine": "cosine", "wsd": "linear"}
    if training.schedule not in kinds:
        raise UsageError("levanter's schedules here are " + ", ".join(kinds), received=training.schedule, hint=_HINT)
    falling = training.decay_share if training.schedule == "wsd" else None
    return {
        "lr_schedule": kinds[training.schedule],
        "min_lr_ratio": training.floor,
        "warmup": _share(training.warmup, training.steps),
        **({} if falling is None else {"decay": _share(falling, training.steps)}),
        "max_grad_norm": 0.0 if training.clip is None else float(training.clip),
    }


def _share(share: float, steps: int) -> int | float:
    """Whole steps; one or none as a share that it cuts to that, since it reads numbers up to 1 as shares."""
    count = round(share * steps)
    return count if count > 1 else (count + 0.5) / steps if count else 0.0


def _trainer(target: TargetFile) -> dict[str, Any]:
    steps = {} if target.training is None else {"num_train_steps": target.training.steps}
    return {**steps, "train_batch_size": target.size.batch_size}


EXPORTER = _Levanter()
