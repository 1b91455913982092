"""The size that is planned for."""

from __future__ import annotations

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size


def wanted_size(
    recipe: Recipe, width: int | None, depth: int | None, batch_size: int | None = None, tokens: int | None = None
) -> Size:
    """The recipe's target with what the caller changes.

    Raises:
        UsageError: a value below 1.
    """
    target = recipe.sizes.target
    changed = {"width": width, "depth": depth, "batch_size": batch_size, "tokens": tokens}
    for name, value in changed.items():
        if value is not None and value < 1:
            raise UsageError(f"`{name} >= 1` must hold", received=f"{name}={value}")
    return recipe.size(
        width or target.width,
        depth or target.depth,
        batch_size=batch_size or target.batch_size,
        tokens=tokens or target.tokens,
    )
