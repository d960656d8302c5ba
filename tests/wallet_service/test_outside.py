"""Channels outside: one order, one number, asked until somebody knows; done is posted, refused is let go, each once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from wallet_service import Answer, Errand, Fen, PayBill, TopUp, Wallet, Withdraw
from wallet_service.timekeeping import LEASE
from wallet_service.timers import Answered

DATABASES = ("sqlite", "postgresql")
WORKING = False


async def _withdraw(till, amount: int = 10_000):
    return await till.confirmed(Withdraw(till.ids["王小明"], await till.card(), Fen(amount)))


async def _top_up(till, amount: int = 10_000, kind: str = "debit"):
    return await till.confirmed(TopUp(till.ids["王小明"], await till.card(kind), Fen(amount)))


async def _shown(till, order):
    return await till.wallet.order(order.id, actor=till.ids["王小明"])


async def _told(till) -> list[str]:
    return [notice.kind for notice in await till.collect() if notice.kind != "payment_code"]


async def _until(wallet: Wallet, order, status: str) -> None:
    async with asyncio.timeout(10):
        while (await wallet.order(order.id, actor=1)).status != status:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["top_up", "withdraw", "bill"])
async def test_what_is_refused_outside_is_let_go(till, kind) -> None:
    """The order is void, nothing was moved, the day's limit is as before, and the customer is told."""
    till.bank.answers.append("refused")
    till.biller.answers.append("refused")
    if kind == "bill":
        order = await till.confirmed(PayBill(till.ids["王小明"], (await till.bill())[0]))
    else:
        order = await (_top_up if kind == "top_up" else _withdraw)(till)
    await till.wallet.run_due()
    ended = await _shown(till, order)
    assert (ended.status, ended.outside_state, ended.refusal) == ("voided", "refused", "outside_refused")
    assert await till.standing(await till.account("王小明")) == (500_000, 0)
    assert (await till.wallet.allowance(till.ids["王小明"])).day_used == 0
    assert await till.sql("SELECT incoming, quota_used FROM accounts WHERE id = ?", await till.account("王小明")) == [(0, 0)]
    assert await _told(till) == ["order_voided"]
    assert (await till.wallet.verify()).faults == ()


@pytest.mark.parametrize("silence", ["unknown", OSError("line cut"), "perhaps", None])
async def test_what_nobody_knows_is_asked_again_with_the_same_number(till, silence) -> None:
    """Ever more seldom, at most an hour apart, told once; the money stays held, and the answer that comes at last counts once."""
    order = await _withdraw(till)
    if isinstance(silence, str | OSError):
        till.bank.answers.extend([silence] * 12)
    else:
        till.bank.answers.extend([_nothing] * 12)
    pauses = []
    for _ in range(12):
        assert await till.wallet.run_due() == 1
        waiting = await _shown(till, order)
        assert (waiting.status, waiting.outside_state) == ("authorised", "unknown")
        pauses.append((waiting.due_at - till.clock.now).total_seconds())
        till.clock.now = waiting.due_at - timedelta(milliseconds=1)
        assert await till.wallet.run_due() == 0
        till.clock.now = waiting.due_at
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]
    assert await till.standing(await till.account("王小明")) == (500_000, 10_000)
    assert await till.wallet.run_due() == 1
    assert (await _shown(till, order)).status == "posted"
    assert await till.standing(await till.account("王小明")) == (490_000, 0)
    assert {errand.number for errand in till.bank.asked} == {till.bank.asked[0].number}
    assert [errand.again for errand in till.bank.asked] == [False] + [True] * 12
    assert len({(errand.kind, errand.amount, errand.card) for errand in till.bank.asked}) == 1
    assert await _told(till) == ["order_unknown", "withdrawal_done"]
    assert (await till.wallet.verify()).faults == ()


async def _nothing(errand: Errand) -> Answer:
    return None  # type: ignore[return-value]


async def test_a_channel_that_never_answers_is_given_up_before_the_lease_is_over(till, monkeypatch) -> None:
    """Whoever is asked next by another process is not asked while this one still listens."""
    monkeypatch.setattr("wallet_service.timekeeping.PATIENCE", 0.05)
    order = await _withdraw(till)

    async def forever(errand: Errand) -> Answer:
        await asyncio.sleep(3_600)
        return "done"

    till.bank.answers.append(forever)
    async with asyncio.timeout(10):
        await till.wallet.run_due()
    assert (await _shown(till, order)).outside_state == "unknown"


