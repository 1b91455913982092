"""The decoder that a target's rows describe, part by part, for frameworks that build the model themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.parts import FUSED, KNOWN, Names, Part, places
from hptransfer.handover.trained import Trained, trained
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.notes import attention_scale, noted_heads
from hptransfer.parameterization.roles import Role


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder at the target's size.

    Attributes:
        width: numbers per position in the residual stream.
        layers: how many blocks there are.
        heads: query heads per block; None where the recipe does not say it.
        key_value_heads: as many as `heads` without grouped queries; None where that is not known.
        head_dim: numbers per head; None where it is not known.
        feed_forward: width inside the MLP.
        vocabulary: rows of the token table.
        context: tokens per sequence; None where it is not known.
        gated: whether the MLP multiplies `up` by a gate.
        tied: whether the token table reads out as well.
        settings: of the model in the recipe, for what else a framework asks (`rope_theta`, `rms_norm_eps`, ...).
        names: the user's own names.
        rows: (part, layer) -> the plan's group; layer is None outside blocks.
    """

    width: int
    layers: int
    heads: int | None
    key_value_heads: int | None
    head_dim: int | None
    feed_forward: int
    vocabulary: int
    context: int | None
    gated: bool
    tied: bool
    settings: Mapping[str, Any]
    names: Names
    rows: Mapping[tuple[Part, int | None], ParameterGroup] = field(default_factory=dict)

    def has(self, part: Part) -> bool:
        """Whether the model has a part, by itself or in a matrix with others."""
        return any(of == part or part in FUSED.get(of, ()) for of, _ in self.rows)

    def row(self, part: Part, layer: int | None = None) -> ParameterGroup:
        """The plan's group of a part; of one that the user's model holds together with others, that of all.

        Args:
            part: which parameter of the decoder is asked for.
            layer: number of the block from 0; None outside blocks.

        Raises:
            UsageError: the parts of a matrix that the framework holds as one are planned differently, or there is no
                such part.
        """
        if (part, layer) in self.rows:
            return self.rows[part, layer]
        whole = next((of for of, parts in FUSED.items() if part in parts and (of, layer) in self.rows), None)
        if whole is not None:
            return self.rows[whole, layer]
        members = [self.rows[of, layer] for of in FUSED.get(part, ()) if (of, layer) in self.rows]
        if not members:
            raise UsageError(
                "the framework's model must have the parts of the user's", received=f"no {part} in {self._listed}"
            )
        values = {(each.init_std, each.learning_rate, each.weight_decay, each.eps, each.multiplier) for each in members}
        if len(values) > 1:
            raise UsageError(
                f"{part} are one matrix in this framework, so they must have the same init, rate, decay and eps",
                received=", ".join(each.pattern for each in members),
                hint="export to a framework that holds them apart, or leave `attention_multiplier` out",
            )
        return members[0]

    @property
    def theta(self) -> float:
        """Base of the rotations; transformers' default where nothing is recorded."""
        return next((float(self.settings[key]) for key in THETA if key in self.settings), 10_000.0)

    def norm_eps(self, default: float) -> float:
        """The eps of all norms.

        Args:
            default: of the family, where nothing is recorded.
        """
        return next((float(self.settings[key]) for key in NORM_EPS if key in self.settings), default)

    def shape(self, part: Part, layer: int | None = None) -> tuple[int, ...]:
        """Shape of a part, of one that is a matrix of several together: rows on rows.

        Args:
            part: which parameter of the decoder is asked for.
            layer: number of the block from 0; None outside blocks.
        """
        members = [self.rows[of, layer].shape for of in FUSED.get(part, ()) if (of, layer) in self.rows]
        if (part, layer) in self.rows or not members:
            return self.row(part, layer).shape
        return (sum(shape[0] for shape in members), *members[0][1:])

    @property
    def _listed(self) -> str:
        return ", ".join(dict.fromkeys(part.value for part, _ in self.rows))

    def in_names(
        self, names: Names, form: Callable[[Part, ParameterGroup], ParameterGroup] = lambda _, group: group
    ) -> Iterator[Trained]:
        """The plan in a framework's names; parts that the user's model lacks are left out.

        Args:
            names: part -> what the framework calls it.
            form: brings a part's group into the form that the framework has.

        Raises:
            UsageError: the framework has no name for a part of the user's model.
        """
        covered = {part for of in names for part in (of, *FUSED.get(of, ()))}
        lost = [part for part in dict.fromkeys(of for of, _ in self.rows) if not {part, *FUSED.get(part, ())} & covered]
        if lost:
            raise UsageError(
                "the framework's model must have every part of the user's",
                received=f"it has no {', '.join(lost)}",
                hint="choose another format, or train a model without it",
            )
        for part, layer, name in places(names, self.layers):
            if self.has(part) or any(self.has(of) for of in FUSED.get(part, ())):
                yield trained(name, form(part, self.row(part, layer)))


