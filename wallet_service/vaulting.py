"""The data keys of a database: made at the first opening, wrapped by the server's secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from wallet_service.database import Database
from wallet_service.keys import Keys
from wallet_service.randomness import Randomness
from wallet_service.schema import data_keys
from wallet_service.vault import KEY_BYTES, Vault


async def open_vault(database: Database, keys: Keys, random: Randomness, clock: Callable[[], datetime]) -> Vault:
    """Learn a database's data keys, make the first one where there is none, and let its sealed columns be read."""
    vault = Vault(keys, random)
    await learn_keys(database, vault)
    if not vault.ciphers:
        row = {"id": 1, "wrapped": vault.wrap(1, random.octets(KEY_BYTES)), "created_at": clock()}
        async with database.write() as connection:
            await connection.execute(database.insert_if_new(data_keys).values(row))  # a second process may have been first
        await learn_keys(database, vault)
    database.use_vault(vault)
    return vault


async def learn_keys(database: Database, vault: Vault) -> None:
    """Take in every data key that the vault does not know yet."""
    async with database.read() as connection:
        for row in await connection.execute(select(data_keys.c.id, data_keys.c.wrapped)):
            if row.id not in vault.ciphers:
                vault.learn(row.id, row.wrapped)