async def test_a_process_that_dies_in_the_middle_leaves_its_order_to_the_next(till) -> None:
    """Claimed and perhaps sent, then nothing more: nobody asks during the lease, afterwards the same number is asked again."""
    order = await _withdraw(till)
    assert len(await till.wallet._timekeeper._claim("bank", 100)) == 1
    async with till.reopened(working=False) as other:
        assert await other.run_due() == 0
        till.clock.advance(seconds=LEASE.total_seconds() - 0.001)
        assert await other.run_due() == 0
        till.clock.advance(milliseconds=1)
        assert await other.run_due() == 1
    assert [errand.again for errand in till.bank.asked] == [True]
    assert (await _shown(till, order)).status == "posted"


async def test_many_processes_ask_once(till) -> None:
    """Twelve withdrawals, three open wallets looking at once, several times each: the bank hears each number once."""
    for _ in range(12):
        await _withdraw(till, 100)
    async with till.reopened(working=False) as second, till.reopened(working=False) as third:
        await asyncio.gather(*(wallet.run_due() for wallet in [till.wallet, second, third] * 3))
    numbers = [errand.number for errand in till.bank.asked]
    assert (len(numbers), len(set(numbers))) == (12, 12)
    assert await till.standing(await till.account("王小明")) == (500_000 - 1_200, 0)


@pytest.mark.parametrize("late", ["unknown", "done"])
async def test_an_answer_after_the_lease_changes_nothing(till, late) -> None:
    """Another process has asked and posted meanwhile: the first one's late answer finds the order over, and that is all."""
    order, asked, go_on = await _withdraw(till), asyncio.Event(), asyncio.Event()

    async def slow(errand: Errand) -> Answer:
        asked.set()
        await go_on.wait()
        return late

    till.bank.answers.append(slow)
    first = asyncio.create_task(till.wallet.run_due())
    await asked.wait()
    till.clock.advance(seconds=LEASE.total_seconds())
    async with till.reopened(working=False) as other:
        await other.run_due()
    posted = await _shown(till, order)
    assert posted.status == "posted"
    go_on.set()
    await first
    assert await _shown(till, order) == posted
    assert (await _told(till)).count("withdrawal_done") == 1
    assert (await till.wallet.verify()).faults == ()


@pytest.mark.parametrize(("first", "then", "status"), [("refused", "done", "voided"), ("done", "refused", "posted")])
async def test_a_channel_that_takes_its_word_back_is_found(till, caplog, first, then, status) -> None:
    """No money moves a second time; the contradiction is loud at once, and verify finds it for as long as it stands."""
    order = await _withdraw(till)
    till.bank.answers.append(first)
    await till.wallet.run_due()
    await till.wallet._combiner.submit(Answered(order.id, first))
    assert (await till.wallet.verify()).faults == ()
    before = await till.standing(await till.account("王小明"))
    await till.wallet._combiner.submit(Answered(order.id, then))
    assert (await _shown(till, order)).status == status
    assert await till.standing(await till.account("王小明")) == before
    assert f"ORDER {order.id} IS {status} HERE, AND THE CHANNEL OUTSIDE SAYS {then}" in caplog.text
    faults = [(fault.check, fault.where) for fault in (await till.wallet.verify()).faults]
    assert faults == [("outside", f"order {order.id}")]


@pytest.mark.parametrize("meanwhile", ["frozen", "full"])
async def test_what_the_bank_has_taken_arrives(till, meanwhile) -> None:
    """Though the wallet was frozen, or filled from elsewhere, after the card was charged: the money has no other place to be."""
    order = await _top_up(till, 30_000)
    if meanwhile == "frozen":
        await till.wallet.freeze(till.ids["王小明"], key=till.key())
    else:
        await till.give("王小明", 600_000)
        await till.sql("UPDATE users SET level = 4 WHERE id = ?", till.ids["王小明"])  # who may hold 10,000 yuan
    await till.wallet.run_due()
    assert (await _shown(till, order)).status == "posted"
    assert await till.held_by("王小明") == (530_000 if meanwhile == "frozen" else 1_130_000)
    assert (await till.wallet.verify()).faults == ()


