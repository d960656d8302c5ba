"""The queue, the takeover and the hand-back, on a real SQLite file."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from bot.desk.errors import BadRequest, Conflict, DeskError, Forbidden, NotFound
from bot.desk.store import Place
from bot.desk.tables import handoffs
from bot.dialogue.store import Event, Kept
from bot.messages import Outcome, Reply
from tests.desk.conftest import House


async def test_positions_follow_the_order_of_asking(house: House) -> None:
    """Each who asks stands behind those who asked before, and moves up when one of them is served or gives up."""
    conversations = [await house.customer(name) for name in ("ann", "bob", "cat")]
    places = [await house.ask(one) for one in conversations]
    assert places == [Place(1, 1), Place(2, 2), Place(3, 3)]

    assert await house.desk.leave(conversations[0].id)
    assert await house.desk.place(conversations[2].id) == Place(2, 2)
    agent = await house.agent()
    first = (await house.desk.overview(agent)).queue[0]
    await house.desk.take(first.id, agent)
    assert await house.desk.place(conversations[2].id) == Place(1, 1)
    assert await house.desk.place(conversations[1].id) == Place(0, 1)


async def test_asking_again_keeps_the_place(house: House) -> None:
    """A second 「人工」 neither loses the place nor makes a second handoff."""
    ann, bob = await house.customer("ann"), await house.customer("bob")
    await house.ask(ann)
    await house.ask(bob)
    assert await house.ask(ann) == Place(1, 2)
    assert len((await house.desk.overview(await house.agent())).queue) == 2


async def test_asking_at_once_makes_one_handoff(house: House) -> None:
    """The same wish arriving many times at the same moment takes one place."""
    ann = await house.customer()
    places = await asyncio.gather(*(house.ask(ann) for _ in range(8)))
    assert set(places) == {Place(1, 1)}


async def test_the_database_refuses_a_second_open_handoff(house: House) -> None:
    """Not only the code but the index allows one open handoff a conversation, and any number of closed ones."""
    conversation, _ = await house.waiting()
    row = {"topic": "x", "city": "x", "reason": "x", "context": "{}", "requested_at": 1, "conversation_id": conversation.id}
    async with house.database.write() as connection:
        await connection.execute(sa.insert(handoffs).values(**row, state="closed"))
        await connection.execute(sa.insert(handoffs).values(**row, state="closed"))
    with pytest.raises(IntegrityError):
        async with house.database.write() as connection:
            await connection.execute(sa.insert(handoffs).values(**row, state="held"))


async def test_leaving_works_once_and_only_from_the_queue(house: House) -> None:
    """Who left is no longer listed and cannot be taken; who is being served does not leave."""
    ann, handoff = await house.waiting()
    agent = await house.agent()
    assert await house.desk.leave(ann.id)
    assert not await house.desk.leave(ann.id)
    with pytest.raises(Conflict, match="over"):
        await house.desk.take(handoff, agent)
    await house.ask(ann)
    again = (await house.desk.overview(agent)).queue[0]
    await house.desk.take(again.id, agent)
    assert not await house.desk.leave(ann.id)


async def test_of_two_agents_one_takes(house: House) -> None:
    """Two agents press at the same moment: one holds the conversation, the other is told who, the customer hears one."""
    conversation, handoff = await house.waiting()
    two = [await house.agent("小林"), await house.agent("小周")]
    results = await asyncio.gather(*(house.desk.take(handoff, one) for one in two), return_exceptions=True)
    losers = [result for result in results if result is not None]
    assert len(losers) == 1
    winner = two[results.index(None)]
    assert isinstance(losers[0], Conflict)
    assert losers[0].facts == {"agent": winner.name}
    assert (await house.store.get(conversation.id)).holder == winner.id
    assert await house.pushed() == [f"客服{winner.name}已接入，接下来由真人为您服务。"]


async def test_taking_twice_is_taking_once(house: House) -> None:
    """A double click says nothing twice."""
    _, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    await house.desk.take(handoff, agent)
    assert len(await house.pushed()) == 1


async def test_a_turn_under_way_is_lost_to_the_agent(house: House) -> None:
    """A turn of the bot that was loaded before the takeover cannot be kept after it, so the bot says nothing more."""
    _, handoff = await house.waiting()
    before = await house.store.load("web", "ann", "m2")
    assert before is not None
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    kept = Kept({"stack": []}, None, Outcome((Reply("余额是¥5.00"),)))
    assert not await house.store.keep(before, "web", "ann", "m2", kept, house.clock.now)
    after = await house.store.load("web", "ann", "m2")
    assert after is not None
    assert after.holder == agent.id
    assert after.outcome is None
    assert after.state == {"stack": []}
    assert await house.store.keep_silent(after, "web", "ann", "m2", Outcome(), Event("user", {"text": "在吗"}, house.clock.now))


async def test_a_turn_over_a_held_conversation_is_lost_to_the_hand_back(house: House) -> None:
    """What was loaded while an agent held it is stale after the hand-back, in both ways of keeping it."""
    _, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    before = await house.store.load("web", "ann", "m2")
    assert before is not None
    await house.desk.hand_back(handoff, agent)
    assert not await house.store.keep_silent(
        before, "web", "ann", "m2", Outcome(), Event("user", {"text": "喂"}, house.clock.now)
    )
    kept = Kept({}, None, Outcome())
    assert not await house.store.keep(before, "web", "ann", "m2", kept, house.clock.now)


async def test_an_agents_words_reach_every_door(house: House) -> None:
    """A reply is recorded once and waits at each end that points to the conversation, marked as a human's."""
    conversation, handoff = await house.waiting()
    await house.store.open("telegram", "77", {}, house.clock.now)
    await house.point("telegram", "77", conversation.id)
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    await house.pushed()
    house.delivered.clear()

    assert await house.desk.say(handoff, agent, " 您好,\n请讲 ", "k1") == 2
    assert sorted(house.delivered) == [("telegram", "77"), ("web", "ann")]
    assert await house.store.claim_pushes("web", "ann") == (Reply("您好,\n请讲", author="agent"),)
    last = (await house.store.transcript(conversation.id))[-1]
    assert (last["kind"], last["text"], last["agent"]) == ("agent", "您好,\n请讲", "小林")


