"""The turn: deduplication, order, crashes, conflicts, and what is kept of a conversation."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bot.app import App
from bot.desk.agents import add_agent
from bot.dialogue.turn import Turn
from bot.messages import Outcome
from tests.bot.talk import LI, WANG, Talk, rows, wrong
from tests.conftest import Clock, OpenDemo


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file that the app of this test lives in."""
    return tmp_path / "demo.db"


def orders(database: Path) -> list[tuple[Any, ...]]:
    """Give what became of the orders of this test: those that a person proposed by a code."""
    query = "SELECT status, amount, tries FROM orders WHERE id IN (SELECT order_id FROM outbox) ORDER BY id"
    return rows(database, query)


async def available(app: App, user_id: int) -> int:
    """Give what a demo user holds in Xiamen, in fen."""
    return (await app.wallet.balance(user_id, "xiamen")).available


async def test_a_seen_message_is_answered_as_before(open_demo: OpenDemo, database: Path) -> None:
    """Each message of a transfer, delivered a second time, gets the very same answer and changes nothing."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        for make in (lambda: "给李娜转200块", lambda: talk.code(WANG), lambda: "余额"):
            message = talk.inbound(make())
            await talk.send(message)
            first, before = talk.outcome, rows(database, "SELECT count(*), sum(version) FROM conversations, events")
            await talk.send(message)
            assert talk.outcome == first
            assert rows(database, "SELECT count(*), sum(version) FROM conversations, events") == before
        assert orders(database) == [("posted", 20000, 0)]
        assert await available(app, 1) == 480000
        assert len(talk.codes(WANG)) == 2  # the log-in's and the order's


async def test_a_seen_message_is_answered_as_before_after_a_restart(open_demo: OpenDemo) -> None:
    """The stored answer outlives the process."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        message = talk.inbound("给李娜转200块")
        await talk.send(message)
        first = talk.outcome
    async with open_demo() as app:
        assert await app.engine.handle(message) == first
        assert await available(app, 2) == 80000


async def test_two_deliveries_at_once_are_one_message(open_demo: OpenDemo, database: Path) -> None:
    """A message delivered several times at the same moment is answered alike each time and acts once."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        message = talk.inbound("给李娜转200块")
        asked = await asyncio.gather(*(app.engine.handle(message) for _ in range(4)))
        await app.courier.drain()
        message = talk.inbound(talk.code(WANG))
        done = await asyncio.gather(*(app.engine.handle(message) for _ in range(4)))
        assert all(outcome == asked[0] for outcome in asked)
        assert all(outcome == done[0] for outcome in done)
        assert orders(database) == [("posted", 20000, 0)]
        assert await available(app, 1) == 480000


async def test_two_processes_get_one_message(open_demo: OpenDemo, database: Path) -> None:
    """Two apps on one database, each with the same message at the same moment: one order, one posting, equal answers."""
    async with open_demo() as one, open_demo() as two:
        talk = Talk(one)
        await talk.log_in(WANG)
        known = talk.code(WANG)
        message = talk.inbound("给李娜转200块")
        first, second = await asyncio.gather(one.engine.handle(message), two.engine.handle(message))
        assert first == second
        await asyncio.gather(one.courier.drain(), two.courier.drain())
        (code,) = {*talk.codes(WANG), *Talk(two).codes(WANG)} - {known}
        message = talk.inbound(code)
        first, second = await asyncio.gather(one.engine.handle(message), two.engine.handle(message))
        assert first == second
        assert orders(database) == [("posted", 20000, 0)]
        assert await available(one, 1) == 480000


async def test_a_first_message_to_two_processes_starts_one_conversation(open_demo: OpenDemo, database: Path) -> None:
    """A new door that knocks at two processes at once has one conversation."""
    async with open_demo() as one, open_demo() as two:
        talk = Talk(one)
        message = talk.inbound("/start")
        first, second = await asyncio.gather(one.engine.handle(message), two.engine.handle(message))
        assert first == second
        assert rows(database, "SELECT count(*) FROM doors") == [(1,)]


async def test_one_turn_at_a_time_and_many_conversations_at_once(open_demo: OpenDemo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of one conversation run one after another, in the order in which they came; other conversations don't wait."""
    async with open_demo() as app:
        running: Counter[int] = Counter()
        most: Counter[int] = Counter()
        together, run = asyncio.Barrier(3), app.engine.runner.run

        async def watched(turn: Turn) -> None:
            first = turn.conversation not in most
            running[turn.conversation] += 1
            most[turn.conversation] = max(most[turn.conversation], running[turn.conversation])
            if first:  # goes on only when the two other conversations are in their turn as well
                await asyncio.wait_for(together.wait(), 30)
            await asyncio.sleep(0.01)
            await run(turn)
            running[turn.conversation] -= 1

        monkeypatch.setattr(app.engine.runner, "run", watched)
        talks = [Talk(app) for _ in range(3)]
        messages = [talk.inbound(text) for text in ("/help", "/balance", "/cancel", "/help") for talk in talks]
        await asyncio.gather(*(app.engine.handle(message) for message in messages))
        assert set(most.values()) == {1}
        assert len(most) == 3


