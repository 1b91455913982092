"""A PostgreSQL server of the tests' own: real binaries, a temporary folder, loopback only, gone at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

USER = "tuner"
#: characters that mean something in URLs, and a word that no other output contains
PASSWORD = "s3cret:/@%'pw"  # noqa: S105  # of a server that lives for a minute
NOBODY = 65534  # the server refuses to run as root
MISSING = (
    "no PostgreSQL: install Debian's `postgresql`, or let HPTRANSFER_POSTGRES name a folder with `initdb`, `pg_ctl`"
)


def binaries() -> Path | None:
    """The folder of the server's programs, if there is one on this machine."""
    named = os.environ.get("HPTRANSFER_POSTGRES")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    found = shutil.which("initdb")
    candidates = [Path(named)] if named else [*versions, *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


class Server:
    """A running server; `url` names a database, `password_url` with the password."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, secret):
                os.chown(path, NOBODY, NOBODY)
        self._run("initdb", "-D", str(folder / "data"), "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "-N")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        """As a crash does: no connection is ended properly."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def new_database(self) -> str:
        """An empty database; its URL, without the password."""
        import psycopg

        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, timeout=300)


def with_password(url: str) -> str:
    """The same address with the password in it."""
    return url.replace("@", f":{quote(PASSWORD, safe='')}@", 1)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server in a folder of its own, outside pytest's, which nobody but the owner may enter."""
    programs = binaries()
    if programs is None:
        raise RuntimeError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="hptransfer-postgres-"))
    server = None
    try:
        server = Server(programs, folder)
        yield server
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            if server is not None:
                server.stop()
        shutil.rmtree(folder, ignore_errors=True)
