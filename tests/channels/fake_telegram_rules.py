"""What the Bot API refuses, and in which words: the strict half of the fake server."""

from __future__ import annotations

import json
import re
from typing import Any

OLD_QUERY = "query is too old and response timeout expired or query ID is invalid"
SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
WEBHOOK_ACTIVE = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
TWO_DAYS = 48 * 3600  # seconds
NUMBERS = ("chat_id", "message_id", "offset", "limit", "timeout")

# Method → parameters needed, parameters known. Whatever else comes is refused, so that tests see it.
METHODS: dict[str, tuple[set[str], set[str]]] = {
    "getMe": (set(), set()),
    "getUpdates": (set(), {"offset", "limit", "timeout", "allowed_updates"}),
    "setWebhook": ({"url"}, {"secret_token", "allowed_updates", "max_connections"}),
    "deleteWebhook": (set(), {"drop_pending_updates"}),
    "sendMessage": ({"chat_id"}, {"text", "reply_markup", "link_preview_options"}),
    "sendPhoto": ({"chat_id", "photo"}, {"caption", "reply_markup"}),
    "sendChatAction": ({"chat_id", "action"}, set()),
    "editMessageText": ({"chat_id", "message_id"}, {"text", "reply_markup"}),
    "editMessageReplyMarkup": ({"chat_id", "message_id"}, {"reply_markup"}),
    "deleteMessage": ({"chat_id", "message_id"}, set()),
    "answerCallbackQuery": ({"callback_query_id"}, {"text", "show_alert"}),
    "setMyCommands": ({"commands"}, set()),
    "getFile": ({"file_id"}, set()),
}


class Refusal(Exception):
    """An answer with ``ok: false``."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters


def bad(description: str) -> Refusal:
    """Make an ordinary refusal."""
    return Refusal(400, f"Bad Request: {description}")


def admit(token: str, expected: str) -> None:
    """Refuse a token that is malformed or not the bot's."""
    if not re.fullmatch(r"\d+:[\w-]+", token):
        raise Refusal(404, "Not Found")
    if token != expected:
        raise Refusal(401, "Unauthorized")


def parameters(method: str, given: dict[str, str]) -> dict[str, Any]:
    """Check a call's parameters by name, and read the numbers among them."""
    if method not in METHODS:
        raise Refusal(404, "Not Found: method not found")
    needed, known = METHODS[method]
    if unknown := given.keys() - needed - known:
        raise bad(f"the fake knows no parameter {sorted(unknown)} of {method}")
    if missing := needed - given.keys():
        raise bad(f"parameter {min(missing)} is required")
    return {name: int(value) if name in NUMBERS else value for name, value in given.items()}


def text(given: dict[str, Any]) -> str:
    """Give a message's text."""
    text: str = given.get("text", "")
    if not text.strip():
        raise bad("message text is empty")
    if len(text.encode("utf-16-le")) > 2 * 4096:
        raise bad("message is too long")
    return text


def markup(given: dict[str, Any]) -> dict[str, Any]:
    """Give a message's inline keyboard."""
    if "reply_markup" not in given:
        return {}
    markup = json.loads(given["reply_markup"])
    for row in markup["inline_keyboard"]:
        for button in row:
            if button.keys() not in ({"text", "callback_data"}, {"text", "url"}):
                raise bad(f"the fake knows only text with callback_data or url of a button, not {sorted(button)}")
            if not button["text"].strip():
                raise bad("inline keyboard button text must be non-empty")
            if "url" in button:
                if not re.match(r"https://[\w-]+\.[\w.-]+/", button["url"]):
                    raise bad("BUTTON_URL_INVALID")
            elif not 1 <= len(button["callback_data"].encode()) <= 64:
                raise bad("BUTTON_DATA_INVALID")
    return {"reply_markup": markup} if markup["inline_keyboard"] else {}


def caption(given: dict[str, Any]) -> dict[str, str]:
    """Give a picture's caption."""
    if len(given.get("caption", "").encode("utf-16-le")) > 2 * 1024:
        raise bad("message caption is too long")
    return {"caption": given["caption"]} if "caption" in given else {}


def picture(data: bytes | None) -> bytes:
    """Give a picture's bytes."""
    if data is None:
        raise bad("wrong remote file identifier specified: Wrong string length")
    if not data.startswith(PICTURES):
        raise bad("IMAGE_PROCESS_FAILED")
    return data


def commands(given: dict[str, Any]) -> list[dict[str, str]]:
    """Give the command menu."""
    menu: list[dict[str, str]] = json.loads(given["commands"])
    for command in menu:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(command["description"]) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    return menu
