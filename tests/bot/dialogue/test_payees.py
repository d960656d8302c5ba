"""Who is meant by a name: one contact, two of one name, or nobody."""

from __future__ import annotations

import sqlalchemy as sa

from tests.bot.talk import CHEN, WANG, Talk
from tests.conftest import OpenDemo
from wallet_service.people import phone_index
from wallet_service.schema import contacts, users


async def test_two_contacts_of_one_name_are_told_apart_by_their_phones(open_demo: OpenDemo) -> None:
    """With two contacts of one name the person chooses; the card shows the one chosen."""
    async with open_demo() as app:
        async with app.wallet.database.write() as connection:
            found = sa.select(users.c.id).where(users.c.phone_index == phone_index(app.wallet.context, CHEN))
            namesake = (await connection.execute(found)).scalar_one()
            await connection.execute(sa.insert(contacts).values(owner_id=1, name="李娜", user_id=namesake))
        talk = Talk(app)
        await talk.log_in(WANG)
        assert "2位" in await talk.say("给李娜转12块")
        titles = talk.buttons()
        assert len(titles) == 2
        assert any("138****0002" in title for title in titles)
        other = next(title for title in titles if "138****0003" in title)
        words = await talk.press(other)
        assert "138****0003" in words
        assert "¥12.00" in words


async def test_a_correction_while_logging_in_keeps_the_log_in(open_demo: OpenDemo) -> None:
    """Who changes the amount before the log-in code goes on logging in, and pays the new amount."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.say("给13800000002转5块", WANG)
        assert "¥6.00" in await talk.say("不对，转6块")
        assert "¥6.00" in await talk.say(talk.code(WANG))
        assert "转好了" in await talk.say(talk.code(WANG))


async def test_a_plain_yes_answers_only_the_question_just_put(open_demo: OpenDemo) -> None:
    """A yes after something else was said opens no wallet."""
    async with open_demo() as app:
        talk = Talk(app)
        await talk.say("开通钱包", "13900001234")
        await talk.say(talk.code("13900001234"))
        await talk.say("吧啦吧啦吧啦吧")
        await talk.say("吧啦吧啦吧啦吧")
        assert "开好了" not in await talk.say("好的")
