"""Many rows in one statement: arrays in on PostgreSQL, one hop to the driver on SQLite.

The text is the same however many rows there are: one that changed with their number would be planned anew each time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine, UserDefinedType

from wallet_service.direct import Prepared, is_direct, run_all
from wallet_service.schema import Instant

Row = Mapping[str, Any]
_IN_ADVANCE = 1_000
_UNIQUE = "23505"
VERSION = "version"  # what a row is known by on PostgreSQL: the transaction that wrote it last


class _Version(UserDefinedType[int]):
    """PostgreSQL's number of a transaction."""

    cache_ok = True
    python_type = int

    def get_col_spec(self, **_options: Any) -> str:
        """Give its name there."""
        return "XID"


class _Array(TypeDecorator[Sequence[Any]]):
    """Values as one text: PostgreSQL's for an array, JSON for SQLite. Drivers look long at each element of a list."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def bind_processor(self, dialect: Dialect) -> Callable[[Sequence[Any] | None], str]:
        """Give what writes the values down."""
        impl = self.item.dialect_impl(dialect)
        to_driver = impl.bind_processor(dialect)
        opening, closing = "[]" if dialect.name == "sqlite" else "{}"
        plain = issubclass(impl.python_type, int) or isinstance(self.item, Instant)

        def write(values: Sequence[Any] | None) -> str:
            given = list(values or () if to_driver is None else map(to_driver, values or ()))
            elements = json.dumps(given)[1:-1].replace("null", "NULL") if plain else ",".join(map(_element, given))
            return f"{opening}{elements}{closing}"

        return write


def _element(value: object) -> str:
    """Write a text or bytes as an element of PostgreSQL's arrays."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def among(wanted: ColumnElement[Any], name: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Give the condition that a column is one of the integers bound as ``name``."""
    if sqlite:
        return wanted.in_(select(column("value")).select_from(func.json_each(bindparam(name, type_=_Array(BigInteger())))))
    return wanted == any_(_bound_array(name, BigInteger()))


def _bound_array(name: str, item: TypeEngine[Any]) -> ColumnElement[Any]:
    """Give the array that is bound by a name; texts as they are, so that one that is too long for its column is refused there."""
    wanted = Text() if isinstance(item, String) else item
    return cast(bindparam(name, type_=_Array(item)), ARRAY(wanted, dimensions=1))


def version_of(table: Table) -> ColumnElement[int]:
    """Give the number of the transaction that wrote a row last (PostgreSQL)."""
    return literal_column(f"{table.name}.xmin", _Version())


def _array(table: Table, name: str, how: str) -> str:
    return f"{how}_{table.name}_{name}"


@cache
def _arrays(table: Table, names: tuple[str, ...], how: str) -> Any:
    """Give the rows of arrays that are bound by the columns' names, as something to select from."""
    types: dict[str, TypeEngine[Any]] = {name: _Version() if name == VERSION else table.c[name].type for name in names}
    arrays = [_bound_array(_array(table, name, how), types[name]) for name in names]
    return func.unnest(*arrays).table_valued(*(column(name, types[name]) for name in names), name="given").render_derived()


@cache
def _pairs(wanted: tuple[Column[Any], ...], first: Column[Any], second: Column[Any], sqlite: bool) -> Select[Any]:
    if sqlite:
        given = func.json_each(bindparam("given", type_=Text)).table_valued("value")
        matches = [match == func.json_extract(given.c.value, f"$[{place}]") for place, match in enumerate((first, second))]
    else:
        given = _arrays(first.table, (first.name, second.name), KNOWN)
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
            _array(first.table, match.name, KNOWN): [value[at] for value in values] for at, match in enumerate((first, second))
        }
    return _pairs(wanted, first, second, sqlite), given


_ABSENT = object()


@cache
def _defaults(table: Table) -> Mapping[str, Any]:
    """Give what the database puts into columns that a new row does not name."""
    return {one.name: _default(one) for one in table.columns}


def _default(one: Column[Any]) -> Any:
    if one.server_default is None:
        return None if one.nullable else _ABSENT
    said = str(one.server_default.arg)  # type: ignore[attr-defined]
    return said if isinstance(one.type, String) else json.loads(said)


NEW, KNOWN, SAME = "new", "known", "same"  # rows to insert, to change, or to find as they were


class Change:
    """Rows to insert, or to be changed where their ``id`` stands; all name the same columns.

    What every new row leaves as the database would is not written: each column costs, on both sides. Where rows name a
    ``version``, the statement fails as a lost race (40001) unless every one of them still has it, and gives the version that
    those it wrote have now; rows that are to be the ``SAME`` are looked at only (PostgreSQL).
    """

    def __init__(self, table: Table, rows: Sequence[Row], how: str = NEW) -> None:
        self.table, self.how, self.count = table, how, len(rows)
        names: Sequence[str] = tuple(rows[0]) if rows else ()
        columns = [[row[name] for row in rows] for name in names]
        if how == NEW:
            absent = _defaults(table)
            kept = [place for place, name in enumerate(names) if columns[place].count(absent[name]) < len(rows)]
            names, columns = [names[place] for place in kept], [columns[place] for place in kept]
        self.names, self.columns = tuple(names), columns

    @property
    def shape(self) -> tuple[Table, tuple[str, ...], str]:
        """Give what the statement's text depends on."""
        return self.table, self.names, self.how

    def arrays(self) -> dict[str, list[Any]]:
        """Give the columns' values by the names that they are bound by."""
        return {_array(self.table, name, self.how): column for name, column in zip(self.names, self.columns, strict=True)}


