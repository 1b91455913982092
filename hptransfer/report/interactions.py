"""Interactions between hyperparameters in the terminal, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from hptransfer.diagnostics.interactions import Interaction, Strength

if TYPE_CHECKING:
    from rich.console import Console


def print_interactions(pairs: Sequence[Interaction], console: Console) -> None:
    """Print every pair; nothing where one hyperparameter was searched."""
    if not pairs:
        return
    console.print(Text("interactions at the proxy, from the search", "bold"))
    for pair in pairs:
        console.print(Text(pair.sentence, "yellow" if pair.strength is Strength.STRONG else ""), soft_wrap=True)
    console.print()
