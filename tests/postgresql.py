"""A PostgreSQL server for tests, on a socket in a folder of its own."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@dataclass(frozen=True, slots=True)
class Server:
    """A server with its data and its socket in one folder. user: whose process it is."""

    home: Path
    user: pwd.struct_passwd

    @property
    def url(self) -> str:
        """The URL of its database `postgres`."""
        return f"postgresql://postgres@/postgres?host={self.home}"

    def make(self) -> None:
        """Make its data."""
        self._call("initdb", "--pgdata", self.data, "--auth", "trust", "--no-sync")

    def make_standby_of(self, other: "Server") -> None:
        """Make its data as a copy of another's, which it follows from its start."""
        at = ("--host", str(other.home), "--username", "postgres")
        self._call("pg_basebackup", *at, "--pgdata", self.data, "--write-recovery-conf",
                   "--checkpoint=fast", "--no-sync")  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-c listen_addresses='' -k {self.home}"
        self._call("pg_ctl", "--pgdata", self.data, "--options", options, "--wait", "start")

    def stop(self) -> None:
        """End it at once, as a crash does."""
        self._call("pg_ctl", "--pgdata", self.data, "--mode", "immediate", "stop")

    def promote(self) -> None:
        """Let a standby take writes."""
        self._call("pg_ctl", "--pgdata", self.data, "--wait", "promote")

    @property
    def data(self) -> str:
        """The folder of its data."""
        return str(self.home / "data")

    def _call(self, name: str, *words: str) -> None:
        command = [str(_BINARIES[-1].with_name(name)), *words]
        subprocess.run(
            command, user=self.user.pw_uid, group=self.user.pw_gid, cwd=self.home, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def server_in(home: Path) -> Server:
    """A server that is reached through a folder only: a port may be another server's.

    home: an empty folder. Skips the test where there is none to start.
    """
    pytest.importorskip("psycopg")
    if not _BINARIES:
        pytest.skip("no PostgreSQL server is installed")
    if os.geteuid() != 0:
        pytest.skip("starting a server as its own user needs root")
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("no user postgres")
    for folder in (home, *home.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # as pytest makes its own
            folder.chmod(0o755)
    shutil.chown(home, user.pw_uid, user.pw_gid)
    return Server(home, user)


@contextlib.contextmanager
def server(home: Path) -> Iterator[str]:
    """Start a server; yields the URL of its database. home: an empty folder."""
    made = server_in(home)
    made.make()
    made.start()
    try:
        yield made.url
    finally:
        made.stop()


def new_database(url: str, name: str) -> str:
    """Make an empty database on the server with this URL, and return its own."""
    engine = create_engine(driven(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.replace("/postgres?", f"/{name}?")


def driven(url: str) -> str:
    """The URL with the driver that SQLAlchemy is to take."""
    return url.replace("postgresql:", "postgresql+psycopg:")