async def test_a_repeated_send_says_nothing_twice(house: House) -> None:
    """The page sends again when it heard no answer; the customer reads it once."""
    conversation, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    await house.pushed()
    await asyncio.gather(*(house.desk.say(handoff, agent, "马上", "k1") for _ in range(4)))
    assert await house.pushed() == ["马上"]
    assert len([one for one in await house.store.transcript(conversation.id) if one["kind"] == "agent"]) == 1


async def test_words_for_nobody_are_recorded_and_reported(house: House) -> None:
    """When no end of a channel points to the conversation the agent is told that nobody reads it."""
    _, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    other = await house.customer("bob")
    await house.point("web", "ann", other.id)
    assert await house.desk.say(handoff, agent, "您还在吗", "k1") == 0


@pytest.mark.parametrize("text", ["", " \n ", "\x00\x07", "\ud800"])
async def test_empty_words_are_refused(house: House, text: str) -> None:
    """Nothing, space, and what no messenger shows are no reply."""
    _, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    with pytest.raises(BadRequest, match="empty_text"):
        await house.desk.say(handoff, agent, text, "k1")


async def test_too_long_words_are_refused(house: House) -> None:
    """A text that a channel could not carry is refused with its limit; one as long as the limit goes through."""
    _, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    assert await house.desk.say(handoff, agent, "长" * 2000, "k1") == 1
    with pytest.raises(BadRequest) as refusal:
        await house.desk.say(handoff, agent, "长" * 2001, "k2")
    assert refusal.value.facts == {"limit": 2000}


