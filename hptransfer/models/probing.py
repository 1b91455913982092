"""What the running model tells, put into what was read of it: writers, norms, factors of `forward`, attention.

The probe speaks of a model at the base; a plan is for another size. What holds for every parameter of one kind there
(the same name but for numbers, the same role) holds for those of the target. What a plan can take into account goes
into the parameters; what it cannot is an objection where the rules cover the axis that changes, and a note elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hptransfer.errors import Finding, UsageError
from hptransfer.models.forward_words import (
    at,
    heads_off,
    movement_off,
    powers_of,
    product_off,
    scale_that_moves,
    some,
    values_of,
)
from hptransfer.models.growth import Repetition
from hptransfer.parameterization.groups import layer_template
from hptransfer.parameterization.notes import attention_note
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.probe.findings import Attention, Factor, Probe, Writer
from hptransfer.sizes import Size

#: up to the first number in a name: the layer
_FIRST_NUMBER = re.compile(r"\D*\d+")
#: how sentences begin that say what a run did not tell
NOT_KNOWN = "not known: "


@dataclass(slots=True)
class _Facts:
    """What is put into the reading of one size.

    Attributes:
        at_base: parameters of the model that was probed, with their roles.
        repetition: what repeats with depth: which place a name is, and which layer it lies in.
        told: what was told of each of them, by its name: fields of the parameter, with values.
        notes: what a plan must say.
        objections: what no plan can be made of.
    """

    at_base: Sequence[Parameter]
    repetition: Repetition
    told: dict[str, dict[str, float | bool]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    objections: list[Finding] = field(default_factory=list)

    def tell(self, names: Collection[str], **values: bool) -> None:
        """Set fields of these parameters."""
        for name in names:
            self.told.setdefault(name, {}).update(values)

    def add(self, names: Collection[str], power: str, value: float) -> None:
        """Add to a power of these parameters."""
        for name in names if value else ():
            known = self.told.setdefault(name, {})
            known[power] = known.get(power, 0.0) + value

    def kinds(self, parameters: Sequence[Parameter]) -> dict[str, tuple[str, Role, frozenset[str]]]:
        """Name -> what is equal for the same parameter in all layers of the same parts, where they give it one role."""
        parts: dict[str, set[str]] = {}
        for parameter in parameters:
            for layer in self.repetition.layers(parameter.name)[:1]:
                parts.setdefault(layer, set()).add(self.repetition.place(parameter.name))
        beside = {layer: frozenset(places) for layer, places in parts.items()}
        return {
            each.name: (
                self.repetition.place(each.name),
                each.role,
                next((beside[layer] for layer in self.repetition.layers(each.name)[:1]), frozenset()),
            )
            for each in parameters
        }

    def spread(self, parameters: Sequence[Parameter]) -> Iterator[Parameter]:
        """The parameters of a size with what was told of their kind at the base.

        Where some of a kind were told otherwise than others (a first layer with a factor), their very names are meant,
        and what the rest of the kind does is not known.
        """
        members_of: dict[tuple[str, Role, frozenset[str]], list[str]] = {}
        for name, kind in self.kinds(self.at_base).items():
            members_of.setdefault(kind, []).append(name)
        kinds = self.kinds(parameters)
        mixed: dict[str, None] = {}
        for parameter in parameters:
            members = members_of.get(kinds[parameter.name], [])
            told = [self.told.get(name, {}) for name in members]
            if told and all(each == told[0] for each in told):
                changes = told[0]
            else:
                changes = self.told.get(parameter.name, {})
                if parameter.name not in members and any(told):
                    mixed[layer_template(parameter.name)] = None
            yield replace(parameter, **changes) if changes else parameter  # type: ignore[arg-type]  # fields by name
        if mixed:
            self.notes.append(
                f"not known: layers of {some(list(mixed))} differ at the base in what `forward` does with them, and "
                "deeper layers are planned without it"
            )


def with_probe(
    parameters: Sequence[Parameter],
    at_base: Sequence[Parameter],
    probe: Probe,
    base: Size,
    size: Size,
    *,
    covers: Collection[str],
    repetition: Repetition,
) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    """The parameters of a size with what the run at the base told, and what a plan must say of it.

    Args:
        parameters: those of the size that is read, with their roles.
        at_base: those of the model that was probed, read alike.
        probe: what its runs told.
        base: size at which every factor of a rule is 1.
        size: size that is read.
        covers: axes ("width", "depth") for which the rules have a power.
        repetition: what repeats with depth.

    Raises:
        UsageError: `forward` does what no rule for a changed axis allows; every such fault at once.
    """
    changed = frozenset(axis for axis in ("width", "depth") if getattr(base, axis) != getattr(size, axis))
    facts = _Facts(at_base, repetition)
    known = frozenset(covers)
    for writer in probe.writers:
        _put_writer(facts, writer, refuse="depth" in known & changed)
    for factor in probe.factors:
        _put_factor(facts, factor, probe, covers=known, changed=changed)
    _put_attention(facts, probe, base, size)
    _put_product(facts, probe, base)
    if "width" in known & changed:
        facts.notes += _narrow(facts.at_base, probe)
        _refuse_both_ways(facts, probe)
    if "depth" in known & changed:
        facts.notes += _layers(at_base, parameters, base, size)
    moving = map(movement_off, probe.movements) if "width" in changed else ()
    facts.notes += [f"{off.said}: {off.repair}" for off in moving]
    _put_stream(facts, probe, covers=known, changed=changed)
    joined = tuple(facts.spread(parameters))
    facts.notes += [NOT_KNOWN + sentence for sentence in probe.unknown]
    if facts.objections:
        raise UsageError.of(facts.objections)
    return joined, tuple(dict.fromkeys(facts.notes))


def _put_writer(facts: _Facts, writer: Writer, *, refuse: bool) -> None:
    """The residual branch's factor belongs behind a norm, where there is one: a norm removes any before it."""
    if not writer.normed:
        return
    if not writer.norm:
        without = f"{some(writer.parameters)}: a norm without a gain stands behind them"
        if refuse:
            rule = "a depth rule needs a weight or a gain that scales what a block adds to the residual stream"
            hint = "give the norm a gain, keep the depth at the base's, or use `mup`, which has no depth rule"
            facts.objections.append(Finding(rule, without, hint))
        facts.tell(writer.parameters, writes_residual=False)
        return
    facts.tell(writer.parameters, writes_residual=False)
    facts.tell(writer.norm, writes_residual=True, zero_centred=writer.zero_centred)
    facts.notes.append(
        f"a norm stands between {some(writer.parameters)} and the residual stream: a factor of the branch is put into "
        f"{some(writer.norm)}"
    )