async def test_twenty_people_at_once(open_demo: OpenDemo, database: Path) -> None:
    """Twenty strangers open a wallet each at the same time; everybody is answered about their own phone and money."""
    async with open_demo() as app:

        async def newcomer(number: int) -> str:
            talk, phone = Talk(app), f"1390000{number:04d}"
            assert f"139****{number:04d}" in await talk.say("/log_in", phone)
            await talk.say(talk.code(phone))
            await talk.press("开通")
            return await talk.say("/balance")

        told = await asyncio.gather(*(newcomer(number) for number in range(20)))
        assert all("¥0.00" in words for words in told)
        assert rows(database, "SELECT count(DISTINCT person) FROM conversations") == [(20,)]
        assert (await app.wallet.verify()).ok


async def test_loading_costs_the_same_after_200_turns(open_demo: OpenDemo, database: Path) -> None:
    """The stored state does not grow with the conversation; the record of it does."""
    state = "SELECT length(state) FROM conversations ORDER BY updated_at DESC LIMIT 1"
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        sizes: list[int] = []
        texts = ["/transfer", "/balance", "/help", "/history", "/cancel", "/human", "/start", "嗯", "/transfer", "/cancel"]
        for number in range(200):
            await talk.say(texts[number % len(texts)])
            sizes.append(rows(database, state)[0][0])
        after_60, at_the_end = max(sizes[60:80]), max(sizes[180:])
        assert at_the_end < after_60 * 1.1, sizes[::20]
        assert rows(database, "SELECT count(*) FROM events WHERE kind = 'user'")[0][0] >= 200


class _Crash(Exception):
    """The process dies before the turn is kept."""


def _crash_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = app.store.keep

    async def dying(*_: Any) -> bool:
        monkeypatch.setattr(app.store, "keep", keep)
        raise _Crash

    monkeypatch.setattr(app.store, "keep", dying)


