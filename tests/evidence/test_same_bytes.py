"""A run that trains nothing new writes the same evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ladder import recipe_text
from tests.support.sessions import check_and_save, recipe_session, tune_and_write


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_second_run_writes_the_same_bytes(tmp_path: Path, adaptive: bool) -> None:
    """Trials are read from the database then, in another order than they were trained in; nothing may differ."""
    text = recipe_text({"drift": 0.1}, check=", adaptive: true" if adaptive else "")
    written = []
    for _ in range(2):
        with recipe_session(tmp_path / "runs", text) as session:
            tune_and_write(session)
            check_and_save(session)
            written.append([path.read_bytes() for path in (session.folder.tuned, session.folder.transfer)])

    assert written[0] == written[1]
    assert b'"trials": [' in written[0][1]
