"""Closing an account: what stands in the way, the cooling-off, the end, and the records that are taken along."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, update

from tests.wallet_service.conftest import Till
from wallet_service import RECORD_COLUMNS, Obstacle
from wallet_service.schema import accounts, authenticators, contacts, users

DATABASES = ("sqlite", "postgresql")
HEADER = ("时间", "城市", "类型", "对方", "金额", "余额", "附言", "订单号")
WORDS = {"xiamen": "厦门", "transfer": "转账", "top_up": "充值"}


async def export(till: Till, user_id: int) -> bytes:
    """Take somebody's records along."""
    return b"".join([piece async for piece in till.wallet.export_records(user_id, header=HEADER, words=WORDS)])


async def closing(till: Till, user_id: int) -> Any:
    """Begin the closing of an account in which nothing stands in the way."""
    await export(till, user_id)
    challenge = await till.wallet.send_closing_code(user_id, key=till.key())
    await till.wallet.prove_change(user_id, challenge.id, await till.code(), key=till.key())
    return await till.wallet.start_closing(user_id, challenge.id, key=till.key())


async def test_what_stands_in_the_way(till, refused) -> None:
    """Money in any city, open orders, records not taken along; each with its figure, and no code is sent."""
    wang = till.ids["王小明"]
    await till.propose("王小明", "李娜", 100)
    await till.collect()
    check = await till.wallet.close_check(wang)
    assert check.obstacles[0] == Obstacle("pending", count=1)
    assert check.obstacles[1] == Obstacle("balance", city="xiamen", amount=500_000)
    assert (len(check.obstacles), check.obstacles[-1]) == (7, Obstacle("records"))
    assert (check.cooling_off_days, check.exported_at) == (7, None)
    facts = [{"kind": each.kind, "city": each.city, "amount": each.amount, "count": each.count} for each in check.obstacles]
    with refused("closing_obstructed", obstacles=facts):
        await till.wallet.send_closing_code(wang, key=till.key())
    assert await till.collect() == []


async def test_a_frozen_account_is_not_closed(till) -> None:
    """Or whoever took it over could make an end of it."""
    assert Obstacle("frozen") in (await till.wallet.close_check(till.ids["赵敏"])).obstacles


async def test_records_count_for_thirty_days(till) -> None:
    """After that they have to be taken along again."""
    zhang = till.ids["张三丰"]
    assert (await till.wallet.close_check(zhang)).obstacles == (Obstacle("records"),)
    await export(till, zhang)
    assert (await till.wallet.close_check(zhang)).obstacles == ()
    till.clock.advance(days=30)
    assert (await till.wallet.close_check(zhang)).obstacles == ()
    till.clock.advance(milliseconds=1)
    assert (await till.wallet.close_check(zhang)).obstacles == (Obstacle("records"),)


async def test_a_closing_account_neither_pays_nor_receives(till, refused) -> None:
    """It stays empty to its end, and may be called off until then."""
    zhang = till.ids["张三丰"]
    person = await closing(till, zhang)
    assert (person.status, person.closes_at) == ("closing", till.clock.now + timedelta(days=7))
    with refused("payee_unavailable"):
        await till.propose("李娜", "张三丰", 100)
    with refused("wallet_closing", city="xiamen"):
        await till.wallet.send_closing_code(zhang, key=till.key())
    with refused("wallet_closing", city="xiamen"):
        await till.wallet.start_phone_change(zhang, "13900005678", key=till.key())
    till.clock.advance(days=6, hours=23)
    assert (await till.wallet.cancel_closing(zhang, key=till.key())).status == "active"
    with refused("not_closing"):
        await till.wallet.cancel_closing(zhang, key=till.key())
    await till.transfer("李娜", "张三丰", 100)
    told = [notice.kind for notice in till.notices if notice.channel == "sms" and notice.user_id == zhang]
    assert told == ["change_code", "closing_started", "closing_cancelled"]


async def test_what_comes_up_after_the_code_stops_it(till, refused) -> None:
    """Conditions are judged again in the transaction that begins the cooling-off."""
    zhang = till.ids["张三丰"]
    await export(till, zhang)
    challenge = await till.wallet.send_closing_code(zhang, key=till.key())
    await till.wallet.prove_change(zhang, challenge.id, await till.code(), key=till.key())
    await till.transfer("李娜", "张三丰", 100)
    with refused("closing_obstructed", obstacles=[{"kind": "balance", "city": "xiamen", "amount": 100, "count": 0}]):
        await till.wallet.start_closing(zhang, challenge.id, key=till.key())


