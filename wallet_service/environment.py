"""The wallet for a process that nobody hands one to: ``python -m rasa_sdk --actions handlers``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from wallet_service.errors import ConfigurationError
from wallet_service.outside_http import connect_channels, read_endpoints
from wallet_service.wallet import Wallet

_PREFIX = "ZHANGGUI_"
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Wallet]] = WeakKeyDictionary()
_managers: WeakKeyDictionary[asyncio.AbstractEventLoop, AbstractAsyncContextManager[Wallet]] = WeakKeyDictionary()


async def from_environment() -> Wallet:
    """Give this event loop's wallet, opened at the first call from the same settings as the service's own."""
    loop = asyncio.get_running_loop()
    task = _open.get(loop)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _open[loop] = loop.create_task(_enter(loop))
    return await asyncio.shield(task)


async def _enter(loop: asyncio.AbstractEventLoop) -> Wallet:
    found = {name.removeprefix(_PREFIX): value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    if not found.get("DATABASE_URL"):
        raise ConfigurationError(f"{_PREFIX}DATABASE_URL is not set")
    manager = _opened(found["DATABASE_URL"], found)
    wallet = await manager.__aenter__()
    _managers[loop] = manager
    return wallet


@asynccontextmanager
async def _opened(url: str, found: Mapping[str, str]) -> AsyncIterator[Wallet]:
    witness, secret = found.get("LEDGER_WITNESS"), found.get("SECRET_KEY") or None
    async with (
        connect_channels(read_endpoints(found)) as outside,
        Wallet.open(url, secret=secret, witness=Path(witness) if witness else None, outside=outside) as wallet,
    ):
        yield wallet


async def close_environment() -> None:
    """Close this event loop's wallet, if one was opened."""
    loop = asyncio.get_running_loop()
    _open.pop(loop, None)
    manager = _managers.pop(loop, None)
    if manager is not None:
        await manager.__aexit__(None, None, None)
