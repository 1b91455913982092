"""`hptransfer rule`: what a number or a code of a finding means."""

from __future__ import annotations

from typing import Annotated

import typer


def rule_command(
    name: Annotated[
        str, typer.Argument(metavar="ID|CODE", help="HPT112, recipe/no-source or megatron/mup-decoupled-lr.")
    ],
) -> int:
    """Say what a rule of `validate` or `lint` asks for, why, and how a finding is repaired.

    Returns:
        0 when there is such a rule.

    Raises:
        UsageError: there is none, or rules of installed packages cannot be imported.
    """
    from hptransfer.report.rules import rule_page

    for line in rule_page(name):
        print(line)
    return 0
