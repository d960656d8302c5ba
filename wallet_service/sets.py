"""Many rows in one statement: arrays in on PostgreSQL, one hop to the driver on SQLite.

The text is the same however many rows there are: one that changed with their number would be planned anew each time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    TypeDecorator,
    and_,
    any_,
    bindparam,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]
_IN_ADVANCE = 1_000


class _Ids(TypeDecorator[Sequence[int]]):
    """Integers as one value: an array for PostgreSQL, JSON text for SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type that the database takes."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(BigInteger()))

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        """Write the integers down."""
        return f"[{','.join(map(str, value or ()))}]" if dialect.name == "sqlite" else list(value or ())


def among(wanted: ColumnElement[Any], name: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Give the condition that a column is one of the integers bound as ``name``."""
    if sqlite:
        return wanted.in_(select(column("value")).select_from(func.json_each(bindparam(name, type_=_Ids()))))
    return wanted == any_(bindparam(name, type_=_Ids()))


@cache
def _arrays(table: Table, names: tuple[str, ...]) -> Any:
    """Give the rows of arrays that are bound by the columns' names, as something to select from."""
    arrays = [bindparam(f"all_{name}", type_=ARRAY(table.c[name].type, dimensions=1)) for name in names]
    return func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in names), name="given").render_derived()


@cache
def _pairs(wanted: tuple[Column[Any], ...], first: Column[Any], second: Column[Any], sqlite: bool) -> Select[Any]:
    if sqlite:
        given = func.json_each(bindparam("given", type_=Text)).table_valued("value")
        matches = [match == func.json_extract(given.c.value, f"$[{place}]") for place, match in enumerate((first, second))]
    else:
        given = _arrays(first.table, (first.name, second.name))
        matches = [match == given.c[match.name] for match in (first, second)]
    return select(*wanted).select_from(given.join(first.table, and_(*matches)))


def pairs(
    wanted: tuple[Column[Any], ...],
    first: Column[Any],
    second: Column[Any],
    values: Sequence[tuple[Any, Any]],
    *,
    sqlite: bool,
) -> tuple[Select[Any], dict[str, Any]]:
    """Give the statement, and its values, that selects the rows whose two columns are one of the pairs."""
    if sqlite:
        given: dict[str, Any] = {"given": json.dumps(values)}
    else:
        given = {f"all_{match.name}": [value[at] for value in values] for at, match in enumerate((first, second))}
    return _pairs(wanted, first, second, sqlite), given


@cache
def _insert(table: Table, names: tuple[str, ...]) -> UpdateBase:
    return insert(table).from_select(list(names), select(*_arrays(table, names).c), include_defaults=False)


@cache
def _update(table: Table, names: tuple[str, ...], sqlite: bool) -> UpdateBase:
    changed = [name for name in names if name != "id"]
    if sqlite:
        values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in changed}
        return update(table).where(table.c.id == bindparam("new_id")).values(values)
    given = _arrays(table, names)
    return update(table).where(table.c.id == given.c.id).values({name: given.c[name] for name in changed})


def _columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in names}


async def insert_set(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows that all name the same columns."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        await connection.execute(insert(table), rows)
    else:
        names = tuple(rows[0])
        await connection.execute(_insert(table, names), _columns(rows, names))


async def update_set(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Write some columns of rows that are named by their ``id``."""
    if not rows:
        return
    names, sqlite = tuple(rows[0]), connection.dialect.name == "sqlite"
    statement = _update(table, names, sqlite)
    if sqlite:
        await connection.execute(statement, [{f"new_{name}": value for name, value in row.items()} for row in rows])
    else:
        await connection.execute(statement, _columns(rows, names))


@dataclass(slots=True)
class Ids:
    """Ids for new rows of a table that nothing is ever removed from; on PostgreSQL taken in advance, so gaps may stay."""

    table: Table
    spare: deque[int] = field(default_factory=deque)

    async def take(self, connection: AsyncConnection, count: int) -> list[int]:
        """Give ids that nobody else has, inside a transaction that will write them; SQLite has one writer, who counts on."""
        if not count:
            return []
        if connection.dialect.name == "sqlite":
            last = (await connection.execute(select(func.coalesce(func.max(self.table.c.id), 0)))).scalar_one()
            return list(range(last + 1, last + 1 + count))
        if len(self.spare) < count:
            wanted = select(func.nextval(f"{self.table.name}_id_seq")).select_from(func.generate_series(1, bindparam("count")))
            self.spare.extend((await connection.execute(wanted, {"count": count + _IN_ADVANCE})).scalars())
        return [self.spare.popleft() for _ in range(count)]
