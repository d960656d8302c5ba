"""The SQLite driver as SQLAlchemy uses it here: one hop to the driver's thread a statement, and none broken off.

aiosqlite goes to its thread and back for the cursor, the statement, its rows and the cursor's end; only the statement needs the
thread, so it brings its rows along (results are small: nothing here streams). And a statement cannot be called back: a caller
cancelled in the middle of it would abandon the connection inside a transaction, and with it the write lock of the file. So
a statement under way is waited for, the transaction ends in one of its two ways, and only then does the cancellation go on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakSet

import aiosqlite

_cancelled: WeakSet[asyncio.Task[Any]] = WeakSet()
_FETCH = 64  # rows that aiosqlite's own iteration fetches at once


class _Cursor(aiosqlite.Cursor):
    """A cursor whose rows are there when its statement is done."""

    _rows: list[Any]

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> _Cursor:
        """Run a statement and fetch its rows in one go."""

        def run() -> list[Any]:
            self._cursor.execute(sql, () if parameters is None else parameters)  # type: ignore[arg-type]
            return self._cursor.fetchall() if self._cursor.description else []

        self._rows = await self._execute(run)  # type: ignore[no-untyped-call]
        return self

    async def fetchall(self) -> list[Any]:
        """Give the rows."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Close the cursor; its statement is over, so nobody has to wait for the thread."""
        self._cursor.close()


class Connection(aiosqlite.Connection):
    """A connection whose statements are not interrupted."""

    def cursor(self) -> _Cursor:  # type: ignore[override]
        """Make a cursor; that touches no file."""
        return _Cursor(self, self._conn.cursor())

    async def _connect(self) -> aiosqlite.Connection:
        """Open the file; where that fails, wait for the thread's end: it would speak to an event loop that may be gone."""
        try:
            return await super()._connect()
        except BaseException:
            await asyncio.to_thread(self._thread.join)
            raise

    async def run_all(self, statements: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        """Run statements, each for all of its rows, in one hop to the thread."""

        def run() -> None:
            for sql, rows in statements:
                self._conn.executemany(sql, rows)

        await self._execute(run)

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]:
        """Run a statement and give its rows, in one hop."""
        found: list[Any] = await self._execute(lambda: self._conn.execute(sql, parameters).fetchall())
        return found

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


def connect(database: str, **options: Any) -> Connection:
    """Make a connection for SQLAlchemy to open (which lets it be used from more than one thread, one at a time)."""
    connection = Connection(lambda: sqlite3.connect(database, **options), _FETCH)
    connection._thread.daemon = True  # as SQLAlchemy has it: a process that nobody closes the wallet of must still end
    return connection


def let_go() -> None:
    """Go on with a cancellation that waited for the database."""
    task = asyncio.current_task()
    if task is not None and task in _cancelled:
        _cancelled.discard(task)
        raise asyncio.CancelledError
