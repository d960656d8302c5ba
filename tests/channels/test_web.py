"""The web chat's WebSocket over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from bot.channels import pages, web_line
from bot.channels.web import WebDoor
from bot.messages import Button, Outcome, Reply

VISITOR = "0123456789abcdef0123456789abcdef"
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG-pixel").decode()
PATIENCE = 5.0  # seconds a frame may take on a busy machine


class Page:
    """One browser page: a WebSocket that speaks the page's frames."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        """Send one frame."""
        await self.socket.send_str(json.dumps(frame))

    async def get(self, *types: str) -> dict[str, Any]:
        """Give the next frame of one of these types."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = json.loads(await self.socket.receive_str())
                if frame["type"] in types:
                    return frame

    async def say(self, number: int, text: str) -> dict[str, Any]:
        """Send a message and give the frame that answers it."""
        await self.send(type="message", id=f"message-{number}", text=text)
        return await self.get("turn", "error")


class House:
    """A server with a web door, its history and clock in the test's hands."""

    def __init__(self, assistant: Any) -> None:
        self.assistant = assistant
        self.said: list[dict[str, Any]] = []
        self.place = {"wallet": "厦门钱包", "city": "厦门"}
        self.asked: list[tuple[str, str]] = []
        self.door = WebDoor(
            assistant, history=self._history, header=self._header, demo=True, origins=["https://pay.example"], now=lambda: 5000
        )
        app = web.Application()
        app.add_routes([*self.door.routes(), *pages.asset_routes()])
        app.on_shutdown.append(self.door.close)
        self.client = TestClient(TestServer(app))

    async def _history(self, channel: str, sender: str) -> list[dict[str, Any]]:
        self.asked.append((channel, sender))
        return self.said

    async def _header(self, channel: str, sender: str) -> dict[str, str]:
        return dict(self.place)

    async def open(self, visitor: str = VISITOR, **hello: Any) -> tuple[Page, dict[str, Any]]:
        """Open a page, say hello and give the history frame."""
        page = Page(await self.client.ws_connect("/ws"))
        await page.send(type="hello", visitor=visitor, **hello)
        return page, await page.get("history")


@pytest.fixture
async def house(scripted: Any) -> AsyncIterator[House]:
    """A running house that is closed after the test."""
    house = House(scripted)
    await house.client.start_server()
    yield house
    await house.client.close()


async def test_a_message_is_answered_and_acknowledged_in_one_frame(house, scripted):
    """The turn frame carries the message's id, the replies with buttons and picture, and the time."""
    page, _ = await house.open(city="qingdao")
    turn = await page.say(1, "付款码")
    assert turn["id"] == "message-1"
    assert turn["user"] == {"text": "付款码", "picture": False}
    assert turn["forget"] is False
    assert turn["at"] == 5000
    assert turn["replies"][0]["buttons"] == [{"title": "好的", "payload": "tok-yes"}, {"title": "算了", "payload": "tok-no"}]
    assert turn["replies"][0]["image"] == "/pictures/abc"
    assert turn["replies"][1] == {"author": "bot", "text": "还要别的吗", "custom": {"n": 1}}
    (inbound,) = scripted.heard
    assert (inbound.channel, inbound.message_id, inbound.kind, inbound.may_press) == ("web", "message-1", "text", False)
    assert dict(inbound.metadata) == {"city": "qingdao"}


async def test_the_visitors_id_never_leaves_the_door(house, scripted):
    """What opens a conversation is kept from the assistant; the same visitor is the same sender, another is not."""
    page, _ = await house.open()
    await page.say(1, "你好")
    again, _ = await house.open()
    await again.say(2, "你好")
    other, _ = await house.open("f" * 32)
    await other.say(3, "你好")
    first, second, third = (inbound.sender for inbound in scripted.heard)
    assert first == second != third
    assert VISITOR not in first
    assert len(first) == 32


async def test_a_press_and_a_picture_arrive_as_such(house, scripted):
    """A pressed button carries its payload and shows its title; a picture arrives decoded."""
    page, _ = await house.open()
    await page.send(type="press", id="press-001", payload="tok-yes", title="好的")
    assert (await page.get("turn"))["user"]["text"] == "好的"
    await page.send(type="message", id="picture-1", text="", image=PIXEL)
    assert (await page.get("turn"))["user"]["picture"] is True
    press, picture = scripted.heard
    assert (press.kind, press.text) == ("press", "tok-yes")
    assert picture.kind == "image"
    assert picture.attachments[0].data == b"\x89PNG-pixel"


