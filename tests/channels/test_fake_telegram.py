"""The fake Bot API server refuses what the real one refuses, in its words: tests against it prove something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.channels.fake_telegram import TOKEN, FakeTelegram

CHAT = 77


class Client:
    """Plain HTTP to the server, without any library of ours or Telegram's."""

    def __init__(self, telegram: FakeTelegram, session: ClientSession) -> None:
        self.telegram = telegram
        self._session = session

    async def call(self, method: str, token: str = TOKEN, **given: Any) -> dict[str, Any]:
        """Call a method; gives the body."""
        form = {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in given.items()}
        async with self._session.post(f"{self.telegram.url}/bot{token}/{method}", data=form) as answer:
            body: dict[str, Any] = await answer.json()
            assert body.get("error_code", 200) == answer.status
            return body

    async def refusal(self, method: str, **given: Any) -> tuple[int, str]:
        """Call a method that must be refused; gives code and description."""
        body = await self.call(method, **given)
        assert not body["ok"]
        return body["error_code"], body["description"]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a server with one chat in it."""
    async with FakeTelegram(long_poll=0.2) as telegram, ClientSession() as session:
        await telegram.user_says(CHAT, "在")
        yield Client(telegram, session)


def keyboard(data: str) -> dict[str, Any]:
    """An inline keyboard of one button."""
    return {"inline_keyboard": [[{"text": "按", "callback_data": data}]]}


@pytest.mark.parametrize(
    ("method", "given", "description"),
    [
        ("sendMessage", {"chat_id": CHAT, "text": "x" * 4097}, "message is too long"),
        ("sendMessage", {"chat_id": CHAT, "text": " \n"}, "message text is empty"),
        ("sendMessage", {"chat_id": CHAT}, "message text is empty"),
        ("sendMessage", {"chat_id": 404, "text": "x"}, "chat not found"),
        ("sendMessage", {"chat_id": CHAT, "text": "x", "reply_markup": keyboard("x" * 65)}, "BUTTON_DATA_INVALID"),
        ("sendMessage", {"chat_id": CHAT, "text": "x", "reply_markup": keyboard("钱" * 22)}, "BUTTON_DATA_INVALID"),
        (
            "sendMessage",
            {"chat_id": CHAT, "text": "x", "parse_mod": "HTML"},
            "the fake knows no parameter ['parse_mod'] of sendMessage",
        ),
        (
            "sendPhoto",
            {"chat_id": CHAT, "photo": "x", "caption": "x" * 1025},
            "wrong remote file identifier specified: Wrong string length",
        ),
        ("sendChatAction", {"chat_id": CHAT, "action": "thinking"}, "wrong parameter action in request"),
        ("deleteMessage", {"chat_id": CHAT, "message_id": 999}, "message to delete not found"),
        ("editMessageText", {"chat_id": CHAT, "message_id": 999, "text": "x"}, "message to edit not found"),
        ("editMessageReplyMarkup", {"chat_id": CHAT, "message_id": 1}, "message can't be edited"),
        ("getFile", {"file_id": "nothing"}, "invalid file_id"),
        ("setWebhook", {"url": "http://example.org"}, "bad webhook: HTTPS URL must be provided for webhook"),
        ("setMyCommands", {"commands": [{"command": "帮助", "description": "x"}]}, "BOT_COMMAND_INVALID"),
    ],
)
async def test_bad_calls_are_refused(client: Client, method: str, given: dict[str, Any], description: str) -> None:
    """Each fault is a 400 in the Bot API's own words."""
    assert await client.refusal(method, **given) == (400, f"Bad Request: {description}")


async def test_tokens_and_methods_are_checked(client: Client) -> None:
    """A malformed token is 404, an unknown one 401, an unknown method 404."""
    assert await client.refusal("getMe", token="nonsense") == (404, "Not Found")
    assert await client.refusal("getMe", token="1:wrong") == (401, "Unauthorized")
    assert await client.refusal("fetchUpdates") == (404, "Not Found: method not found")


async def test_updates_come_until_they_are_confirmed(client: Client) -> None:
    """getUpdates repeats an update until it is asked for a later one, and then waits for news."""
    first = (await client.call("getUpdates"))["result"]
    assert [update["message"]["text"] for update in first] == ["在"]
    assert (await client.call("getUpdates", timeout=5))["result"] == first
    following = asyncio.create_task(client.call("getUpdates", offset=first[-1]["update_id"] + 1, timeout=5))
    await client.telegram.wait_for(lambda: client.telegram.count("getUpdates") == 3)
    await client.telegram.user_says(CHAT, "还在")
    assert [update["message"]["text"] for update in (await following)["result"]] == ["还在"]


async def test_two_pollers_are_a_conflict(client: Client) -> None:
    """The earlier of two long polls is cut off, and polling beside a webhook is refused."""
    offset = (await client.call("getUpdates"))["result"][-1]["update_id"] + 1
    earlier = asyncio.create_task(client.refusal("getUpdates", offset=offset, timeout=5))
    await client.telegram.wait_for(lambda: client.telegram.count("getUpdates") == 2)
    await client.call("getUpdates", offset=offset)
    assert (await earlier)[0] == 409
    await client.call("setWebhook", url="https://example.org/hook")
    assert (await client.refusal("getUpdates"))[0] == 409


async def test_a_callback_is_answered_once(client: Client) -> None:
    """The second answer to one press finds the query too old."""
    await client.call("sendMessage", chat_id=CHAT, text="x", reply_markup=keyboard("x" * 64))
    await client.telegram.user_presses(CHAT, "按")
    query = (await client.call("getUpdates"))["result"][-1]["callback_query"]["id"]
    assert (await client.call("answerCallbackQuery", callback_query_id=query))["ok"]
    assert "query is too old" in (await client.refusal("answerCallbackQuery", callback_query_id=query))[1]


async def test_an_edit_must_change_something(client: Client) -> None:
    """A keyboard goes once; the second time nothing is modified."""
    sent = (await client.call("sendMessage", chat_id=CHAT, text="x", reply_markup=keyboard("x")))["result"]["message_id"]
    assert (await client.call("editMessageReplyMarkup", chat_id=CHAT, message_id=sent))["ok"]
    refused = await client.refusal("editMessageReplyMarkup", chat_id=CHAT, message_id=sent)
    assert "message is not modified" in refused[1]


async def test_blocked_and_flooded(client: Client) -> None:
    """A blocked bot gets 403, a flood 429 with the seconds to wait."""
    client.telegram.block(CHAT)
    assert await client.refusal("sendMessage", chat_id=CHAT, text="x") == (403, "Forbidden: bot was blocked by the user")
    client.telegram.unblock(CHAT)
    client.telegram.trouble("sendMessage", 429, "Too Many Requests: retry after 9", retry_after=9)
    body = await client.call("sendMessage", chat_id=CHAT, text="x")
    assert body["parameters"] == {"retry_after": 9}
    assert (await client.call("sendMessage", chat_id=CHAT, text="x"))["ok"]