async def test_hand_back_gives_the_bot_its_voice(house: House) -> None:
    """The bot holds it again, the customer is told, and the interrupted question is asked again."""
    conversation, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    await house.pushed()
    await house.desk.hand_back(handoff, agent)
    assert (await house.store.get(conversation.id)).holder is None
    assert await house.pushed() == ["客服小林已把会话交还给掌柜，接下来由我继续为您办理。"]
    assert house.resumed == [conversation.id]
    with pytest.raises(Conflict, match="over"):
        await house.desk.say(handoff, agent, "还有", "k1")
    with pytest.raises(Conflict, match="over"):
        await house.desk.hand_back(handoff, agent)
    assert await house.ask(conversation) == Place(1, 1)


async def test_closing_asks_nothing_again(house: House) -> None:
    """An ended service leaves the bot there, waiting for the next wish."""
    conversation, handoff = await house.waiting()
    agent = await house.agent()
    await house.desk.take(handoff, agent)
    await house.pushed()
    await house.desk.close(handoff, agent)
    assert (await house.store.get(conversation.id)).holder is None
    assert house.resumed == []
    assert len(await house.pushed()) == 1
    kinds = [one.get("what") for one in await house.store.transcript(conversation.id) if one["kind"] == "handoff"]
    assert kinds == ["taken", "ended"]


async def test_a_broken_door_or_question_undoes_nothing(house: House) -> None:
    """When a door or the bot fails, the agent's act stands and the words wait in the database."""
    conversation, handoff = await house.waiting()
    agent = await house.agent()
    house.failing = True
    await house.desk.take(handoff, agent)
    assert await house.desk.say(handoff, agent, "在", "k1") == 1
    await house.desk.hand_back(handoff, agent)
    assert (await house.store.get(conversation.id)).holder is None
    assert len(await house.pushed()) == 3


async def test_a_colleagues_conversation_is_not_mine(house: House) -> None:
    """Who does not hold a conversation can neither read it, speak in it nor give it away, while it is held and after."""
    _, handoff = await house.waiting()
    holder, other = await house.agent("小林"), await house.agent("小周")
    assert (await house.desk.view(handoff, other)).state == "waiting"
    with pytest.raises(Conflict, match="not_taken"):
        await house.desk.say(handoff, other, "您好", "k1")
    await house.desk.take(handoff, holder)
    refused = [
        house.desk.view(handoff, other),
        house.desk.say(handoff, other, "您好", "k1"),
        house.desk.hand_back(handoff, other),
        house.desk.close(handoff, other),
    ]
    for one in refused:
        with pytest.raises(Forbidden, match="not_yours"):
            await one
    await house.desk.hand_back(handoff, holder)
    assert (await house.desk.view(handoff, holder)).state == "closed"
    with pytest.raises(Forbidden):
        await house.desk.view(handoff, other)


async def test_a_supervisor_frees_what_a_colleague_left_behind(house: House) -> None:
    """Who supervises sees what others hold and may give it back to the bot, but does not speak in their place."""
    conversation, handoff = await house.waiting()
    holder, boss = await house.agent("小林"), await house.agent("老陈", "supervisor")
    await house.desk.take(handoff, holder)
    overview = await house.desk.overview(boss)
    assert [one.agent for one in overview.others] == ["小林"]
    assert (await house.desk.overview(await house.agent("小周"))).others == ()
    with pytest.raises(Forbidden):
        await house.desk.say(handoff, boss, "我来", "k1")
    await house.desk.hand_back(handoff, boss)
    assert (await house.store.get(conversation.id)).holder is None


async def test_a_reviewer_serves_nobody(house: House) -> None:
    """A reviewer's account sees no customer and takes none."""
    _, handoff = await house.waiting()
    reviewer = await house.agent("小审", "reviewer")
    for one in (house.desk.overview(reviewer), house.desk.view(handoff, reviewer), house.desk.take(handoff, reviewer)):
        with pytest.raises(Forbidden, match="wrong_role"):
            await one


