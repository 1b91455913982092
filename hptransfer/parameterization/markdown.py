"""Groups of a plan as a Markdown table, for documents, pull requests and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hptransfer.parameterization.groups import ParameterGroup

_SHORT = {"init_std": "init", "multiplier": "forward", "learning_rate": "lr", "weight_decay": "decay", "eps": "eps"}


def plan_markdown(groups: Sequence[ParameterGroup], notes: Iterable[str] = ()) -> str:
    """One line per group, then the numbered sources of the rules, then the notes; ends with a newline."""
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
            group.init if group.init_std is None else f"{group.init_std:.4g}",
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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")
