"""What is found out about a payment before it is judged: counted right, from few rows, on both databases, and kept for good."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from wallet_service.outbox import notice_row
from wallet_service.risk import Decision, Reason, RiskFacts, packaged_rules
from wallet_service.schema import accounts, bindings, contacts, decisions, entries, orders, outbox, users
from wallet_service.watching import SEEN, gather, record

DATABASES = ("sqlite", "postgresql")
RULES = packaged_rules()


async def account(till: Any, name: str, city: str = "xiamen") -> int:
    """Give the id of somebody's account."""
    wanted = select(accounts.c.id).where(accounts.c.user_id == till.ids[name], accounts.c.city == city)
    async with till.wallet.database.read() as connection:
        return int((await connection.execute(wanted)).scalar_one())


async def facts(till: Any, payer: str, payee: str, amount: int = 1_000, city: str = "xiamen") -> RiskFacts:
    """Gather what is known of a transfer between two people, now."""
    ids = {"user": till.ids[payer], "payer": await account(till, payer), "payee": await account(till, payee, city)}
    asked = {"kind": "transfer", "amount": amount, "payee_user": till.ids[payee], "payee_named": True, "now": till.clock.now}
    async with till.wallet.database.read() as connection:
        return await gather(connection, RULES, **ids, **asked, hints=("lottery", "no such scheme"))


async def test_a_first_payment_knows_nothing_of_its_payee(till) -> None:
    """A stranger's age is None; the payer's class and age, and the known hints, are there."""
    seen = await facts(till, "赵敏", "陈建国")
    assert (seen.level, seen.contact, seen.paid_for, seen.hints) == (3, False, None, ("lottery",))
    assert seen.account_age == 95 * 86_400
    assert (seen.payments_day, seen.spent_day, seen.largest, seen.typical) == (0, 0, 0, 0)
    assert (seen.credentials_changed, seen.device_added, seen.wrong_codes) == (None, None, 0)


async def test_a_contact_is_known(till) -> None:
    """Of the owner's own list, not of the other's."""
    await till.write(delete(contacts).where(contacts.c.owner_id == till.ids["李娜"]))
    assert (await facts(till, "王小明", "李娜")).contact
    assert not (await facts(till, "李娜", "王小明")).contact


async def test_payments_count_in_their_windows(till) -> None:
    """Ten minutes, an hour, a day; the largest and the usual one of ninety days; proposals without a code count nothing."""
    await till.transfer("李娜", "王小明", 9_000)
    till.clock.advance(days=91)
    for amount, minutes in ((6_000, 120), (300, 50), (200, 5), (100, 4)):
        await till.transfer("李娜", "王小明", amount)
        till.clock.advance(minutes=minutes)
    await till.propose("李娜", "王小明", 7_000)
    seen = await facts(till, "李娜", "陈建国")
    assert (seen.payments_10_minutes, seen.spent_10_minutes) == (2, 300)
    assert (seen.payments_hour, seen.spent_hour) == (3, 600)
    assert (seen.payments_day, seen.spent_day) == (4, 6_600)
    assert (seen.largest, seen.typical) == (6_000, 1_650)


async def test_a_clock_that_went_back_takes_no_history_for_the_present(till) -> None:
    """What is dated a little ahead is just now; what is dated further ahead than a window counts in none as short; a changed
    credential is new however far ahead."""
    await till.transfer("李娜", "王小明", 300)
    await till.transfer("李娜", "张三丰", 40)
    await till.write(insert(outbox).values(notice_row("credential_changed", till.clock.now, user_id=till.ids["李娜"])))
    counted = []
    for back in ({"minutes": 9}, {"minutes": 50}, {"hours": 22}, {"days": 300}):
        till.clock.now -= timedelta(**back)
        seen = await facts(till, "李娜", "陈建国")
        payments = seen.payments_10_minutes, seen.payments_hour, seen.payments_day
        counted.append((*payments, seen.small_to_new_hour, seen.largest > 0))
        assert seen.credentials_changed == 0
        assert (await facts(till, "李娜", "张三丰")).paid_for == 0
    assert counted == [(2, 2, 2, 1, True), (0, 2, 2, 1, True), (0, 0, 2, 0, True), (0, 0, 0, 0, False)]


async def test_a_payee_is_known_whichever_wallets_were_used(till) -> None:
    """The person was paid from another city and in another city; the first payment's age counts."""
    await till.transfer("陈建国", "张三丰", 100, city="qingdao", payee_city="lanzhou")
    till.clock.advance(hours=30)
    await till.transfer("陈建国", "张三丰", 100)
    assert (await facts(till, "陈建国", "张三丰")).paid_for == 30 * 3_600
    assert (await facts(till, "张三丰", "陈建国")).paid_for is None


async def test_small_tries_to_new_payees_are_counted(till) -> None:
    """A payment up to the bound, within the hour, to somebody never paid before the hour."""
    await till.transfer("王小明", "张三丰", 100)
    till.clock.advance(minutes=61)
    await till.transfer("王小明", "张三丰", 100)
    for amount in (RULES.small, RULES.small + 1, 1):
        await till.transfer("王小明", "李娜", amount)
    assert (await facts(till, "王小明", "陈建国")).small_to_new_hour == 0  # the demo's history has paid her
    await till.transfer("李娜", "张三丰", RULES.small)
    await till.transfer("李娜", "张三丰", RULES.small + 1)
    await till.transfer("李娜", "张三丰", 1)
    assert (await facts(till, "李娜", "陈建国")).small_to_new_hour == 2
    till.clock.advance(minutes=61)
    assert (await facts(till, "李娜", "陈建国")).small_to_new_hour == 0