async def test_a_code_is_not_shown_again(house):
    """When the message must be forgotten, the frame says so and does not repeat it, to other pages neither."""
    page, _ = await house.open()
    other, _ = await house.open()
    turn = await page.say(1, "493201")
    assert turn["forget"] is True
    assert "493201" not in json.dumps([turn, await other.get("turn")])


async def test_a_message_sent_again_is_answered_again_and_heard_once(house, scripted):
    """After a lost answer the same id gets the same replies, and the assistant sees one message."""
    page, _ = await house.open()
    first = await page.say(1, "给李娜转200块")
    await page.socket.close()
    page, _ = await house.open(since=first["at"])
    second = await page.say(1, "给李娜转200块")
    assert first["replies"] == second["replies"]
    assert len(scripted.heard) == 1


async def test_a_turn_ends_even_if_the_page_goes_and_shows_where_the_visitor_is(house, scripted):
    """A page that drops in the middle of a turn finds the answer on its next connection; what only waited is not begun."""
    scripted.gate.clear()
    page, _ = await house.open()
    await page.send(type="message", id="message-1", text="转账")
    await page.get("typing")
    await page.send(type="message", id="message-2", text="余额")
    await page.send(type="ping")
    await page.get("pong")
    await page.socket.close()
    back, _ = await house.open()
    scripted.gate.set()
    assert (await back.get("turn"))["id"] == "message-1"
    assert [inbound.message_id for inbound in scripted.heard] == ["message-1"]
    await back.say(2, "余额")
    assert [inbound.message_id for inbound in scripted.heard] == ["message-1", "message-2"]


async def test_messages_of_one_page_keep_their_order(house, scripted):
    """Messages sent in a burst are answered one after the other."""
    page, _ = await house.open()
    for number in range(8):
        await page.send(type="message", id=f"message-{number}", text=str(number))
    assert [(await page.get("turn"))["id"] for _ in range(8)] == [f"message-{number}" for number in range(8)]
    assert [inbound.text for inbound in scripted.heard] == [str(number) for number in range(8)]


async def test_a_flood_is_refused_message_by_message(house, scripted):
    """Past the limit of waiting messages each one is refused by its id, and the rest are answered."""
    scripted.gate.clear()
    page, _ = await house.open()
    await page.send(type="message", id="message-0", text="0")
    await page.get("typing")
    for number in range(1, web_line.MAX_WAITING + 2):
        await page.send(type="message", id=f"message-{number}", text=str(number))
    refused = await page.get("error")
    assert refused["id"] == f"message-{web_line.MAX_WAITING + 1}"
    scripted.gate.set()
    for _ in range(web_line.MAX_WAITING + 1):
        await page.get("turn")
    assert len(scripted.heard) == web_line.MAX_WAITING + 1


async def test_history_comes_first_and_only_what_was_said(house, scripted):
    """On return the page gets what was said, with authors, ids and buttons; handoffs and actions stay inside."""
    house.said = [
        {"id": 1, "kind": "user", "at": 1000, "text": "tok-9", "pressed": "人工", "message_id": "message-1", "message": "press"},
        {"id": 2, "kind": "handoff", "at": 1001, "agent": "demo"},
        {"id": 3, "kind": "bot", "at": 1002, "text": "请稍等", "buttons": ["算了"]},
        {"id": 4, "kind": "agent", "at": 2000, "text": "我来了"},
    ]
    _, history = await house.open()
    assert history["again"] is False
    assert [(item["author"], item["text"]) for item in history["items"]] == [
        ("user", "人工"),
        ("bot", "请稍等"),
        ("agent", "我来了"),
    ]
    assert history["items"][0]["id"] == "message-1"
    assert history["items"][1]["buttons"] == [{"title": "算了"}]
    _, later = await house.open(since=1002)
    assert later["again"] is True
    assert [item["text"] for item in later["items"]] == ["我来了"]


