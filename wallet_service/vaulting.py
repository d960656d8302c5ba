"""The data keys of a database: made at the first opening, wrapped by the server's secret, learned again while it is open.

A new key is published before it is used (``rotation``), and every open wallet looks for new keys every few seconds; so whoever
reads a value has learned its key before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from wallet_service.database import Database
from wallet_service.keys import Keys
from wallet_service.randomness import Randomness
from wallet_service.schema import data_keys
from wallet_service.vault import KEY_BYTES, DataKey, Vault

LOOK = 10.0  # seconds between looks
_PAUSE = 1.0  # seconds at least between two looks, whatever is wanted
log = logging.getLogger(__name__)


async def open_vault(database: Database, keys: Keys, random: Randomness, clock: Callable[[], datetime]) -> Vault:
    """Learn a database's data keys, make the first one where there is none, and let its sealed columns be read."""
    vault = Vault(keys, random)
    await learn_keys(database, vault, clock())
    if not vault.rows:
        now = clock()
        row = {"id": 1, "wrapped": vault.wrap(1, random.octets(KEY_BYTES)), "created_at": now, "used_from": now}
        async with database.write() as connection:
            await connection.execute(database.insert_if_new(data_keys).values(row))  # a second process may have been first
        await learn_keys(database, vault, now)
    database.use_vault(vault)
    return vault


async def learn_keys(database: Database, vault: Vault, now: datetime) -> None:
    """Take in the data keys as they are now; one that was deleted while this process still sealed under it is put back."""
    async with database.read() as connection:
        found = await connection.execute(select(data_keys.c.id, data_keys.c.wrapped, data_keys.c.used_from))
        rows = [DataKey(row.id, bytes(row.wrapped), row.used_from) for row in found]
    lost = vault.learn(rows, now)
    if lost is not None:
        log.warning("data key %d was deleted while it was in use here: put back", lost.id)
        row = {"id": lost.id, "wrapped": lost.wrapped, "created_at": now, "used_from": lost.used_from}
        async with database.write() as connection:
            await connection.execute(database.insert_if_new(data_keys).values(row))


class KeyWatch:
    """The task that looks for new data keys every few seconds, and at once when a value of an unknown key was met."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking."""
        self._task = asyncio.create_task(self._run(), name="wallet-key-watch")

    async def stop(self) -> None:
        """End, after a last look when something was sealed: its key must stay."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._vault.in_use:
            await self._look()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._vault.wanted.wait(), LOOK)
            self._vault.wanted.clear()
            await self._look()
            await asyncio.sleep(_PAUSE)

    async def _look(self) -> None:
        try:
            await learn_keys(self._database, self._vault, self._clock())
        except Exception as error:  # the database may be away for a while
            log.warning("the data keys could not be looked at: %s", type(error).__name__)
