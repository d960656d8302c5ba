"""Serves the channels over HTTP and, where a token is set, Telegram."""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import ClientSession, web

from bot.app import App, open_app, web_application
from bot.config import Settings
from bot.demo import add_demo_agent

if TYPE_CHECKING:
    from bot.channels.telegram import TelegramDoor

_GRACE = 10.0  # seconds that open requests get to finish


async def serve(settings: Settings, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; prints the addresses once everything answers."""
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings))
        base = settings.public_url or f"http://{host}:{port}"
        http = web_application(app, base_url=base)
        telegram = _telegram(app, base) if settings.telegram_token else None
        if telegram is not None:
            app.courier.doors[telegram.name] = telegram
            if settings.secure:
                http.add_routes([telegram.webhook_route()])
        runner = web.AppRunner(http, access_log=None, shutdown_timeout=_GRACE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, host, port)
        await site.start()
        if telegram is not None:
            stack.push_async_callback(telegram.stop)
            await (telegram.start_webhook(f"{base}/webhooks/telegram") if settings.secure else telegram.start_polling())
        warm = asyncio.create_task(asyncio.to_thread(app.interpreter.warm))
        stack.callback(warm.cancel)
        await _announce(app, base)
        await stop.wait()


def _telegram(app: App, base: str) -> TelegramDoor:
    from bot.channels.telegram import TelegramDoor  # takes seconds and much memory to import: only who uses it pays

    settings = app.settings

    async def fetch(path: str) -> bytes:
        async with ClientSession() as session, session.get(base + path) as response:
            response.raise_for_status()
            return await response.read()

    return TelegramDoor(
        settings.telegram_token or "",
        app.engine,
        fetch_image=fetch,
        public_url=base,
        api_base=settings.telegram_api,
        webhook_secret=secrets.token_urlsafe(32) if settings.secure else None,  # told to Telegram anew at every start
    )


async def _announce(app: App, base: str) -> None:
    lines = [f"chat   {base}/", f"desk   {base}/desk"]
    if app.phone is not None:
        password = await add_demo_agent(app)
        lines[1] += f"   (demo / {password})"
        lines += [f"phone  {base}/dev/phone", f"REST   {base}/webhooks/rest/webhook   (token: {app.settings.rest_token})"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