async def test_what_waited_is_shown_once(house, scripted):
    """Waiting words come after the history, once, and not twice when the history has them already."""
    page, _ = await house.open()
    await page.say(1, "在吗")
    sender = scripted.heard[0].sender
    await page.socket.close()
    house.said = [{"kind": "agent", "at": 2000, "text": "我来了"}]
    scripted.waiting["web", sender] = [Reply("我来了", author="agent"), Reply("到账 ¥1.00", (Button("看看", "tok"),))]
    page, history = await house.open()
    assert [item["text"] for item in history["items"]] == ["我来了"]
    push = await page.get("push")
    assert [reply["text"] for reply in push["replies"]] == ["到账 ¥1.00"]
    page, _ = await house.open()
    await page.send(type="ping")
    assert (await page.get("push", "pong"))["type"] == "pong"


async def test_a_push_reaches_every_open_page_and_nobody_else(house, scripted):
    """An agent's words appear on all pages of the visitor; with no page open the push is not taken."""
    page, _ = await house.open()
    twin, _ = await house.open()
    await page.say(1, "人工")
    sender = scripted.heard[0].sender
    assert await house.door.push(sender, (Reply("您好", author="agent"),)) is True
    for one in (page, twin):
        assert (await one.get("push"))["replies"] == [{"author": "agent", "text": "您好"}]
    await page.socket.close()
    await twin.socket.close()
    async with asyncio.timeout(PATIENCE):
        while await house.door.push(sender, (Reply("还在吗"),)):
            await asyncio.sleep(0.01)


async def test_deliver_takes_what_waits_only_when_somebody_is_there(house, scripted):
    """Words in the database are claimed for an open page and left alone otherwise; collect does so for everyone."""
    page, _ = await house.open()
    await page.say(1, "人工")
    sender = scripted.heard[0].sender
    scripted.waiting["web", sender] = [Reply("一")]
    scripted.waiting["web", "absent"] = [Reply("二")]
    assert await house.door.deliver(sender)
    assert (await page.get("push"))["replies"][0]["text"] == "一"
    assert await house.door.deliver("absent") is False
    scripted.waiting["web", sender] = [Reply("三")]
    await house.door.collect()
    assert (await page.get("push"))["replies"][0]["text"] == "三"
    assert scripted.waiting["web", "absent"]


async def test_the_header_follows_the_city(house):
    """The page learns wallet and city at the start and when they change, and not more often."""
    page, _ = await house.open()
    assert await page.get("header") == {"type": "header", "wallet": "厦门钱包", "city": "厦门"}
    await page.say(1, "你好")
    house.place = {"wallet": "青岛钱包", "city": "青岛"}
    await page.send(type="message", id="message-2", text="换到青岛")
    assert (await page.get("header"))["city"] == "青岛"
    await page.say(3, "你好")
    await page.send(type="ping")
    assert (await page.get("header", "pong"))["type"] == "pong"


@pytest.mark.parametrize(
    "sent",
    [
        "no json",
        "[1]",
        "[" * 50_000,
        '{"type": "dance"}',
        '{"no": "type"}',
        '{"type": "message", "id": "x", "text": "短"}',
        '{"type": "message", "id": "message-1", "text": 5}',
        '{"type": "message", "id": "\\ud800\\ud800aaaaaaa", "text": "x"}',
        json.dumps({"type": "message", "id": "message-1", "text": "字" * 10_001}),
        '{"type": "message", "id": "message-1", "text": "", "image": "data:text/html;base64,QUJD"}',
        json.dumps({"type": "message", "id": "message-1", "text": "", "image": "data:image/png;base64," + "A" * 7_100_000}),
        '{"type": "press", "id": "message-1", "title": "好"}',
        json.dumps({"type": "press", "id": "message-1", "payload": "x" * 500}),
        json.dumps({"type": "hello", "visitor": VISITOR}),
    ],
)
async def test_a_frame_that_is_not_understood_costs_only_itself(house, scripted, sent):
    """A wrong frame gets an error frame in words, and the connection goes on."""
    page, _ = await house.open()
    await page.socket.send_str(sent)
    fault = await page.get("error")
    assert fault["error"]
    assert not scripted.heard
    assert (await page.say(2, "还在"))["replies"][0]["text"] == "echo 还在"


async def test_bytes_get_an_error_and_too_much_ends_only_this_connection(house):
    """A binary frame is refused in words; a frame over eight megabytes ends the connection, and the page may come back."""
    page, _ = await house.open()
    await page.socket.send_bytes(b"\x00\x01")
    assert (await page.get("error"))["code"] == "fault_frame"
    with contextlib.suppress(ConnectionError):
        await page.socket.send_str("x" * (8 * 1024 * 1024 + 1))
    async with asyncio.timeout(PATIENCE):
        while (await page.socket.receive()).type is WSMsgType.TEXT:
            pass
    back, _ = await house.open()
    assert (await back.say(1, "还在"))["type"] == "turn"


