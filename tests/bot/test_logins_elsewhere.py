"""A person at several doors: each log-in is known, and one that is ended elsewhere is over at once, whoever sits there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import ClientSession

from bot.channels.devices import device_of
from bot.desk.agents import add_agent
from tests.bot.talk import LI, WANG, Talk, rows
from tests.conftest import OpenDemo, served

WANG_ID = 1


async def test_a_log_in_is_a_binding_and_a_log_out_ends_it(open_demo: OpenDemo) -> None:
    """With what the door calls itself; the log-out of one's own chat is told to nobody."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.say("/log_in", WANG)
        await talk.send(talk.inbound(talk.code(WANG), metadata={"device": "Firefox · Linux"}))
        (binding,) = await app.wallet.bindings(WANG_ID)
        assert (binding.channel, binding.label) == ("test", "Firefox · Linux")
        await talk.say("退出登录")
        assert await app.wallet.bindings(WANG_ID) == ()
        assert await app.engine.claim_pushes("test", talk.sender) == ()
        await talk.log_in(LI)
        assert len(await app.wallet.bindings(2)) == 1


async def test_a_door_that_was_logged_out_elsewhere_speaks_for_nobody(open_demo: OpenDemo) -> None:
    """Its next message is answered as a stranger's, after a word of why; the other door goes on."""
    async with open_demo() as app:
        here, lost = Talk(app), Talk(app)
        await here.log_in(WANG)
        await lost.log_in(WANG)
        assert "¥5,000.00" in await lost.say("余额")
        await lost.say("给李娜转200块")
        code = lost.code(WANG)
        newest, _ = await app.wallet.bindings(WANG_ID)
        await app.wallet.unbind(WANG_ID, newest.id, key="out")
        words = await lost.say(code)
        assert "登录已经退出了" in words
        assert "转好了" not in words
        assert "¥" not in await lost.say("余额")
        assert "¥5,000.00" in await here.say("余额")
        await lost.log_in(WANG)
        assert "¥5,000.00" in await lost.say("余额")


async def test_nothing_is_said_any_more_to_a_door_that_was_logged_out(open_demo: OpenDemo) -> None:
    """Neither what waited for it, nor notices, nor an agent's words, nor what was said before; its own words reach no agent."""
    async with open_demo() as app, served(app) as server, ClientSession() as session:
        visitor = "a" * 22
        here, lost = Talk(app), Talk(app, "web", hashlib.sha256(visitor.encode()).hexdigest()[:32])
        await here.log_in(WANG)
        await lost.log_in(WANG)
        await here.say("人工")
        agent = await add_agent(app.wallet.database, "小周", "a long password", "agent")
        conversation = (await app.desk.overview(agent)).queue[0].id
        await app.desk.take(conversation, agent)
        newest, _ = await app.wallet.bindings(WANG_ID)
        assert newest.channel == "web"
        await app.wallet.unbind(WANG_ID, newest.id, key="out")
        async with session.ws_connect(server.make_url("/ws")) as page:
            await page.send_json({"type": "hello", "visitor": visitor})
            assert (await page.receive_json())["items"] == []
        await app.courier.drain()
        await app.desk.say(conversation, agent, "您好，王先生", "word")
        assert await app.engine.claim_pushes("web", lost.sender) == ()
        assert "您好，王先生" in [reply.text for reply in await app.engine.claim_pushes("test", here.sender)]
        assert "登录已经退出了" in await lost.say("我的钱呢")
        assert all(item.get("text") != "我的钱呢" for item in await app.store.transcript(conversation))


async def test_a_new_door_is_told_to_the_others(open_demo: OpenDemo) -> None:
    """Not to itself, which knows."""
    async with open_demo() as app:
        here, new = Talk(app), Talk(app)
        await here.log_in(WANG)
        assert await app.engine.claim_pushes("test", here.sender) == ()
        await new.log_in(WANG)
        assert ["新的设备" in reply.text for reply in await app.engine.claim_pushes("test", here.sender)] == [True]
        assert await app.engine.claim_pushes("test", new.sender) == ()


async def test_a_door_that_asks_for_codes_is_known(open_demo: OpenDemo, tmp_path: Path) -> None:
    """So that it can be braked, whichever phones it names; its address stands nowhere in clear."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.say("/log_in", "13900000001", "/cancel", "/log_in", "13900000002")
        found = rows(tmp_path / "demo.db", "SELECT door_index FROM challenges")
        assert len(found) == 2
        assert len(set(found)) == 1
        assert talk.sender.encode() not in found[0][0]


def test_browsers_are_named_by_known_words() -> None:
    """Whatever else the header says is not passed on."""
    edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Safari/537.36 Edg/120"
    assert device_of(edge) == "Edge · Windows"
    assert device_of("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) MicroMessenger/8.0") == "WeChat · iPhone"
    assert device_of("call 13900000000 now") == ""
