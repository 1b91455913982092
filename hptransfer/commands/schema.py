"""`hptransfer schema`: the JSON Schema of recipes, for editors and for checks without hptransfer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer


def schema_command(
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE", help="Compare a copy with it instead of printing.", show_default=False),
    ] = None,
    identifier: Annotated[
        str | None,
        typer.Option("--id", metavar="URI", help="Its `$id`, for a copy with an address.", show_default=False),
    ] = None,
) -> int:
    """Print the JSON Schema of recipes (draft 7); editors complete and check keys by it.

    Returns:
        0; with `--check` 1 where the copy is not what this version prints.

    Raises:
        UsageError: the copy cannot be read, or the identifier is no absolute URI.
    """
    from hptransfer.errors import UsageError, printable
    from hptransfer.files import bounded_content
    from hptransfer.recipe.shipped import schema_file

    text = schema_file().read_text("utf-8")
    if identifier is not None:
        if not urlsplit(identifier).scheme:
            hint = "for example https://example.org/hptransfer.json"
            raise UsageError("`--id` must be an absolute URI", received=identifier, hint=hint)
        text = json.dumps(json.loads(text) | {"$id": identifier}, indent=2, ensure_ascii=False) + "\n"
    if check is None:
        print(text, end="")
        return 0
    try:
        copy = json.loads(bounded_content(check, 10 * len(text)))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError("a schema's copy must be JSON that can be read", received=f"{check}: {error}") from None
    own = json.loads(text)
    if identifier is None and isinstance(copy, dict):
        own["$id"] = copy.get("$id")  # a copy has the address where it lies
    if copy == own:
        return 0
    command = f"hptransfer schema > {check}"
    print(
        f"{printable(str(check))} is not the schema of this version: `{printable(command)}` writes it", file=sys.stderr
    )
    return 1
