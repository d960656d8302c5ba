"""Money that is held: it cannot be spent, and it is posted, let go or recalled once, whoever tries and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from wallet_service import Fen, Pay, Wallet, WalletError
from wallet_service.combining import Wish
from wallet_service.posting import void
from wallet_service.sheet import Sheet

DATABASES = ("sqlite", "postgresql")
WORKING = False
DAY = 86_400


async def _status(till, order, payer: str = "王小明") -> str:
    return (await till.wallet.order(order.id, actor=till.ids[payer])).status


async def _told(till) -> list[tuple[str, str]]:
    names = {user: name for name, user in till.ids.items()}
    return [(notice.kind, names[notice.user_id]) for notice in await till.collect() if notice.kind != "payment_code"]


async def _recall(till, order, payer: str = "王小明", key: str | None = None):
    return await till.wallet.recall(order.id, actor=till.ids[payer], key=key or till.key())


@pytest.mark.parametrize("delay", [7_200, DAY])
async def test_a_delayed_transfer_arrives_when_it_is_due(till, delay) -> None:
    """Held until then to the millisecond, posted once at that time; both are told, and the receipt is of that day."""
    order = await till.transfer("王小明", "李娜", 20_000, delay=delay)
    assert (order.status, order.delay, (order.due_at - till.clock.now).total_seconds()) == ("authorised", delay, delay)
    assert (order.posted_at, order.receipt_no) == (None, None)
    assert (await till.held_by("王小明"), await till.held_by("李娜")) == (480_000, 80_000)
    assert await _told(till) == [("order_scheduled", "王小明")]
    till.clock.advance(seconds=delay, milliseconds=-1)
    assert await till.wallet.run_due() == 0
    till.clock.advance(milliseconds=1)
    assert await till.wallet.run_due() == 1
    assert await till.wallet.run_due() == 0
    posted = await till.wallet.order(order.id, actor=till.ids["王小明"])
    assert (posted.status, posted.posted_at, posted.due_at) == ("posted", till.clock.now, None)
    assert await till.standing(await till.account("王小明")) == (480_000, 0)
    assert await till.held_by("李娜") == 100_000
    assert await _told(till) == [("transfer_arrived", "王小明"), ("money_received", "李娜")]
    assert (await till.wallet.verify()).faults == ()


async def test_only_the_profiles_delays_are_offered(till, refused) -> None:
    """An hour is none of them, nor is a negative one."""
    for delay in (3_600, -1, 10**30):
        with refused("invalid_delay", delays=[0, 7_200, DAY]):
            await till.propose("王小明", "李娜", 100, delay=delay)


async def test_held_money_cannot_be_spent(till, refused) -> None:
    """What is on its way is no longer available, for proposals and for orders that were proposed before."""
    early = await till.propose("李娜", "张三丰", 50_000)
    await till.transfer("李娜", "王小明", 50_000, delay=DAY)
    figures = {"amount": 50_000, "fee": 0, "available": 30_000, "missing": 20_000}
    with refused("insufficient_funds", **figures):
        await till.propose("李娜", "张三丰", 50_000)
    with refused("insufficient_funds", **figures):
        await till.authorize("李娜", early)
    await till.transfer("李娜", "张三丰", 30_000)
    till.clock.advance(seconds=DAY)
    await till.wallet.run_due()
    assert await till.standing(await till.account("李娜")) == (0, 0)


async def test_many_holds_of_one_balance(till) -> None:
    """Forty delayed orders of 50 yuan race for 800: sixteen are held, none is held twice, and all sixteen arrive."""
    orders = [await till.propose("李娜", "王小明", 5_000, delay=7_200) for _ in range(40)]
    codes = [await till.code(order) for order in orders]
    pairs = zip(orders, codes, strict=True)
    done = await asyncio.gather(*(till.authorize("李娜", order, code) for order, code in pairs), return_exceptions=True)
    assert sum(not isinstance(outcome, WalletError) for outcome in done) == 16
    assert await till.standing(await till.account("李娜")) == (80_000, 80_000)
    till.clock.advance(hours=2)
    assert await till.wallet.run_due() == 16
    assert (await till.held_by("李娜"), await till.held_by("王小明")) == (0, 580_000)


async def test_a_delayed_transfer_is_recalled_until_it_is_due(till, refused) -> None:
    """Before, the money is free again and its payee never hears of it; from that moment on it counts as arrived."""
    first, second = [await till.transfer("王小明", "李娜", 1_000, delay=7_200) for _ in range(2)]
    till.clock.advance(seconds=7_199)
    recalled = await _recall(till, first, key="recall/1")
    assert (recalled.status, recalled.refusal, recalled.due_at) == ("voided", "recalled", None)
    assert await _recall(till, first, key="recall/1") == recalled
    with refused("not_recallable", status="voided"):
        await _recall(till, first)
    assert await till.standing(await till.account("王小明")) == (500_000, 1_000)
    till.clock.advance(seconds=1)
    with refused("not_recallable", status="posted"):
        await _recall(till, second)
    await till.wallet.run_due()
    with refused("not_recallable", status="posted"):
        await _recall(till, second)
    assert (await till.held_by("王小明"), await till.held_by("李娜")) == (499_000, 81_000)
    told = await _told(till)
    assert told.count(("order_recalled", "王小明")) == 1
    assert told.count(("money_received", "李娜")) == 1


async def test_nobody_recalls_what_is_not_theirs(till, refused) -> None:
    """Another person's order, none at all, one that was never confirmed, and one that arrived at once."""
    order = await till.transfer("王小明", "李娜", 1_000, delay=7_200)
    with refused("order_not_found"):
        await _recall(till, order, "李娜")
    for order_id in (0, 10**30, 999_999):
        with refused("order_not_found"):
            await till.wallet.recall(order_id, actor=till.ids["王小明"], key=till.key())
    with refused("not_recallable", status="proposed"):
        await _recall(till, await till.propose("王小明", "李娜", 1_000, delay=7_200))
    with refused("not_recallable", status="posted"):
        await _recall(till, await till.transfer("王小明", "李娜", 1_000))
    with refused("order_not_open", status="authorised"):
        await till.wallet.cancel(order.id, actor=till.ids["王小明"], key=till.key())


