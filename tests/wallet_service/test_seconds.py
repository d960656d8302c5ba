"""The second factor of large payments: when it is asked, what proves it, and that neither half gets anywhere alone."""

from __future__ import annotations

import asyncio

import pytest

from tests.wallet_service import pages
from tests.wallet_service.pages import PASSWORD, App, Page, later
from wallet_service import Order, WalletError

DATABASES = ("sqlite", "postgresql")
LARGE = 500_001  # fen: more than the code alone confirms in a day


@pytest.fixture(autouse=True)
async def _rich(till) -> None:
    """王小明 has ¥5,600.00 before a test, and the ledger is sound after it."""
    await till.transfer("李娜", "王小明", 60_000)
    till.clock.advance(minutes=10)
    yield
    assert (await till.wallet.verify()).ok


async def set_up_app(till, name: str) -> tuple[App, tuple[str, ...]]:
    """Set up an authenticator yesterday: what is large waits a day after any such change."""
    made = await pages.set_up_app(till, name)
    till.clock.advance(days=1)
    return made


async def set_password(till, name: str) -> None:
    """Set a payment password yesterday."""
    await pages.set_password(till, name)
    till.clock.advance(days=1)


async def _large(till, amount: int = LARGE, **options) -> Order:
    order: Order = await till.propose("王小明", "张三丰", amount, **options)
    return order


async def _confirm(till, order: Order, second: str | None, code: str | None = None, key: str | None = None) -> Order:
    """Authorise with both factors at once."""
    code = code or await till.code(order)
    done: Order = await till.wallet.authorize(order.id, code, actor=till.ids["王小明"], key=key or till.key(), second=second)
    return done


async def _refusal(attempt) -> str:
    try:
        await attempt
    except WalletError as refusal:
        return refusal.code
    return ""


async def test_without_one_a_large_payment_is_refused_with_the_way_on(till, refused) -> None:
    """What the code alone confirms in a day, what of it is used, and what lifts it; small payments go on."""
    await till.transfer("王小明", "李娜", 100)
    facts = {"amount": LARGE, "limit": 500_000, "used": 100, "left": 499_900, "lifted_by": "set_second_factor"}
    with refused("second_factor_needed", **facts, resets_at="2026-11-20T16:00:00+00:00"):
        await _large(till)
    assert (await till.propose("王小明", "张三丰", 499_900)).second == ""


async def test_small_payments_add_up(till) -> None:
    """The day's sum decides, not the single payment."""
    await set_up_app(till, "王小明")
    assert (await till.propose("王小明", "张三丰", 500_000)).second == ""
    await till.transfer("王小明", "李娜", 1)
    assert (await till.propose("王小明", "张三丰", 500_000)).second == "needed"


async def test_the_code_alone_is_not_enough(till, refused) -> None:
    """The right code without the second factor moves nothing, costs no try and leaves the order open."""
    app, _ = await set_up_app(till, "王小明")
    order = await _large(till)
    assert order.second == "needed"
    with refused("second_factor_missing"):
        await _confirm(till, order, None)
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).tries_left == 5
    assert (await _confirm(till, order, app.code())).status == "posted"


async def test_one_that_other_payments_made_necessary_is_asked_for(till, refused) -> None:
    """Two orders that need none each, but are too much together: the later one stays open, costs no try and takes either half."""
    app, _ = await set_up_app(till, "王小明")
    first, later = [await till.propose("王小明", "李娜", amount) for amount in (300_000, 200_001)]
    assert (first.second, later.second) == ("", "")
    code = await till.code(later)
    await till.authorize("王小明", first)
    for _ in range(2):
        with refused("second_factor_missing"):
            await till.authorize("王小明", later, code)
    open_still = await till.wallet.order(later.id, actor=till.ids["王小明"])
    assert (open_still.status, open_still.second, open_still.tries_left) == ("proposed", "needed", 5)
    with refused("wrong_code", tries_left=4):
        await _confirm(till, later, "000000", code)
    assert (await _confirm(till, later, app.code(), code)).status == "posted"


async def test_a_password_proves_what_other_payments_made_necessary(till, refused) -> None:
    """Its page is there for the order from then on, not before."""
    await set_password(till, "王小明")
    order = await till.propose("王小明", "李娜", 300_000)
    code = await till.code(order)
    await till.transfer("王小明", "李娜", 200_001)
    with refused("second_factor_missing"):
        await till.authorize("王小明", order, code)
    page = await Page.open(till, "王小明", "enter_password", order)
    await page.use(password=PASSWORD)
    assert (await till.authorize("王小明", order, code)).status == "posted"


