"""`hptransfer validate`: recipes checked without training."""

from __future__ import annotations

from collections.abc import Sequence

from hptransfer.linting.validate import _RENDERERS, Format, validate


def validate_command(recipes: Sequence[str], output_format: Format = "text", trust: bool = False) -> int:
    """Check recipes and print what was found to stdout.

    Args:
        recipes: paths or names of shipped recipes.
        output_format: "text" for people, "json" for programs, "github" for annotations in a workflow.
        trust: also build the models, which runs the code that recipes name.

    Returns:
        0 when all are valid (warnings included), 1 when there are errors, 2 when a file could not be read.
    """
    results = [validate(reference, trust) for reference in recipes]
    for line in _RENDERERS[output_format](results):
        print(line)
    if any(result.unavailable for result in results):
        return 2
    return 1 if any(result.errors for result in results) else 0
