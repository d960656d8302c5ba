"""A PostgreSQL server of the tests' own: the machine's installed one, in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAST = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


class Missing(Exception):
    """There is no server to be had here; the text says why."""


def _tool(name: str) -> str:
    """Find a program of PostgreSQL on the path or where Debian keeps it."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda home: int(home.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, homes), os.environ.get("PATH", "")]))
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


@contextmanager
def server() -> Iterator[str]:
    """Run a server; gives the folder of its socket."""
    initdb, pg_ctl = _tool("initdb"), _tool("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="zg-", dir="/tmp"))
    options: dict[str, object] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("nobody")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = str(folder / "data")
    try:
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"], **options)
        subprocess.run([pg_ctl, "-D", data, "-w", "-o", f"{_FAST} -k {folder}", "start"], **options)
        try:
            yield str(folder)
        finally:
            subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], **options)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"{type(error).__name__}: PostgreSQL does not start here") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
