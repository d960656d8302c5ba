"""Who sees personal data unmasked: whoever of the house says why, on the record; of others nobody sees any."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError

from wallet_service import Fen, Reveal, Transfer
from wallet_service.schema import accounts, contacts, outbox, reveals, users

DATABASES = ("sqlite", "postgresql")
ID_NUMBER = "110101199003071233"


async def _identify(till) -> int:
    """Give 李娜 every field there is."""
    user = till.ids["李娜"]
    await till.write(update(users).where(users.c.id == user).values(id_number=ID_NUMBER, email="li.na@example.com"))
    return user


async def test_a_field_is_shown_and_noted(till) -> None:
    """Each field as it is, an unknown one empty; who, what, why and when are kept, newest first, and nobody else is told."""
    user = await _identify(till)
    waiting = await till.sql("SELECT COUNT(*) FROM outbox")
    for field, value in (("phone", "13800000002"), ("name", "李娜"), ("id_number", ID_NUMBER), ("email", "li.na@example.com")):
        assert await till.wallet.reveal(user, field, actor="小林", reason=" 客户来电\n核对身份 ") == value
        till.clock.advance(minutes=1)
    assert await till.wallet.reveal(till.ids["陈建国"], "email", actor="小周", reason="投诉处理") == ""
    seen = await till.wallet.reveals(user)
    assert [(one.field, one.actor, one.reason) for one in seen] == [
        (field, "小林", "客户来电 核对身份") for field in ("email", "id_number", "name", "phone")
    ]
    assert seen[0].at > seen[-1].at
    assert await till.wallet.reveals(till.ids["陈建国"]) == (
        Reveal(till.ids["陈建国"], "email", "小周", "投诉处理", till.clock.now),
    )
    assert await till.sql("SELECT COUNT(*) FROM outbox") == waiting


@pytest.mark.parametrize("reason", ["", "查", "   ", "a b", "x" * 201, None, 7, "查一下\x00"])
async def test_without_a_reason_nothing_is_shown(till, refused, reason) -> None:
    """No reason, none worth the name, one too long: refused with the figures, and nothing is noted."""
    with refused("reason_needed", shortest=4, longest=200):
        await till.wallet.reveal(till.ids["李娜"], "phone", actor="小林", reason=reason)
    assert await till.wallet.reveals(till.ids["李娜"]) == ()


@pytest.mark.parametrize("user", [0, -1, 10**6, 2**70, "1", None, True])
async def test_nobody_is_not_shown(till, refused, user) -> None:
    """An id of nobody is refused, whatever it is."""
    with refused("person_not_found"):
        await till.wallet.reveal(user, "phone", actor="小林", reason="投诉处理")
    assert user is True or await till.wallet.reveals(user) == ()


@pytest.mark.parametrize(("field", "actor"), [("id", "小林"), ("phone_index", "小林"), ("phone", ""), ("phone", "x" * 65)])
async def test_a_mistake_of_the_caller_is_an_error(till, refused, field, actor) -> None:
    """No other column is shown, and nobody without a name sees one."""
    with refused("invalid_argument", argument="actor" if field == "phone" else "field"):
        await till.wallet.reveal(till.ids["李娜"], field, actor=actor, reason="投诉处理")


async def test_what_cannot_be_noted_is_not_shown(till) -> None:
    """Where the log takes no row, the field is not given either."""
    await till.sql("ALTER TABLE reveals RENAME COLUMN reason TO why")
    with pytest.raises(DBAPIError):
        await till.wallet.reveal(till.ids["李娜"], "phone", actor="小林", reason="投诉处理")


async def test_the_log_is_kept(till) -> None:
    """No row of it is changed or removed, and its reasons are sealed."""
    await till.wallet.reveal(till.ids["李娜"], "phone", actor="小林", reason="投诉处理")
    for statement in ("UPDATE reveals SET actor = 'x'", "UPDATE reveals SET field = 'x'", "DELETE FROM reveals"):
        with pytest.raises(DBAPIError):
            await till.sql(statement)
    with pytest.raises(DBAPIError):
        await till.write(update(reveals).values(reason="别的"))
    ((reason,),) = await till.sql("SELECT reason FROM reveals")
    assert "投诉处理".encode() not in bytes(reason)


async def test_nothing_else_tells_of_others(till) -> None:
    """All that 王小明 can ask after dealing with 李娜, whom he calls 娜姐, holds neither her name, phone, id nor mailbox."""
    user = await _identify(till)
    me, wallet = till.ids["王小明"], till.wallet
    mine = (contacts.c.owner_id == me) & (contacts.c.user_id == user)
    await till.write(update(contacts).where(mine).values(name="娜姐"))
    stranger = await till.newcomer("13900000077")
    await till.write(update(users).where(users.c.id == stranger.id).values(name="欧阳建国"))
    await till.write(insert(contacts).values(owner_id=me, user_id=stranger.id, name="阿国"))
    number = await till.number("李娜")
    paid = await till.transfer("王小明", "李娜", 100)
    back = await till.transfer("李娜", "王小明", 100)
    open_one = await wallet.propose(Transfer(me, number, Fen(200)), actor=me, key=till.key())
    async with wallet.database.read() as connection:
        facts = (await connection.execute(select(outbox.c.facts))).scalars().all()
    told = [
        paid,
        back,
        open_one,
        await wallet.person(me),
        await wallet.contact_names(me),
        *[await wallet.find_payees(me, text, city="xiamen") for text in ("娜姐", "李娜", "13800000002", number, "13900000077")],
        await wallet.history(me, limit=200),
        await wallet.order(paid.id, actor=me),
        await wallet.balance(me),
        await wallet.claim_notices(1_000),
        *[(notice.to, notice.facts) for notice in till.notices if notice.user_id == me],
        facts,
    ]
    for secret in ("13800000002", "李娜", ID_NUMBER, "li.na@", "13900000077", "欧阳建国", "欧阳"):
        assert secret not in str(told)
    assert "*娜" in str(told)
    async with wallet.database.read() as connection:
        names = (await connection.execute(select(accounts.c.name).where(accounts.c.kind == "wallet"))).scalars()
        assert set(names) == {""}
