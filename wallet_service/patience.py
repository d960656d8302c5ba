"""SQLite connections that finish what they have begun when their caller is cancelled.

A statement runs in the driver's thread and cannot be called back. Left alone, a cancelled caller abandons its connection in the
middle of a transaction, and with it the write lock of the whole file. So a statement under way is waited for, the
transaction ends in one of its two ways, and only then does the cancellation go on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import aiosqlite

_cancelled: WeakSet[asyncio.Task[Any]] = WeakSet()
_FETCH = 64  # rows that iteration fetches at once; the driver's own default


class PatientConnection(aiosqlite.Connection):
    """A connection whose statements are not interrupted."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        statement = asyncio.ensure_future(super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]
        while True:
            try:
                return await asyncio.shield(statement)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or statement.cancelled():
                    raise
                _cancelled.add(task)


def connect(database: str, **options: Any) -> PatientConnection:
    """Make a connection for SQLAlchemy to open."""
    return PatientConnection(lambda: sqlite3.connect(database, **options), _FETCH)


def let_go() -> None:
    """Go on with a cancellation that waited for the database."""
    task = asyncio.current_task()
    if task is not None and task in _cancelled:
        _cancelled.discard(task)
        raise asyncio.CancelledError