def decoder_of(target: TargetFile) -> Decoder:
    """The decoder of a target whose model has names that are known.

    Args:
        target: planned in any gauge, with the model's own names.

    Raises:
        UsageError: the target has no rows, or its model's names are those of no decoder that is known.
    """
    if not target.parameters:
        raise UsageError(
            "the recipe must name the model, so that its parts can be mapped to the framework's",
            received=f"{target.recipe or 'the plan'} without rows: whoever trains builds the model",
            hint="name it under `model`, or choose a format that applies the parameterization by itself",
        )
    for names in KNOWN.values():
        rows = _mapped(target, names)
        if rows is not None:
            return _read(target, names, rows)
    raise UsageError(
        "the model must have the names of a decoder that is known, so that they can be mapped to the framework's",
        received=", ".join(group.pattern.replace("\\", "") for group in target.parameters[:4]),
        hint=f"known are {'; '.join(KNOWN)}. The formats torch, huggingface and automodel take a model's own names",
    )


def _mapped(target: TargetFile, names: Names) -> dict[tuple[Part, int | None], ParameterGroup] | None:
    """The rows by part, where every parameter of every group has a name of the table; None elsewhere."""
    patterns = [(re.compile(group.pattern), group) for group in target.parameters]
    rows: dict[tuple[Part, int | None], ParameterGroup] = {}
    for part, layer, name in places(names, target.size.depth):
        found = [group for pattern, group in patterns if pattern.fullmatch(name)]
        if len(found) == 1:
            rows[part, layer] = found[0]
    counts = [sum(group is other for other in rows.values()) for group in target.parameters]
    whole = all(count == group.count for count, group in zip(counts, target.parameters, strict=True))
    return rows if whole and (Part.EMBEDDING, None) in rows else None


def _read(target: TargetFile, names: Names, rows: dict[tuple[Part, int | None], ParameterGroup]) -> Decoder:
    settings = dict(target.model.settings) if target.model is not None else {}
    width, embedding = target.size.width, rows[Part.EMBEDDING, None]
    heads, key_value_heads, head_dim = _heads(rows, width, settings)
    feed_forward = _out(rows, Part.UP, width)
    decoder = Decoder(
        width=width,
        layers=target.size.depth,
        heads=heads,
        key_value_heads=key_value_heads,
        head_dim=head_dim,
        feed_forward=width if feed_forward is None else feed_forward,
        vocabulary=embedding.shape[0],
        context=_whole(settings, "max_position_embeddings", "n_positions", "context"),
        gated=any(part in (Part.GATE, Part.GATE_UP) for part, _ in rows),
        tied=embedding.role == Role.TIED_EMBEDDING,
        settings=settings,
        names=names,
        rows=rows,
    )
    if target.model is not None and target.model.kind == "huggingface":
        _require_agreeing(decoder)
    return decoder


def _heads(
    rows: Mapping[tuple[Part, int | None], ParameterGroup], width: int, settings: Mapping[str, Any]
) -> tuple[int | None, int | None, int | None]:
    """Query heads, key-value heads and numbers per head: the shapes of the rows, counted in what the settings say.

    A configuration's own defaults (Qwen3: 128 numbers per head; Mistral: 8 key-value heads) are in the shapes as well.
    """
    heads, groups = _whole(settings, "num_attention_heads", "n_head"), _whole(settings, "num_key_value_heads")
    head_dim = _whole(settings, "head_dim")
    queries, keys, values = (_out(rows, part, width) for part in FUSED[Part.QUERY_KEY_VALUE])
    together = _out(rows, Part.QUERY_KEY_VALUE, width)
    if heads is None and head_dim is None:
        return None, groups, None
    if queries is not None:
        heads = queries // head_dim if heads is None and head_dim else heads
        head_dim = queries // heads if head_dim is None and heads else head_dim
        groups = keys // head_dim if groups is None and keys is not None and head_dim else groups
    else:
        heads = width // head_dim if heads is None and head_dim else heads
        groups = heads if groups is None else groups
        all_of_them = (heads or 0) + 2 * (groups or 0)
        if head_dim is None:
            head_dim = width // (heads or width) if together is None else together // (all_of_them or together)
    one, of_keys = (heads or 0) * (head_dim or 0), (groups or 0) * (head_dim or 0)
    wanted = ((queries, one), (keys, of_keys), (values, of_keys), (together, one + 2 * of_keys))
    if any(found is not None and found != planned for found, planned in wanted):
        raise UsageError(
            "heads in the model's settings must be those in the shapes of its rows",
            received=f"{heads} heads and {groups} key-value heads of {head_dim} numbers; queries, keys, values have "
            f"{', '.join(str(found) for found, _ in wanted if found is not None)} rows",
            hint="write the target again with `hptransfer scale`; the settings and the rows of target.yaml differ",
        )
    return heads, groups, head_dim


