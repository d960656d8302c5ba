"""Many wishes in one transaction: each is all or nothing for itself, and nobody pays for a neighbour's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from sqlalchemy.exc import IntegrityError

from wallet_service import Fen, Pay, WalletError, combining
from wallet_service.booking import Book, book
from wallet_service.combining import Combiner, Wish
from wallet_service.errors import ServiceUnavailable
from wallet_service.sheet import Sheet

DATABASES = ("sqlite", "postgresql")
WORKING = False


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """Give the sizes of the batches that the combiner decides, by locks or ahead."""
    sizes: list[int] = []
    real = combining._decide

    async def counting(context, connection, batch, *arguments):
        sizes.append(len(batch))
        return await real(context, connection, batch, *arguments)

    monkeypatch.setattr(combining, "_decide", counting)
    return sizes


@dataclass(frozen=True, slots=True)
class Broken(Wish[None]):
    """A wish whose decision has a fault of its own, after it has changed the sheet."""

    account: int

    def account_ids(self) -> tuple[int, ...]:
        """Give the account that it spoils."""
        return (self.account,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Take the money and fall over."""
        sheet.change_account(self.account, balance=0)
        raise ZeroDivisionError


@dataclass(frozen=True, slots=True)
class Doubled(Wish[None]):
    """A wish that posts an order which is posted already."""

    order_id: int

    def order_ids(self) -> tuple[int, ...]:
        """Give the order."""
        return (self.order_id,)

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> None:
        """Move its money once more."""
        order = sheet.orders[self.order_id]
        sheet.move(order["id"], order["kind"], debit=order["payer_id"], credit=order["payee_id"], amount=order["amount"])


async def _gift(till, amount: int, key: str | None = None, name: str = "李娜") -> Book:
    return book("top_up", await till.account("promotions"), await till.account(name), Fen(amount), "", key or till.key())


def _codes(outcomes: list) -> list[str]:
    return [getattr(each, "code", type(each).__name__ if isinstance(each, Exception) else "done") for each in outcomes]


async def test_a_batch_of_all_sorts(till, batches) -> None:
    """Right and wrong codes, too little money, orders that are over or somebody else's, gifts and refunds: one transaction."""
    paid = await till.confirmed(Pay(till.ids["王小明"], (await till.merchant())[1], Fen(10_000)))
    names = ["王小明"] * 6 + ["李娜"] * 4
    amounts = [1_000] * 6 + [50_000, 40_000, 30_000, 20_000]
    orders = [await till.propose(name, "张三丰", amount) for name, amount in zip(names, amounts, strict=True)]
    codes = [await till.code(order) for order in orders]
    await till.wallet.cancel(orders[2].id, actor=till.ids["王小明"], key=till.key())
    codes[3] = "x"
    actors = [till.ids[name] for name in names]
    actors[4] = till.ids["李娜"]
    batches.clear()
    typed = zip(orders, codes, actors, strict=True)
    calls = [
        *(till.wallet.authorize(each.id, code, actor=actor, key=till.key()) for each, code, actor in typed),
        till.wallet.refund(paid.id, Fen(4_000), key=till.key()),
        till.wallet.refund(paid.id, Fen(7_000), key=till.key()),
        till.wallet.capture(orders[0].id, Fen(1), key=till.key()),
        till.wallet.recall(orders[1].id, actor=till.ids["王小明"], key=till.key()),
        till.wallet.refund(paid.id, Fen(6_000), key=till.key()),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert _codes(outcomes) == [
        *("done", "done", "order_not_open", "wrong_code", "order_not_found", "done"),
        *("done", "insufficient_funds", "done", "insufficient_funds"),
        *("done", "refund_too_much", "order_not_open", "not_recallable", "done"),
    ]
    assert batches == [len(calls)]
    assert await till.held_by("王小明") == 500_000 - 3_000
    assert (await till.held_by("李娜"), await till.held_by("张三丰")) == (0, 83_000)
    assert (await till.wallet.verify()).faults == ()


@pytest.mark.parametrize("fault", ["constraint", "unique", "code"])
async def test_one_that_cannot_be_done_fails_alone(till, batches, fault) -> None:
    """It breaks a constraint of the database, or falls over after it has changed something: all others are done, once."""
    wishes: list[Wish] = [await _gift(till, 100 + place) for place in range(7)]
    if fault == "constraint":
        wishes.insert(3, replace(await _gift(till, 5), kind="gift"))
    elif fault == "unique":
        wishes.insert(3, Doubled((await till.transfer("王小明", "张三丰", 100)).id))
    else:
        wishes.insert(3, Broken(await till.account("李娜")))
    batches.clear()
    outcomes = await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes), return_exceptions=True)
    failed = {place: each for place, each in enumerate(outcomes) if isinstance(each, Exception)}
    assert list(failed) == [3]
    assert isinstance(failed[3], ZeroDivisionError if fault == "code" else IntegrityError)
    assert batches[0] == len(wishes)
    assert await till.held_by("李娜") == 80_000 + sum(100 + place for place in range(7))
    assert (await till.wallet.verify()).faults == ()