async def test_orders_confirmed_at_once_do_not_pass_together(till) -> None:
    """Neither needs a second factor alone, nor when both are read: the one that comes second is asked for it."""
    await set_up_app(till, "王小明")
    orders = [await till.propose("王小明", "李娜", 250_001) for _ in range(2)]
    codes = [await till.code(order) for order in orders]
    attempts = [_refusal(till.authorize("王小明", order, code)) for order, code in zip(orders, codes, strict=True)]
    assert sorted(await asyncio.gather(*attempts)) == ["", "second_factor_missing"]
    seen = [await till.wallet.order(order.id, actor=till.ids["王小明"]) for order in orders]
    assert sorted((order.status, order.second) for order in seen) == [("posted", ""), ("proposed", "needed")]


async def test_without_one_other_payments_end_the_order(till, refused) -> None:
    """Who has no second factor is told what is left of the day, and the way on."""
    await set_up_app(till, "李娜")  # somebody else's does not count
    order = await till.propose("王小明", "李娜", 300_000)
    code = await till.code(order)
    await till.transfer("王小明", "李娜", 200_001)
    facts = {"amount": 300_000, "limit": 500_000, "used": 200_001, "left": 299_999, "lifted_by": "set_second_factor"}
    with refused("second_factor_needed", **facts, resets_at="2026-11-21T16:00:00+00:00"):
        await till.authorize("王小明", order, code)
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).status == "refused"


async def test_it_may_be_proven_first(till, refused) -> None:
    """The authenticator's code, then the order's: each costs its own message, and the first is not asked again."""
    app, codes = await set_up_app(till, "王小明")
    for second in (app.code(), codes[0].lower()):
        order = await _large(till, LARGE if second != codes[0].lower() else 100)
        await till.wallet.prove_second(order.id, second, actor=till.ids["王小明"], key=till.key())
        assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).second == "proven"
        assert (await till.authorize("王小明", order)).status == "posted"
    with refused("order_not_open", status="posted"):
        await till.wallet.prove_second(order.id, codes[1], actor=till.ids["王小明"], key=till.key())


async def test_a_password_proves_it_on_its_page(till, refused) -> None:
    """Entered for this order on its page, it lets the code post it; the code before it does not."""
    await set_password(till, "王小明")
    order = await _large(till)
    page = await Page.open(till, "王小明", "enter_password", order)
    assert (await page.view()).order.amount == LARGE
    with refused("second_factor_missing"):
        await till.authorize("王小明", order)
    with refused("wrong_code", tries_left=4):
        await _confirm(till, order, PASSWORD)  # a password is nothing that is typed in a chat
    await page.use(password=PASSWORD)
    assert (await till.authorize("王小明", order)).status == "posted"


async def test_which_was_wrong_is_not_told(till, refused) -> None:
    """A wrong code with a right second, the other way round, or both wrong: the same answer, and nothing is used up."""
    app, codes = await set_up_app(till, "王小明")
    order = await _large(till)
    code = await till.code(order)
    for left, given in ((4, (app.code(), "no")), (3, ("000000", code)), (2, ("000000", "no"))):
        with refused("wrong_code", tries_left=left):
            await _confirm(till, order, *given)
    assert (await _confirm(till, order, codes[0], code)).status == "posted"
    await till.transfer("李娜", "王小明", 100)
    again = await _large(till, 100)
    assert (await _confirm(till, again, app.code())).status == "posted"


async def test_guessing_ends(till, refused) -> None:
    """Five wrong ones in a row end the order they were for, whichever orders the others were for; ten lock the person."""
    app, _ = await set_up_app(till, "王小明")
    first, second = await _large(till), await _large(till)
    actor = till.ids["王小明"]
    for left in (4, 3, 2):
        with refused("wrong_code", tries_left=left):
            await till.wallet.prove_second(first.id, "000000", actor=actor, key=till.key())
    with refused("wrong_code", tries_left=1):
        await till.wallet.prove_second(second.id, "000000", actor=actor, key=till.key())
    with refused("order_locked", tries=5):
        await till.wallet.prove_second(second.id, "WRNG-WRNG-WRNG", actor=actor, key=till.key())
    with refused("order_locked", tries=5):
        await till.wallet.prove_second(second.id, app.code(), actor=actor, key=till.key())
    third = await _large(till)
    for _ in range(4):
        assert await _refusal(till.wallet.prove_second(third.id, "000000", actor=actor, key=till.key())) == "wrong_code"
    until = later(till, minutes=5)
    with refused("payments_locked", retry_at=until):
        await till.wallet.prove_second(third.id, "000000", actor=actor, key=till.key())
    with refused("payments_locked", retry_at=until):
        await till.wallet.prove_second(first.id, app.code(), actor=actor, key=till.key())
    assert "payments_locked" in [notice.kind for notice in await till.collect()]