async def test_recall_and_arrival_at_once(till) -> None:
    """Recalled and let arrive by two processes in the same moment: each order ends one way, with its money there."""
    async with till.reopened(working=False) as other:
        for _ in range(8):
            order = await till.transfer("王小明", "李娜", 100, delay=7_200)
            till.clock.advance(seconds=7_199)
            recall = asyncio.create_task(_recall(till, order))
            till.clock.advance(seconds=1)
            await asyncio.gather(recall, other.run_due(), till.wallet.run_due(), return_exceptions=True)
            assert await _status(till, order) in ("posted", "voided")
        ended = await till.sql("SELECT status, COUNT(*) FROM orders WHERE delay > 0 GROUP BY status")
        assert await till.held_by("李娜") == 80_000 + 100 * dict(ended).get("posted", 0)
        assert (await other.verify()).faults == ()


async def test_several_processes_let_the_same_orders_arrive(till) -> None:
    """Three open wallets look at once, each several times: twenty orders are posted, each once, told once."""
    for _ in range(20):
        await till.transfer("王小明", "李娜", 100, delay=7_200)
    await till.collect()
    till.clock.advance(hours=2)
    async with till.reopened(working=False) as second, till.reopened(working=False) as third:
        wallets = [till.wallet, second, third] * 3
        await asyncio.gather(*(wallet.run_due() for wallet in wallets))
    assert await till.held_by("李娜") == 82_000
    assert await till.sql("SELECT COUNT(*) FROM entries JOIN orders ON orders.id = order_id WHERE delay > 0") == [(20,)]
    assert (await _told(till)).count(("money_received", "李娜")) == 20
    assert (await till.wallet.verify()).faults == ()


async def test_a_restart_forgets_no_timer(till) -> None:
    """Confirmed before the wallet closes, due while nobody runs: the next opening lets it arrive without being asked."""
    order = await till.transfer("王小明", "李娜", 700, delay=7_200)
    till.clock.advance(days=3)
    async with till.reopened() as other:
        await _until_posted(other, order.id, till.ids["王小明"])
    assert await till.held_by("李娜") == 80_700
    assert (await till.wallet.verify()).sealed == (await till.wallet.verify()).entries


