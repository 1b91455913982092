"""The address of a PostgreSQL server: its password never leaves this module's `connect`, its faults are said in words.

A password is taken from the environment only: `HPTRANSFER_STORAGE` (an address with one in it), `PGPASSWORD`, or the
file that `PGPASSFILE` names (default `~/.pgpass`). One in an argument is refused, because every user of the machine can
read the arguments of every process.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from hptransfer.errors import MachineError, UsageError

if TYPE_CHECKING:
    import psycopg

#: names the environment variable that may hold an address with its password
VARIABLE = "HPTRANSFER_STORAGE"
#: seconds that a server may be away (a restart, a failover) before a command gives up; nothing is lost then either
PATIENCE = 600.0
#: seconds to wait for one connection
_CONNECT_TIMEOUT = 5
#: of addresses that name a PostgreSQL database
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_FORM = "postgresql://USER@HOST:PORT/DATABASE"
#: seconds; an attempt that lasted longer had reached the server, so patience begins anew
_REACHED = 60.0
#: a dead peer is noticed after about a minute, not after the operating system's two hours
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds; each is twice the one before

T = TypeVar("T")

_HINTS = (
    (
        "password",
        "set PGPASSWORD, or write `HOST:PORT:DATABASE:USER:PASSWORD` into ~/.pgpass and `chmod 600` it "
        "(PGPASSFILE names another file)",
    ),
    ("no pg_hba.conf entry", "the server does not admit this host or user: see its pg_hba.conf"),
    ('role "', "create the user (`createuser NAME`), or name another in the address"),
    ('database "', "create the database (`createdb NAME`), or name another in the address"),
)


class ServerAwayError(MachineError):
    """The server cannot be reached at the moment; trying again later may work."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is; `str()` of it is safe to show, write and pass as an argument.

    Attributes:
        keywords: parameters for libpq, without the password: host, port, user, dbname, sslmode, ...
        password: from HPTRANSFER_STORAGE, or None where libpq finds one (or needs none).
    """

    keywords: Mapping[str, str]
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        known = dict(self.keywords)
        user, host, port = (known.pop(name, "") for name in ("user", "host", "port"))
        name = known.pop("dbname", "")
        place = f"[{host}]" if ":" in host else quote(host, safe="")
        where = (f"{quote(user, safe='')}@" if user else "") + place + (f":{port}" if port else "")
        return f"postgresql://{where}/{quote(name, safe='')}" + (f"?{urlencode(known)}" if known else "")


def find_address(given: str | None) -> Address:
    """The address that was given, else the one in `HPTRANSFER_STORAGE`.

    Args:
        given: the argument, or None.

    Raises:
        UsageError: there is none, it is not PostgreSQL's, or the argument holds a password.
    """
    inherited = os.environ.get(VARIABLE)
    if given is None and inherited is None:
        raise UsageError(
            "the database must be named", received="neither --storage nor HPTRANSFER_STORAGE", hint=f"--storage {_FORM}"
        )
    address = _parse(given if given is not None else inherited or "")
    if given is None:
        return address
    if address.password is not None:
        raise UsageError(
            "a password must not stand in an argument, where every user of the machine can read it",
            received=f"--storage {address}, with a password",
            hint=f"leave it out and set PGPASSWORD, use ~/.pgpass, or set {VARIABLE} to the whole address",
        )
    if inherited is not None and (same := _parse(inherited)).keywords == address.keywords:
        return same  # a child process gets the address as an argument and its password from the environment
    return address


def connect(address: Address) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection that commits each statement.

    Raises:
        UsageError: psycopg is not installed.
        ServerAwayError: the server cannot be reached now.
        MachineError: the server refuses this connection.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            "psycopg must be installed to use PostgreSQL",
            received=str(error),
            hint="pip install 'hptransfer[postgres]'",
        ) from error
    with server_faults(address):
        # keywords come from the user's address; libpq's names are not spelled out in psycopg's types
        return psycopg.connect(
            **{"connect_timeout": _CONNECT_TIMEOUT, "application_name": "hptransfer", **_KEEPALIVE}  # type: ignore[arg-type]
            | dict(address.keywords)
            | ({"password": address.password} if address.password is not None else {}),
            autocommit=True,
        )


@contextlib.contextmanager
def server_faults(address: Address) -> Iterator[None]:
    """Turns what psycopg raises into `ServerAwayError`, or a `MachineError` that trying again does not help."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise fault(address, error) from None  # its cause would repeat the text, unmasked


def fault(address: Address, error: BaseException) -> MachineError:
    """The error to raise instead of an exception of psycopg; its text holds no password."""
    import psycopg

    said = masked((str(error).strip().splitlines() or [type(error).__name__])[0], address)
    hint = next((hint for phrase, hint in _HINTS if phrase in said), None)
    if hint is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ServerAwayError(
            "the database server must be reachable",
            received=f"{address}: {said}",
            hint="see that it runs and that this host may reach it, then run the same command again: it continues",
        )
    return MachineError("the database must do what it is asked", received=f"{address}: {said}", hint=hint)


def masked(text: str, address: Address) -> str:
    """The text without the address's password, however it came to be there."""
    if address.password:
        for form in {address.password, quote(address.password, safe="")}:
            text = text.replace(form, "***")
    return re.sub(r"(://[^:/@\s]*:)[^@\s]*@", r"\1***@", text)


def retry_while_server_down(
    action: Callable[[], T],
    *,
    patience: float = PATIENCE,
    pause: Callable[[float], object] = time.sleep,
    say: Callable[[str], object] = lambda message: None,
) -> T:
    """Tries until the server answers; between tries pauses that grow, each of random length.

    The randomness keeps workers that lost the server at the same moment from coming back at the same moment.

    Args:
        action: repeated as a whole, so it must bear being done twice.
        patience: seconds after which the last `ServerAwayError` is raised.
        pause: waits for a number of seconds.
        say: called once with a sentence when the server is away.
    """
    away: float | None = None
    length = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        try:
            return action()
        except ServerAwayError as error:
            now = time.monotonic()
            if away is None or now - started > _REACHED:
                away, length = now, _FIRST_PAUSE
                say(f"{error.findings[0].received}; trying again for up to {patience:.0f} s")
            if now - away > patience:
                raise
            pause(length * random.uniform(0.5, 1.5))
            length = min(2 * length, _LONGEST_PAUSE)


def _parse(text: str) -> Address:
    shown = re.sub(r"//[^@/]*@", "//***@", text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError("the database's address must be a URL", received=shown, hint=_FORM) from None
    if parts.scheme not in SCHEMES:
        raise UsageError(
            "workers on many machines meet in a PostgreSQL database",
            received=shown,
            hint=f"--storage {_FORM}; one machine needs no --storage",
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = options.pop("password", None)
    found = {
        "host": unquote(parts.hostname or ""),
        "port": str(port or ""),
        "user": unquote(parts.username or ""),
        "dbname": unquote(parts.path.lstrip("/")),
    }
    password = secret if parts.password is None else unquote(parts.password)
    return Address({name: value for name, value in found.items() if value} | options, password)