async def test_codes_by_sms_forgive_no_wrong_second(till) -> None:
    """Small payments between the guesses bring no new ones."""
    await set_up_app(till, "王小明")
    refusals = []
    for _ in range(10):
        await till.transfer("王小明", "李娜", 1)
        order = await _large(till)
        refusals.append(await _refusal(till.wallet.prove_second(order.id, "000000", actor=till.ids["王小明"], key=till.key())))
    assert refusals == ["wrong_code"] * 4 + ["order_locked"] + ["wrong_code"] * 4 + ["payments_locked"]


async def test_one_code_of_the_app_proves_one_order(till) -> None:
    """Two orders at once with one code: one is proven, the other is told that it is wrong."""
    app, codes = await set_up_app(till, "王小明")
    for second in (app.code(), codes[0]):
        orders = [await _large(till) for _ in range(2)]
        attempts = [till.wallet.prove_second(order.id, second, actor=till.ids["王小明"], key=till.key()) for order in orders]
        assert sorted(await asyncio.gather(*map(_refusal, attempts))) == ["", "wrong_code"]


async def test_two_confirmations_of_one_order_post_it_once(till) -> None:
    """The same message twice at once, under two keys: one posts, the other is refused, no fen twice."""
    app, _ = await set_up_app(till, "王小明")
    order = await _large(till)
    code, before = await till.code(order), await till.held_by("张三丰")
    attempts = [_refusal(_confirm(till, order, app.code(), code)) for _ in range(3)]
    assert sorted(await asyncio.gather(*attempts))[0] == ""
    assert await till.held_by("张三丰") == before + LARGE


async def test_the_same_message_again_is_the_same_answer(till) -> None:
    """A repeated key costs no try when it was wrong, and posts nothing twice when it was right."""
    app, _ = await set_up_app(till, "王小明")
    order = await _large(till)
    wrong, right = till.key(), till.key()
    assert [await _refusal(_confirm(till, order, "000000", "no", wrong)) for _ in range(3)] == ["wrong_code"] * 3
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).tries_left == 4
    code, second = await till.code(order), app.code()
    first, again = [await _confirm(till, order, second, code, right) for _ in range(2)]
    assert first == again


async def test_a_changed_payment_is_proven_anew(till, refused) -> None:
    """What was proven for one order is worth nothing for the one that replaces it."""
    app, codes = await set_up_app(till, "王小明")
    order = await _large(till)
    await till.wallet.prove_second(order.id, app.code(), actor=till.ids["王小明"], key=till.key())
    changed = await _large(till, LARGE + 1, replaces=order.id)
    assert changed.second == "needed"
    with refused("second_factor_missing"):
        await till.authorize("王小明", changed)
    assert (await _confirm(till, changed, codes[0])).amount == LARGE + 1


async def test_it_is_the_payers_own(till, refused) -> None:
    """Somebody else's authenticator, order or recovery code proves nothing."""
    await set_up_app(till, "王小明")
    theirs, their_codes = await set_up_app(till, "李娜")
    order = await _large(till)
    assert isinstance(theirs, App)
    for second in (theirs.code(), their_codes[0]):
        assert await _refusal(_confirm(till, order, second)) == "wrong_code"
    with refused("order_not_found"):
        await till.wallet.prove_second(order.id, theirs.code(), actor=till.ids["李娜"], key=till.key())


async def test_none_is_asked_where_none_is_needed(till) -> None:
    """Given for a small payment it is left alone: a recovery code stays good."""
    _, codes = await set_up_app(till, "王小明")
    small = await till.propose("王小明", "张三丰", 100)
    assert (await _confirm(till, small, codes[0])).status == "posted"
    assert (await _confirm(till, await _large(till), codes[0])).status == "posted"
