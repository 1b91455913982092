"""Rows of a plan that share all their values, under one pattern of names; and those groups as a Markdown table."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from hptransfer.parameterization.plan_parameter import PlannedParameter

#: fields of a group that files leave out where they are None
OPTIONAL_FIELDS = ("optimizer", "gradient_size", "own_init_std", "init_value", "absorbed")


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """One line of a plan: every parameter whose full name matches `pattern`.

    Attributes:
        pattern: regular expression, matched against the whole name.
        count: number of parameters it matches.
        shape: length of every axis of each of these parameters.
        role: value of the parameters' `Role`, for example "hidden weight".
        reason: how the role was decided.
        init: how they start, an `Init`: a distribution, a constant, or "kept" for what is left as the model has it.
        init_std: std of what is drawn; None where nothing is.
        learning_rate: peak learning rate, before the schedule multiplies it; 0 for what takes no gradient.
        weight_decay: coefficient as torch's AdamW and SGD take it; decay per step is learning rate times this.
        eps: Adam's eps; None for SGD.
        multiplier: factor that `forward` must apply; 1 in gauge `plain`.
        rules: what base values were multiplied by, per quantity, for example "m_in^-1".
        sources: paper, table and row per quantity.
        optimizer: which optimizer the group is for, where a plan has two; None: the plan's.
        gradient_size: expected norm of the gradient of one of these parameters over that at the base, where clipping
            is relative to it; None elsewhere.
        own_init_std: std by the model's own init at this size, which is scaled to `init_std`; None where `init_std` is
            drawn anew, or nothing is drawn.
        init_value: where `init` is "constant", the value.
        absorbed: factor that `forward` has in the form with multipliers (Table 8 of Tensor Programs V), over
            `multiplier`: what this gauge moved into init and optimizer; None where that is 1.
    """

    pattern: str
    count: int
    shape: tuple[int, ...]
    role: str
    reason: str
    init: str
    init_std: float | None
    learning_rate: float
    weight_decay: float
    eps: float | None
    multiplier: float
    rules: Mapping[str, str]
    sources: Mapping[str, str]
    optimizer: str | None = None
    gradient_size: float | None = None
    own_init_std: float | None = None
    init_value: float | None = None
    absorbed: float | None = None

    #: for readers of files: a row has these keys and no others, and a number is a number
    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012  # pydantic's own name, no field

    def as_mapping(self) -> dict[str, object]:
        """Plain data for YAML and JSON, in the order of the fields."""
        data = asdict(self) | {"shape": list(self.shape), "rules": dict(self.rules), "sources": dict(self.sources)}
        return {key: value for key, value in data.items() if value is not None or key not in OPTIONAL_FIELDS}


def group_rows(rows: Sequence[PlannedParameter], *, collapse: bool = True) -> tuple[ParameterGroup, ...]:
    """Group rows whose names differ in layer indices only and whose values are equal.

    Args:
        rows: rows of one plan, one per parameter.
        collapse: False keeps one group per parameter.

    Returns:
        Groups in the order of their first row; every name matches exactly one pattern.
    """
    families: dict[str, list[PlannedParameter]] = {}
    for row in rows:
        name = row.parameter.name
        families.setdefault(layer_template(name) if collapse else name, []).append(row)
    return tuple(group for family in families.values() for group in _groups(family, collapse))


def name_template(name: str) -> str:
    """The name with every index replaced, equal for the same parameter of all layers: "blocks.*.up.weight".

    Keys of trials are made of it, so it stays as it is; `layer_template` knows more ways to number layers.
    """
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def layer_template(name: str) -> str:
    """The name as people say it of all layers: whole parts that are numbers, and numbers behind an underscore.

    Args:
        name: full name of a parameter or module, such as "blocks.3.up.weight" or "layer_3.up.weight".
    """
    return ".".join(_NUMBERED.sub(r"\1*", part) for part in name.split("."))


#: a part of a name that numbers a layer: "3", "layer_3"
_NUMBERED = re.compile(r"^(|.*_)\d+$")


def collapsed_names(names: Iterable[str], shown: int = 5) -> str:
    """Names as people write them, equal ones of all layers once: "blocks.*.up.weight, head.weight and 2 more".

    Args:
        names: full names of parameters.
        shown: how many are written out, at least 1.
    """
    listed = list(dict.fromkeys(map(layer_template, names)))
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def without_numbers(name: str) -> str:
    """The name with every number replaced, those inside its parts too: "layer_*.up.weight".

    Args:
        name: full name of a parameter or module.
    """
    return re.sub(r"\d+", "*", name)


def _groups(family: Sequence[PlannedParameter], collapse: bool) -> list[ParameterGroup]:
    """Collapse as many index positions as leave equal values in each group; none always works."""
    parts = family[0].parameter.name.split(".")
    indices = [position for position, part in enumerate(parts) if _NUMBERED.match(part)] if collapse else []
    for kept in range(len(indices) + 1):
        for literal in itertools.combinations(reversed(indices), kept):
            collapsed = set(indices) - set(literal)
            buckets: dict[str, list[PlannedParameter]] = {}
            for row in family:
                buckets.setdefault(_pattern(row.parameter.name, collapsed), []).append(row)
            if all(_equal(bucket) for bucket in buckets.values()):
                return [_group(pattern, bucket) for pattern, bucket in buckets.items()]
    raise AssertionError("groups of one row have equal values")


def _pattern(name: str, collapsed: Iterable[int]) -> str:
    plain = name.split(".")
    parts = [re.escape(part) for part in plain]
    for position in collapsed:
        found = _NUMBERED.match(plain[position])
        parts[position] = (re.escape(found[1]) if found else "") + r"\d+"
    return r"\.".join(parts)


def _values(row: PlannedParameter) -> tuple[object, ...]:
    parameter = row.parameter
    numbers = (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier, row.absorbed)
    return (
        parameter.shape,
        parameter.role,
        parameter.init,
        parameter.init_value,
        parameter.own_init_std,
        row.optimizer,
        *numbers,
    )


def _equal(bucket: Sequence[PlannedParameter]) -> bool:
    return len({_values(row) for row in bucket}) == 1


def _group(pattern: str, bucket: Sequence[PlannedParameter]) -> ParameterGroup:
    row = bucket[0]
    return ParameterGroup(
        pattern=pattern,
        count=len(bucket),
        shape=row.parameter.shape,
        role=row.parameter.role.value,
        reason=row.parameter.reason,
        init=row.parameter.init,
        init_std=row.init_std,
        learning_rate=row.learning_rate,
        weight_decay=row.weight_decay,
        eps=row.eps,
        multiplier=row.multiplier,
        rules=dict(row.rules),
        sources=dict(row.sources),
        optimizer=row.optimizer,
        own_init_std=row.parameter.own_init_std,
        init_value=row.parameter.init_value if row.parameter.init == "constant" else None,
        absorbed=None if row.absorbed == 1 else row.absorbed,
    )


_SHORT = {"init_std": "init", "multiplier": "forward", "learning_rate": "lr", "weight_decay": "decay", "eps": "eps"}


def plan_markdown(groups: Sequence[ParameterGroup], notes: Iterable[str] = ()) -> str:
    """One line per group, then the numbered sources of the rules, then the notes; ends with a newline.

    Args:
        groups: groups of one plan, in the order in which they are printed.
        notes: sentences that are printed below the table.
    """
    sources: dict[str, int] = {}
    has_eps = any(group.eps is not None for group in groups)
    in_forward = any(group.multiplier != 1 for group in groups)
    columns = ["parameter", "n", "shape", "role", "init", "learning rate", "weight decay"]
    columns += ["eps"] * has_eps + ["forward"] * in_forward + ["rule"]
    lines = [_line(columns), _line(["---"] * len(columns))]
    for group in groups:
        cells = [
            f"`{readable(group.pattern)}`",
            str(group.count),
            " x ".join(map(str, group.shape)),
            group.role,
            _start(group),
            f"{group.learning_rate:.4g}",
            f"{group.weight_decay:.4g}",
        ]
        cells += [_number(group.eps)] * has_eps + [_number(group.multiplier)] * in_forward
        lines.append(_line([*cells, _rules(group, sources)]))
    lines += ["", *(f"{number}. {_escaped(source)}" for source, number in sources.items())]
    lines += [f"\nNote: {_escaped(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def readable(pattern: str) -> str:
    """The pattern as people write it: blocks.*.up.weight."""
    return pattern.replace(r"\d+", "*").replace("\\", "")


def _rules(group: ParameterGroup, sources: dict[str, int]) -> str:
    parts = []
    for quantity, short in _SHORT.items():
        rule = group.rules.get(quantity, "1")
        if rule != "1":
            number = sources.setdefault(group.sources[quantity], len(sources) + 1)
            parts.append(f"{short} {rule} [{number}]")
    return ", ".join(parts) or "unscaled"


def _start(group: ParameterGroup) -> str:
    """The std of a draw; a constant, with its value where its name does not say it."""
    if group.init_std is not None:
        return f"{group.init_std:.4g}"
    return group.init if group.init_value is None else f"{group.init} {group.init_value:.4g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")
