"""A customer who waits for a person keeps or gives up the place when the door moves to another conversation."""

from __future__ import annotations

from itertools import count

from bot.app import App
from bot.desk.agents import add_agent
from bot.messages import Inbound
from tests.conftest import OpenDemo

PHONE = "13800000001"
numbers = count()


async def _say(app: App, sender: str, text: str) -> list[str]:
    outcome = await app.engine.handle(Inbound("web", sender, f"m{next(numbers)}", text))
    return [reply.text for reply in outcome.replies]


async def _log_in(app: App, sender: str) -> None:
    await _say(app, sender, "/log_in")
    await _say(app, sender, PHONE)
    await app.courier.drain()
    assert app.phone is not None
    await _say(app, sender, app.phone.messages(PHONE)[0]["code"])


async def test_logging_in_while_waiting_keeps_the_place(open_demo: OpenDemo) -> None:
    """A log-in that leads to the person's own conversation takes the place along: the agent's words arrive, the bot is silent."""
    async with open_demo() as app:
        await _log_in(app, "phone")
        await _say(app, "laptop", "人工")
        await _log_in(app, "laptop")
        agent = await add_agent(app.wallet.database, "小林", "correct horse")
        handoff = (await app.desk.overview(agent)).queue[0]
        await app.desk.take(handoff.id, agent)
        assert await app.desk.say(handoff.id, agent, "您好", "k") == 2
        assert [reply.text for reply in await app.engine.claim_pushes("web", "laptop")][-1] == "您好"
        assert await _say(app, "laptop", "在吗") == []


async def test_logging_out_gives_the_place_up(open_demo: OpenDemo) -> None:
    """When the last door leaves a waiting conversation, no agent is sent to an empty one."""
    async with open_demo() as app:
        await _log_in(app, "phone")
        await _say(app, "phone", "人工")
        agent = await add_agent(app.wallet.database, "小林", "correct horse")
        assert len((await app.desk.overview(agent)).queue) == 1
        await _say(app, "phone", "退出登录")
        assert (await app.desk.overview(agent)).queue == ()
