"""The Telegram door in webhook mode: updates are posted to it, and count as taken only when they were answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from bot.channels.telegram import SECRET_HEADER, WEBHOOK_PATH, TelegramDoor, TelegramSetupError
from bot.messages import Inbound, Outcome
from tests.channels.fake_telegram import TOKEN, FakeTelegram
from tests.channels.test_telegram import CHAT, OTHER, Scripted

SECRET = "a-secret_of_the_webhook"


class Site:
    """A server with the door's route mounted, as the application mounts it."""

    def __init__(self, telegram: FakeTelegram) -> None:
        self.telegram = telegram
        self.assistant = Scripted()
        self.door = TelegramDoor(
            TOKEN, self.assistant, fetch_image=self._none, api_base=telegram.url, webhook_secret=SECRET, sleep=self._sleep
        )

    async def _none(self, path: str) -> bytes:
        raise LookupError(path)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)

    async def __aenter__(self) -> Site:
        app = web.Application()
        app.add_routes([self.door.webhook_route()])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{WEBHOOK_PATH}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.door.stop()
        await self._runner.cleanup()

    async def post(self, body: str | dict[str, Any], secret: str | None = SECRET) -> int:
        """Post to the webhook as anybody might; gives the status."""
        data = body if isinstance(body, str) else json.dumps(body)
        headers = {} if secret is None else {SECRET_HEADER: secret}
        async with ClientSession() as session, session.post(self.url, data=data.encode(), headers=headers) as answer:
            return answer.status


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A mounted door beside a Bot API server."""
    async with FakeTelegram() as telegram, Site(telegram) as built:
        yield built


def said(text: str, update_id: int = 1) -> dict[str, Any]:
    """An update in which somebody writes."""
    person = {"id": CHAT, "is_bot": False, "first_name": "客"}
    chat = {"id": CHAT, "type": "private"}
    return {"update_id": update_id, "message": {"message_id": 1, "date": 1, "chat": chat, "from": person, "text": text}}


async def test_updates_posted_to_the_webhook_are_answered(site: Site) -> None:
    """Telegram learns address and secret, posts what people write, and gets its 200 after the answer is out."""
    await site.door.start_webhook(site.url)
    await site.telegram.user_says(CHAT, "余额")
    assert await site.telegram.answer(CHAT, 1) == "听到:余额"
    await site.telegram.wait_for(lambda: site.telegram.pending == 0)
    assert site.telegram.webhook_answers == [200]
    assert site.telegram.commands


async def test_one_chat_waits_its_turn_and_another_does_not(site: Site) -> None:
    """Posts of different chats are worked on side by side."""
    await site.door.start_webhook(site.url)
    go = asyncio.Event()

    async def hang(inbound: Inbound) -> Outcome:
        if inbound.text == "慢":
            await go.wait()
        return await site.assistant.echo(inbound)

    site.assistant.answer = hang
    await site.telegram.user_says(CHAT, "慢")
    await site.telegram.user_says(CHAT, "后")
    await site.telegram.user_says(OTHER, "快")
    assert await site.telegram.answer(OTHER, 1) == "听到:快"
    go.set()
    await site.telegram.answer(CHAT, 2)
    assert site.telegram.texts(CHAT) == ["听到:慢", "听到:后"]


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", SECRET[:-1]])
async def test_posts_without_the_secret_are_refused(site: Site, secret: str | None) -> None:
    """Whoever does not know the secret is told 401, and nothing reaches the assistant."""
    assert await site.post(said("转账"), secret) == 401
    assert site.assistant.heard == []


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"update_id": "1"}', "\x00", '{"update_id": null}'])
async def test_a_body_that_is_no_update_is_refused(site: Site, body: str) -> None:
    """What is not an update is a 400, never a trace."""
    assert await site.post(body) == 400


async def test_the_same_update_posted_again_is_done_once(site: Site) -> None:
    """An update that Telegram repeats, during the turn or after it, is taken without a second turn."""
    site.telegram.messages(CHAT)
    await site.telegram.user_says(CHAT, "在")
    go = asyncio.Event()

    async def hang(inbound: Inbound) -> Outcome:
        await go.wait()
        return await site.assistant.echo(inbound)

    site.assistant.answer = hang
    posts = [asyncio.create_task(site.post(said("转账", 7))) for _ in range(2)]
    await site.telegram.wait_for(lambda: site.assistant.heard)
    go.set()
    assert await asyncio.gather(*posts) == [200, 200]
    assert await site.post(said("转账", 7)) == 200
    assert site.assistant.texts == ["转账"]
    assert site.telegram.texts(CHAT) == ["听到:转账"]


async def test_a_stopping_door_sends_updates_back(site: Site) -> None:
    """After a stop Telegram is told to try again later, when the next process is there."""
    await site.door.stop()
    assert await site.post(said("转账")) == 503
    assert site.assistant.heard == []


async def test_an_address_that_telegram_refuses_is_named(site: Site) -> None:
    """A webhook without https cannot work, and the start says so in Telegram's words."""
    with pytest.raises(TelegramSetupError, match="HTTPS"):
        await site.door.start_webhook("http://wallet.example/webhooks/telegram")


async def test_the_webhook_is_set_when_the_network_comes_back(site: Site) -> None:
    """A start while Telegram is out of reach does not fail; the webhook is set as soon as it can be."""
    site.telegram.offline = True
    await site.door.start_webhook(site.url)
    site.telegram.offline = False
    await site.telegram.wait_for(lambda: site.telegram.webhook)