@pytest.mark.parametrize("visitor", [None, "", "short", 5, "x" * 65, "a b" * 10])
async def test_without_a_proper_visitor_nothing_is_heard(house, scripted, visitor):
    """Messages before a hello, or after one with a poor id, are refused."""
    page = Page(await house.client.ws_connect("/ws"))
    await page.send(type="hello", visitor=visitor)
    assert (await page.get("error"))["code"] == "fault_hello"
    await page.send(type="message", id="message-1", text="余额")
    assert (await page.get("error"))["id"] == "message-1"
    assert not scripted.heard


async def test_a_socket_that_says_nothing_is_closed(house, monkeypatch):
    """Who does not say hello in time does not keep a connection."""
    monkeypatch.setattr("bot.channels.web.HELLO_SECONDS", 0.05)
    page = Page(await house.client.ws_connect("/ws"))
    async with asyncio.timeout(PATIENCE):
        await page.socket.receive()
    assert page.socket.closed


async def test_a_failing_turn_is_told_and_can_be_sent_again(house, scripted):
    """A fault of the assistant is one sentence without detail; the same message id works once the fault is gone."""
    scripted.script["坏"] = RuntimeError("secret detail")
    page, _ = await house.open()
    fault = await page.say(1, "坏")
    assert fault["type"] == "error"
    assert fault["id"] == "message-1"
    assert "secret" not in json.dumps(fault)
    scripted.script["坏"] = Outcome((Reply("好了"),))
    assert (await page.say(1, "坏"))["replies"][0]["text"] == "好了"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_foreign_page_cannot_connect(house, origin):
    """The WebSocket refuses pages of other sites, before any frame."""
    answer = await house.client.get(
        "/ws",
        headers={
            "Origin": origin,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    )
    assert answer.status == 403


async def test_our_own_pages_connect(house):
    """The page's own origin and the configured public one are let in."""
    own = f"http://{house.client.host}:{house.client.port}"
    for origin in (own, "https://pay.example"):
        socket = await house.client.ws_connect("/ws", origin=origin)
        await socket.close()


async def test_the_page_runs_nothing_foreign_and_nothing_inline(house):
    """The policy allows own files only, the page has no inline script, style or handler, and every file it names is there."""
    answer = await house.client.get("/")
    html = await answer.text()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|https?://", html)
    named = set(re.findall(r'"(/assets/[^"]+)"', html)) | {
        "/assets/link.js",
        "/assets/view.js",
        "/assets/picture.js",
        "/assets/page.js",
    }
    for path in named:
        assert (await house.client.get(path)).status == 200, path
    assert 'href="/dev/phone"' in html


async def test_outside_the_demo_the_phone_is_not_mentioned(scripted):
    """Without the demo the page has no link to the simulated phone."""

    async def nothing(channel: str, sender: str) -> list[dict[str, Any]]:
        return []

    app = web.Application()
    app.add_routes(WebDoor(scripted, history=nothing).routes())
    client = TestClient(TestServer(app))
    await client.start_server()
    assert "/dev/phone" not in await (await client.get("/")).text()
    await client.close()


def test_every_word_of_the_doors_exists_and_is_used():
    """The doors and pages ask for no word that is missing, and no word is kept that nobody says."""
    folder = Path(pages.__file__).parent
    sources = [*folder.glob("*.py"), *folder.parent.glob("*.py"), *folder.glob("static/*.js"), *folder.glob("static/*.html")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources if not path.name.startswith("telegram"))
    asked = set(re.findall(r"\bwords\.(\w+)|\bui\.(\w+)|\"((?:fault|terminal)_\w+)\"", code))
    names = {name for groups in asked for name in groups if name}
    kept = set(yaml.safe_load((Path(pages.__file__).parents[2] / "locales/zh_CN/web.yml").read_text(encoding="utf-8"))["ui"])
    assert names <= kept
    families = tuple(re.findall(r"`(\w+_)\$\{", code))  # words that a page picks by what it is about
    assert {word for word in kept if not word.startswith(families) and not re.search(rf"\b{word}\b", code)} == set()
