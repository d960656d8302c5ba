"""A bank at the other end of ``docs/channels.md``, on loopback: it does each number once, and can be as bad a server as any."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

KEY = "the key that bank and till share, 2026"
REFUSED_CARD = "6250947000000014"  # this bank has no money on it


class Bank:
    """Keeps what it has done by number; ``tricks`` say how the next requests are answered, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.done: dict[str, dict[str, Any]] = {}  # number → content, in order of execution
        self.refused: set[str] = set()
        self.executions = 0
        self.requests: list[tuple[str, str]] = []
        self.timestamps: list[int] = []
        self.tricks: deque[str] = deque()
        self.last: tuple[int, bytes, str] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check, do, answer; or play the next trick."""
        trick = self.tricks.popleft() if self.tricks else "honest"
        number, body = request.match_info["number"], await request.read()
        self.requests.append((request.method, number))
        self.timestamps.append(int(request.headers["Zhanggui-Timestamp"]))
        signed = request.headers.get("Zhanggui-Signature", "")
        lines = [request.method.encode(), request.path.encode(), request.headers["Zhanggui-Timestamp"].encode(), body]
        if not hmac.compare_digest(_sign(KEY, *lines), signed):
            return web.json_response({"error": "bad signature"}, status=401)
        if trick == "cut before":
            _cut(request)
        status, answer = self._answer(request.method, number, body, do=trick not in ("500 before", "401", "429"))
        return await self._play(trick, request, number, status, answer, signed)

    def _answer(self, method: str, number: str, body: bytes, *, do: bool) -> tuple[int, dict[str, Any]]:
        known = number in self.done or number in self.refused
        if method == "GET" and not known:
            return 404, {"number": number, "status": "missing"}
        if method == "POST" and not known and do:
            content = json.loads(body)
            if content.get("card") == REFUSED_CARD:
                self.refused.add(number)
            else:
                self.executions += 1
                self.done[number] = content
        if method == "POST" and number in self.done and json.loads(body) != self.done[number]:
            return 409, {"number": number, "status": "different"}
        if number in self.refused:
            return 402, {"number": number, "status": "refused", "reason": "insufficient_funds"}
        return 200, {"number": number, "status": "done"}

    async def _play(
        self, trick: str, request: web.Request, number: str, status: int, answer: dict[str, Any], signed: str
    ) -> web.StreamResponse:
        key = "another key, as long as the first one" if trick == "wrong key" else KEY
        if trick == "slow":
            await asyncio.sleep(4)
        elif trick == "cut after":
            _cut(request)
        elif trick.startswith("500"):
            status, answer = 500, {"number": number, "status": "done"}
        elif trick in ("401", "403", "408", "425", "429"):
            status, answer = int(trick), {"number": number, "status": "refused", "reason": "try_again"}
        elif trick == "pending":
            status, answer = 202, {"number": number, "status": "pending"}
        elif trick == "other number":
            answer = {**answer, "number": "20261120"}
        elif trick == "done, but 402":
            status, answer = 402, {"number": number, "status": "done"}
        elif trick == "refused, but 200":
            status, answer = 200, {"number": number, "status": "refused", "reason": "no"}
        elif trick == "refused without reason":
            status, answer = 402, {"number": number, "status": "refused"}
        elif trick == "missing to a POST":
            status, answer = 404, {"number": number, "status": "missing"}
        elif trick == "redirect":
            raise web.HTTPTemporaryRedirect(f"{self.url}/orders/{number}")
        body = json.dumps(answer).encode()
        if trick == "garbage":
            body = b"\xff<html>502 Bad Gateway</html>"
        elif trick == "a list":
            body = b"[1]"
        elif trick == "huge":
            body += b" " * 100_000
        headers = {"Zhanggui-Signature": _sign(key, b"answer", str(status).encode(), signed.encode(), body)}
        if trick == "unsigned":
            headers = {}
        elif trick == "replayed" and self.last is not None:
            status, body, headers["Zhanggui-Signature"] = self.last
        elif trick == "changed on the way":
            body = body.replace(b"done", b"gone")
        self.last = status, body, headers.get("Zhanggui-Signature", "")
        if trick == "twice" and request.transport is not None:
            length = {"Content-Length": str(len(body))}
            lines = [f"HTTP/1.1 {status} OK", *(f"{name}: {value}" for name, value in {**headers, **length}.items())]
            request.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


def _sign(key: str, *lines: bytes) -> str:
    return hmac.new(key.encode(), b"\n".join(lines), "sha256").hexdigest()


@asynccontextmanager
async def open_bank() -> AsyncIterator[Bank]:
    """Run it until the block ends."""
    bank, http = Bank(), web.Application()
    http.router.add_route("*", "/till/orders/{number}", bank.handle)
    runner = web.AppRunner(http, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        bank.url = f"http://127.0.0.1:{runner.addresses[0][1]}/till"
        yield bank
    finally:
        await runner.cleanup()