def _put_factor(
    facts: _Facts, factor: Factor, probe: Probe, *, covers: frozenset[str], changed: frozenset[str]
) -> None:
    if factor.purpose in ("normalizer", "attention"):
        return
    powers = {"width": factor.width_power, "depth": factor.depth_power}
    followed = {axis: power for axis, power in powers.items() if power != 0}
    if not followed:
        return
    text = powers_of(factor)
    known = all(power is not None for power in followed.values())
    weights = [each for each in facts.at_base if each.name in factor.parameters]
    frozen = [each.name for each in weights if each.role is Role.FROZEN]
    if known and factor.purpose in ("output", "input") and weights and not frozen:
        _take(facts, factor, covers, tied=any(each.role is Role.TIED_EMBEDDING for each in weights))
        facts.notes.append(_taken(factor, text, covers))
        return
    if known and probe.product is not None and factor.width_power == -1:
        facts.notes.append(
            f"`forward` multiplies a product of activations by {text} {at(factor.where)}, as a readout's"
        )
        return
    concerned = [axis for axis in followed if axis in covers and axis in changed]
    rule = "`forward` must not multiply by a power of a changing size that no weight can absorb"
    received = f"{text} {at(factor.where)}, values {values_of(factor)}"
    if frozen:
        received += f"; behind it only {some(frozen)}, frozen"
    if concerned:
        value = "" if factor.values[0] is None else f", {factor.values[0]:.6g}"
        hint = (
            "where it makes up for a sum over the width that no run shows (standardised or generated weights), leave "
            f"it and write `probe: false`; elsewhere replace it by its value at the base{value}, at every size"
        )
        facts.objections.append(Finding(rule, received, hint))
    else:
        facts.notes.append(f"`forward` multiplies by {received}; it is left as it is")


def _take(facts: _Facts, factor: Factor, covers: frozenset[str], *, tied: bool) -> None:
    """Tell the plan what `forward` multiplies by itself, along axes that have a rule: elsewhere the model is left."""
    wide = (factor.width_power or 0.0) if "width" in covers else 0.0
    deep = (factor.depth_power or 0.0) if "depth" in covers else 0.0
    facts.add(factor.parameters, "lookup_width" if tied and factor.use == "lookup" else "forward_width", wide)
    facts.add(factor.parameters, "forward_depth", deep)


def _taken(factor: Factor, text: str, covers: frozenset[str]) -> str:
    followed = [axis for axis, power in (("width", factor.width_power), ("depth", factor.depth_power)) if power]
    side = "output" if factor.purpose == "output" else "input"
    sentence = f"`forward` multiplies the {side} of {some(factor.parameters)} by {text} {at(factor.where)}"
    if all(axis in covers for axis in followed):
        return f"{sentence}; the plan takes it into account in their init, rate, decay and eps"
    return f"{sentence}; there is no rule for {' or '.join(followed)} here, so it is left as it is"


