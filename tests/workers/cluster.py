"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from collections.abc import Generator

SERVER: Final = "postgres"
"""The user that the cluster belongs to where the tests run as root, whom initdb refuses."""

USER: Final = "tester"
PASSWORD: Final = "s3cret-of-the-tests"


class Cluster:
    """A running cluster; `restart` makes every connection to it break."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = _programs()
        self.port = _free_port()

    def create(self) -> None:
        """Lay the cluster out: it asks for passwords, and does not wait for the disk."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(SERVER)
            for path in (self._folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._run(
            *("initdb", "--no-sync", "--auth=scram-sha-256", f"--username={USER}"),
            *(f"--pwfile={secret}", "--locale=C.UTF-8", "-D", str(self._data)),
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = self._folder / "log"
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(log), "-o", options)

    def stop(self) -> None:
        """Stop the server, and break every connection."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def address(self, database: str = "postgres", *, password: str = PASSWORD) -> str:
        """The address of a database, password included."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def empty_database(self) -> str:
        """Empty the database, whoever still uses it, and give its address."""
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.address()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", SERVER, "--", *command]
        # Files, no pipes: the server inherits them, and never closes them.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode()


@contextmanager
def running_cluster() -> Generator[Cluster]:
    """A new cluster, stopped and removed at the block's end."""
    folder = Path(tempfile.mkdtemp(prefix="asyncruns-postgres-"))
    cluster = Cluster(folder)
    try:
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """Where PostgreSQL's programs are: Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert versions, "the tests need PostgreSQL's programs: apt-get install postgresql"
    return versions[-1].parent


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
