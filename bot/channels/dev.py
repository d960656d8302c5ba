"""The simulated phone of the demo: what was "sent" to a number or mailbox, as JSON and as a picture of a phone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from bot.channels import pages


class Phone(Protocol):
    """The simulator behind the SMS and mail ports."""

    def messages(self, to: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Give ``to``, ``channel``, ``text``, ``code`` (if any) and ``at`` of each message, newest first; None means all."""
        ...

    def drain(self) -> Awaitable[None]:
        """Wait until everything that the outbox holds has been sent."""
        ...


def routes(phone: Phone, *, demo: bool) -> list[web.RouteDef]:
    """Return the routes of the simulated phone; outside the demo there are none."""
    if not demo:
        return []

    async def outbox(request: web.Request) -> web.Response:
        await phone.drain()
        messages = [dict(message) for message in phone.messages(request.query.get("to") or None)]
        text = json.dumps(messages, ensure_ascii=False)
        return web.Response(text=text, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def picture(request: web.Request) -> web.Response:
        return pages.page(request, "phone.html")

    return [web.get("/dev/outbox", outbox), web.get("/dev/phone", picture)]
