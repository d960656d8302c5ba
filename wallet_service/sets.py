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
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]
_IN_ADVANCE = 1_000
_UNIQUE = "23505"


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


def _array(table: Table, name: str, new: bool) -> str:
    return f"{'new' if new else 'known'}_{table.name}_{name}"


@cache
def _arrays(table: Table, names: tuple[str, ...], new: bool) -> Any:
    """Give the rows of arrays that are bound by the columns' names, as something to select from."""
    arrays = [bindparam(_array(table, name, new), type_=ARRAY(table.c[name].type, dimensions=1)) for name in names]
    return func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in names), name="given").render_derived()


@cache
def _pairs(wanted: tuple[Column[Any], ...], first: Column[Any], second: Column[Any], sqlite: bool) -> Select[Any]:
    if sqlite:
        given = func.json_each(bindparam("given", type_=Text)).table_valued("value")
        matches = [match == func.json_extract(given.c.value, f"$[{place}]") for place, match in enumerate((first, second))]
    else:
        given = _arrays(first.table, (first.name, second.name), False)
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
        given = {
            _array(first.table, match.name, False): [value[at] for value in values] for at, match in enumerate((first, second))
        }
    return _pairs(wanted, first, second, sqlite), given


@dataclass(frozen=True, slots=True)
class Change:
    """Rows to insert, or to be changed where their ``id`` stands; all name the same columns."""

    table: Table
    rows: Sequence[Row]
    new: bool = True

    @property
    def shape(self) -> tuple[Table, tuple[str, ...], bool]:
        """Give what the statement's text depends on."""
        return self.table, tuple(self.rows[0]), self.new

    def arrays(self) -> dict[str, list[Any]]:
        """Give the columns' values as PostgreSQL takes them."""
        return {_array(self.table, name, self.new): [row[name] for row in self.rows] for name in self.rows[0]}


@cache
def _each(table: Table, names: tuple[str, ...]) -> UpdateBase:
    """Give the UPDATE of one row, for SQLite, which is quick at repeating it."""
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names if name != "id"}
    return update(table).where(table.c.id == bindparam("new_id")).values(values)


@cache
def _all(shapes: tuple[tuple[Table, tuple[str, ...], bool], ...]) -> Select[Any]:
    """Give one statement that makes every change, for PostgreSQL: one round trip for all of them."""
    return select(literal(1)).add_cte(*(_set(*shape).cte(f"change_{place}") for place, shape in enumerate(shapes)))


def _set(table: Table, names: tuple[str, ...], new: bool) -> Any:
    given = _arrays(table, names, new)
    if new:
        return insert(table).from_select(list(names), select(*given.c), include_defaults=False).returning(literal(1))
    values = {name: given.c[name] for name in names if name != "id"}
    return update(table).where(table.c.id == given.c.id).values(values).returning(literal(1))


async def write_sets(connection: AsyncConnection, *changes: Change) -> None:
    """Make changes of different tables, in this order, all or none; those without rows are nothing."""
    wanted = [change for change in changes if change.rows]
    if connection.dialect.name != "sqlite":
        if wanted:
            values = {name: array for change in wanted for name, array in change.arrays().items()}
            await connection.execute(_all(tuple(change.shape for change in wanted)), values)
        return
    for change in wanted:
        if change.new:
            await connection.execute(insert(change.table), change.rows)
        else:
            rows = [{f"new_{name}": value for name, value in row.items()} for row in change.rows]
            await connection.execute(_each(change.table, tuple(change.rows[0])), rows)


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

    def drop_if_taken(self, error: DBAPIError) -> None:
        """Drop what was taken in advance if another has it: a server that crashed in that moment may give it away again."""
        if getattr(error.orig, "sqlstate", None) == _UNIQUE and "replays" not in str(error.orig):  # where a repeated key stands
            self.spare.clear()