def _out(rows: Mapping[tuple[Part, int | None], ParameterGroup], part: Part, width: int) -> int | None:
    """Numbers that a matrix makes of `width` numbers, whichever side its shape puts them on; None without such a part.

    Raises:
        UsageError: the layers differ, or none of the matrix's sides is the width.
    """
    shapes = {group.shape: group.pattern for (of, _), group in rows.items() if of is part}
    found = {math.prod(shape) / width for shape in shapes}
    if len(found) > 1 or any(width not in shape for shape in shapes):
        raise UsageError(
            f"{part} must have the same shape in all layers, with a side of the model's width {width}",
            received="; ".join(f"{pattern} {shape}" for shape, pattern in shapes.items()),
        )
    return int(found.pop()) if found else None


#: sizes that a configuration of transformers says and the shapes say too
_SIZES: Mapping[str, str] = {
    "hidden_size": "width",
    "n_embd": "width",
    "num_hidden_layers": "layers",
    "n_layer": "layers",
    "intermediate_size": "feed_forward",
    "n_inner": "feed_forward",
    "vocab_size": "vocabulary",
}
#: what no shape shows, by the keys under which transformers has it
THETA = ("rope_parameters.rope_theta", "rope_theta")
NORM_EPS = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps")


def _require_agreeing(decoder: Decoder) -> None:
    """A setting is a number, and no other than the shapes have it."""
    settings = decoder.settings
    wrong = [
        f"{key} {settings[key]!r}, by the shapes {getattr(decoder, name)!r}"
        for key, name in _SIZES.items()
        if settings.get(key) is not None and settings[key] != getattr(decoder, name)
    ]
    wrong += [f"{key} {settings[key]!r}" for key in (*THETA, *NORM_EPS) if key in settings and not _is(settings[key])]
    keys = ("num_attention_heads", "n_head", "num_key_value_heads", "head_dim")
    wrong += [f"{key} {settings[key]!r}" for key in keys if settings.get(key) is not None and not _is(settings[key])]
    if wrong:
        raise UsageError(
            "the model's settings must be positive numbers, and the sizes that the shapes of its rows have",
            received="; ".join(wrong),
            hint="mend `model.settings` of target.yaml, or write it again with `hptransfer scale`",
        )


def _is(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _whole(settings: Mapping[str, Any], *keys: str) -> int | None:
    found = (settings.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


# Heads that grow with the width: attention must then be scaled in `forward`, which no rate and no init can replace.


def grown_heads(target: TargetFile) -> tuple[int, int] | None:
    """Numbers per head at the base and at this size, where the rules ask for another scale of attention; else None.

    Args:
        target: the one that is written; the standard parameterization leaves attention at 1/sqrt(head_dim).
    """
    if target.parameterization == "standard":
        return None
    recorded = None if target.model is None else target.model.head_dims
    return recorded or noted_heads(target.notes)


def base_head(target: TargetFile, head_dim: int) -> int:
    """Numbers per head at the base: as many as at this size, but where heads grow.

    Args:
        target: the one that is written.
        head_dim: numbers per head at this size.
    """
    grown = grown_heads(target)
    return head_dim if grown is None else grown[0]


def require_fixed_heads(target: TargetFile, framework: str) -> None:
    """A framework that scales attention by 1/sqrt(head_dim) at every size must be given heads that keep their size.

    Args:
        target: the one that is written.
        framework: its name, for people.

    Raises:
        UsageError: heads grow.
    """
    grown = grown_heads(target)
    if grown is None:
        return
    raise UsageError(
        f"heads must keep their size, since {framework} scales attention by 1/sqrt(head_dim)",
        received=f"head_dim {grown[0]} at the base, {grown[1]} here, where {attention_scale(grown[1], grown[0]):.6g} "
        "is needed",
        hint="let the number of heads follow the width (`follow_width`), or take `--format megatron`, which has a key "
        "for the scale",
    )


def heads_by_hand(target: TargetFile) -> tuple[str, ...]:
    """What the user's own `forward` has to do where heads grow; nothing elsewhere.

    Args:
        target: the one that is written.
    """
    grown = grown_heads(target)
    if grown is None:
        return ()
    scale = attention_scale(grown[1], grown[0])
    return (
        f"heads grow ({grown[0]} -> {grown[1]}): your model's forward must multiply q k by {scale!r} instead of "
        f"1/sqrt({grown[1]}); no file of this format can.",
    )
