"""A new data key: published first, used once everybody has learned it, and the old one deleted when nothing needs it.

Every sealed value is sealed again, a few rows a transaction, while the service runs; a row that somebody works on is left for
the next round. A rotation that died is finished by the next one. A key goes only when no column of the whole database, of
whomever's table, holds a value under it: that is asked of the database itself and not of the tables known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from sqlalchemy import (
    LargeBinary,
    MetaData,
    Row,
    Table,
    bindparam,
    delete,
    func,
    inspect,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.context import Context
from wallet_service.errors import UnknownDataKey
from wallet_service.schema import data_keys, metadata
from wallet_service.vault import HEAD, KEY_BYTES, SHORTEST, Sealed, head_of
from wallet_service.vaulting import learn_keys
from wallet_service.views import Rotation

BATCH = 200  # rows sealed again in one transaction: a writer must not keep the others waiting
_PAUSE = 0.2  # seconds before rows that somebody else holds are tried again
log = logging.getLogger(__name__)


async def rotate_keys(context: Context, others: Sequence[MetaData], keep: timedelta) -> Rotation:
    """Change to a new data key, or finish a change that was begun; ``others`` are the tables beside the wallet's own."""
    key_id, used_from = await _publish(context, keep)
    await learn_keys(context.database, context.vault, context.now())  # others may use it a moment before this process does
    await _wait_until(context, used_from)
    await learn_keys(context.database, context.vault, context.now())
    tables = [table for known in (metadata, *others) for table in known.tables.values()]
    resealed = await _reseal(context, tables, key_id)
    await _wait_until(context, used_from + keep)  # whoever learned late has sealed under the old key until now
    resealed += await _reseal(context, tables, key_id)
    retired = await _retire(context, key_id)
    await learn_keys(context.database, context.vault, context.now())
    return Rotation(key_id, resealed, retired, tuple(sorted(context.vault.rows.keys() - {key_id})))


async def _wait_until(context: Context, moment: datetime) -> None:
    while (left := (moment - context.now()).total_seconds()) > 0:  # noqa: ASYNC110 (the clock is not the loop's)
        await asyncio.sleep(min(left, 1.0))


async def _publish(context: Context, keep: timedelta) -> tuple[int, datetime]:
    """Make the next key, unless an older one still waits to be retired: then that rotation goes on."""
    known = select(data_keys.c.id, data_keys.c.used_from).order_by(data_keys.c.id.desc())
    async with context.database.write() as connection:
        rows = (await connection.execute(known)).all()
        if len(rows) == 1:
            now, key_id = context.now(), rows[0].id + 1
            wrapped = context.vault.wrap(key_id, context.random.octets(KEY_BYTES))
            row = {"id": key_id, "wrapped": wrapped, "created_at": now, "used_from": now + keep}
            await connection.execute(context.database.insert_if_new(data_keys).values(row))  # or another rotation's, just now
            rows = (await connection.execute(known)).all()
    return rows[0].id, rows[0].used_from


async def _reseal(context: Context, tables: Sequence[Table], key_id: int) -> int:
    """Seal everything again that is under another key; give how many rows that were."""
    total = 0
    for table in tables:
        names = {column.name: column.type.name for column in table.c if isinstance(column.type, Sealed)}
        left = bool(names)
        while left:
            done, left = await _walk(context, table, names, head_of(key_id))
            total += done
            if left:
                await asyncio.sleep(_PAUSE)
    return total


async def _walk(context: Context, table: Table, names: Mapping[str, str], head: bytes) -> tuple[int, bool]:
    """Go through a table once; give how many rows were sealed again, and whether some were left since others hold them.

    ``names`` are the fields' names by their columns.
    """
    (row_id,) = table.primary_key.columns
    raw = [type_coerce(table.c[column], LargeBinary) for column in names]
    old = or_(*((func.substr(column, 1, HEAD) != head) & (func.length(column) > 0) for column in raw))
    new = update(table).where(row_id == bindparam("row"))
    new = new.values({column: bindparam(f"new_{column}", type_=LargeBinary) for column in names})
    found = select(row_id).where(row_id > bindparam("last"), old).order_by(row_id).limit(BATCH)
    last, done, left = 0, 0, False
    while True:
        async with context.database.read() as connection:
            ids = (await connection.execute(found, {"last": last})).scalars().all()
        if not ids:
            return done, left
        async with context.database.write() as connection:
            free = select(row_id, *raw).where(row_id.in_(ids), old)
            rows = (await connection.execute(free.with_for_update(skip_locked=True, key_share=True))).all()
            changes = [change for row in rows if (change := _sealed_again(context, table.name, names, row)) is not None]
            if changes:
                await connection.execute(new, changes)
        done, left, last = done + len(changes), left or len(rows) < len(ids), ids[-1]


def _sealed_again(context: Context, table: str, names: Mapping[str, str], row: Row[Any]) -> dict[str, Any] | None:
    """Give a row's values under the current key; None, and a line in the log, for a row that does not open."""
    change: dict[str, Any] = {"row": row[0]}
    values: Sequence[bytes | None] = row[1:]
    for (column, name), sealed in zip(names.items(), values, strict=True):
        try:
            text = None if sealed is None else context.vault.open(name, sealed)
        except (InvalidTag, UnknownDataKey):
            log.error("row %d of %s does not open: its data key is kept", row[0], table)
            return None
        change[f"new_{column}"] = None if text is None else context.vault.seal(name, text)
    return change


async def _retire(context: Context, key_id: int) -> tuple[int, ...]:
    """Delete the older keys that nothing in the database is sealed under; give their ids."""
    async with context.database.read() as connection:
        older = (await connection.execute(select(data_keys.c.id).where(data_keys.c.id < key_id))).scalars().all()
        binary = await connection.run_sync(_binary_columns)
        needed = [one for one in older if await _is_needed(connection, binary, head_of(one))]
    free = tuple(sorted(set(older) - set(needed)))
    if free:
        async with context.database.write() as connection:
            await connection.execute(delete(data_keys).where(data_keys.c.id.in_(free)))
    return free


def _binary_columns(connection: Connection) -> dict[str, list[str]]:
    """Give every column of the database that could hold a sealed value, by its table."""
    known = inspect(connection)
    return {
        table: [column["name"] for column in known.get_columns(table) if isinstance(column["type"], LargeBinary)]
        for table in known.get_table_names()
    }


async def _is_needed(connection: AsyncConnection, binary: Mapping[str, Sequence[str]], head: bytes) -> bool:
    """Tell whether any of these columns holds a value that begins as one sealed under this key does."""
    for name, columns in binary.items():
        table = sql_table(name, *(sql_column(column, LargeBinary) for column in columns))
        under = [(func.substr(column, 1, HEAD) == head) & (func.length(column) >= SHORTEST) for column in table.c]
        if under and (await connection.execute(select(literal(1)).select_from(table).where(or_(*under)).limit(1))).first():
            return True
    return False
