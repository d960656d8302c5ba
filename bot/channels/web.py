"""The web chat: one page and one WebSocket, where a browser comes back to its conversation and loses or doubles nothing.

Frames from the page: ``hello`` (visitor, city?, since?), ``message`` (id, text, image?), ``press`` (id, payload, title),
``ping``. Frames to it: ``history``, ``header``, ``typing``, ``turn`` (the answer to one message id, which acknowledges it),
``push``, ``pong``, ``error``. Times are UTC milliseconds since 1970.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import WSMessage, web

from bot.channels import checks, pages
from bot.channels.checks import Fault
from bot.channels.devices import device_of
from bot.channels.web_line import Line, Message, read_frame, reply_frame, spoken, usable_id
from bot.messages import Assistant, Reply

log = structlog.get_logger()

History = Callable[[str, str], Awaitable[Sequence[Mapping[str, Any]]]]
Header = Callable[[str, str], Awaitable[Mapping[str, str]]]

HELLO_SECONDS = 10.0  # a socket that does not say who it is within this time is closed
PING_SECONDS = 25.0

_VISITOR = re.compile(r"[A-Za-z0-9_-]{22,64}")
_CITY = re.compile(r"[a-z]{2,20}")


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000


class WebDoor:
    """The web chat's door.

    ``history(channel, sender)`` gives what was said, oldest first, as ``Store.transcript`` does: ``kind`` (user, bot, agent),
    ``at``, ``text``, and where known ``message_id``, ``message`` (its kind), ``pressed``, ``buttons`` (titles), ``image``.
    ``header(channel, sender)`` gives ``wallet`` and ``city`` to show above the chat. ``origins`` are foreign origins that
    may connect, such as that of the public URL.
    """

    name = "web"

    def __init__(
        self,
        assistant: Assistant,
        *,
        history: History,
        header: Header | None = None,
        demo: bool = False,
        origins: Collection[str] = (),
        now: Callable[[], int] = _utc_ms,
    ) -> None:
        self._assistant = assistant
        self._history = history
        self._header = header
        self._demo = demo
        self._origins = frozenset(origins)
        self._now = now
        self._lines: defaultdict[str, set[Line]] = defaultdict(set)
        self._workers: set[asyncio.Task[None]] = set()
        self._open: set[Line] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the page's and the WebSocket's routes; the assets come from :func:`bot.channels.pages.asset_routes`."""
        return [web.get("/", self._page), web.get("/ws", self._socket)]

    async def push(self, sender: str, replies: tuple[Reply, ...]) -> bool:
        """Show replies nobody asked for on every page this visitor has open; False when there is none."""
        frame = {"type": "push", "replies": [reply_frame(reply) for reply in replies], "at": self._now()}
        return await self._show(sender, frame)

    async def deliver(self, sender: str) -> bool:
        """Show what waits in the database for this visitor; False leaves it there, because no page is open."""
        if sender not in self._lines:
            return False
        waiting = await self._assistant.claim_pushes(self.name, sender)
        return not waiting or await self.push(sender, waiting)

    async def collect(self) -> None:
        """Deliver to everyone who is here: another process may have left something in the database."""
        for sender in list(self._lines):
            await self.deliver(sender)

    async def close(self, app: web.Application | None = None) -> None:
        """Close every socket and wait for the turns that are under way; fits ``app.on_shutdown``."""
        for line in list(self._open):
            await line.close()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _page(self, request: web.Request) -> web.Response:
        return pages.page(request, "chat.html", demo=self._demo)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self._welcome(request):
            raise web.HTTPForbidden(text=pages.words()["fault_origin"])
        socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=checks.MAX_BODY)
        await socket.prepare(request)
        line = Line(socket)
        line.device = device_of(request.headers.get("User-Agent", ""))
        self._open.add(line)
        worker = asyncio.create_task(self._work(line))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)
        try:
            async with asyncio.timeout(HELLO_SECONDS) as limit:
                async for frame in socket:
                    await self._receive(line, frame)
                    if line.sender:
                        limit.reschedule(None)
        except TimeoutError:
            await line.close()
        finally:
            self._leave(line)
        return socket

    def _welcome(self, request: web.Request) -> bool:
        """Let in our own pages and programs that are no browser (those send no origin)."""
        origin = request.headers.get("Origin")
        return origin is None or origin in self._origins or urlsplit(origin).netloc == request.host

    async def _receive(self, line: Line, frame: WSMessage) -> None:
        data: dict[str, Any] = {}
        try:
            data = read_frame(frame)
            await self._sort(line, data)
        except Fault as fault:
            await self._complain(line, fault, usable_id(data))

    async def _sort(self, line: Line, data: Mapping[str, Any]) -> None:
        kind = data.get("type")
        if kind == "ping":
            await line.send({"type": "pong"})
        elif kind == "hello" and not line.sender:
            await self._greet(line, data)
        elif kind in ("message", "press"):
            if not line.sender:
                raise Fault("fault_hello")
            line.put(Message.read(data))
        else:
            raise Fault("fault_frame", "type")

    async def _greet(self, line: Line, data: Mapping[str, Any]) -> None:
        """Find the visitor's conversation; what is pushed meanwhile waits behind the history."""
        visitor, city, since = data.get("visitor"), data.get("city"), data.get("since")
        if not isinstance(visitor, str) or not _VISITOR.fullmatch(visitor):
            raise Fault("fault_hello", "visitor")
        if isinstance(city, str) and _CITY.fullmatch(city):
            line.city = city
        # The browser's id opens the conversation, so neither the database nor a log nor an agent ever sees it.
        line.sender = hashlib.sha256(visitor.encode()).hexdigest()[:32]
        self._lines[line.sender].add(line)
        waiting = await self._assistant.claim_pushes(self.name, line.sender)
        said = spoken(await self._history(self.name, line.sender))
        # An agent's words are kept when they are written, so they may stand in the history and wait as well.
        seen = {(item["author"], item["text"]) for item in said}
        new = [reply_frame(reply) for reply in waiting if (reply.author, reply.text) not in seen]
        if isinstance(since, int):
            said = [item for item in said if item["at"] > since]
        now = self._now()
        await line.send({"type": "history", "items": said, "again": isinstance(since, int), "at": now}, gate=False)
        if new:
            await line.send({"type": "push", "replies": new, "at": now}, gate=False)
        await self._tell_header(line)
        line.ready.set()

    async def _work(self, line: Line) -> None:
        while (message := await line.waiting.get()) is not None:
            try:
                await self._turn(line, message)
            except Exception as error:
                log.error("turn failed", channel=self.name, fault=type(error).__name__)
                await self._complain(line, Fault("fault_internal"), message.id)

    async def _turn(self, line: Line, message: Message) -> None:
        """Answer one message; it is finished even if the page goes away, and then waits to be asked for again."""
        await line.send({"type": "typing"})
        metadata = {name: value for name, value in (("city", line.city), ("device", line.device)) if value}
        outcome = await self._assistant.handle(message.inbound(self.name, line.sender, metadata))
        said = "" if outcome.forget_message else message.shown
        await self._show(
            line.sender,
            {
                "type": "turn",
                "id": message.id,
                "user": {"text": said, "picture": bool(message.pictures)},
                "forget": outcome.forget_message,
                "replies": [reply_frame(reply) for reply in outcome.replies],
                "at": self._now(),
            },
        )
        await self._tell_header(line)

    async def _tell_header(self, line: Line) -> None:
        """Tell the page which wallet and city it is in, when that changed."""
        header = dict(await self._header(self.name, line.sender)) if self._header else {}
        if header != line.header:
            line.header = header
            await line.send({"type": "header", **header}, gate=False)

    async def _show(self, sender: str, frame: Mapping[str, Any]) -> bool:
        lines = list(self._lines[sender]) if sender in self._lines else []
        shown = await asyncio.gather(*(line.send(frame) for line in lines))
        return any(shown)

    async def _complain(self, line: Line, fault: Fault, message_id: str | None) -> None:
        frame = {"type": "error", "error": pages.words()[fault.word], "field": fault.field, "code": fault.word}
        await line.send({**frame, "id": message_id}, gate=False)

    def _leave(self, line: Line) -> None:
        line.hang_up()
        self._open.discard(line)
        if line.sender:
            self._lines[line.sender].discard(line)
            if not self._lines[line.sender]:
                del self._lines[line.sender]
