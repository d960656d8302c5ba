"""One message on its way through the conversation, and what the conversation needs from the world."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bot.dialogue.stack import State
from bot.dialogue.store import Event
from bot.messages import Reply


class People(Protocol):
    """Who acts: the engine signs the person for actions and checks what a log-in gave back."""

    def sign(self, person: int, conversation: int) -> str:
        """Give the field by which an action knows who acts in this conversation."""
        ...

    def verify(self, token: str, conversation: int) -> int:
        """Give the person that such a field names; raises when it was not signed here."""
        ...

    async def names(self, person: int) -> tuple[str, ...]:
        """Give the names of a person's contacts."""
        ...

    async def binding(self, person: int, channel: str, sender: str) -> int | None:
        """Give the binding by which this end of a channel speaks for a person, None once it was logged out from elsewhere."""
        ...

    async def bind(self, person: int, channel: str, sender: str, label: str, key: str) -> None:
        """Note a log-in at this end of a channel; ``label`` is what the door calls itself."""
        ...

    async def unbind(self, person: int, binding: int, key: str) -> None:
        """Note a log-out; a binding that is gone already is no fault."""
        ...


class Handoffs(Protocol):
    """The queue for human agents, as far as a conversation needs it."""

    async def request(self, conversation_id: int, *, topic: str, city: str, reason: str, context: Mapping[str, Any]) -> Any:
        """Queue a conversation; gives an object with ``position``, 1 for the next in turn."""
        ...

    async def leave(self, conversation_id: int) -> bool:
        """Take a conversation out of the queue; False when it was not in it."""
        ...

    async def follow(self, conversation_id: int, to: int) -> None:
        """Take a place in the queue along into another conversation of the same customer."""
        ...


@dataclass(slots=True)
class Turn:
    """One message on its way through the conversation."""

    conversation: int
    message_key: str  # names the message among all messages of all doors
    channel: str
    state: State
    person: int | None
    now: dt.datetime
    binding: int | None = None  # by which this door speaks for the person
    topic: str = ""
    replies: list[Reply] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    offer_resume: bool = False
    calls: Counter[str] = field(default_factory=Counter)  # how often each place called an action in this turn

    def note(self, kind: str, **data: Any) -> None:
        """Append an event for the record."""
        self.events.append(Event(kind, data, int(self.now.timestamp() * 1000)))
