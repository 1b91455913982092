"""A target as torchtitan's own Llama3 trains it: names, groups and starts, and what torchtitan cannot hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import Decoder, decoder_of, require_fixed_heads
from hptransfer.handover.parts import FUSED, Names, Part
from hptransfer.handover.trained import EXACT, Trained, at_rate_times
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.moved_multiplier import with_multiplier
from hptransfer.parameterization.rules import SHAPE_FACTORS

LAYER = "layers.{layer}."


def _named(qkv: Names) -> Names:
    """Part -> full name, in the order in which the model is built."""
    return {
        Part.EMBEDDING: "tok_embeddings.weight",
        Part.ATTENTION_NORM: f"{LAYER}attention_norm.weight",
        **qkv,
        Part.ATTENTION_OUT: f"{LAYER}attention.wo.weight",
        Part.MLP_NORM: f"{LAYER}ffn_norm.weight",
        Part.GATE: f"{LAYER}feed_forward.w1.weight",
        Part.DOWN: f"{LAYER}feed_forward.w2.weight",
        Part.UP: f"{LAYER}feed_forward.w3.weight",
        Part.FINAL_NORM: "norm.weight",
        Part.READOUT: "lm_head.weight",
    }


_QKV = f"{LAYER}attention.qkv_linear."
#: `fuse_qkv=True`, the default of its builder
FUSED_NAMES = _named({Part.QUERY_KEY_VALUE: f"{_QKV}wqkv.weight"})
#: `fuse_qkv=False`
SEPARATE_NAMES = _named({Part.QUERY: f"{_QKV}wq.weight", Part.KEY: f"{_QKV}wk.weight", Part.VALUE: f"{_QKV}wv.weight"})
#: activation checkpointing, which is on by default, puts this into the names that patterns are matched with
WRAPPED = r"(?:_checkpoint_wrapped_module\.)?"

OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam"}
#: `muon_scale` -> DistMuon's `adjust_lr_fn`
ADJUSTED = {"original": "original", "match_rms_adamw": "match_rms_adamw", "spectral": "spectral_unclamped"}
#: schedule -> (decay_ratio, decay_type); None: from the end of the warmup on
SCHEDULES: Mapping[str, tuple[float | None, str]] = {
    "constant": (0.0, "linear"),
    "linear": (None, "linear"),
    "cosine": (None, "cosine"),
    "wsd": (math.nan, "linear"),
}
#: keys of a Llama's configuration that change its function -> the values that torchtitan's Llama3 has
_AS_HERE: Mapping[str, tuple[object, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "attention_dropout": (0, 0.0),
    "rope_scaling": (None,),
    "rope_scaling.rope_type": ("default",),
    "rope_scaling.type": ("default",),
    "rope_parameters.rope_type": ("default",),
}


@dataclass(frozen=True, slots=True)
class TitanPlan:
    """A target in torchtitan's form.

    Attributes:
        target: what was planned, in any gauge.
        decoder: the model of the target, part by part.
        names: part -> full name there.
    """

    target: TargetFile
    decoder: Decoder
    names: Names

    @classmethod
    def of(cls, target: TargetFile) -> TitanPlan:
        """Reads a target, and refuses what torchtitan cannot hold."""
        decoder = decoder_of(target)
        require_fixed_heads(target, "torchtitan")
        _require_llama(target, decoder)
        _require_training(target)
        plan = cls(target, decoder, SEPARATE_NAMES if "muon" in target.optimizer else FUSED_NAMES)
        if plan.names is FUSED_NAMES and not _can_fuse(decoder):
            plan = replace(plan, names=SEPARATE_NAMES)
        for part in plan.parts:
            for layer in plan.layers(part):
                _require_row(plan.group(part, layer), target)
        if plan.names is SEPARATE_NAMES:
            _require_one_start(plan)
        if plan.muon:
            _require_one_group(plan)
        return plan

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the model has; a tied table is one parameter, as it is in torchtitan."""
        return tuple(part for part in self.names if not (self.decoder.tied and part is Part.READOUT))

    @property
    def muon(self) -> tuple[Part, ...]:
        """What DistMuon trains, empty where the optimizer is another."""
        return tuple(part for part in self.parts if self.group(part, self.layers(part)[0]).optimizer == "muon")

    def layers(self, part: Part) -> tuple[int | None, ...]:
        """Numbers of the blocks that have a part; None of one outside them."""
        return tuple(range(self.decoder.layers)) if "{layer}" in self.names[part] else (None,)

    def group(self, part: Part, layer: int | None) -> ParameterGroup:
        """The row of a part, with nothing left in forward."""
        group = with_multiplier(self.decoder.row(part, layer), 1.0, self.target.optimizer)
        return group if group.optimizer else replace(group, optimizer=self.target.optimizer)

    def trained(self) -> Iterator[Trained]:
        """Each parameter; Muon's rate is the one that moves the weights, with the factor of the matrix's shape."""
        shapes = self.shapes
        for each in self.decoder.in_names(self.names, lambda _, row: with_multiplier(row, 1.0, self.target.optimizer)):
            if each.optimizer != "muon":
                yield replace(each, optimizer=each.optimizer or self.target.optimizer)
                continue
            rows, columns = shapes[each.name]
            scale = str(self.target.muon_scale)
            factor = SHAPE_FACTORS[scale](rows, columns)
            # DistMuon decays by the rate that it was given, so the coefficient is that of the decay per step
            yield replace(at_rate_times(each, factor), optimizer=muon_named(ADJUSTED[scale]))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by its name."""
        decoder = self.decoder
        shapes = {}
        for part in self.parts:
            for layer in self.layers(part):
                shape = decoder.shape(part, layer)
                shapes[self.names[part].replace("{layer}", str(layer))] = shape
        return shapes

    def pattern(self, part: Part, layers: Iterable[int | None] | None) -> str:
        """What matches the whole names of a part, of some layers, or of all: None."""
        number = r"\d+" if layers is None else f"(?:{'|'.join(map(str, layers))})"
        escaped = self.names[part].replace(".", r"\.")
        return "^" + escaped.replace(r"{layer}\.", number + r"\." + WRAPPED) + "$"


def muon_named(adjusted: str) -> str:
    """DistMuon by its factor of the shape, so that another factor is another optimizer.

    Args:
        adjusted: what it has as `adjust_lr_fn`.
    """
    return f"DistMuon with adjust_lr_fn {adjusted}"


def _can_fuse(decoder: Decoder) -> bool:
    """Whether query, key and value have the same values in each layer, so that one matrix can hold them."""
    parts = (Part.QUERY_KEY_VALUE, *FUSED[Part.QUERY_KEY_VALUE])
    for layer in range(decoder.layers):
        rows = [decoder.rows[part, layer] for part in parts if (part, layer) in decoder.rows]
        values = {
            (row.init, row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier) for row in rows
        }
        if len(values) != 1:
            return False
    return True


def _require_llama(target: TargetFile, decoder: Decoder) -> None:
    """What torchtitan's Llama3 computes must be what the user's model does."""
    model = target.model
    if model is None or model.kind != "huggingface" or model.name != "llama":
        raise UsageError(
            "the format torchtitan writes its Llama3, so the recipe's model must be a Llama of transformers",
            received="a target that says nothing of its model: an earlier version wrote it, or Python without a recipe"
            if model is None
            else " ".join(filter(None, (model.kind, model.name))),
            hint="`hptransfer scale` writes the target again, with the recipe's model"
            if model is None
            else "name `config: llama` under `model` of the recipe, or choose the format torch",
        )
    odd = [
        f"{key}: {model.settings[key]!r}"
        for key, here in _AS_HERE.items()
        if model.settings.get(key, here[0]) not in here
    ]
    if decoder.heads is None:
        odd.append("num_attention_heads: not said")
    extra = [part.value for part in (Part.QUERY_NORM, Part.QUERY_BIAS, Part.UP_BIAS) if decoder.has(part)]
    if odd or extra:
        raise UsageError(
            "torchtitan's stock Llama3 must compute what the model of the recipe does",
            received=", ".join(odd + extra),
            hint="leave that out of the model, or choose the format torch or huggingface",
        )


def _require_training(target: TargetFile) -> None:
    training = target.training
    optimizers = {group.optimizer or target.optimizer for group in target.parameters}
    if not optimizers <= {*OPTIMIZERS, "muon"}:
        odd = [group.pattern for group in target.parameters if (group.optimizer or target.optimizer) not in OPTIMIZERS]
        raise UsageError(
            f"torchtitan has the optimizers {', '.join(OPTIMIZERS)} and muon",
            received=f"{', '.join(sorted(optimizers))} of {', '.join(odd[:4])}",
            hint="plan for one of them, or choose the format torch",
        )
    if "muon" in optimizers and target.muon_scale not in ADJUSTED:
        raise UsageError(
            f"DistMuon multiplies rates by one of {', '.join(ADJUSTED)}",
            received=f"muon_scale: {target.muon_scale}",
            hint="plan with `muon_scale` of that name under `parameterization` in the recipe",
        )
    if training is None:
        return
    if training.clip_norm == "scaled":
        raise UsageError(
            "torchtitan clips by the norm of all gradients together",
            received="clip_norm: scaled",
            hint="tune with `clip_norm: global`, or clip with `hptransfer.load_plan(...).clip_grad_norm_`",
        )
    if training.schedule not in (*SCHEDULES, "own"):
        raise UsageError(
            f"torchtitan has the schedules {', '.join(SCHEDULES)}",
            received=f"schedule: {training.schedule}",
            hint="tune with one of them; wsd is the nearest: a rate that stays, then falls",
        )


def _require_row(group: ParameterGroup, target: TargetFile) -> None:
    if group.learning_rate == 0 or group.init == "kept" or (group.init == "constant" and group.init_value is None):
        raise UsageError(
            "each parameter must be trained, and start in a way that the plan knows",
            received=f"{group.pattern} ({group.role}): init {group.init}, learning rate {group.learning_rate!r}",
            hint="choose the format torch, which leaves frozen and kept parameters alone",
        )
    if group.optimizer != "muon" and group.eps is None:
        raise UsageError("AdamW needs an eps", received=f"{group.pattern}: none, with {target.optimizer}")


def _require_one_start(plan: TitanPlan) -> None:
    """Key and value are built from one configuration, `wkv`."""
    for layer in range(plan.decoder.layers):
        key, value = plan.group(Part.KEY, layer), plan.group(Part.VALUE, layer)
        if start_of(key) != start_of(value):
            raise UsageError(
                "torchtitan starts key and value in one way, so their init must be equal",
                received=f"{key.pattern}: {start_of(key)}; {value.pattern}: {start_of(value)}",
                hint="give both the same init in the recipe, or choose the format torch",
            )


def _require_one_group(plan: TitanPlan) -> None:
    """DistMuon has one group of parameters, so one rate and one decay."""
    first = plan.group(plan.muon[0], 0)
    for part in plan.muon:
        for layer in plan.layers(part):
            group = plan.group(part, layer)
            for quantity in ("learning_rate", "weight_decay"):
                one, other = getattr(first, quantity), getattr(group, quantity)
                if not math.isclose(one, other, rel_tol=EXACT):
                    raise UsageError(
                        "torchtitan's DistMuon has one rate and one decay for all matrices that it trains",
                        received=f"{quantity} of {first.pattern} is {one!r}, of {group.pattern} {other!r}",
                        hint="plan muon with `mup`, whose matrices have one rate; for `completep` choose the format "
                        "torch, or the optimizer adamw",
                    )


def start_of(group: ParameterGroup) -> str:
    """How a parameter starts, as Python text."""
    if group.init_std is not None:
        return f"partial(nn.init.normal_, std={group.init_std!r})"
    constants = {"ones": "nn.init.ones_", "zeros": "nn.init.zeros_"}
    return constants.get(group.init, f"partial(nn.init.constant_, val={group.init_value!r})")