@cache
def _each(table: Table, names: tuple[str, ...], how: str) -> UpdateBase:
    """Give the statement for one row, for SQLite, which is quick at repeating it."""
    given = {name: bindparam(_array(table, name, how), type_=table.c[name].type) for name in names}
    if how == NEW:
        return insert(table).values(given)
    return update(table).where(table.c.id == given.pop("id")).values(given)


@cache
def _all(shapes: tuple[tuple[Table, tuple[str, ...], str], ...]) -> Select[Any]:
    """Give one statement that makes every change, for PostgreSQL: one round trip for all of them."""
    changes = {shape: _set(*shape).cte(f"change_{place}") for place, shape in enumerate(shapes) if shape[2] != SAME}
    kept = [select(func.count()).select_from(changes.get(shape, _same(shape))) for shape in shapes if VERSION in shape[1]]
    if not kept:
        return select(literal(1)).add_cte(*changes.values())
    found = sum((each.scalar_subquery() for each in kept[1:]), kept[0].scalar_subquery())
    unchanged = func.wallet_unchanged(found, bindparam("versions", type_=BigInteger)).label("unchanged")
    return select(unchanged, cast(func.pg_current_xact_id(), _Version()).label(VERSION)).add_cte(*changes.values())


def _same(shape: tuple[Table, tuple[str, ...], str]) -> Any:
    table, given = shape[0], _arrays(*shape)
    return table.join(given, and_(table.c.id == given.c.id, version_of(table) == given.c[VERSION]))


def _set(table: Table, names: tuple[str, ...], how: str) -> Any:
    given = _arrays(table, names, how)
    if how == NEW:
        return insert(table).from_select(list(names), select(*given.c), include_defaults=False).returning(literal(1))
    values = {name: given.c[name] for name in names if name not in ("id", VERSION)}
    changed = update(table).where(table.c.id == given.c.id).values(values).returning(literal(1))
    return changed.where(version_of(table) == given.c[VERSION]) if VERSION in names else changed


async def rows_of(connection: AsyncConnection, statement: Select[Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a statement that runs all the time, and give its rows by its columns' names."""
    if is_direct(connection):
        return await Prepared(connection, statement, values).fetch()
    found = await connection.execute(statement, values)
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found]


async def write_sets(connection: AsyncConnection, *changes: Change) -> None:
    """Make changes of different tables, in this order, all or none; those without rows are nothing."""
    wanted = [change for change in changes if change.names]
    if connection.dialect.name == "sqlite":
        await run_all(connection, ((_each(*change.shape), change.arrays()) for change in wanted))
    elif wanted:
        await rows_of(connection, *_one(wanted))


def _one(changes: Sequence[Change]) -> tuple[Select[Any], dict[str, Any]]:
    values: dict[str, Any] = {name: array for change in changes for name, array in change.arrays().items()}
    return _all(tuple(change.shape for change in changes)), values


class Unlocked:
    """Changes of rows that nobody has locked, ready to be written at once: none is made unless every row has its version."""

    def __init__(self, connection: AsyncConnection, *changes: Change) -> None:
        wanted = [change for change in changes if change.names]
        self._versioned = [change for change in wanted if VERSION in change.names]
        statement, values = _one(wanted)
        values["versions"] = sum(change.count for change in self._versioned)
        self._prepared = Prepared(connection, statement, values)

    def follow(self, version: int) -> None:
        """Name the version of those rows that had none yet when this was made ready, since they were just being written."""
        for change in self._versioned:
            place = change.names.index(VERSION)
            if None in change.columns[place]:
                change.columns[place] = [version if known is None else known for known in change.columns[place]]
                self._prepared.renew({_array(change.table, VERSION, change.how): change.columns[place]})

    async def write(self) -> int | None:
        """Write it all in one transaction; gives the version of what was written, if any row had to have one."""
        [row] = await self._prepared.fetch()
        return row.get(VERSION)


@cache
def _last_id(table: Table) -> Select[Any]:
    return select(func.coalesce(func.max(table.c.id), 0).label("last"))


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
            [row] = await rows_of(connection, _last_id(self.table), {})
            return list(range(row["last"] + 1, row["last"] + 1 + count))
        if not self.has(count):
            wanted = select(func.nextval(f"{self.table.name}_id_seq")).select_from(func.generate_series(1, bindparam("count")))
            self.spare.extend((await connection.execute(wanted, {"count": count + _IN_ADVANCE})).scalars())
        return [self.spare.popleft() for _ in range(count)]

    def has(self, count: int) -> bool:
        """Tell whether so many are at hand."""
        return len(self.spare) >= count

    def drop_if_taken(self, error: DBAPIError) -> None:
        """Drop what was taken in advance if another has it: a server that crashed in that moment may give it away again."""
        if getattr(error.orig, "sqlstate", None) == _UNIQUE and "replays" not in str(error.orig):  # where a repeated key stands
            self.spare.clear()
