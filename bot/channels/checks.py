"""What a door checks before a message reaches the assistant: types, sizes and picture data, never meaning."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from bot.messages import Attachment

MAX_TEXT = 10_000  # characters of one message
MAX_ID = 200  # characters of a sender or message id
MAX_BODY = 8 * 1024 * 1024  # bytes of one request or frame, pictures included
MAX_PICTURE = 5 * 1024 * 1024  # bytes of one decoded picture
MAX_PICTURES = 4
MAX_METADATA = 20  # entries
PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})

_DATA_URI = re.compile(r"data:(?P<mime>[a-z]+/[a-z0-9.+-]+);base64,(?P<data>[A-Za-z0-9+/]*={0,2})")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Fault(Exception):
    """Input that the door itself refuses; ``word`` is a key of the page words, ``field`` the part that is wrong."""

    def __init__(self, word: str, field: str = "", status: int = 400) -> None:
        super().__init__(word)
        self.word = word
        self.field = field
        self.status = status


def text(value: Any, field: str) -> str:
    """Return a message text; a half surrogate, which no encoding can carry, becomes the replacement character."""
    if value is None:
        raise Fault("fault_missing", field)
    if not isinstance(value, str):
        raise Fault("fault_not_text", field)
    if len(value) > MAX_TEXT:
        raise Fault("fault_text_too_long", field)
    return _SURROGATE.sub("\ufffd", value)


def identifier(value: Any, field: str) -> str:
    """Return a sender or message id: some visible characters, so that logs and databases can hold it."""
    if value is None:
        raise Fault("fault_missing", field)
    if not isinstance(value, str):
        raise Fault("fault_not_text", field)
    if not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise Fault("fault_identifier", field)
    return value


def metadata(value: Any) -> dict[str, str]:
    """Return a message's metadata, text to text; none given is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > MAX_METADATA:
        raise Fault("fault_metadata", "metadata")
    for key, entry in value.items():
        if not isinstance(entry, str) or len(key) > MAX_ID or len(entry) > MAX_ID:
            raise Fault("fault_metadata", "metadata")
    return {_SURROGATE.sub("\ufffd", key): _SURROGATE.sub("\ufffd", entry) for key, entry in value.items()}


def attachments(value: Any) -> tuple[Attachment, ...]:
    """Return the pictures of ``[{"type": "image", "data": "data:…"}]``; none given is an empty tuple."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_PICTURES:
        raise Fault("fault_attachments", "attachments")
    pictures = []
    for number, item in enumerate(value):
        where = f"attachments[{number}]"
        if not isinstance(item, dict) or item.get("type") != "image":
            raise Fault("fault_attachment_type", where)
        pictures.append(picture(item.get("data"), f"{where}.data"))
    return tuple(pictures)


def picture(value: Any, field: str) -> Attachment:
    """Decode a picture from its data URI."""
    if value is None:
        raise Fault("fault_missing", field)
    if not isinstance(value, str) or (match := _DATA_URI.fullmatch(value)) is None:
        raise Fault("fault_picture_uri", field)
    if match["mime"] not in PICTURE_TYPES:
        raise Fault("fault_picture_type", field)
    if len(match["data"]) * 3 // 4 > MAX_PICTURE + 2:
        raise Fault("fault_picture_size", field, status=413)
    try:
        data = base64.b64decode(match["data"], validate=True)
    except binascii.Error as error:
        raise Fault("fault_picture_uri", field) from error
    if not data:
        raise Fault("fault_picture_uri", field)
    return Attachment(match["mime"], data)
