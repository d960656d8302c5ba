"""Shapes of text as Telegram wants them: length in UTF-16 units, rows of buttons, commands. Knows no Bot API library."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from bot.messages import Button, Reply

TEXT_LIMIT = 4096  # UTF-16 units in one message
CAPTION_LIMIT = 1024  # UTF-16 units below a picture
CALLBACK_LIMIT = 64  # bytes carried by an inline button
ROW_COLUMNS = 32  # columns of button text that a phone shows in one row, a wide character taking two

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@(\w+))?(?:\s+(.*))?", re.DOTALL)
_CITY = re.compile(r"[a-z]+")


def utf16_length(text: str) -> int:
    """Measure text in UTF-16 units, the stricter of the two ways in which Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split_text(text: str, limit: int = TEXT_LIMIT) -> list[str]:
    """Cut text into messages of at most ``limit`` UTF-16 units, at line ends where there are any; blank pieces are dropped."""
    pieces: list[str] = []
    rest = text
    while utf16_length(rest) > limit:
        cut = _cut(rest, limit)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip("\n")
    pieces.append(rest)
    return [piece for piece in pieces if piece.strip()]


def _cut(text: str, limit: int) -> int:
    """Find where the first piece ends: after the last line that fits, else after a space or a punctuation mark, else anywhere."""
    fitting = len(text.encode("utf-16-le", "surrogatepass")[: 2 * limit].decode("utf-16-le", "ignore"))
    line_end = text.rfind("\n", 1, fitting + 1)
    if line_end > 0 and text[:line_end].strip():
        return line_end
    for index in range(fitting, fitting // 2, -1):
        if unicodedata.category(text[index - 1])[0] in "PZ":
            return index
    return fitting


def button_rows(buttons: Sequence[Button]) -> list[list[Button]]:
    """Lay buttons out in rows of two or three of equal width, as Telegram draws them; what would be cut off gets its own row."""
    most = 3 if len(buttons) % 3 == 0 else 2
    rows: list[list[Button]] = []
    for button in buttons:
        together = [*rows[-1], button] if rows else []
        if together and len(together) <= most and max(map(_columns, together)) * len(together) <= ROW_COLUMNS:
            rows[-1].append(button)
        else:
            rows.append([button])
    return rows


def links_as_text(reply: Reply, text: str, base: str) -> tuple[Reply, str]:
    """Give a reply without its links, and its text with them: ``base`` stands before their paths."""
    lines = [text, *(f"{button.title} {base}{button.url}" for button in reply.buttons if button.url)]
    return replace(reply, buttons=tuple(button for button in reply.buttons if not button.url)), "\n".join(lines)


def _columns(button: Button) -> int:
    return 2 + sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in button.title)


def callback_data(button: Button) -> str:
    """Give a button's payload, refusing what an inline button cannot carry: a programmer's error, never a user's."""
    if not 1 <= len(button.payload.encode()) <= CALLBACK_LIMIT:
        raise ValueError(f"a button's payload takes 1 to {CALLBACK_LIMIT} bytes")
    return button.payload


def read_command(text: str) -> tuple[str, dict[str, str]]:
    """Turn what was typed into text and metadata: ``/start xiamen`` names a city, ``/Help@our_bot`` is ``/help``."""
    match = _COMMAND.fullmatch(text)
    if match is None:
        return text, {}
    name, rest = match[1].lower(), (match[3] or "").strip()
    if name == "start":
        return "/start", {"city": rest} if _CITY.fullmatch(rest) else {}
    return f"/{name} {rest}".rstrip(), {}


def speaks_to(text: str, username: str) -> bool:
    """Tell whether a message in a group is meant for the bot: a command for it or for any bot, or its name mentioned."""
    match = _COMMAND.fullmatch(text)
    if match is not None and match[2] is not None:
        return match[2].lower() == username.lower()
    return match is not None or re.search(rf"@{re.escape(username)}\b", text, re.IGNORECASE) is not None


def plain_phone(number: str) -> str:
    """Write a shared contact's number as people in China type it: digits, without the country's 86."""
    digits = re.sub(r"\D", "", number)
    return digits[2:] if len(digits) == 13 and digits.startswith("86") else digits
