"""A database that is away or cannot write, told apart from one that refuses: ``service_unavailable``, and whether it is known
that nothing was done. Every other error goes through as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from wallet_service.errors import ServiceUnavailable

# It answered that it can't just now: locked by another process, no room, read-only, no memory, no file; too many connections.
_SQLITE_CANNOT = frozenset({"BUSY", "LOCKED", "FULL", "READONLY", "NOMEM", "CANTOPEN", "PROTOCOL"})
_POSTGRESQL_CANNOT = ("25006", "53", "55P03", "57014")
# It broke off: nobody knows whether what was under way had come to its end.
_SQLITE_BROKE = frozenset({"IOERR"})
_POSTGRESQL_BROKE = ("08", "57P", "58")


@dataclass(slots=True)
class Commit:
    """Whether a transaction has come to its commit: until then an outage means that nothing was done."""

    begun: bool = False


@contextmanager
def told() -> Iterator[Commit]:
    """Raise an outage of the database as :class:`~wallet_service.errors.ServiceUnavailable`."""
    commit = Commit()
    try:
        yield commit
    except Exception as error:
        broke = _broke_off(error)
        if broke is None:
            raise
        raise ServiceUnavailable(unknown=commit.begun and broke) from error


def may_pass(fault: BaseException) -> bool:
    """Tell whether a fault is an outage of one connection, which the next one may not have."""
    return isinstance(fault, ServiceUnavailable) and isinstance(fault.__cause__, Exception) and bool(_broke_off(fault.__cause__))


def _broke_off(error: Exception) -> bool | None:
    """Tell whether a database broke off (True) or said that it cannot (False); None for what is no outage."""
    if isinstance(error, PoolTimeoutError):
        return False
    if isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
        return True if name in _SQLITE_BROKE else False if name in _SQLITE_CANNOT else None
    state = getattr(cause, "sqlstate", None) or ""
    return True if state.startswith(_POSTGRESQL_BROKE) else False if state.startswith(_POSTGRESQL_CANNOT) else None
