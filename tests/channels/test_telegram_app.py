"""The whole assistant behind Telegram, served as ``zhanggui run --demo`` serves it: people, codes, money and the desk."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from bot.server import serve
from tests.channels.fake_telegram import TOKEN, FakeTelegram
from tests.conftest import demo_settings

WANG, LI = 1001, 1002
PHONES = {WANG: "13800000001", LI: "13800000002"}


class House:
    """A running assistant and the people who write to it by Telegram."""

    def __init__(self, telegram: FakeTelegram, base: str, session: ClientSession) -> None:
        self.telegram = telegram
        self._base = base
        self._session = session

    async def say(self, chat: int, text: str) -> str:
        """Write, wait until the turn is over, and give all that the bot said since."""
        before = len(self.telegram.messages(chat))
        await self.telegram.user_says(chat, text)
        return await self.after(chat, before)

    async def press(self, chat: int, title: str) -> str:
        """Press a button, wait until the turn is over, and give all that the bot said since."""
        before = len(self.telegram.messages(chat))
        await self.telegram.user_presses(chat, title)
        return await self.after(chat, before)

    async def after(self, chat: int, number: int) -> str:
        """Wait until every update is done, and give what the bot said after its first ``number`` messages."""
        await self.telegram.wait_for(lambda: self.telegram.pending == 0)
        return "\n".join(self.telegram.texts(chat)[number:])

    async def code(self, chat: int) -> str:
        """Read the newest code on a person's phone."""
        async with self._session.get(f"{self._base}/dev/outbox", params={"to": PHONES[chat]}) as answer:
            return str(next(message["code"] for message in await answer.json() if "code" in message))

    async def log_in(self, chat: int) -> None:
        """Log in through the chat, by phone and code."""
        await self.say(chat, "登录")
        await self.say(chat, PHONES[chat])
        assert "已登录" in await self.say(chat, await self.code(chat))


@asynccontextmanager
async def running(telegram: FakeTelegram, database: Path) -> AsyncIterator[str]:
    """Serve the assistant until the block ends; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = demo_settings(database, telegram_token=TOKEN, telegram_api=telegram.url)
    stop = asyncio.Event()
    server = asyncio.create_task(serve(settings, host="127.0.0.1", port=port, stop=stop))
    ready = asyncio.create_task(telegram.wait_for(lambda: telegram.count("getUpdates"), seconds=60))
    await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        assert not server.done(), server.exception()
        yield f"http://127.0.0.1:{port}"
    finally:
        ready.cancel()
        stop.set()
        await server


@pytest.fixture
async def house(tmp_path: Path, demo_database: Path) -> AsyncIterator[House]:
    """The assistant on a fresh copy of the demo's data."""
    database = tmp_path / "demo.db"
    shutil.copy(demo_database, database)
    async with FakeTelegram() as telegram, running(telegram, database) as base, ClientSession() as session:
        yield House(telegram, base, session)


async def test_a_transfer_from_deep_link_to_receipt(house: House) -> None:
    """Two people log in by Telegram; one pays the other, with a digression; every code leaves the chat, and the payee is told."""
    assert "青岛" in await house.say(WANG, "/start qingdao")
    await house.log_in(WANG)
    await house.say(LI, "/start")
    await house.log_in(LI)
    heard_by_li = len(house.telegram.messages(LI))

    card = await house.say(WANG, "给李娜转200块")
    assert "*娜" in card
    assert "¥200.00" in card
    assert await house.say(WANG, "手续费多少")
    code = await house.code(WANG)
    done = await house.say(WANG, code)
    assert "¥4,800.00" in done

    await house.telegram.wait_for(lambda: len(house.telegram.messages(LI)) > heard_by_li)
    assert "200.00" in house.telegram.texts(LI)[heard_by_li]
    own = [message["text"] for message in house.telegram.messages(WANG, mine=True)]
    assert "给李娜转200块" in own
    assert not any(text.isdigit() and len(text) == 6 for text in own)
    assert code in [message["text"] for message in house.telegram.deleted]


async def test_a_menu_command_and_buttons_lead_through_a_cancelled_transfer(house: House) -> None:
    """/transfer asks, a pressed 取消 ends it and its keyboard is gone; pressing a forged payload moves nothing."""
    await house.say(WANG, "/start")
    await house.log_in(WANG)
    await house.say(WANG, "/transfer")
    assert "¥50.00" in await house.say(WANG, "给李娜50元")
    assert "取消" in house.telegram.buttons(WANG)
    card = house.telegram.messages(WANG)[-1]
    await house.press(WANG, "取消")
    assert "取消" not in house.telegram.buttons(WANG)
    before = len(house.telegram.messages(WANG))
    await house.telegram.press_data(WANG, card, "/SetSlots(amount=1)")
    assert await house.after(WANG, before)
    assert "¥5,000.00" in await house.say(WANG, "/balance")


async def test_stickers_and_voice_get_a_sentence(house: House) -> None:
    """What the assistant cannot read is answered in words, through every layer."""
    await house.telegram.user_sends_sticker(WANG)
    await house.telegram.user_sends(WANG, voice={"file_id": "v", "file_unique_id": "v", "duration": 1})
    sticker, voice = await house.telegram.answer(WANG, 1), await house.telegram.answer(WANG, 2)
    assert sticker != voice
    assert all(any("一" <= sign <= "鿿" for sign in text) for text in (sticker, voice))
