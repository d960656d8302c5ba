"""The simulated phone of the demo over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.channels import dev, pages


class Phone:
    """A phone that gets its messages only when the outbox is drained."""

    def __init__(self) -> None:
        self._queued = [
            {"to": "13800000001", "channel": "sms", "text": "验证码 493201", "code": "493201", "at": "2026-11-21T02:00:00+00:00"},
            {"to": "13800000002", "channel": "sms", "text": "到账 200.00", "at": "2026-11-21T02:01:00+00:00"},
        ]
        self._sent: list[dict[str, Any]] = []

    def messages(self, to: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Give what has arrived, newest first."""
        return [message for message in reversed(self._sent) if to in (None, message["to"])]

    async def drain(self) -> None:
        """Let everything that is queued arrive."""
        self._sent += self._queued
        self._queued = []


async def serve(*, demo: bool) -> TestClient:
    """Start a server with the phone and the pages' assets."""
    app = web.Application()
    app.add_routes([*dev.routes(Phone(), demo=demo), *pages.asset_routes()])
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


async def test_the_outbox_is_drained_before_it_answers():
    """A code that is still queued when the question comes is in the answer, without being asked twice."""
    client = await serve(demo=True)
    answer = await client.get("/dev/outbox", params={"to": "13800000001"})
    assert [message["code"] for message in await answer.json()] == ["493201"]
    everybody = await (await client.get("/dev/outbox")).json()
    assert [message["to"] for message in everybody] == ["13800000002", "13800000001"]
    assert await (await client.get("/dev/outbox?to=13900000000")).json() == []
    await client.close()


async def test_the_phone_page_loads_only_its_own_files():
    """The page's policy allows no inline script, and each of its files is there."""
    client = await serve(demo=True)
    answer = await client.get("/dev/phone")
    html = await answer.text()
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    for name in ("base.css", "phone.css", "phone.js", "page.js", "coin.svg"):
        assert (await client.get(f"/assets/{name}")).status == 200
    assert "phone.js" in html
    for name in ("chat.html", "..%2fweb.py", "nothing.js"):
        assert (await client.get(f"/assets/{name}")).status == 404
    await client.close()


async def test_outside_the_demo_there_is_no_phone():
    """Neither the page nor the outbox exists when this is no demo."""
    client = await serve(demo=False)
    assert (await client.get("/dev/outbox?to=13800000001")).status == 404
    assert (await client.get("/dev/phone")).status == 404
    await client.close()