async def _die_and_come_again(talk: Talk, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    message = talk.inbound(text)
    _crash_once(talk.app, monkeypatch)
    with pytest.raises(_Crash):
        await talk.app.engine.handle(message)
    await talk.app.courier.drain()
    return await talk.send(message)


async def test_a_crash_in_any_turn_of_a_transfer(open_demo: OpenDemo, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dying after the wallet acted and before the turn was kept, in every turn: one order, one posting, no try lost, one code."""
    async with open_demo() as app:
        talk = Talk(app)
        await _die_and_come_again(talk, "/log_in", monkeypatch)
        await _die_and_come_again(talk, WANG, monkeypatch)
        assert len(talk.codes(WANG)) == 1
        assert "已登录" in await _die_and_come_again(talk, talk.code(WANG), monkeypatch)
        assert "¥200.00" in await _die_and_come_again(talk, "给李娜转200块", monkeypatch)
        assert len(talk.codes(WANG)) == 2
        assert "4次" in await _die_and_come_again(talk, wrong(talk.code(WANG)), monkeypatch)
        assert orders(database) == [("proposed", 20000, 1)]
        assert "转好了" in await _die_and_come_again(talk, talk.code(WANG), monkeypatch)
        assert orders(database) == [("posted", 20000, 1)]
        assert len(talk.codes(WANG)) == 2
        assert (await available(app, 1), await available(app, 2)) == (480000, 100000)
        assert (await app.wallet.verify()).ok


@pytest.mark.parametrize("kept", [False, True])
async def test_a_crash_while_logging_out_leaves_nobody_logged_in(
    kept: bool, open_demo: OpenDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dying before or after the one write of the log-out, then hearing it again: the door is nobody's afterwards."""
    async with open_demo() as app:
        talk, keep = Talk(app), app.store.keep
        await talk.log_in(WANG)

        async def dying(*arguments: Any) -> bool:
            monkeypatch.setattr(app.store, "keep", keep)
            if kept:
                await keep(*arguments)
            raise _Crash

        monkeypatch.setattr(app.store, "keep", dying)
        message = talk.inbound("退出登录")
        with pytest.raises(_Crash):
            await app.engine.handle(message)
        assert "已退出" in await talk.send(message)
        assert "手机号" in await talk.say("/balance")


async def test_a_person_who_takes_over_during_a_turn_silences_it(open_demo: OpenDemo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The desk takes the conversation while the bot is thinking: the bot says nothing, and the agent sees the message once."""
    async with open_demo() as app:
        agent = await add_agent(app.wallet.database, "客服小周", "a long password", "agent")
        talk = Talk(app)
        await talk.say("人工")
        keep = app.store.keep

        async def taken_first(*arguments: Any) -> bool:
            monkeypatch.setattr(app.store, "keep", keep)
            await app.desk.take((await app.desk.overview(agent)).queue[0].id, agent)
            return await keep(*arguments)

        monkeypatch.setattr(app.store, "keep", taken_first)
        message = talk.inbound("手续费怎么收")
        await talk.send(message)
        assert talk.outcome == Outcome()
        assert await talk.send(message) == ""
        conversation = await app.store.find(talk.channel, talk.sender)
        assert conversation is not None
        spoken = [event for event in await app.store.transcript(conversation) if event["kind"] in ("user", "bot")]
        assert [event["text"] for event in spoken if event["kind"] == "user"] == ["人工", "手续费怎么收"]
        assert spoken[-1]["kind"] == "user"


async def test_a_held_conversation_hears_a_message_once_from_two_processes(open_demo: OpenDemo) -> None:
    """While an agent holds it, the same message delivered to two processes is recorded once and answered by nobody."""
    async with open_demo() as one, open_demo() as two:
        agent = await add_agent(one.wallet.database, "客服小周", "a long password", "agent")
        talk = Talk(one)
        await talk.say("人工")
        await one.desk.take((await one.desk.overview(agent)).queue[0].id, agent)
        for number in range(5):
            message = talk.inbound("在吗", f"m{number}")
            assert await asyncio.gather(one.engine.handle(message), two.engine.handle(message)) == [Outcome(), Outcome()]
        conversation = await one.store.find(talk.channel, talk.sender)
        assert conversation is not None
        assert [event.get("text") for event in await one.store.transcript(conversation)].count("在吗") == 5


async def test_a_log_in_at_a_second_door_joins_the_conversation(open_demo: OpenDemo) -> None:
    """Who logs in elsewhere finds the flow that is open there, and both doors lead to one conversation."""
    async with open_demo() as app:
        first, second = Talk(app), Talk(app, "other")
        await first.log_in(WANG)
        await first.say("给李娜转200块")
        code = first.code(WANG)
        await second.log_in(WANG)
        assert await app.store.find("test", first.sender) == await app.store.find("other", second.sender)
        assert "请核对" in await second.say(code), "what is confirmed at a door must have been shown there"
        assert "转好了" in await second.say(code)
        assert "¥4,800.00" in await first.say("/balance")


async def test_a_change_at_another_door_is_shown_before_a_code_counts(open_demo: OpenDemo) -> None:
    """Who changes the payee at a second door cannot have it confirmed by somebody who only saw the first card."""
    async with open_demo() as app:
        victim, intruder = Talk(app), Talk(app, "other")
        await victim.log_in(WANG)
        await victim.say("给李娜转300块")
        await intruder.log_in(WANG)
        await intruder.say("不是给李娜,给张三丰")
        assert "三丰" in await victim.say(victim.code(WANG))
        assert "转好了" not in victim.words()
        assert await available(app, 1) == 500000


async def test_equal_message_ids_at_different_doors_are_different_messages(open_demo: OpenDemo) -> None:
    """Two doors of one person number their messages alike; each transfer is a transfer of its own."""
    async with open_demo() as app:
        for place in ("a", "b"):
            talk = Talk(app, place)
            for number, text in enumerate(("/log_in", WANG, None, "给李娜转100块", None)):
                said = text or talk.code(WANG)
                await app.engine.handle(talk.inbound(said, str(number)))
                await app.courier.drain()
        assert await available(app, 1) == 480000


async def test_a_door_silent_for_long_speaks_for_nobody(open_demo: OpenDemo) -> None:
    """After more than a month of silence a door has to log in again, and the message that found it so is answered."""
    clock = Clock()
    async with open_demo(clock=clock) as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        clock.ahead += dt.timedelta(days=31)
        assert "手机号" in await talk.say("余额")
        assert "¥" not in talk.words()


async def test_a_third_door_joins_where_the_others_are(open_demo: OpenDemo) -> None:
    """Whatever was left behind on the way, everybody's later log-in leads to the one conversation that is in use."""
    async with open_demo() as app:
        late, first, third = Talk(app), Talk(app), Talk(app)
        await late.say("/help")
        await first.log_in(WANG)
        await late.log_in(WANG)
        await third.log_in(WANG)
        assert len({await app.store.find(talk.channel, talk.sender) for talk in (first, late, third)}) == 1


async def test_an_open_wish_comes_along_into_the_joined_conversation(open_demo: OpenDemo) -> None:
    """A transfer begun before the log-in at a second door goes on after it, in the person's own conversation."""
    async with open_demo() as app:
        await Talk(app).log_in(WANG)
        second = Talk(app, "other")
        await second.say("给李娜转200块")
        await second.say(WANG)
        await second.say(second.code(WANG))
        assert "¥200.00" in second.words()
        assert "转好了" in await second.say(second.code(WANG))
        assert await available(app, 1) == 480000


async def test_another_person_at_the_same_door_starts_clean(open_demo: OpenDemo) -> None:
    """After another person's log-in nothing of the first one is left at the door: no flow, no name, no money."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        await talk.say("给李娜转200块")
        before = await app.store.find(talk.channel, talk.sender)
        await talk.say("退出登录")
        assert "李娜" in await talk.log_in(LI)
        assert await app.store.find(talk.channel, talk.sender) != before
        assert "¥800.00" in await talk.say("/balance")
        assert "没有正在办" in await talk.say("/cancel")
        again = Talk(app, "other")
        await again.log_in(WANG)
        assert "¥5,000.00" in await again.say("/balance")


async def test_a_log_out_leaves_nothing(open_demo: OpenDemo) -> None:
    """After a log-out the door is nobody's: no balance, no open flow, no buttons that still work; only the city stays."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        await talk.say("切换到青岛", "给李娜转50块")
        order_buttons = talk.outcome
        await talk.say("退出登录")
        token = next(button.payload for reply in order_buttons.replies for button in reply.buttons if button.title == "取消")
        assert "取消" not in await talk.send(talk.inbound(token, kind="press"))
        assert "手机号" in await talk.say("/balance")
        conversation = await app.store.load(talk.channel, talk.sender, "")
        assert conversation is not None
        assert conversation.person is None
        assert "青岛" not in str(conversation.state)
        assert "qingdao" in str(conversation.state)
        assert "李娜" not in str(conversation.state)
