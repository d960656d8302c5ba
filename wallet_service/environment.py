"""The wallet for a process that nobody hands one to: ``python -m rasa_sdk --actions handlers``."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from weakref import WeakKeyDictionary

from wallet_service.errors import ConfigurationError
from wallet_service.wallet import Wallet

_open: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Wallet]] = WeakKeyDictionary()
_managers: WeakKeyDictionary[asyncio.AbstractEventLoop, AbstractAsyncContextManager[Wallet]] = WeakKeyDictionary()


async def from_environment() -> Wallet:
    """Give this event loop's wallet, opened at the first call from ZHANGGUI_DATABASE_URL and ZHANGGUI_SECRET_KEY."""
    loop = asyncio.get_running_loop()
    task = _open.get(loop)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _open[loop] = loop.create_task(_enter(loop))
    return await asyncio.shield(task)


async def _enter(loop: asyncio.AbstractEventLoop) -> Wallet:
    url = os.environ.get("ZHANGGUI_DATABASE_URL")
    if not url:
        raise ConfigurationError("ZHANGGUI_DATABASE_URL is not set")
    manager = Wallet.open(url, secret=os.environ.get("ZHANGGUI_SECRET_KEY") or None)
    wallet = await manager.__aenter__()
    _managers[loop] = manager
    return wallet


async def close_environment() -> None:
    """Close this event loop's wallet, if one was opened."""
    loop = asyncio.get_running_loop()
    _open.pop(loop, None)
    manager = _managers.pop(loop, None)
    if manager is not None:
        await manager.__aexit__(None, None, None)