async def test_one_key_in_one_batch(till, batches) -> None:
    """Said ten times at once it is done once, and everybody gets the one receipt; with another amount it is refused."""
    same = [await _gift(till, 100, "gift/1") for _ in range(10)]
    other = await _gift(till, 101, "gift/1")
    wishes = [*same[:5], other, *same[5:]]
    outcomes = await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes), return_exceptions=True)
    assert _codes(outcomes) == ["done"] * 5 + ["key_reused"] + ["done"] * 5
    assert len({each.receipt_no for each in outcomes if not isinstance(each, Exception)}) == 1
    assert await till.held_by("李娜") == 80_100


async def test_known_keys_among_new_ones(till) -> None:
    """Repeats from earlier, refusals among them, in one batch with what is new: each gets what became of its own key."""
    refused = book("settle", (await till.merchant())[0], await till.account("settlement"), Fen(10**9), "", "settle/1")
    wishes = [await _gift(till, 100, "gift/1"), refused, await _gift(till, 200, "gift/2")]
    first = [await asyncio.gather(till.wallet._combiner.submit(wish), return_exceptions=True) for wish in wishes]
    again = await asyncio.gather(
        *(till.wallet._combiner.submit(wish) for wish in [await _gift(till, 300), *wishes, await _gift(till, 400)]),
        return_exceptions=True,
    )
    assert _codes(again) == ["done", "done", "insufficient_funds", "done", "done"]
    assert [again[1], again[3]] == [first[0][0], first[2][0]]
    assert again[2].facts == first[1][0].facts
    assert await till.held_by("李娜") == 81_000


async def test_a_lone_caller_waits_for_nobody(till, batches) -> None:
    """One after the other, each is a transaction of its own at once; only who comes while one runs is taken together."""
    for _ in range(3):
        await till.wallet._combiner.submit(await _gift(till, 1))
    assert batches == [1, 1, 1]


async def test_nobody_is_forgotten_when_the_queue_runs_empty(till, monkeypatch) -> None:
    """A wish that comes in the very step in which the combiner finds nothing more to do is taken up all the same."""
    real, late, tasks = Combiner._batch, [await _gift(till, 2) for _ in range(4)], []

    def watched(combiner: Combiner, **options) -> list:
        batch = real(combiner, **options)
        if not batch and late:
            tasks.append(asyncio.create_task(till.wallet._combiner.submit(late.pop())))
        return batch

    monkeypatch.setattr(Combiner, "_batch", watched)
    await till.wallet._combiner.submit(await _gift(till, 1))
    async with asyncio.timeout(20):
        while late:
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
    assert await till.held_by("李娜") == 80_009


