"""Megatron-LM: arguments with muP's switch, and a Python file for what flags cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export._megatron_flags import decimal, muon_rate, plan_flags, python_text, require_known
from hptransfer.handover.counting import from_zero
from hptransfer.handover.decoder import Decoder, base_head, decoder_of
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.megatron import (
    ATTENTION,
    COMMIT,
    ENGINE_NAMES,
    NAMES,
    Flags,
    Python,
    fan_in,
    flags_text,
    parameters,
    trained_by,
)
from hptransfer.handover.parts import Names, Part
from hptransfer.handover.trained import Reading, Trained, differences
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup, layer_template
from hptransfer.parameterization.moved_multiplier import with_multiplier
from hptransfer.parameterization.notes import attention_scale
from hptransfer.parameterization.rules import Quantity

_BY_HAND = (
    'source megatron_args.sh, then put "${HPTRANSFER_ARGS[@]}" behind every other argument of pretrain_gpt.py.',
    "Remove from your own arguments flags of the same matter that take no value, and --decoupled-lr, "
    "--init-method-xavier-uniform and --lr-warmup-fraction. Data, tokenizer, --micro-batch-size, precision, "
    "parallelism and checkpoints stay yours.",
)
_PYTHON = (
    "In pretrain_gpt.py, directly after `args = parse_and_validate_args(...)`, add `import hptransfer_megatron; "
    "hptransfer_megatron.apply(args)`; Megatron has no flag for this. In Megatron-Bridge: "
    "hptransfer_megatron.bridge(config)."
)
_EXTERNAL = (
    "Your command's own --init-method-std, --mup-base-head-dim (the base's; without it the base is another model), "
    "--mup-embedding-mult and --mup-output-mult stay as in the runs that were tuned, and so do values that were not "
    "searched: they are not written.",
)
_FACTORY = (
    "The recipe names a model of your own: see that Megatron's, by the flags below, computes the same; of activation, "
    "norms and rotary positions only names could be read."
)
#: way of writing -> what the header says of it
_WAYS = {
    "flags": "--use-mup scales by itself; base values are written, and no scaled value beside the switch.",
    "python": "--use-mup scales rates, eps and init by itself; base values are written. hptransfer_megatron.py adds "
    "what the switch has no rule for.",
    "final": "--use-mup stands with its base width at this model's own, where it scales nothing: it gives the readout "
    "an init and the logits a factor of their own. Final values of this size are written, the rates by "
    "hptransfer_megatron.py.",
}


@dataclass(frozen=True, slots=True)
class _Written:
    """How a target is written: the way, the flags, the Python file, and the plan in the form that it then has."""

    way: str
    flags: Flags
    python: Python | None
    planned: tuple[Trained, ...]


class _Megatron:
    """`megatron_args.sh` with muP's switch, and `hptransfer_megatron.py` where flags cannot hold the plan."""

    gauge: Gauge = "multipliers"
    applies = frozenset({Quantity.INIT_STD, Quantity.MULTIPLIER, Quantity.LEARNING_RATE, Quantity.EPS})
    holds = frozenset({Quantity.WEIGHT_DECAY})

    about = About(
        plain=False,
        framework="Megatron-LM",
        counted=from_zero,
        read_at=f"commit {COMMIT}",
        itself="with --use-mup, rates, eps and init of hidden matrices, logits and attention are scaled.",
        executed=f"Megatron-LM {COMMIT} on a CPU, unmodified: its arguments, model, init, groups and schedule; "
        "Megatron-Bridge 067f987d too, its provider, optimizer set-up and scheduler; Muon's own package was not",
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return _written(target).planned

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The arguments, and the Python file where there must be one.

        Args:
            target: in the gauge "multipliers".

        Raises:
            UsageError: Megatron-LM cannot hold the plan; the message names the rows.
        """
        written = _written(target)
        hand = _BY_HAND + ((_PYTHON,) if written.python else ()) + (() if target.parameters else _EXTERNAL)
        if target.parameters and (target.model is None or target.model.kind == "factory"):
            hand += (_FACTORY,)
        about = replace(self.about, itself=_WAYS[written.way], by_hand=hand)
        lines = commented(header(target, "megatron", about))
        files = {"megatron_args.sh": f"{lines}\nHPTRANSFER_ARGS=(\n{flags_text(written.flags)})\n"}
        if written.python is not None:
            files["hptransfer_megatron.py"] = lines + python_text(written.python)
        return files


def _written(target: TargetFile) -> _Written:
    """The first way of writing that Megatron makes the plan of."""
    require_known(target)
    if not target.parameters:
        return _external(target)
    decoder = decoder_of(target)
    planned = tuple(_planned(target, decoder))
    left: list[str] = []
    for way in ("flags", "python", "final"):
        flags = plan_flags(target, decoder, {each.name: each for each in planned}, switch=way != "final")
        python = None if way == "flags" else _python(flags, planned, rates=way == "final")
        try:
            reading = Reading(tuple(trained_by(flags, python)), "")
        except UsageError:
            continue
        found = differences(planned, reading)
        left = [each.sentence for each in found]
        if not found:
            return _Written(way, flags, python, planned)
    raise UsageError(
        "Megatron-LM must be able to hold every row of the plan",
        received="; ".join(left),
        hint="it has one std for matrices that read the residual stream, one for those that write it and one for both "
        "ends, constants for vectors, and Muon for every matrix between the ends: `init: own` in the recipe, AdamW "
        "instead of Muon, or the formats torchtitan and olmo-core hold more",
    )


def _planned(target: TargetFile, decoder: Decoder) -> Iterator[Trained]:
    """The plan in Megatron's names and form: a factor on logits, none elsewhere."""
    ends = [decoder.rows.get((part, None)) for part in (Part.EMBEDDING, Part.READOUT)]

    def form(part: Part, group: ParameterGroup) -> ParameterGroup:
        if part is Part.READOUT:
            return _as_the_table(group, ends[0], target.optimizer)
        if part is Part.EMBEDDING and decoder.tied:
            return group
        return muon_rate(part, with_multiplier(group, 1.0, target.optimizer), target, decoder)

    yield from decoder.in_names(_names(decoder), form)
    dim = _dim(decoder)
    yield Trained(ATTENTION, None, 0.0, 0.0, None, attention_scale(dim, base_head(target, dim)) * dim**0.5)


def _dim(decoder: Decoder) -> int:
    if decoder.head_dim is None or decoder.heads is None:
        raise UsageError(
            "the model's settings must say how many heads it has, which Megatron-LM asks",
            received=", ".join(decoder.settings) or "no settings",
            hint="give `n_head` or `num_attention_heads` among the settings of `model`",
        )
    return decoder.head_dim


def _as_the_table(group: ParameterGroup, table: ParameterGroup | None, optimizer: str) -> ParameterGroup:
    """The readout with the token table's std, which Megatron gives both; the logits' factor takes up the rest."""
    if table is None or not table.init_std or not group.init_std or _same(table.init_std, group.init_std):
        return group
    return with_multiplier(group, group.multiplier * group.init_std / table.init_std, optimizer)


def _names(decoder: Decoder) -> Names:
    return {part: name for part, name in NAMES.items() if part is not (Part.UP if decoder.gated else Part.GATE_UP)}


def _python(flags: Flags, planned: Iterable[Trained], *, rates: bool) -> Python:
    """What a Python file must add to the flags.

    Args:
        flags: those that are written beside the file.
        planned: what each parameter is to be trained with.
        rates: whether every rate and eps is written; else only those that the switch leaves as they are.
    """
    base, floor = flags["weight-decay"], flags["min-lr"] / flags["lr"]
    names = {name: part for part, name in parameters(flags)}
    own = {each.name: each for each in trained_by(flags, None)}
    families: dict[str, dict[str, float]] = {}
    stds: dict[int, float] = {}
    kept = True  # whether Megatron's own stds are the plan's
    for each in planned:
        if each.name not in names or each.name not in own:
            continue
        values = {"wd_mult": decimal(each.weight_decay / base) if base else 1.0}
        if rates or not _same(each.learning_rate, own[each.name].learning_rate):
            values |= {"max_lr": decimal(each.learning_rate), "min_lr": decimal(each.learning_rate * floor)}
        if each.eps is not None and (rates or not _same(each.eps, own[each.name].eps)):
            values["eps"] = decimal(each.eps)
        if families.setdefault(layer_template(each.name), values) != values:
            raise UsageError(
                "Megatron-LM numbers the layers of each pipeline stage anew, so all must have the same values",
                received=each.name,
            )
        writes = names[each.name] in (Part.ATTENTION_OUT, Part.DOWN)
        if writes and each.init_std is not None:
            stds[fan_in(flags, names[each.name])] = each.init_std
            kept = kept and _same(each.init_std, own[each.name].init_std)
    overrides: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name, values in families.items():
        overrides.setdefault(tuple(sorted(values.items())), []).extend(_patterns(name))
    return Python([(tuple(patterns), dict(values)) for values, patterns in overrides.items()], {} if kept else stds)


def _same(one: float, other: float | None) -> bool:
    return other is not None and abs(one - other) <= 1e-12 * abs(one)


def _patterns(name: str) -> Iterator[str]:
    """Patterns of a parameter in all layers, under any wrapper and in both implementations."""
    yield f"*{name}"
    yield from (f"*{name.replace(ours, theirs)}" for ours, theirs in ENGINE_NAMES.items() if ours in name)


def _external(target: TargetFile) -> _Written:
    """Without rows: Megatron's own rules carry the values of the base on."""
    flags = plan_flags(target, None, {}, switch=True)
    grown, decay = target.size.width / target.base.width, flags["weight-decay"]
    # which ends the model has, the command says; here they have names of their own
    model = Flags({**flags, "untie-embeddings-and-output-weights": True})
    planned = []
    for part, name in parameters(model):
        vector = part.name.endswith(("_NORM", "_BIAS"))
        hidden = not vector and part not in (Part.EMBEDDING, Part.READOUT, Part.POSITIONS)
        # Table 8 of Tensor Programs V: Adam's hidden rate falls, SGD's others rise; Muon's own scale holds
        scale = {"adamw": 1 / grown if hidden else 1.0, "sgd": 1.0 if hidden else grown}.get(target.optimizer, 1.0)
        managed = target.optimizer == "muon" and (hidden or part is Part.POSITIONS)
        eps = None if managed or target.optimizer == "sgd" else flags["adam-eps"]
        shrunk = hidden and target.optimizer == "adamw"
        planned.append(
            Trained(
                name,
                None,
                flags["lr"] * scale,
                0.0 if vector else decay,
                eps / grown if eps is not None and shrunk else eps,
                1 / grown if part is Part.READOUT else 1.0,
                target.optimizer if managed or target.optimizer != "muon" else "adamw",
            )
        )
    return _Written("flags", flags, None, tuple(planned))


EXPORTER = _Megatron()
