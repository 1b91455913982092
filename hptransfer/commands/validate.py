"""`hptransfer validate`: recipes checked without training."""

from __future__ import annotations

from collections.abc import Sequence

from hptransfer.linting.validate import validate
from hptransfer.report.findings import FORMATS


def validate_command(
    recipes: Sequence[str], output_format: str = "text", trust: bool = False, rules: Sequence[str] = ()
) -> int:
    """Checks recipes and prints what was found to stdout.

    Args:
        recipes: paths or names of shipped recipes.
        output_format: name of a format in `FORMATS`: "text" for people, "json" for programs, "github" for annotations
            in a workflow.
        trust: also build the models, which runs the code that recipes name.
        rules: further topics of lint rules, `module:attribute` each.

    Returns:
        0 when all are valid (warnings included), 1 when there are errors, 2 when a file could not be read.

    Raises:
        UsageError: there is no such format, or rules of the user's own cannot be imported or fail.
    """
    render = FORMATS.look_up(output_format)
    results = [validate(reference, trust=trust, rules=rules) for reference in recipes]
    for line in render(results):
        print(line)
    if any(result.unavailable for result in results):
        return 2
    return 1 if any(result.errors for result in results) else 0
