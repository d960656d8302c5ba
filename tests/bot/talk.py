"""A person at a door of a running app, and a look into its database file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from bot.app import App
from bot.messages import Inbound, Outcome

WANG, LI, CHEN = "13800000001", "13800000002", "13800000003"


class Talk:
    """One end of a channel, talking to the engine as a door does."""

    def __init__(self, app: App, channel: str = "test", sender: str | None = None) -> None:
        self.app, self.channel, self.sender = app, channel, sender or uuid4().hex
        self.outcome = Outcome()

    def inbound(self, text: str, message_id: str | None = None, **more: Any) -> Inbound:
        """Make a message from this person."""
        return Inbound(self.channel, self.sender, message_id or uuid4().hex, text, **more)

    async def send(self, inbound: Inbound) -> str:
        """Deliver a message as it is and give the words of the answer."""
        self.outcome = await self.app.engine.handle(inbound)
        await self.app.courier.drain()
        return self.words()

    async def say(self, *texts: str) -> str:
        """Say one thing after another; gives the words of the last answer."""
        for text in texts:
            await self.send(self.inbound(text))
        return self.words()

    async def press(self, title: str, message_id: str | None = None) -> str:
        """Press a button of the last answer."""
        payload = next(button.payload for reply in self.outcome.replies for button in reply.buttons if button.title == title)
        return await self.send(self.inbound(payload, message_id, kind="press"))

    async def log_in(self, phone: str) -> str:
        """Log in by phone and the code that arrives on it."""
        await self.say("/log_in", phone)
        return await self.say(self.code(phone))

    def code(self, phone: str) -> str:
        """Read the newest code on a phone."""
        assert self.app.phone is not None
        return str(next(message["code"] for message in self.app.phone.messages(phone) if "code" in message))

    def codes(self, phone: str) -> list[str]:
        """Read all codes on a phone, newest first."""
        assert self.app.phone is not None
        return [str(message["code"]) for message in self.app.phone.messages(phone) if "code" in message]

    def words(self) -> str:
        """Give the words of the last answer."""
        return "\n".join(reply.text for reply in self.outcome.replies)

    def buttons(self) -> list[str]:
        """Give the titles of the buttons of the last answer."""
        return [button.title for reply in self.outcome.replies for button in reply.buttons]


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Read a database file from outside."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def wrong(code: str) -> str:
    """Make a code that is certainly another."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
