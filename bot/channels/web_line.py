"""One open WebSocket of the web chat, and the frames that go over it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from bot.channels import checks
from bot.channels.checks import Fault
from bot.messages import Attachment, Inbound, Kind, Reply

MAX_WAITING = 20  # messages of one page that wait for their turn
SEND_SECONDS = 10.0  # a page that takes no frame for this long is given up
MAX_PAYLOAD = 200

_MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message or pressed button as the page sent it; ``shown`` is what the person's own bubble says."""

    id: str
    text: str
    shown: str
    kind: Kind
    pictures: tuple[Attachment, ...] = field(default=(), repr=False)

    @staticmethod
    def read(data: Mapping[str, Any]) -> Message:
        """Check a ``message`` or ``press`` frame."""
        if (message_id := usable_id(data)) is None:
            raise Fault("fault_identifier", "id")
        if data["type"] == "press":
            payload = checks.text(data.get("payload"), "payload")
            if not payload or len(payload) > MAX_PAYLOAD:
                raise Fault("fault_text_too_long" if payload else "fault_missing", "payload")
            title = checks.text(data.get("title", ""), "title")
            return Message(message_id, payload, title, "press")
        text = checks.text(data.get("text", ""), "text")
        if data.get("image") is None:
            return Message(message_id, text, text, "text")
        return Message(message_id, text, text, "image", (checks.picture(data["image"], "image"),))

    def inbound(self, channel: str, sender: str, metadata: Mapping[str, str]) -> Inbound:
        """Make the message that the assistant answers."""
        return Inbound(
            channel=channel,
            sender=sender,
            message_id=self.id,
            text=self.text,
            kind=self.kind,
            attachments=self.pictures,
            metadata=metadata,
        )


class Line:
    """One open WebSocket: who is at its other end, what waits for its turn, and a gate that opens after the history."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.sender = ""
        self.city = ""
        self.device = ""
        self.header: dict[str, str] = {}
        self.ready = asyncio.Event()
        self.waiting: asyncio.Queue[Message | None] = asyncio.Queue()
        self._socket = socket

    def put(self, message: Message) -> None:
        """Let a message wait for its turn: the messages of one page are answered in their order."""
        if self.waiting.qsize() >= MAX_WAITING:
            raise Fault("fault_busy", "id")
        self.waiting.put_nowait(message)

    async def send(self, frame: Mapping[str, Any], *, gate: bool = True) -> bool:
        """Send a frame, behind the history unless told otherwise; False when the page is gone or takes nothing."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if gate:
                    await self.ready.wait()
                if self._socket.closed:
                    return False
                await self._socket.send_str(json.dumps(frame, ensure_ascii=False))
        except ConnectionError:
            return False
        except TimeoutError:
            await self.close()
            return False
        return True

    async def close(self) -> None:
        """Close the socket from this side; the page comes back by itself."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.close(code=1001)
        except (ConnectionError, TimeoutError):
            self.hang_up()

    def hang_up(self) -> None:
        """Forget what waits, for the page sends it again, and let the worker stop after the turn under way."""
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(None)
        self.ready.set()


def usable_id(data: Mapping[str, Any]) -> str | None:
    """Return the message id of a frame, if it has a proper one, to say which message a fault is about."""
    message_id = data.get("id")
    return message_id if isinstance(message_id, str) and _MESSAGE_ID.fullmatch(message_id) else None


def read_frame(frame: WSMessage) -> dict[str, Any]:
    """Read the JSON object of a text frame."""
    if frame.type is not WSMsgType.TEXT:
        raise Fault("fault_frame")
    try:
        data = json.loads(frame.data)
    except (ValueError, RecursionError) as error:
        raise Fault("fault_frame") from error
    if not isinstance(data, dict):
        raise Fault("fault_frame")
    return data


def reply_frame(reply: Reply) -> dict[str, Any]:
    """Put a reply into the form that the page shows."""
    form: dict[str, Any] = {"author": reply.author, "text": reply.text}
    if reply.buttons:
        form["buttons"] = [
            {"title": button.title, "url": button.url} if button.url else {"title": button.title, "payload": button.payload}
            for button in reply.buttons
        ]
    if reply.image:
        form["image"] = reply.image
    if reply.custom is not None:
        form["custom"] = dict(reply.custom)
    return form


def spoken(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put a transcript into the form that the page shows: only what was said, each with its author and time."""
    items = []
    for event in history:
        kind = event.get("kind")
        if kind not in ("user", "bot", "agent"):
            continue
        text = event.get("pressed") or event.get("text") or ""
        item: dict[str, Any] = {"author": kind, "text": text, "at": event["at"]}
        if kind == "user":
            item["id"] = event.get("message_id")
            item["picture"] = event.get("message") == "image"
        if event.get("image"):
            item["image"] = event["image"]
        if event.get("buttons"):
            # The record keeps titles only; the assistant takes the typed title of a button on offer for its press.
            item["buttons"] = [{"title": title} for title in event["buttons"]]
        items.append(item)
    return items
