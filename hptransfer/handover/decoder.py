"""The decoder that a target's rows describe, part by part, for frameworks that build the model themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.parts import FUSED, KNOWN, Names, Part, places
from hptransfer.handover.trained import Trained, trained
from hptransfer.parameterization.groups import ParameterGroup
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
    head_dim = _whole(settings, "head_dim")
    heads = _whole(settings, "num_attention_heads", "n_head")
    if heads is None and head_dim is not None:
        heads = width // head_dim
    if head_dim is None and heads is not None:
        head_dim = width // heads
    up = next(group for (part, _), group in rows.items() if part is Part.UP)
    return Decoder(
        width=width,
        layers=target.size.depth,
        heads=heads,
        key_value_heads=_whole(settings, "num_key_value_heads") or heads,
        head_dim=head_dim,
        feed_forward=next((length for length in up.shape if length != width), width),
        vocabulary=embedding.shape[0],
        context=_whole(settings, "max_position_embeddings", "n_positions", "context"),
        gated=any(part in (Part.GATE, Part.GATE_UP) for part, _ in rows),
        tied=embedding.role == Role.TIED_EMBEDDING,
        settings=settings,
        names=names,
        rows=rows,
    )


def _whole(settings: Mapping[str, Any], *keys: str) -> int | None:
    found = (settings.get(key) for key in keys)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool)), None)