async def test_money_that_came_in_is_counted(till) -> None:
    """What others transferred to this wallet within the hour and the day; top-ups are one's own money."""
    for minutes, amount in ((90, 40_000), (5, 3_000)):
        await till.transfer("王小明", "李娜", amount)
        till.clock.advance(minutes=minutes)
    seen = await facts(till, "李娜", "陈建国")
    assert (seen.received_hour, seen.received_day) == (3_000, 43_000)
    assert (await facts(till, "张三丰", "陈建国")).received_day == 0


async def test_a_payees_payers_are_counted_once_each(till) -> None:
    """Different wallets that paid within the day."""
    for payer in ("王小明", "王小明", "李娜"):
        await till.transfer(payer, "张三丰", 100)
    assert (await facts(till, "陈建国", "张三丰")).payee_payers_day == 2
    till.clock.advance(hours=25)
    assert (await facts(till, "陈建国", "张三丰")).payee_payers_day == 0


async def test_fresh_devices_credentials_and_wrong_codes_are_seen(till) -> None:
    """The age of the newest device and change, and how many codes were wrong in a row."""
    binding = {"channel": "web", "address": "a", "address_index": b"x" * 32, "label": "", "status": "active"}
    at = {"created_at": till.clock.now, "seen_at": till.clock.now}
    await till.write(insert(bindings).values(user_id=till.ids["李娜"], **binding, **at))
    await till.write(insert(outbox).values(notice_row("credential_changed", till.clock.now, user_id=till.ids["李娜"])))
    await till.write(update(users).where(users.c.id == till.ids["李娜"]).values(wrong_codes=4))
    till.clock.advance(minutes=2)
    seen = await facts(till, "李娜", "陈建国")
    assert (seen.device_added, seen.credentials_changed, seen.wrong_codes) == (120, 120, 4)


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
async def test_a_long_history_costs_no_more_than_a_short_one(till) -> None:
    """With twenty times the orders and receipts, SQLite does the same number of steps: nothing old is walked."""
    await _fill(till, 1_000)
    short = await _steps(till)
    await _fill(till, 20_000)
    assert await _steps(till) < 1.1 * short


async def _fill(till: Any, count: int) -> None:
    """Put many payments of 王小明 to 李娜 into the books as rows, without moving balances."""
    payer, payee = await account(till, "王小明"), await account(till, "李娜")
    async with till.wallet.database.write() as connection:
        pattern = (await connection.execute(select(orders).where(orders.c.status == "posted").limit(1))).mappings().one()
        own = {"actor_id": till.ids["王小明"], "payer_id": payer, "payee_id": payee, "receipt_no": None, "kind": "transfer"}
        rows = [{**pattern, **own, "nonce": b"", "id": None} for _ in range(count)]
        first = (await connection.execute(select(orders.c.id).order_by(orders.c.id.desc()).limit(1))).scalar_one() + 1
        await connection.execute(insert(orders), [{**row, "id": first + index} for index, row in enumerate(rows)])
        sides = {"kind": "transfer", "debit_id": payer, "credit_id": payee, "debit_balance": 0, "credit_balance": 0}
        at = {"amount": 1, "at": till.clock.now}
        await connection.execute(insert(entries), [{"order_id": first + index, **sides, **at} for index in range(count)])


async def _steps(till: Any) -> int:
    """Count the virtual machine's steps (in hundreds) of one look."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    ids = {"user": till.ids["王小明"], "payer": await account(till, "王小明"), "payee": await account(till, "李娜")}
    asked = {"kind": "transfer", "amount": 1, "payee_user": till.ids["李娜"], "payee_named": True, "now": till.clock.now}
    async with till.wallet.database.read() as connection:
        raw: sqlite3.Connection = (await connection.get_raw_connection()).driver_connection._conn
        raw.set_progress_handler(count, 100)
        await gather(connection, RULES, **ids, **asked, hints=())
        raw.set_progress_handler(None, 0)
    assert steps > SEEN / 100
    return steps


async def test_a_decision_is_kept_with_its_reasons_and_figures_for_good(till) -> None:
    """Figures only, in JSON; nobody can change or remove it afterwards."""
    seen = replace(await facts(till, "李娜", "陈建国"), paid_for=timedelta(days=1).days)
    decision = Decision("delay", (Reason("probing", "delay", {"amount": 600_000}), Reason("payee_unnamed", "warn")))
    async with till.wallet.database.write() as connection:
        await record(connection, decision, seen, user=till.ids["李娜"], order_id=None, now=till.clock.now)
    async with till.wallet.database.read() as connection:
        row = (await connection.execute(select(decisions))).one()
    assert (row.user_id, row.order_id, row.verdict, row.created_at) == (till.ids["李娜"], None, "delay", till.clock.now)
    assert row.reasons == [{"code": "probing", "amount": 600_000}, {"code": "payee_unnamed"}]
    assert (row.facts["amount"], row.facts["paid_for"], row.facts["hints"]) == (1_000, 1, ["lottery"])
    for change in ("UPDATE decisions SET verdict = 'allow'", "DELETE FROM decisions"):
        with pytest.raises(DBAPIError):
            await till.sql(change)
