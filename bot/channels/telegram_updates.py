"""What an update of the Bot API says, read from its JSON: the few fields a wallet needs, whatever else Telegram adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.channels.checks import MAX_PICTURE, PICTURE_TYPES
from bot.channels.telegram_text import plain_phone, read_command, speaks_to
from bot.messages import Attachment, Inbound, Kind

CHANNEL = "telegram"
UPDATES = ["message", "edited_message", "callback_query"]

# The field of a message that makes it what it is, first match first (an animation is a document too); service messages
# (pins, joins, timers) have none of them: nobody said anything.
KINDS: Mapping[str, Kind] = {
    "text": "text",
    "contact": "text",
    "photo": "image",
    "sticker": "sticker",
    "animation": "sticker",
    "dice": "sticker",
    "voice": "voice",
    "video_note": "voice",
    "audio": "voice",
    "video": "file",
    "document": "file",
    "location": "file",
    "venue": "file",
    "poll": "file",
    "story": "file",
    "checklist": "file",
    "paid_media": "file",
    "rich_message": "file",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that lies on Telegram's side."""

    file_id: str
    mime: str


@dataclass(frozen=True, slots=True)
class Update:
    """One update: who wrote, edited or pressed what, and where. ``kind`` is None when nothing was said."""

    update_id: int
    event: Literal["message", "edited", "press"]
    chat: int
    private: bool
    message_id: int
    text: str = ""
    kind: Kind | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    query_id: str = ""
    replied_to: int | None = None  # whose message this one replies to

    def inbound(self, attachments: tuple[Attachment, ...] = ()) -> Inbound | None:
        """Give the message as the assistant knows it; None when nothing was said."""
        if self.kind is None:
            return None
        return Inbound(
            CHANNEL,
            str(self.chat),
            f"u{self.update_id}",
            text=self.text,
            kind="image" if attachments else self.kind,
            attachments=attachments,
            metadata=self.metadata,
        )

    def addresses(self, username: str, bot_id: int) -> bool:
        """Tell whether a message in a group is meant for the bot."""
        return self.event == "message" and (self.replied_to == bot_id or speaks_to(self.text, username))


def read_update(raw: Mapping[str, Any]) -> Update | None:
    """Read one update; None for a sort that we do not know. Raises LookupError, TypeError or ValueError on a broken one."""
    update_id = int(raw["update_id"])
    if "callback_query" in raw:
        return _pressed(update_id, raw["callback_query"])
    for name, event in (("message", "message"), ("edited_message", "edited")):
        if name in raw:
            return _written(update_id, "edited" if event == "edited" else "message", raw[name])
    return None


def _pressed(update_id: int, query: Mapping[str, Any]) -> Update | None:
    message = query.get("message")
    if message is None or "data" not in query:  # a button of another bot's message, or of a game
        return None
    return Update(
        update_id,
        "press",
        chat=int(message["chat"]["id"]),
        private=message["chat"].get("type") == "private",
        message_id=int(message["message_id"]),
        text=str(query["data"]),
        kind="press",
        query_id=str(query["id"]),
    )


def _written(update_id: int, event: Literal["message", "edited"], message: Mapping[str, Any]) -> Update:
    private = message["chat"].get("type") == "private"
    said = str(message.get("text") or message.get("caption") or "")
    text, metadata = read_command(said) if private and "text" in message else (said, {})
    if "contact" in message:
        text = plain_phone(str(message["contact"].get("phone_number", "")))
    return Update(
        update_id,
        event,
        chat=int(message["chat"]["id"]),
        private=private,
        message_id=int(message["message_id"]),
        text=text,
        kind=next((kind for name, kind in KINDS.items() if name in message), None),
        metadata=metadata,
        picture=_picture(message),
        replied_to=message.get("reply_to_message", {}).get("from", {}).get("id"),
    )


def _picture(message: Mapping[str, Any]) -> Picture | None:
    """Choose the largest size of a photo that we take, or a document that is a picture; none when all are too large."""
    if "photo" in message:
        sizes = [size for size in message["photo"] if size.get("file_size", 0) <= MAX_PICTURE]
        best = max(sizes, key=lambda size: int(size["width"]) * int(size["height"]), default=None)
        return None if best is None else Picture(str(best["file_id"]), "image/jpeg")
    document = message.get("document", {})
    if document.get("mime_type") in PICTURE_TYPES and document.get("file_size", 0) <= MAX_PICTURE:
        return Picture(str(document["file_id"]), str(document["mime_type"]))
    return None
