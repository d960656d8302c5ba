"""The hash chain: what was posted can be neither changed, removed, cut off nor rewritten without verify noticing.

A link covers an entry, the order that it belongs to (who asked, what, with which note and receipt) and both accounts (whose,
with which number). Entries are chained after their commit, by one sealer at a time, so that postings never queue for the end
of a chain. The head is one row, signed with a key that the database does not hold, from the first moment of a ledger on. The
sealer adds only to a head that it has signed itself: one that is missing, signed by another or older than what this process or
the ``witness`` has seen is a fault for a person to look at, and nothing is sealed until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, func, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import witness
from wallet_service.context import Context, Newest
from wallet_service.errors import LedgerFault, RolledBack
from wallet_service.schema import Instant, accounts, chain_head, entries, links, orders, users
from wallet_service.vault import Checked, Sealed

LATE_COMMITS = 10_000  # ids below the highest sealed one in which a transaction may still have been open (PostgreSQL)
BATCH = 1_000  # entries a transaction
_SLICE = 25  # entries hashed at a stretch: nobody is to wait for more
START = bytes(32)
_SHARE = 9.0  # times as long as the last sealing took is rested: postings come first
_RETRY = 1.0  # seconds before sealing is tried again after an error
_SHOW = 1.0  # seconds at least from one look of the witness to the next
_debit, _credit = accounts.alias("debit"), accounts.alias("credit")
_ORDER = ("kind", "actor_id", "payer_id", "payee_id", "amount", "fee", "note", "receipt_no", "created_at")
_ACCOUNT = ("kind", "city", "user_id", "number", "name")
_COVERED = (
    *((orders, name, f"order_{name}") for name in _ORDER),
    *((side, name, f"{side.name}_{name}") for side in (_debit, _credit) for name in _ACCOUNT),
)


def _as_hashed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Cover moments as the numbers that they stand as, and what a sealed text says, not how it is sealed now: keys change."""
    if isinstance(column.type, Sealed):  # a bare hash of it could be guessed at
        return type_coerce(column, Checked(column.type.name))
    return type_coerce(column, BigInteger) if isinstance(column.type, Instant) else column


CONTENT = (
    *(_as_hashed(column).label(column.name) for column in entries.c),
    *(_as_hashed(table.c[name]).label(label) for table, name, label in _COVERED),
)
FROM_ENTRIES = (
    entries.outerjoin(orders, orders.c.id == entries.c.order_id)
    .outerjoin(_debit, _debit.c.id == entries.c.debit_id)
    .outerjoin(_credit, _credit.c.id == entries.c.credit_id)
)
_END = select(func.max(links.c.position)).scalar_subquery()
log = logging.getLogger(__name__)


def link_hash(previous: bytes, position: int, content: Iterable[Any]) -> bytes:
    """Hash what stands behind an entry (the values of CONTENT) together with its place and everything before it."""
    return hashlib.sha256(previous + json.dumps([position, *content]).encode()).digest()


def sign_head(context: Context, position: int, watermark: int, head: bytes) -> bytes:
    """Sign how long the chain is, how far the entries in it reach and what it ends in."""
    return context.keys.mac("chain", f"{position}|{watermark}|".encode() + head)


def is_signed(context: Context, head: Row[Any]) -> bool:
    """Tell whether a head was signed with this secret key."""
    return hmac.compare_digest(sign_head(context, head.position, head.watermark, head.hash), head.signature)


async def is_untouched(connection: AsyncConnection) -> bool:
    """Tell whether nobody and nothing was ever entered: only then may a head be missing."""
    for table in (users, orders, entries, links):
        if (await connection.execute(select(table).limit(1))).first() is not None:
            return False
    return True


async def begin(context: Context) -> None:
    """Sign the head of a ledger that nothing was entered in; where something was, a missing head stays missing."""
    async with context.database.read() as connection:
        if (await connection.execute(select(chain_head.c.id))).first() is not None:
            return
    async with context.database.write() as connection:
        if await is_untouched(connection):
            row = {"id": 1, "position": 0, "watermark": 0, "hash": START, "signature": sign_head(context, 0, 0, START)}
            await connection.execute(context.database.insert_if_new(chain_head).values(row))


def unsealed(watermark: int, limit: int, *, late: int = LATE_COMMITS) -> Any:
    """Select entries that are in no link yet, oldest first, from ``late`` ids before the watermark on."""
    return (
        select(*CONTENT)
        .select_from(FROM_ENTRIES.outerjoin(links, links.c.entry_id == entries.c.id))
        .where(entries.c.id > watermark - late, links.c.entry_id.is_(None))
        .order_by(entries.c.id)
        .limit(limit)
    )


