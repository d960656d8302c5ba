"""One key, one wish: repeated it answers the same, with other content it is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.wallet_service.steps import HOUSE, STEPS, Steps, marks
from wallet_service import Fen, Transfer, WalletError

DATABASES = ("sqlite", "postgresql")


async def test_a_repeated_proposal_is_one_order(till) -> None:
    """One order, one code, the same answer, at once or hours later."""
    first = await till.propose("王小明", "李娜", 100, key="turn/1")
    till.clock.advance(hours=3)
    assert await till.propose("王小明", "李娜", 100, key="turn/1") == first
    assert len([notice for notice in await till.collect() if notice.facts.get("order_id") == first.id]) == 0  # expired by now
    assert (await till.sql("SELECT COUNT(*) FROM outbox WHERE order_id = ?", first.id))[0][0] == 1


async def test_simultaneous_repeats_are_one_order(till) -> None:
    """Ten deliveries of one message at once make one order."""
    orders = await asyncio.gather(*(till.propose("王小明", "李娜", 100, key="turn/1") for _ in range(10)))
    assert len({order.id for order in orders}) == 1


async def test_a_repeated_authorisation_posts_once(till) -> None:
    """The stored receipt comes back, also when the repeats run at once."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    receipts = await asyncio.gather(*(till.authorize("王小明", order, code, key="turn/2") for _ in range(5)))
    assert len(set(receipts)) == 1
    assert receipts[0].status == "posted"
    assert await till.held_by("王小明") == 499_900


async def test_a_repeated_wrong_code_costs_one_try(till, refused) -> None:
    """The refusal is kept with the key, and given again without counting."""
    order = await till.propose("王小明", "李娜", 100)
    for _ in range(7):
        with refused("wrong_code", tries_left=4):
            await till.authorize("王小明", order, "not it", key="turn/3")
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).tries_left == 4


async def test_a_kept_refusal_stays_when_the_world_changed(till, refused) -> None:
    """A crashed turn that runs again meets the same result, even if money came in meanwhile."""
    facts = {"amount": 90_000, "fee": 0, "available": 80_000, "missing": 10_000}
    with refused("insufficient_funds", **facts):
        await till.propose("李娜", "张三丰", 90_000, key="turn/4")
    await till.transfer("王小明", "李娜", 50_000)
    with refused("insufficient_funds", **facts):
        await till.propose("李娜", "张三丰", 90_000, key="turn/4")


async def test_a_key_with_other_content_is_refused(till, refused) -> None:
    """Another amount, note, city, code or operation under a used key does nothing."""
    actor, key = till.ids["王小明"], "turn/5"
    order = await till.propose("王小明", "李娜", 100, key=key)
    for options in ({"amount": 101}, {"amount": 100, "note": "x"}, {"amount": 100, "city": "lanzhou"}):
        with refused("key_reused"):
            await till.propose("王小明", "李娜", key=key, **options)
    with refused("key_reused"):
        await till.wallet.cancel(order.id, actor=actor, key=key)
    with refused("wrong_code", tries_left=4):
        await till.authorize("王小明", order, "000000x", key="turn/6")
    with refused("key_reused"):
        await till.authorize("王小明", order, await till.code(order), key="turn/6")


async def test_keys_belong_to_people(till) -> None:
    """Two people may use one key; neither gets the other's result."""
    mine, yours = await till.propose("王小明", "张三丰", 100, key="k"), await till.propose("李娜", "张三丰", 100, key="k")
    assert mine.id != yours.id


@pytest.mark.parametrize("nobody", [-1, 0, True])
async def test_the_houses_keys_cannot_be_used_up_from_outside(till, refused, nobody) -> None:
    """Whoever names no person acts under nobody's keys: neither under the house's nor under those before log-in."""
    with refused("not_logged_in"):
        await till.wallet.cancel(1, actor=nobody, key="payout/1")
    with refused("not_logged_in"):
        await till.wallet.freeze(nobody, key="payout/1")
    gift = await till.account("promotions"), await till.account("李娜")
    booked = await till.wallet.book("top_up", *gift, Fen(100), key="payout/1")
    assert await till.wallet.book("top_up", *gift, Fen(100), key="payout/1") == booked
    await till.wallet.start_login("13800000001", key="payout/1")


async def test_a_key_outlives_the_process(till) -> None:
    """The result is in the database, not in memory: another wallet object on the same file gives it."""
    order = await till.propose("王小明", "李娜", 100, key="turn/7")
    async with till.reopened() as other:
        command = Transfer(till.ids["王小明"], await till.number("李娜"), Fen(100), surname="李")
        assert await other.propose(command, actor=till.ids["王小明"], key="turn/7") == order


@pytest.mark.parametrize("name", STEPS)
async def test_every_step_is_done_once(till, name) -> None:
    """Tapped eight times at once in two processes, again later and after a restart: one result, one posting, one code; and the
    key is good for nothing else."""
    step = STEPS[name]
    given, key = await step.before(Steps(till)), till.key()
    before = await marks(till, step)
    async with till.reopened() as other:
        results = await asyncio.gather(*(step.call(wallet, given, key) for wallet in (till.wallet, other) for _ in range(4)))
    till.clock.advance(hours=30)
    async with till.reopened() as later:
        results.append(await step.call(later, given, key))
    assert all(result == results[0] for result in results)
    assert await marks(till, step) == before + 1
    if given[0] is None:
        misused = till.wallet.start_login("13912345678", key=key)
    elif given[0] == HOUSE:
        misused = till.wallet.refund(1, Fen(3), key=key)
    else:
        misused = till.wallet.bind(given[0], "web", "elsewhere", "x", key=key)
    with pytest.raises(WalletError) as refusal:
        await misused
    assert refusal.value.code == "key_reused"


@pytest.mark.parametrize("name", ["propose", "authorize", "cancel", "recall", "finish_login", "open_account", "freeze"])
async def test_a_second_wish_is_a_wish_of_its_own(till, name) -> None:
    """The same content at once under two keys: it is done once or twice as it would be in turn, and nothing breaks."""
    step = STEPS[name]
    given, before = await step.before(Steps(till)), await marks(till, step)
    async with till.reopened() as other:
        results = await asyncio.gather(
            *(step.call(wallet, given, till.key()) for wallet in (till.wallet, other) for _ in range(4)), return_exceptions=True
        )
    done = [result for result in results if not isinstance(result, WalletError)]
    assert not [result for result in done if isinstance(result, Exception)]
    assert await marks(till, step) == before + (len(done) if name == "propose" else 1)
    assert (await till.wallet.verify()).ok


@pytest.mark.parametrize("name", ["authorize", "book", "refund", "recall", "propose", "freeze"])
async def test_nothing_is_done_without_a_key(till, name) -> None:
    """Money that moves without one could move again when an answer is lost: it is refused before anything else."""
    step = STEPS[name]
    given, before = await step.before(Steps(till)), await marks(till, step)
    with pytest.raises(WalletError) as refusal:
        await step.call(till.wallet, given, None)
    assert refusal.value.code == "invalid_key"
    assert await marks(till, step) == before
