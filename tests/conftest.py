"""One thread per test process: the suite runs one process per core, and small models lose by more threads.

And Ctrl-C as usual: a suite started in the background inherits SIGINT ignored, and so would the children that tests
send it to.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

from tests.support.postgres import MISSING, PASSWORD, Server, binaries, running_server

if TYPE_CHECKING:
    from alembic.config import Config

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once() -> Iterator[None]:
    """Optuna has Alembic execute all its migration scripts whenever a study is opened; here once per process.

    What the scripts are does not change while the tests run. Processes that tests start read them as ever.
    """
    read = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def read_once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A real PostgreSQL, started for this process's tests."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'hptransfer[postgres]'")
    if binaries() is None:
        pytest.skip(MISSING)
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty database; the password is in PGPASSWORD."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.delenv("HPTRANSFER_STORAGE", raising=False)
    return postgres_server.new_database()
