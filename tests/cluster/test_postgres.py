"""Addresses of servers: passwords stay out of sight, faults are said, an absent server is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.cluster.postgres import ServerAwayError, connect, find_address, masked, retry_while_server_down
from hptransfer.errors import HptransferError, MachineError, UsageError
from tests.support.postgres import PASSWORD, Server, with_password

URL = "postgresql://tuner@db.example:5433/trials?sslmode=require"


def told(error: HptransferError) -> str:
    """All that a user would read of an error."""
    return " ".join(f"{finding.rule} {finding.received} {finding.hint}" for finding in error.findings)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address and no password from the developer's environment."""
    for name in ("HPTRANSFER_STORAGE", "PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)


def test_an_address_says_where_it_points() -> None:
    """What was given comes back as text."""
    assert str(find_address(URL)) == URL


@pytest.mark.parametrize("url", ["postgresql://tuner:pw99@db/trials", "postgresql://tuner@db/trials?password=pw99"])
def test_a_password_in_an_argument_is_refused_and_not_repeated(url: str) -> None:
    """Every user of the machine can read arguments; the error must not spread it further."""
    with pytest.raises(UsageError) as caught:
        find_address(url)

    assert "must not stand in an argument" in told(caught.value)
    assert "pw99" not in told(caught.value)


def test_a_password_may_come_with_the_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used, and never shown."""
    monkeypatch.setenv("HPTRANSFER_STORAGE", with_password(URL))
    address = find_address(None)

    assert address.password == PASSWORD
    assert str(address) == URL
    assert PASSWORD not in repr(address)


def test_an_argument_takes_the_password_of_the_same_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a child process can be given the address openly; another address takes nothing."""
    monkeypatch.setenv("HPTRANSFER_STORAGE", with_password(URL))

    assert find_address(URL).password == PASSWORD
    assert find_address(URL.replace("db.example", "elsewhere")).password is None


@pytest.mark.parametrize(
    "url", ["sqlite:///study.db", "mysql://u:pw99@h/d", "postgresql://u:pw99@h:port/d", "study.db"]
)
def test_other_addresses_are_refused_without_repeating_a_password(url: str) -> None:
    """Only PostgreSQL serves many machines."""
    with pytest.raises(UsageError) as caught:
        find_address(url)

    assert "pw99" not in told(caught.value)


def test_no_address_at_all_is_a_usage_error() -> None:
    """The error says both ways of naming one."""
    with pytest.raises(UsageError, match="neither --storage nor HPTRANSFER_STORAGE"):
        find_address(None)


def test_passwords_are_masked_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain, quoted, or inside another URL."""
    monkeypatch.setenv("HPTRANSFER_STORAGE", with_password(URL))
    text = f"{PASSWORD} in {with_password(URL)} and postgresql://a:other@b/c"
    shown = masked(text, find_address(None))

    assert PASSWORD not in shown
    assert "other" not in shown
    assert "%40" not in shown


def test_a_password_from_a_passfile_is_enough(
    postgres_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library reads PGPASSFILE itself, with its escapes."""
    escaped = PASSWORD.replace(":", r"\:")
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:*:*:tuner:{escaped}\n")
    passfile.chmod(0o600)
    url = f"postgresql://tuner@127.0.0.1:{postgres_server.port}/postgres"
    with pytest.raises(MachineError, match="password"):
        connect(find_address(url))
    monkeypatch.setenv("PGPASSFILE", str(passfile))

    with connect(find_address(url)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_wrong_password_is_not_waited_out(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying again would not help, so the hint says what does; the password is not shown."""
    monkeypatch.setenv("PGPASSWORD", "wrong99")

    with pytest.raises(MachineError, match="password") as caught:
        connect(find_address(f"postgresql://tuner@127.0.0.1:{postgres_server.port}/postgres"))

    assert not isinstance(caught.value, ServerAwayError)
    assert "PGPASSFILE" in told(caught.value)
    assert "wrong99" not in told(caught.value)


def test_a_missing_database_is_named(database: str) -> None:
    """The hint says how to make one."""
    with pytest.raises(MachineError) as caught:
        connect(find_address(f"{database}x"))

    assert "createdb" in told(caught.value)


def test_an_absent_server_is_waited_for_with_growing_random_pauses() -> None:
    """Pauses double within half and one and a half of 0.2, 0.4, 0.8, ... seconds; the news is told once."""
    pauses: list[float] = []
    news: list[str] = []

    def attempt() -> str:
        if len(pauses) < 4:
            raise ServerAwayError("away", received="nobody listens")
        return "back"

    assert retry_while_server_down(attempt, pause=pauses.append, say=news.append) == "back"
    assert all(0.5 * base <= pause <= 1.5 * base for pause, base in zip(pauses, (0.2, 0.4, 0.8, 1.6), strict=True))
    assert len(news) == 1


def test_patience_ends() -> None:
    """After that the fault is the user's to look at."""

    def attempt() -> None:
        raise ServerAwayError("away")

    with pytest.raises(ServerAwayError):
        retry_while_server_down(attempt, patience=0.05)
