"""What is printed of a stranger's text."""

from __future__ import annotations

import pytest

from hptransfer.errors import printable


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("::error::x.yaml", ": :error::x.yaml"),
        ("\n  ::stop-commands::x", "   : :stop-commands::x"),
        ("passed over ##[error]x.yaml", "passed over ## [error]x.yaml"),
        ("\u200b::add-mask::x", ": :add-mask::x"),
        ("#\u200b#[add-path]x", "## [add-path]x"),
        ("package::name, a ## heading and [a list]", "package::name, a ## heading and [a list]"),
    ],
)
def test_a_name_is_no_command_of_a_runner(text: str, printed: str) -> None:
    """Lines that begin with `::`, and `##[` anywhere: docs.github.com, Workflow commands; actions/runner's ActionCommand."""
    assert printable(text) == printed