async def _until_posted(wallet: Wallet, order_id: int, actor: int) -> None:
    async with asyncio.timeout(10):
        while (await wallet.order(order_id, actor=actor)).status != "posted":
            await asyncio.sleep(0.02)


async def test_what_arrives_by_itself_is_sealed_by_itself(till) -> None:
    """Nobody calls anything after the order is due, and the entry is in the chain all the same, before the wallet closes."""
    async with till.reopened() as other:
        order = await till.transfer("王小明", "李娜", 700, delay=7_200)
        await other.seal()
        till.clock.advance(hours=2)
        await _until_posted(other, order.id, till.ids["王小明"])
        async with asyncio.timeout(10):
            while (report := await other.verify()).sealed != report.entries:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [("payee frozen", "payee_unavailable"), ("payee full", "payee_limit_exceeded"), ("payer frozen", "wallet_frozen")],
)
async def test_what_may_not_arrive_any_more_goes_back(till, state, refusal) -> None:
    """A payee who is frozen or full by then, or a payer who froze the wallet: the money is free again and its payer told why."""
    order = await till.transfer("王小明", "李娜", 50_000, delay=DAY)
    await till.collect()
    till.clock.advance(seconds=DAY)
    if state == "payee full":
        await till.give("李娜", 2_000_000 - 80_000 - 49_999)
    else:
        await till.wallet.freeze(till.ids["李娜" if state == "payee frozen" else "王小明"], key=till.key())
    await till.collect()
    assert await till.wallet.run_due() == 1
    ended = await till.wallet.order(order.id, actor=till.ids["王小明"])
    assert (ended.status, ended.refusal) == ("voided", refusal)
    assert await till.standing(await till.account("王小明")) == (500_000, 0)
    [notice] = [notice for notice in await till.collect() if notice.kind == "order_voided"]
    assert (notice.user_id, notice.facts["refusal"]) == (till.ids["王小明"], refusal)
    assert (await till.wallet.verify()).faults == ()


async def test_a_frozen_person_recalls_what_is_on_its_way(till) -> None:
    """Money that comes back to its own wallet needs no thaw."""
    order = await till.transfer("王小明", "李娜", 50_000, delay=DAY)
    await till.wallet.freeze(till.ids["王小明"], key=till.key())
    assert (await _recall(till, order)).status == "voided"


async def test_part_of_a_hold_is_posted_and_the_rest_is_free(till, refused) -> None:
    """Captured once, for less than was held; the limits count what was posted, and verify agrees with the partial receipt."""
    order = await till.transfer("王小明", "李娜", 50_000, delay=DAY)
    booked = await till.wallet.capture(order.id, Fen(20_000), key="capture/1")
    assert await till.wallet.capture(order.id, Fen(20_000), key="capture/1") == booked
    with refused("key_reused"):
        await till.wallet.capture(order.id, Fen(20_001), key="capture/1")
    with refused("order_not_open", status="posted"):
        await till.wallet.capture(order.id, Fen(20_000), key="capture/2")
    posted = await till.wallet.order(order.id, actor=till.ids["王小明"])
    assert (posted.amount, posted.posted_amount, posted.receipt_no) == (50_000, 20_000, booked.receipt_no)
    assert await till.standing(await till.account("王小明")) == (480_000, 0)
    assert (await till.wallet.allowance(till.ids["王小明"])).day_used == 20_000
    till.clock.advance(seconds=DAY)
    assert await till.wallet.run_due() == 0
    assert (await till.wallet.verify()).faults == ()


