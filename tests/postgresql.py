"""A PostgreSQL server for tests, on a socket in a folder of its own."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@contextlib.contextmanager
def server(home: Path) -> Iterator[str]:
    """Start a server that is reached through a folder only: a port may be another server's.

    home: an empty folder. Yields the URL of its database; skips the test where there is none to
    start.
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
    data = home / "data"

    def call(name: str, *words: str) -> None:
        command = [str(_BINARIES[-1].with_name(name)), *words]
        subprocess.run(
            command, user=user.pw_uid, group=user.pw_gid, cwd=home, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    call("initdb", "--pgdata", str(data), "--auth", "trust", "--no-sync")
    options = f"-c listen_addresses='' -k {home}"
    call("pg_ctl", "--pgdata", str(data), "--options", options, "--wait", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={home}"
    finally:
        call("pg_ctl", "--pgdata", str(data), "--mode", "immediate", "stop")


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