async def test_an_unknown_handoff_is_named(house: House) -> None:
    """Every act on a handoff that does not exist says so."""
    agent = await house.agent()
    acts = (house.desk.view, house.desk.take, house.desk.hand_back, house.desk.close)
    for act in acts:
        with pytest.raises(NotFound):
            await act(99, agent)


async def test_the_place_follows_a_customer_who_logs_in(house: House) -> None:
    """A log-in that points the door to another conversation takes the place along, before those who came later."""
    ann, handoff = await house.waiting("ann")
    await house.waiting("later")
    own = await house.customer("bob")
    await house.desk.follow(ann.id, own.id)
    assert await house.desk.place(own.id) == Place(1, 2)
    assert (await house.desk.place(ann.id)).position == 0
    assert (await house.desk.view(handoff, await house.agent())).conversation_id == own.id


async def test_a_customer_who_waits_twice_waits_once(house: House) -> None:
    """When the conversation that a log-in leads to waits or is held itself, the other place is given up."""
    ann, _ = await house.waiting("ann")
    own, handoff = await house.waiting("bob")
    await house.desk.follow(ann.id, own.id)
    assert await house.desk.place(own.id) == Place(1, 1)
    await house.desk.take(handoff, await house.agent())
    await house.ask(ann)
    await house.desk.follow(ann.id, own.id)
    assert (await house.desk.place(ann.id)) == Place(0, 0)


async def test_the_customers_name_is_looked_up_masked(house: House) -> None:
    """Of a customer who is logged in the desk shows the masked name; of one who is not, none."""
    known, unknown = await house.customer("ann"), await house.customer("bob")
    await house.desk.request(known.id, topic="human", city="xiamen", reason="asked", context={"person": 7})
    await house.desk.request(unknown.id, topic="human", city="xiamen", reason="asked", context={"person": None})
    queue = (await house.desk.overview(await house.agent())).queue
    assert [one.context.get("customer") for one in queue] == ["*7", None]


async def test_every_act_wakes_the_live_pages(house: House) -> None:
    """Whoever listened before an act is woken by it."""
    conversation = await house.customer()
    agent = await house.agent()

    async def wakes(act: object) -> bool:
        rung = house.desk.bell.next()
        await act  # type: ignore[misc]
        return rung.is_set()

    assert await wakes(house.ask(conversation))
    handoff = (await house.desk.overview(agent)).queue[0].id
    assert await wakes(house.desk.take(handoff, agent))
    assert await wakes(house.desk.say(handoff, agent, "在", "k"))
    assert await wakes(house.desk.hand_back(handoff, agent))


async def test_random_acts_leave_holder_and_handoffs_in_step(house: House) -> None:
    """Whatever many agents and customers do at once, a conversation's holder is the agent of its one held handoff, or nobody."""
    conversations = [await house.customer(f"c{n}") for n in range(3)]
    crew = [await house.agent(f"客服{n}") for n in range(3)]

    async def work(agent: int) -> None:
        for step in range(12):
            conversation = conversations[(agent + step) % 3]
            try:
                await house.ask(conversation)
                open_ones = await house.desk._store.open()
                handoff = next((one.id for one in open_ones if one.conversation_id == conversation.id), None)
                if handoff is None:
                    continue
                await house.desk.take(handoff, crew[agent])
                await house.desk.say(handoff, crew[agent], "在", f"k{step}")
                if step % 3:
                    await house.desk.hand_back(handoff, crew[agent])
            except DeskError:
                await house.desk.leave(conversation.id)

    await asyncio.gather(*(work(n) for n in range(3)))
    held = {one.conversation_id: one.agent_id for one in await house.desk._store.open() if one.state == "held"}
    for conversation in conversations:
        assert (await house.store.get(conversation.id)).holder == held.get(conversation.id)