async def test_a_capture_that_is_refused_leaves_the_hold(till, refused) -> None:
    """More than was held, nothing at all, or for a payee who may not take it: the money stays held, and arrives whole."""
    order = await till.transfer("王小明", "李娜", 50_000, delay=DAY)
    with refused("amount_too_large", amount=50_001, limit=50_000):
        await till.wallet.capture(order.id, Fen(50_001), key=till.key())
    with refused("amount_not_positive", amount=0):
        await till.wallet.capture(order.id, Fen(0), key=till.key())
    await till.sql("UPDATE users SET status = 'frozen' WHERE id = ?", till.ids["李娜"])
    with refused("payee_unavailable"):
        await till.wallet.capture(order.id, Fen(50_000), key=till.key())
    await till.sql("UPDATE users SET status = 'active' WHERE id = ?", till.ids["李娜"])
    assert await till.standing(await till.account("王小明")) == (500_000, 50_000)
    assert (await till.wallet.verify()).faults == ()
    till.clock.advance(seconds=DAY)
    assert await till.wallet.run_due() == 1
    assert await till.held_by("李娜") == 130_000


async def test_what_holds_nothing_is_not_captured(till, refused) -> None:
    """A proposal, a posted order, a cancelled one, none."""
    proposed, number = await till.propose("王小明", "李娜", 100), (await till.merchant())[1]
    posted = await till.confirmed(Pay(till.ids["王小明"], number, Fen(100)))
    with refused("order_not_open", status="proposed"):
        await till.wallet.capture(proposed.id, Fen(100), key=till.key())
    with refused("order_not_open", status="posted"):
        await till.wallet.capture(posted.id, Fen(100), key=till.key())
    await till.wallet.cancel(proposed.id, actor=till.ids["王小明"], key=till.key())
    with refused("order_not_open", status="cancelled"):
        await till.wallet.capture(proposed.id, Fen(100), key=till.key())
    with refused("order_not_found"):
        await till.wallet.capture(999_999, Fen(100), key=till.key())


async def test_one_that_cannot_arrive_is_in_nobodys_way(till, caplog) -> None:
    """The oldest due order breaks a constraint each time: all the others arrive, it stays, and that is told."""
    broken = await till.transfer("李娜", "张三丰", 100, delay=7_200)
    orders = [await till.transfer("王小明", "李娜", 100, delay=7_200) for _ in range(3)]
    await till.sql("UPDATE accounts SET held = 0 WHERE id = ?", await till.account("李娜"))
    till.clock.advance(hours=2)
    for _ in range(2):
        await till.wallet.run_due()
    assert [await _status(till, order) for order in orders] == ["posted"] * 3
    assert await _status(till, broken, "李娜") == "authorised"
    assert f"order {broken.id} could not arrive: IntegrityError" in caplog.text
    assert [fault.check for fault in (await till.wallet.verify()).faults] == ["held"]


@dataclass(frozen=True, slots=True)
class Expire(Wish[None]):
    """The end of a hold that ends by itself, as one at a counter does."""

    order_id: int

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Let it end."""
        void(sheet, self.order_id, "hold_expired", status="expired")


async def test_a_hold_ends_once(till, refused) -> None:
    """Posted, recalled, captured in part or expired: whichever is first, none of the others is possible any more."""
    ends = {
        "posted": lambda order: till.wallet.run_due(),
        "voided": lambda order: _recall(till, order),
        "captured": lambda order: till.wallet.capture(order.id, Fen(400), key=till.key()),
        "expired": lambda order: till.wallet._combiner.submit(Expire(order.id)),
    }
    for first, end in ends.items():
        order = await till.transfer("王小明", "李娜", 1_000, delay=7_200)
        if first == "posted":
            till.clock.advance(hours=2)
        await end(order)
        status = "posted" if first == "captured" else first
        assert await _status(till, order) == status
        before = await till.standing(await till.account("王小明")), await till.held_by("李娜")
        till.clock.advance(hours=2)
        assert await till.wallet.run_due() == 0
        with refused("not_recallable", status=status):
            await _recall(till, order)
        with refused("order_not_open", status=status):
            await till.wallet.capture(order.id, Fen(1), key=till.key())
        with refused("order_not_open", status=status):
            await till.wallet._combiner.submit(Expire(order.id))
        assert (await till.standing(await till.account("王小明")), await till.held_by("李娜")) == before
    assert await till.held_by("李娜") == 80_000 + 1_000 + 400
    assert (await till.wallet.verify()).faults == ()
