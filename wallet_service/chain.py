"""The hash chain: what was posted can be neither changed, removed, cut off nor rewritten without verify noticing.

Entries are chained after their commit, by one sealer at a time, so that postings never queue for the end of a chain. The head is
one row, signed with a key that the database does not hold; it is replaced, not added to, so no older head is there to go
back to.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.context import Context
from wallet_service.schema import chain_head, entries, links

LATE_COMMITS = 10_000  # ids below the highest sealed one in which a transaction may still have been open (PostgreSQL)
BATCH = 5_000
START = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = ("id", "order_id", "kind", "debit_id", "credit_id", "amount", "debit_balance", "credit_balance")
log = logging.getLogger(__name__)


def link_hash(previous: bytes, position: int, entry: Row[Any]) -> bytes:
    """Hash an entry's whole content together with its place and everything before it."""
    milliseconds = (entry.at - _EPOCH) // timedelta(milliseconds=1)
    content = "|".join([str(position), *(str(getattr(entry, name)) for name in _FIELDS), str(milliseconds)])
    return hashlib.sha256(previous + content.encode()).digest()


def sign_head(context: Context, position: int, head: bytes) -> bytes:
    """Sign how long the chain is and what it ends in."""
    return context.keys.mac("chain", f"{position}|".encode() + head)


def unsealed(watermark: int, limit: int) -> Any:
    """Select entries that are in no link yet, oldest first."""
    return (
        select(entries)
        .outerjoin(links, links.c.entry_id == entries.c.id)
        .where(entries.c.id > watermark - LATE_COMMITS, links.c.entry_id.is_(None))
        .order_by(entries.c.id)
        .limit(limit)
    )


async def seal_on(context: Context, connection: AsyncConnection, limit: int = BATCH) -> int:
    """Chain up to ``limit`` entries inside a transaction and sign the new head; give how many were chained."""
    head = (await connection.execute(select(chain_head).with_for_update())).one_or_none()
    position, watermark, previous = (head.position, head.watermark, head.hash) if head else (0, 0, START)
    rows = (await connection.execute(unsealed(watermark, limit))).all()
    if not rows:
        return 0
    chained = []
    for row in rows:
        position += 1
        previous = link_hash(previous, position, row)
        watermark = max(watermark, row.id)
        chained.append({"position": position, "entry_id": row.id, "hash": previous})
    await connection.execute(insert(links), chained)
    values = {"position": position, "watermark": watermark, "hash": previous, "signature": sign_head(context, position, previous)}
    await connection.execute(update(chain_head).values(**values) if head else insert(chain_head).values(id=1, **values))
    return len(rows)


async def seal(context: Context) -> int:
    """Chain everything that is posted and not chained yet; give how many entries that were."""
    total = 0
    while True:
        async with context.database.write() as connection:
            count = await seal_on(context, connection)
        total += count
        if count < BATCH:
            return total


class Sealer:
    """The task that seals a moment after something was posted."""

    def __init__(self, context: Context, delay: float) -> None:
        self._context = context
        self._delay = delay  # seconds: postings within it are sealed together
        self._posted = asyncio.Event()
        self._closing = asyncio.Event()
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
            await self._seal()

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._posted.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._delay)
            self._posted.clear()
            await self._seal()

    async def _seal(self) -> None:
        try:
            await seal(self._context)
        except DBAPIError as error:  # another process held the database for too long: the next round takes it up
            log.warning("sealing was put off: %s", type(error.orig).__name__)
            self._posted.set()