async def test_top_ups_on_their_way_count_against_what_a_wallet_may_hold(till, refused) -> None:
    """Two that fit one by one do not fit together, at once or in turn; one that the bank refuses makes room again."""
    await till.sql("UPDATE users SET level = 4 WHERE id = ?", till.ids["王小明"])  # 10,000 yuan at most, and there are 5,000
    card = await till.card()
    orders = [await till.wish(TopUp(till.ids["王小明"], card, Fen(300_000))) for _ in range(3)]
    codes = [await till.code(order) for order in orders]
    till.bank.answers.append("refused")
    pairs = zip(orders, codes, strict=True)
    done = await asyncio.gather(*(till.authorize("王小明", order, code) for order, code in pairs), return_exceptions=True)
    assert sorted(getattr(each, "code", "held") for each in done) == ["balance_limit_exceeded"] * 2 + ["held"]
    figures = {"limit": 1_000_000, "balance": 500_000, "incoming": 300_000, "left": 200_000, "lifted_by": "verify_identity"}
    with refused("balance_limit_exceeded", amount=200_001, **figures):
        await till.wish(TopUp(till.ids["王小明"], card, Fen(200_001)))
    await till.give("李娜", 200_000)
    with refused("payee_limit_exceeded"):
        await till.transfer("李娜", "王小明", 200_001)
    await till.wallet.run_due()
    await _top_up(till, 500_000)
    await till.wallet.run_due()
    assert await till.standing(await till.account("王小明")) == (1_000_000, 0)
    assert (await till.wallet.verify()).faults == ()


async def test_a_process_without_the_channel_leaves_its_orders_alone(till) -> None:
    """It neither claims nor delays them: whoever has the channel asks at once."""
    order = await _withdraw(till)
    async with till.reopened(outside={}) as other:
        assert await other.run_due() == 0
        assert await till.wallet.run_due() == 1
    assert (await _shown(till, order)).status == "posted"


async def test_nobody_but_its_channel_ends_such_an_order(till, refused) -> None:
    """It can be neither recalled, cancelled nor captured while the bank has it."""
    order = await _withdraw(till)
    with refused("not_recallable", status="authorised"):
        await till.wallet.recall(order.id, actor=till.ids["王小明"], key=till.key())
    with refused("order_not_open", status="authorised"):
        await till.wallet.cancel(order.id, actor=till.ids["王小明"], key=till.key())
    with refused("order_not_open", status="authorised"):
        await till.wallet.capture(order.id, Fen(10_000), key=till.key())
    assert await till.standing(await till.account("王小明")) == (500_000, 10_000)


async def test_the_bank_is_asked_without_delay_and_without_being_told_to(till) -> None:
    """An order that is authorised in a working wallet is done a moment later, sealed, and whoever sends notices is woken."""
    go_on = asyncio.Event()

    async def soon(errand: Errand) -> Answer:
        await go_on.wait()
        return "done"

    till.bank.answers.append(soon)
    async with till.reopened() as other:
        order = await till.wish(Withdraw(till.ids["王小明"], await till.card(), Fen(10_000)))
        await other.authorize(order.id, await till.code(order), actor=till.ids["王小明"], key=till.key())
        await other.wait_for_notices(0.01)
        go_on.set()
        async with asyncio.timeout(10):
            await other.wait_for_notices(30)
        await _until(other, order, "posted")
        async with asyncio.timeout(10):
            while (report := await other.verify()).sealed != report.entries:
                await asyncio.sleep(0.02)


async def test_whoever_waits_for_answers_waits_for_those_that_another_began_to_ask_for(till, monkeypatch) -> None:
    """The other look has claimed the order and no more: this one still ends after the answer of the bank was written down."""
    order, timekeeper = await _withdraw(till), till.wallet._timekeeper
    claim, claimed = timekeeper._claim, asyncio.Event()

    async def linger(channel: str, most: int) -> object:
        found = await claim(channel, most)
        if found:
            claimed.set()
            await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(timekeeper, "_claim", linger)
    other = asyncio.create_task(till.wallet.run_due())
    await claimed.wait()
    await till.wallet.run_due()
    assert (await _shown(till, order)).status == "posted"
    await other


async def test_a_slow_bank_is_in_nobodys_way(till) -> None:
    """While it thinks about one order, its others, the biller's and delayed transfers go on; closing waits for its answer."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(errand: Errand) -> Answer:
        asked.set()
        await go_on.wait()
        return "done"

    till.bank.answers.append(slow)
    early = await till.transfer("王小明", "李娜", 100, delay=7_200)
    till.clock.advance(hours=1)
    late = await till.transfer("王小明", "李娜", 100, delay=7_200)
    till.clock.advance(hours=2)
    stuck = await _withdraw(till)
    async with till.reopened() as other:
        await asked.wait()
        second, bill = await _withdraw(till), await till.confirmed(PayBill(till.ids["王小明"], (await till.bill())[0]))
        for order in (early, late, second, bill):
            await _until(other, order, "posted")
        assert (await _shown(till, stuck)).status == "authorised"
        asyncio.get_running_loop().call_later(0.1, go_on.set)
    assert (await _shown(till, stuck)).status == "posted"
    assert (await till.wallet.verify()).faults == ()