@pytest.mark.parametrize(("cause", "looked"), [(ConnectionResetError("line cut"), 2), (None, 1)])
async def test_an_outage_is_everybodys_and_waited_for_once(till, monkeypatch, cause, looked) -> None:
    """Sixty wishes find the database away: after one more look, if any, all are told so; later each works."""
    wishes, looks = [await _gift(till, 1) for _ in range(60)], []

    async def away(*arguments, **options):
        looks.append(None)
        raise ServiceUnavailable(unknown=False) from cause

    with monkeypatch.context() as patched:
        patched.setattr(combining, "_transact", away)
        patched.setattr(Combiner, "_write", away)
        outcomes = await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes), return_exceptions=True)
    assert [(each.code, each.facts) for each in outcomes] == [("service_unavailable", {"unknown": False})] * 60
    assert len(looks) == looked
    await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes))
    assert await till.held_by("李娜") == 80_060


async def test_a_line_that_was_cut_at_the_commit_is_cleared_up(till, monkeypatch) -> None:
    """Nobody knows whether the batch was done; it was, and looked at again everybody gets the receipt of the one posting."""
    wishes, cut = [await _gift(till, 1) for _ in range(10)], []

    def cutting(real):
        async def cut_once(*arguments, **options):
            done = await real(*arguments, **options)
            if not cut:
                cut.append([row[0] for row in await till.sql("SELECT receipt_no FROM orders ORDER BY id DESC LIMIT 10")])
                raise ServiceUnavailable(unknown=True) from ConnectionResetError("line cut")
            return done

        return cut_once

    monkeypatch.setattr(combining, "_transact", cutting(combining._transact))
    monkeypatch.setattr(Combiner, "_write", cutting(Combiner._write))
    outcomes = await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes))
    assert [each.receipt_no for each in outcomes] == cut[0][::-1]
    assert await till.held_by("李娜") == 80_010


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
async def test_ids_that_a_crashed_server_gave_away_twice(till) -> None:
    """The ones in stock turn out to be somebody else's: all of them are dropped, and the next are the database's newest."""
    taken = [row[0] for row in await till.sql("SELECT id FROM orders ORDER BY id LIMIT 200")]
    till.wallet.context.order_ids.spare.clear()
    till.wallet.context.order_ids.spare.extend(taken)
    booked = await till.wallet._combiner.submit(await _gift(till, 7))
    assert booked.order_id not in taken
    till.wallet.context.order_ids.spare.extend(taken)
    till.wallet.context.order_ids.spare.rotate(len(taken))
    assert (await till.propose("王小明", "李娜", 100)).id not in taken


async def test_two_transactions_at_once_keep_out_of_each_others_way(till) -> None:
    """Hundreds of gifts, payments and refunds over the same few accounts: every fen is where it belongs."""
    user, (merchant, number) = till.ids["王小明"], await till.merchant()
    orders = [await till.wish(Pay(user, number, Fen(100))) for _ in range(40)]
    codes = [await till.code(order) for order in orders]
    has, _ = await till.standing(merchant)

    async def pay_and_refund(order, code) -> None:
        await till.wallet.authorize(order.id, code, actor=user, key=till.key())
        await till.wallet.refund(order.id, Fen(40), key=till.key())

    gifts = [await _gift(till, 1, name=name) for name in ("王小明", "李娜", "张三丰") for _ in range(40)]
    pairs = zip(orders, codes, strict=True)
    await asyncio.gather(*(pay_and_refund(*pair) for pair in pairs), *(till.wallet._combiner.submit(gift) for gift in gifts))
    assert await till.standing(merchant) == (has + 40 * 60, 0)
    assert await till.held_by("王小明") == 500_000 - 40 * 60 + 40
    assert (await till.held_by("李娜"), await till.held_by("张三丰")) == (80_040, 40)
    assert (await till.wallet.verify()).faults == ()


async def test_what_a_refusal_has_changed_is_not_undone_by_it(till) -> None:
    """Five wrong codes in one batch count as five: the sixth, right one comes too late, and the person's count stands."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    calls = [till.authorize("王小明", order, typed) for typed in ["a", "b", "c", "d", "e", code]]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert _codes(outcomes) == ["wrong_code"] * 4 + ["order_locked"] * 2
    assert [each.facts.get("tries_left") for each in outcomes if isinstance(each, WalletError)] == [4, 3, 2, 1, None, None]
    assert await till.sql("SELECT wrong_codes FROM users WHERE id = ?", till.ids["王小明"]) == [(5,)]