async def _own_head(context: Context, connection: AsyncConnection) -> Row[Any]:
    """Give the head to add to, or raise why it is not the one that was left there."""
    head = (await connection.execute(select(chain_head))).one_or_none()
    if head is None:
        raise LedgerFault("the signed head of the chain is missing")
    if not is_signed(context, head):
        raise LedgerFault("the head of the chain is not signed with this secret key")
    newest = context.newest
    wanted = select(links.c.position, links.c.hash).where(links.c.position.in_((_END, newest.position)))
    there = {row.position: row.hash for row in await connection.execute(wanted)}
    end = max(there, default=0)
    if (head.position, head.hash) != (end, there.get(end, START)):
        raise LedgerFault("the chain does not end where its signed head says")
    if newest.position and there.get(newest.position) != newest.hash:
        raise RolledBack(f"the chain has gone back: what it held at {newest.position} is not there, it ends at {head.position}")
    newest.see(Newest(head.position, head.hash))
    return head


async def seal(context: Context) -> int:
    """Chain everything that is posted and not chained yet; give how many entries that were."""
    total = 0
    while True:
        async with context.database.snapshot() as connection:
            head = await _own_head(context, connection)
            late = 0 if context.database.is_sqlite else LATE_COMMITS  # SQLite's ids are in the order of commits
            rows = (await connection.execute(unsealed(head.watermark, BATCH, late=late))).all()
        if not rows:
            return total
        if await _add(context, head, await _chained(head, rows), max(head.watermark, *(row.id for row in rows))):
            total += len(rows)
            if len(rows) < BATCH:
                return total


async def _chained(head: Row[Any], rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Make the links of entries, outside of any transaction and giving way to whoever waits."""
    previous, chained = head.hash, []
    for position, row in enumerate(rows, head.position + 1):
        previous = link_hash(previous, position, row)
        chained.append({"position": position, "entry_id": row.id, "hash": previous})
        if position % _SLICE == 0:
            await asyncio.sleep(0)
    return chained


async def _add(context: Context, head: Row[Any], chained: list[dict[str, Any]], watermark: int) -> bool:
    """Add links and sign the new head, unless another sealer was faster: its head is not the one that they were made for."""
    position, end = chained[-1]["position"], chained[-1]["hash"]
    values = {"position": position, "watermark": watermark, "hash": end}
    async with context.database.write() as connection:
        now = (await connection.execute(select(chain_head.c.signature).with_for_update())).scalar_one_or_none()
        if now != head.signature:
            return False
        await connection.execute(insert(links), chained)
        await connection.execute(update(chain_head).values(signature=sign_head(context, position, watermark, end), **values))
    context.newest.see(Newest(position, end))
    return True


class Sealer:
    """The task that seals a moment after something was posted, and shows the head to the witness once a second."""

    def __init__(self, context: Context, delay: float) -> None:
        self._context = context
        self._delay = delay  # seconds: postings within it are sealed together
        self._posted = asyncio.Event()
        self._closing = asyncio.Event()
        self._one = asyncio.Lock()
        self._shown = 0  # the position that the witness has seen from here
        self._show_at = 0.0  # not before this moment of the loop's clock
        self.fault: str | None = None  # why nothing is sealed any more, until a person has looked
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, and take up what an earlier process left unsealed."""
        self._posted.set()
        self._task = asyncio.create_task(self._run(), name="wallet-sealer")

    def wake(self) -> None:
        """Tell the sealer that something was posted."""
        self._posted.set()

    async def stop(self) -> None:
        """End, and seal what was posted last."""
        if self._task is not None:
            self._closing.set()
            self._posted.set()
            await self._task
            if await self._seal():
                await self._show()

    async def seal(self) -> int:
        """Seal what is posted, now, and show it to the witness; give how many entries that were."""
        total = await self._seal_all()
        await self._show()
        return total

    async def _run(self) -> None:
        pause, loop = self._delay, asyncio.get_running_loop()
        while not self._closing.is_set():
            unshown = self.fault is None and self._context.newest.position > self._shown
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._posted.wait(), max(0.0, self._show_at - loop.time()) if unshown else None)
            if not self._posted.is_set():
                await self._show()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
            self._posted.clear()
            started = time.perf_counter()
            sealed = await self._seal()
            pause = max(self._delay, _SHARE * (time.perf_counter() - started) if sealed else _RETRY)
            if loop.time() >= self._show_at:
                await self._show()

    async def _seal_all(self) -> int:
        async with self._one:
            await witness.recall(self._context)
            return await seal(self._context)

    async def _show(self) -> None:
        """Show the witness the newest head, unless something is wrong with the chain."""
        newest = self._context.newest.position
        self._show_at = asyncio.get_running_loop().time() + _SHOW
        if self.fault is None and newest > self._shown and await witness.keep(self._context):
            self._shown = newest

    async def _seal(self) -> bool:
        """Seal what is there; whatever goes wrong, the next round takes it up."""
        try:
            await self._seal_all()
        except LedgerFault as fault:
            self.fault = str(fault)
            log.critical("THE LEDGER IS NOT SEALED ANY MORE: %s; run `zhanggui ledger verify`", fault)
        except Exception as error:
            log.warning("sealing was put off: %s", type(error).__name__)
            self._posted.set()
            return False
        else:
            self.fault = None
        return True
