"""One database for everything durable, shared by the wallet and the conversations.

Whatever says that the database is away leaves here as ``service_unavailable``, a transaction's with what is known of its end.
SQLite: WAL, synchronous=FULL, and one writer queue per process (an asyncio lock, then BEGIN IMMEDIATE, so that check and
debit cannot be split by another writer). Plain reads run in autocommit: one statement, no BEGIN and no ROLLBACK round trip.
PostgreSQL: ordinary transactions; the statements that decide about money lock their rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from wallet_service import direct, driver, outages
from wallet_service.errors import ConfigurationError
from wallet_service.vault import Vault, refusing

BUSY_TIMEOUT = 5000  # ms that a writer waits for another process
# Every statement here goes by an index: planning the same one anew each time costs more than running it, and a plan that was made
# while a table was small must not read it whole when it has grown.
_PLANNING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
READERS = 4  # pooled read connections
CONNECT_TIMEOUT = 5  # seconds until a server that does not answer counts as away
CONNECTIONS = 20  # pooled to a PostgreSQL server: opening one costs more than what is mostly done on it
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # else INSERT OR REPLACE could delete an entry unseen
)


def parse_url(url: str) -> URL:
    """Read a database URL and choose the async driver; a bare ``sqlite://`` names no file and is left without one."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("the database URL cannot be read") from None
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+asyncpg")
    raise ConfigurationError(f"databases of the kind {parsed.get_backend_name()} are not supported: use sqlite or postgresql")


def make_private_file(path: Path, content: bytes) -> None:
    """Put a file in its place that only its owner may read, whole or not at all; one that is there already stays.

    It is written under another name and linked: who dies in between leaves nothing half written, and no file descriptor of the
    database is ever closed here, which would take SQLite's locks away from this process.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


def _set_pragmas(dbapi_connection: Any, _record: object) -> None:
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _name_server(dialect: Any, _record: object, arguments: Any, options: Any) -> Any:
    """Connect, and say in the error of a server that is not reached which one it was: not every event loop does."""
    try:
        return dialect.connect(*arguments, **options)
    except OSError as error:
        code = error.errno or errno.ETIMEDOUT  # a time that ran out has no number
        server = f"{options.get('host', 'localhost')}:{options.get('port', 5432)}"
        raise OSError(code, error.strerror or os.strerror(code), server) from error


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _forget_values(context: ExceptionContext) -> None:
    """Cut an error down before it is raised: it may end in a log."""
    for error in (context.original_exception, context.original_exception.__cause__, context.sqlalchemy_exception):
        if error is not None:
            direct.without_values(error)


Begin = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(frozen=True, slots=True)
class Line:
    """One writer's way in: what begins a transaction and, on PostgreSQL, the connection for single statements in between."""

    begin: Begin
    connection: AsyncConnection | None = None


class Database:
    """Hands out connections: ``read`` for single statements, ``write`` for transactions, ``snapshot`` for long checks."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine | None = None) -> None:
        self._writer = writer
        self._reader = reader or writer.execution_options(isolation_level="AUTOCOMMIT")
        self.is_sqlite = writer.dialect.name == "sqlite"
        self._queue = asyncio.Lock()
        self._vault: Vault | None = None
        for engine in (writer,) if reader is None else (writer, reader):
            event.listen(engine.sync_engine, "handle_error", _forget_values)
            engine.dialect.statement_compiler = refusing(engine.dialect.statement_compiler)

    @staticmethod
    def connect(url: URL) -> Database:
        """Make the engines for a URL; nothing is opened before the first statement."""
        if url.get_backend_name() != "sqlite":
            options = {"timeout": CONNECT_TIMEOUT, "server_settings": _PLANNING}
            sized = {"pool_size": CONNECTIONS, "pool_pre_ping": True}
            server = create_async_engine(url, connect_args=options, hide_parameters=True, **sized)
            event.listen(server.sync_engine, "do_connect", _name_server)
            return Database(server)
        if url.database and not url.database.startswith(("file:", ":memory:")):
            with contextlib.suppress(OSError):  # SQLite itself says better what is wrong with a place
                make_private_file(Path(url.database), b"")
        # The driver must not begin transactions of its own: its deferred BEGIN lets two tasks check one balance.
        # Statements are shown without their values: a phone or a key has no place in a log.
        options = {"isolation_level": None, "async_creator_fn": driver.connect}
        writer = create_async_engine(url, connect_args=options, pool_size=1, max_overflow=0, hide_parameters=True)
        reader = create_async_engine(
            url,
            connect_args=options,
            pool_size=READERS,
            max_overflow=READERS,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            pool_reset_on_return=None,
            hide_parameters=True,
        )
        for engine in (writer, reader):
            event.listen(engine.sync_engine, "connect", _set_pragmas)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        return Database(writer, reader)

    def use_vault(self, vault: Vault) -> None:
        """Let sealed columns (``vault.Sealed``) of every table in this database be written and read."""
        self._vault = vault
        for engine in (self._writer, self._reader):
            engine.dialect.vault = vault  # type: ignore[attr-defined]

    def blind_index(self, name: str, text: str) -> bytes:
        """Give the bytes by which a sealed text is looked up."""
        if self._vault is None:
            raise RuntimeError("the database has no vault yet")
        return self._vault.index(name, text)

    def insert_if_new(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Give an INSERT that leaves a row alone whose unique columns are there already."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in autocommit, for statements that each stand alone."""
        with outages.told():
            async with self._reader.connect() as connection:
                yield connection
        driver.let_go()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that may write: committed at the end of the block, rolled back by an exception.

        The queue is not reentrant: don't call the wallet from inside the block, that task would wait for itself.
        """
        with outages.told() as commit:
            async with AsyncExitStack() as stack:
                if self.is_sqlite:
                    await stack.enter_async_context(self._queue)
                yield await stack.enter_async_context(self._writer.begin())
                commit.begun = True
        driver.let_go()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Line]:
        """Give what begins one :meth:`write` after another: on PostgreSQL all on one connection, which is looked at once."""
        if self.is_sqlite:
            yield Line(self.write)
            return
        with outages.told():
            connection = await self._reader.connect()  # in autocommit, so that the transactions can be the driver's own
            await connection.execution_options(**{direct.OPTION: True})
        try:
            yield Line(lambda: self._begin(connection), connection)
        finally:
            await connection.close()

    @asynccontextmanager
    async def _begin(self, connection: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        with outages.told() as commit, direct.as_sqlalchemy(plain := direct.driver_of(connection)):
            async with plain.transaction():
                yield connection
                commit.begun = True

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection on which several reads see one state, without stopping writers."""
        with outages.told():
            if self.is_sqlite:
                async with self._reader.connect() as connection:
                    await connection.exec_driver_sql("BEGIN")
                    try:
                        yield connection
                    finally:
                        await connection.exec_driver_sql("ROLLBACK")
            else:
                async with self._writer.connect() as plain:
                    yield await plain.execution_options(isolation_level="REPEATABLE READ")
        driver.let_go()

    async def close(self) -> None:
        """Close every connection."""
        await self._reader.dispose()
        await self._writer.dispose()
