"""Everything that crosses a door, in either direction: plain frozen data, the same for every channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["text", "press", "image", "sticker", "voice", "file"]
ONE_TIME_PAGE = "/secure"
TICKET = "ticket:"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture that came in, already decoded from whatever the channel wraps it in."""

    mime: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from a person, before anybody has decided what it means.

    ``sender`` identifies the person's end of the channel, never a wallet user. ``message_id`` is the channel's own; a door
    whose channel has none makes one and keeps it for retries. ``kind="press"`` marks a pressed button: ``text`` is then its
    payload. A channel that cannot tell presses from typing (REST) sends ``kind="text"`` and sets ``may_press``.
    """

    channel: str
    sender: str
    message_id: str
    text: str = ""
    kind: Kind = "text"
    may_press: bool = False
    attachments: tuple[Attachment, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Button:
    """A choice offered with a reply; ``payload`` is an opaque token of at most 32 ASCII characters issued to one conversation.

    One with a ``url`` is a link and has no payload: a path below the server's root, or, where replies are kept, ``TICKET`` and
    the id of a one-time page.
    """

    title: str
    payload: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to a person. ``image`` is a URL path below the server's root; ``author`` tells a human's words from the bot's.

    ``system`` marks the cards and notices that the customer's own confirmation needs, which may pass while a human holds the
    conversation. ``custom`` is structured data for doors that can show more than text.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    image: str | None = None
    author: Literal["bot", "agent"] = "bot"
    system: bool = False
    custom: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object in which replies are stored for replay."""
        return {
            "text": self.text,
            "buttons": [[button.title, button.payload, button.url] for button in self.buttons],
            "image": self.image,
            "author": self.author,
            "system": self.system,
            "custom": dict(self.custom) if self.custom is not None else None,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Reply:
        """Rebuild a reply stored by :meth:`to_json`."""
        return Reply(
            text=data["text"],
            buttons=tuple(Button(*button) for button in data["buttons"]),
            image=data["image"],
            author=data["author"],
            system=data["system"],
            custom=data["custom"],
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn asks of its door: words to show, and whether the person's own message must be removed from the chat."""

    replies: tuple[Reply, ...] = ()
    forget_message: bool = False


class Assistant(Protocol):
    """What a door sees of the assistant behind it."""

    async def handle(self, inbound: Inbound) -> Outcome:
        """Answer one message; the same channel, sender and message id always get the same answer."""
        ...

    async def claim_pushes(self, channel: str, sender: str) -> tuple[Reply, ...]:
        """Take what waits for this end of the channel (an agent's words, notices), oldest first, each once."""
        ...


class Door(Protocol):
    """A channel that can speak without being asked."""

    name: str

    async def push(self, sender: str, replies: tuple[Reply, ...]) -> bool:
        """Show replies nobody asked for; False when the person cannot be reached now, then they wait in the database."""
        ...