def _put_attention(facts: _Facts, probe: Probe, base: Size, size: Size) -> None:
    for site in probe.attention:
        if site.normed:
            facts.tell(site.queries, scales_attention=False)
        if (said := scale_that_moves(site, probe)) is not None:
            facts.notes.append(said)
        elif base.width != size.width and (off := heads_off(site, probe)) is not None:
            facts.notes.append(f"{_scale_at(site, probe, base, size)}{off.said}: {off.repair}")


def _scale_at(site: Attention, probe: Probe, base: Size, size: Size) -> str:
    """What attention logits must be scaled by at this size, where heads grow as the model does; "" where not."""
    small, large = site.head_dims
    if site.normed or not math.isclose(large / small, probe.wide[0] / probe.base[0]):
        return ""
    at_base, here = (max(1, round(small * each.width / probe.base[0])) for each in (base, size))
    note = attention_note(here, at_base)
    return f"{note}; " if note else ""


def _put_product(facts: _Facts, probe: Probe, base: Size) -> None:
    beside = any(each.role in (Role.READOUT, Role.TIED_EMBEDDING) for each in facts.at_base)
    if (off := product_off(probe, base.width, beside=beside)) is not None:
        facts.notes.append(f"{off.said}: {off.repair}")


def with_unknown(error: UsageError, notes: Sequence[str]) -> UsageError:
    """A refusal that also says what the run of the model did not tell, which may be why.

    Args:
        error: what was refused, with its findings.
        notes: of the reading, among them what is not known.
    """
    unknown = "; ".join(note for note in notes if note.startswith(NOT_KNOWN))
    if not unknown:
        return error
    return UsageError.of(replace(each, received=f"{each.received or ''}; {unknown}") for each in error.findings)


def _refuse_both_ways(facts: _Facts, probe: Probe) -> None:
    """One tensor that reads in and, transposed, reads out: its two uses want two multipliers."""
    roles = (Role.EMBEDDING, Role.READOUT)
    names = [each.name for each in facts.at_base if each.role in roles and each.name in probe.both_ways]
    if names:
        rule = "a weight must not read in and, transposed, read out"
        hint = "use two weights: no published rule covers a matrix with one growing axis in both places"
        facts.objections.append(Finding(rule, some(names), hint))


def _layers(at_base: Sequence[Parameter], parameters: Sequence[Parameter], base: Size, size: Size) -> list[str]:
    """Where the depth argument is no multiple of the number of layers, rules for depth count otherwise."""

    def count(of: Sequence[Parameter]) -> int:
        return len({found[0] for each in of if each.in_block and (found := _FIRST_NUMBER.match(each.name))})

    before, after = count(at_base), count(parameters)
    if not before or after * base.depth == before * size.depth:
        return []
    return [
        f"the model has {before} layers at depth {base.depth} and {after} at depth {size.depth}: rules for depth take "
        f"the depth's growth, {size.depth / base.depth:g}, for that of the layers, which is {after / before:g}; let "
        "the depth argument be the number of layers, or a multiple of it"
    ]


def _narrow(at_base: Sequence[Parameter], probe: Probe) -> list[str]:
    """Matrices that are planned as readouts although other weights read a fixed number of their outputs.

    Measured on ELECTRA's head, width 64 to 512 (benchmarks/transformers_gate.py): where a norm stands behind such a
    matrix, its output's change grows as width^0.3 in the first step by a readout's rule, as width^0.25 by a hidden
    weight's.
    """
    seen = frozenset(probe.readouts)
    inner = [each.name for each in at_base if each.role is Role.READOUT and seen and each.name not in seen]
    if not inner:
        return []
    return [
        f"other weights read the outputs of {some(inner)}, whose number does not grow with the width: no published "
        "rule covers that; it is planned as a readout, which is not flat where a norm stands behind it: let its "
        "outputs grow with the width"
    ]


def _put_stream(facts: _Facts, probe: Probe, *, covers: frozenset[str], changed: frozenset[str]) -> None:
    if probe.repeated_use and "depth" in changed:
        shared = f"layers share their parameters ({some(probe.repeated_use)} are used more often the deeper the model)"
        if "depth" in covers:
            facts.objections.append(
                Finding(
                    "a depth rule needs layers with parameters of their own",
                    shared,
                    "keep the depth at the base's, or use `mup`, which has no depth rule",
                )
            )
        else:
            facts.notes.append(f"{shared}; no published rule covers that, and none is applied")
    if probe.stream_norms and "depth" in changed and "depth" in covers:
        facts.notes.append(
            f"the residual stream itself is normalised after each sum ({some(probe.stream_norms)}): rules for depth "
            "were derived for blocks that normalise first, so a change of depth rests on no published evidence here"
        )