async def test_the_end_of_the_cooling_off(till, refused) -> None:
    """No door, no credential, no log-in; the phone opens a new account, the history stays and the ledger is sound."""
    zhang = till.ids["张三丰"]
    await till.transfer("李娜", "张三丰", 100)
    await till.transfer("张三丰", "李娜", 100)
    row = {"user_id": zhang, "secret": "x", "status": "active", "last_step": 0, "created_at": till.clock.now}
    await till.write(insert(authenticators).values(row))
    await till.write(insert(contacts).values(owner_id=zhang, user_id=till.ids["李娜"], name="娜"))
    await till.wallet.bind(zhang, "web", "cookie", "", key=till.key())
    await closing(till, zhang)
    await till.collect()
    till.clock.advance(days=7, milliseconds=-1)
    await till.wallet.run_due()
    assert (await till.wallet.person(zhang)).status == "closing"
    till.clock.advance(milliseconds=1)
    await asyncio.gather(till.wallet.run_due(), till.wallet.run_due())
    assert [(n.kind, n.channel, n.to) for n in await till.collect()] == [("wallet_closed", "sms", "13800000005")]
    for table, owner in (("authenticators", "user_id"), ("bindings", "user_id"), ("contacts", "owner_id")):
        assert await till.sql(f"SELECT count(*) FROM {table} WHERE {owner} = ?", zhang) == [(0,)]
    with refused("not_logged_in"):
        await till.wallet.freeze(zhang, key=till.key())
    with refused("not_logged_in"):
        await export(till, zhang)
    fresh = await till.newcomer("13800000005")
    assert fresh.id != zhang
    with refused("payee_unavailable"):
        await till.propose("李娜", "张三丰", 100)
    async with till.wallet.database.read() as connection:
        kept = (await connection.execute(select(users.c.phone, users.c.name, users.c.status).where(users.c.id == zhang))).one()
    assert tuple(kept) == ("13800000005", "张三丰", "closed")
    assert (await till.wallet.verify()).ok


async def test_an_identity_may_open_an_account_again(till) -> None:
    """After the closing its number is nobody's."""
    number = "11010519491231002X"
    zhang, chen = till.ids["张三丰"], till.ids["陈建国"]
    await till.wallet.raise_level(zhang, 2, name="张三丰", id_number=number, key=till.key(), by="counter")
    await closing(till, zhang)
    till.clock.advance(days=7)
    await till.wallet.run_due()
    assert (await till.wallet.raise_level(chen, 3, name="张三丰", id_number=number, key=till.key(), by="ocr")).level == 3


async def test_money_that_came_in_keeps_the_account(till) -> None:
    """Say, a refund: the closing is called off and its owner told why."""
    zhang = till.ids["张三丰"]
    await closing(till, zhang)
    mine = (accounts.c.user_id == zhang) & (accounts.c.city == "xiamen")
    await till.write(update(accounts).where(mine).values(balance=100))
    await till.collect()
    till.clock.advance(days=7)
    await till.wallet.run_due()
    assert (await till.wallet.person(zhang)).status == "active"
    (notice,) = [notice for notice in await till.collect() if notice.channel == "sms"]
    assert (notice.kind, notice.facts["by"]) == ("closing_cancelled", "closing")
    assert notice.facts["obstacles"] == [{"kind": "balance", "city": "xiamen", "amount": 100, "count": 0}]
    await till.write(update(accounts).where(mine).values(balance=0))


async def test_a_freeze_calls_a_closing_off(till) -> None:
    """Something is wrong then; the account must not vanish meanwhile."""
    zhang = till.ids["张三丰"]
    await closing(till, zhang)
    person = await till.wallet.freeze(zhang, key=till.key())
    assert (person.status, person.closes_at) == ("frozen", None)
    till.clock.advance(days=8)
    await till.wallet.run_due()
    assert (await till.wallet.person(zhang)).status == "frozen"


async def test_records_open_in_a_spreadsheet(till) -> None:
    """Every movement of every city, masked, in the reader's words, and no note runs as a formula."""
    wang = till.ids["王小明"]
    await till.transfer("王小明", "李娜", 12_345, note="=1+1")
    raw = await export(till, wang)
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows[0] == list(HEADER)
    assert len(HEADER) == len(RECORD_COLUMNS)
    assert rows[1][:7] == ["2026-11-20 12:00:00", "厦门", "转账", "*娜", "-123.45", "4876.55", "'=1+1"]
    ((count,),) = await till.sql(
        "SELECT count(*) FROM entries JOIN accounts ON accounts.id IN (debit_id, credit_id) WHERE user_id = ?", wang
    )
    assert len(rows) == count + 1
    assert (await till.wallet.close_check(wang)).exported_at == till.clock.now


async def test_a_download_that_broke_off_does_not_count(till, refused) -> None:
    """Records are taken along when their last line is."""
    wang = till.ids["王小明"]
    async for _ in till.wallet.export_records(wang, header=HEADER, words=WORDS):
        break
    assert (await till.wallet.close_check(wang)).exported_at is None
    with refused("invalid_argument", argument="header"):
        await anext(till.wallet.export_records(wang, header=("a",), words={}))
