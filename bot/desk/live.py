"""The live half of the desk's page: server-sent events with the lists and the open conversation's new messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Final

from aiohttp import web

from bot.desk.agents import Accounts
from bot.desk.errors import DeskError
from bot.desk.service import Desk
from bot.desk.views import Views

LOOK: Final = 3.0  # seconds after which a page looks again by itself: another process may have changed something
QUIET: Final = 15.0  # seconds after which a line that carried nothing shows that it is alive


class Line:
    """One page's open line: sends what changed since it last looked."""

    def __init__(self, desk: Desk, accounts: Accounts, views: Views, token: str) -> None:
        self._desk = desk
        self._accounts = accounts
        self._views = views
        self._token = token
        self._lists: dict[str, Any] | None = None
        self._detail: dict[str, Any] | None = None
        self._sent_at = 0.0

    async def run(self, response: web.StreamResponse, handoff_id: int | None, after: int) -> None:
        """Send changes until the page goes, the session ends or the server stops."""
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        while not self._desk.stopped:
            rung = self._desk.bell.next()
            try:
                after = await self._look(response, handoff_id, after)
                if loop.time() - self._sent_at > QUIET:
                    await response.write(b": \n\n")
                    self._sent_at = loop.time()
            except DeskError as error:
                with contextlib.suppress(ConnectionResetError):
                    await self._send(response, "refused", {**self._views.refusal(error), "status": error.status})
                return
            except ConnectionResetError:  # the page is gone
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), LOOK)

    async def _look(self, response: web.StreamResponse, handoff_id: int | None, after: int) -> int:
        """Send what is new and give the newest message's id."""
        session = await self._accounts.session(self._token)
        lists = self._views.overview(await self._desk.overview(session.agent))
        if lists != self._lists:
            self._lists = lists
            await self._send(response, "lists", {**lists, "now": self._views.now()})
        if handoff_id is None:
            return after
        handoff = await self._desk.view(handoff_id, session.agent)
        detail = self._views.detail(handoff)
        if detail != self._detail:
            self._detail = detail
            await self._send(response, "handoff", detail)
        messages = self._views.messages(await self._desk.transcript(handoff, after))
        if messages:
            await self._send(response, "messages", {"handoff": handoff_id, "messages": messages})
        return messages[-1]["id"] if messages else after

    async def _send(self, response: web.StreamResponse, event: str, data: dict[str, Any]) -> None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        await response.write(f"event: {event}\ndata: {text}\n\n".encode())
        self._sent_at = asyncio.get_running_loop().time()
