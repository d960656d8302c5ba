"""Statements that run with every payment, compiled once and handed to the driver itself.

Executing one by way of SQLAlchemy costs as much as the payments in it. The text, the types and the transaction are the same; on
PostgreSQL only a connection that :meth:`~wallet_service.database.Database.writing` gave is used so, since its transactions are
the driver's own.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import UpdateBase

OPTION = "zhanggui_direct"  # of the connections that may be used so

_INTEGRITY = "23"  # SQLSTATE class: a constraint is violated
_Process = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    given: tuple[tuple[str, _Process], ...]
    fixed: Mapping[str, Any]
    got: tuple[tuple[str, _Process], ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        everything = {**self.fixed, **values}
        return [everything[name] if process is None else process(everything[name]) for name, process in self.given]

    def rows(self, columns: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
        made = (columns[name] if process is None else map(process, columns[name]) for name, process in self.given)
        return list(zip(*made, strict=True))

    def row(self, record: Sequence[Any]) -> dict[str, Any]:
        return {
            name: value if process is None else process(value) for (name, process), value in zip(self.got, record, strict=True)
        }


@lru_cache(maxsize=256)
def _compiled(statement: Select[Any] | UpdateBase, dialect: Dialect) -> _Compiled:
    made = statement.compile(dialect=dialect)
    types = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in made.binds.items()}
    selected = statement.selected_columns if isinstance(statement, Select) else ()
    got = [(column.key or "", column.type.dialect_impl(dialect).result_processor(dialect, None)) for column in selected]
    names = made.positiontup or []
    return _Compiled(made.string, tuple((name, types[name]) for name in names), dict(made.params), tuple(got))


def driver_of(connection: AsyncConnection) -> Any:
    """Give the driver's own connection."""
    sync = connection.sync_connection
    if sync is None:
        raise RuntimeError("the connection was not opened")
    return sync.connection.driver_connection


def is_direct(connection: AsyncConnection) -> bool:
    """Tell whether a connection's statements may go to the driver."""
    sync = connection.sync_connection
    return sync is not None and (sync.dialect.name == "sqlite" or bool(sync.get_execution_options().get(OPTION)))


class Prepared:
    """A statement with its values as the driver takes them; some may be given anew before it is run."""

    def __init__(self, connection: AsyncConnection, statement: Select[Any], values: Mapping[str, Any]) -> None:
        self._driver, self._compiled = driver_of(connection), _compiled(statement, connection.dialect)
        self._arguments = self._compiled.arguments(values)

    def renew(self, values: Mapping[str, Any]) -> None:
        """Give some of the values anew."""
        for place, (name, process) in enumerate(self._compiled.given):
            if name in values:
                self._arguments[place] = values[name] if process is None else process(values[name])

    async def fetch(self) -> list[dict[str, Any]]:
        """Run it and give its rows."""
        with as_sqlalchemy(self._driver):
            records = await self._driver.fetch(self._compiled.text, *self._arguments)
        return [self._compiled.row(record) for record in records]


async def run_all(connection: AsyncConnection, statements: Iterable[tuple[UpdateBase, Mapping[str, Sequence[Any]]]]) -> None:
    """Run statements on SQLite, each for all of its rows, whose values are given by columns: one hop to its thread for all."""
    given = []
    for statement, columns in statements:
        compiled = _compiled(statement, connection.dialect)
        given.append((compiled.text, compiled.rows(columns)))
    with as_sqlalchemy(driver := driver_of(connection)):
        await driver.run_all(given)


@contextmanager
def as_sqlalchemy(driver: Any) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does, cut down to what failed."""
    try:
        yield
    except sqlite3.Error as fault:
        kind = IntegrityError if isinstance(fault, sqlite3.IntegrityError) else DBAPIError
        raise kind(None, None, fault, hide_parameters=True) from fault
    except Exception as fault:
        from asyncpg import InterfaceError, InternalClientError, PostgresError

        if not isinstance(fault, PostgresError | InterfaceError | InternalClientError):
            raise
        without_values(fault)
        kind = IntegrityError if (getattr(fault, "sqlstate", None) or "").startswith(_INTEGRITY) else DBAPIError
        gone = driver.is_closed() or isinstance(fault, InternalClientError)  # the driver is at a loss while a line breaks
        raise kind(None, None, fault, hide_parameters=True, connection_invalidated=gone) from fault


_VALUE = re.compile(r"((?:argument \$\d+|for type [\w ]+)(?=:)|(?=\n)).*", re.DOTALL)  # from here on an error quotes values


def without_values(error: BaseException) -> None:
    """Cut an error down to what failed: PostgreSQL adds the failing row or argument, and an error may end in a log."""
    error.args = tuple(_VALUE.sub(r"\1", text) if isinstance(text, str) else text for text in error.args)
    if isinstance(getattr(error, "detail", None), str):
        error.detail = None  # type: ignore[attr-defined]
