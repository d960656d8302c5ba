"""One-time pages: what each asks, what a wrong answer costs, and that nothing gets round the factors that are there."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import update

from tests.wallet_service.pages import PASSWORD, App, Page, later, set_password, set_up_app
from wallet_service import WalletError
from wallet_service.schema import users
from wallet_service.tickets import TICKET_LIFE

DATABASES = ("sqlite", "postgresql")
ID_NUMBER = "35020319900307125X"
NEW = "730925"


async def _identify(till, name: str = "王小明") -> None:
    """Let somebody's id number be known."""
    await till.write(update(users).where(users.c.id == till.ids[name]).values(id_number=ID_NUMBER))


async def _last_told(till) -> str:
    """Give what the newest message about a credential says."""
    await till.collect()
    return str([notice.facts["what"] for notice in till.notices if notice.kind == "credential_changed"][-1])


async def _refusal(attempt) -> str:
    """Give the code of a refusal, or nothing when it went through."""
    try:
        await attempt
    except WalletError as refusal:
        return refusal.code
    return ""


async def _enter(till, password: str, name: str = "王小明") -> None:
    """Enter a password for a small payment."""
    await (await Page.open(till, name, "enter_password", await till.propose(name, "李娜", 100))).use(password=password)


async def test_a_first_password_needs_the_code(till, refused) -> None:
    """The page says whose it is and what it asks; the code goes by SMS with its purpose; afterwards the page is over."""
    page = await Page.open(till, "王小明", "set_password")
    view = await page.view()
    assert (view.purpose, view.person, view.phone_masked) == ("set_password", "*小明", "138****0001")
    assert (view.asks, view.tries_left, view.order, view.offer) == (("code", "new"), 5, None, None)
    assert view.expires_at == till.clock.now + TICKET_LIFE
    with refused("change_not_found"):
        await page.use(code="000000", new=PASSWORD)
    code = await page.code()
    assert till.notices[-1].facts["purpose"] == "set_password"
    with refused("wrong_proof", tries_left=4):
        await page.use(code="no", new=PASSWORD)
    assert await page.use(code=code, new=PASSWORD) == ()
    assert await till.wallet.second_factors(till.ids["王小明"]) == {"password"}
    assert await _last_told(till) == "password_set"
    with refused("ticket_over"):
        await page.use(code=code, new=NEW)
    with refused("ticket_over"):
        await page.view()


async def test_a_password_is_changed_by_itself(till, refused) -> None:
    """Who has one gives it before a new one counts; then the old one opens nothing."""
    await set_password(till, "王小明")
    page = await Page.open(till, "王小明", "set_password")
    assert (await page.view()).asks == ("password", "new")
    with refused("wrong_proof", tries_left=4):
        await page.use(password=NEW, new=NEW)
    await page.use(password="２５８０４６", new=NEW)
    assert await _last_told(till) == "password_changed"
    assert await _refusal(_enter(till, PASSWORD)) == "wrong_proof"
    assert await _refusal(_enter(till, NEW)) == ""


async def test_a_forgotten_password_needs_two_proofs(till, refused) -> None:
    """The code and the id number, both right, and never a word about which was wrong; without either, a person has to help."""
    await set_password(till, "王小明")
    with refused("identity_unknown"):
        await Page.open(till, "王小明", "reset_password")
    await _identify(till)
    page = await Page.open(till, "王小明", "reset_password")
    assert (await page.view()).asks == ("code", "id_number", "new")
    code = await page.code()
    for left, wrong in ((4, {"code": "no"}), (3, {"id_number": "350203199003071250"}), (2, {"code": "no", "id_number": "x"})):
        with refused("wrong_proof", tries_left=left):
            await page.use(**{"code": code, "id_number": ID_NUMBER, "new": NEW, **wrong})
    await page.use(code=code, id_number=" 350203 19900307 125x ", new=NEW)
    assert await _last_told(till) == "password_reset"
    assert await _refusal(_enter(till, NEW)) == ""


async def test_a_reset_goes_not_round_the_authenticator(till, refused) -> None:
    """Where there is one, it or a recovery code is asked for, and the id number is no longer taken."""
    await _identify(till)
    await set_password(till, "王小明")
    app, codes = await set_up_app(till, "王小明", password=PASSWORD)
    page = await Page.open(till, "王小明", "reset_password")
    assert (await page.view()).asks == ("code", "second", "new")
    code = await page.code()
    with refused("wrong_proof", tries_left=4):
        await page.use(code=code, id_number=ID_NUMBER, new=NEW)
    await page.use(code=code, second=codes[0], new=NEW)
    page = await Page.open(till, "王小明", "reset_password")
    await page.use(code=await page.code(), second=app.code(), new=PASSWORD)
    assert await _refusal(_enter(till, PASSWORD)) == ""


async def test_a_second_factor_is_added_with_the_first(till, refused) -> None:
    """A password beside an authenticator needs its code, an authenticator beside a password needs that."""
    app, _ = await set_up_app(till, "王小明")
    page = await Page.open(till, "王小明", "set_password")
    assert (await page.view()).asks == ("code", "second", "new")
    code = await page.code()
    with refused("wrong_proof", tries_left=4):
        await page.use(code=code, new=PASSWORD)
    await page.use(code=code, second=app.code(), new=PASSWORD)
    await set_password(till, "李娜")
    page = await Page.open(till, "李娜", "add_authenticator")
    assert (await page.view()).asks == ("code", "password", "app_code")
    assert await till.wallet.second_factors(till.ids["王小明"]) == {"authenticator", "password"}


async def test_a_right_answer_is_not_used_up_by_a_wrong_one(till) -> None:
    """A recovery code beside a mistyped code is good for the next attempt."""
    _, codes = await set_up_app(till, "王小明")
    page = await Page.open(till, "王小明", "set_password")
    code = await page.code()
    assert await _refusal(page.use(code="no", second=codes[0], new=PASSWORD)) == "wrong_proof"
    assert await _refusal(page.use(code=code, second=codes[0], new=PASSWORD)) == ""


async def test_entering_it_proves_an_order(till, refused) -> None:
    """The page shows what is paid; the right password proves exactly this order, which must still be open."""
    await set_password(till, "王小明")
    order, other = await till.propose("王小明", "李娜", 12_345), await till.propose("王小明", "李娜", 1)
    page = await Page.open(till, "王小明", "enter_password", order)
    view = await page.view()
    assert (view.asks, view.order.id, view.order.amount, view.order.payee_name_masked) == (("password",), order.id, 12_345, "*娜")
    await page.use(password=PASSWORD)
    assert await till.sql("SELECT second FROM orders WHERE id = ?", order.id) == [("proven",)]
    assert await till.sql("SELECT second FROM orders WHERE id = ?", other.id) == [("",)]
    page = await Page.open(till, "王小明", "enter_password", other)
    await till.wallet.cancel(other.id, actor=till.ids["王小明"], key=till.key())
    with refused("order_not_open", status="cancelled"):
        await page.use(password=PASSWORD)
    with refused("order_not_open", status="cancelled"):
        await Page.open(till, "王小明", "enter_password", other)
    with refused("order_not_found"):
        await Page.open(till, "王小明", "enter_password", await till.propose("李娜", "王小明", 1))


async def test_what_is_not_there_cannot_be_used(till, refused) -> None:
    """Nobody enters or resets a password that they do not have."""
    with refused("no_password"):
        await Page.open(till, "王小明", "enter_password", await till.propose("王小明", "李娜", 100))
    with refused("no_password"):
        await Page.open(till, "王小明", "reset_password")
    with refused("invalid_argument", argument="order_id"):
        await Page.open(till, "王小明", "enter_password")
    with refused("invalid_argument", argument="purpose"):
        await Page.open(till, "王小明", "dance")


async def test_what_a_password_must_be_costs_no_try(till, refused) -> None:
    """Its form is judged before anything else, what is known of the person only after they have proven themselves."""
    await _identify(till)
    page = await Page.open(till, "王小明", "set_password")
    code = await page.code()
    with refused("password_shape", digits=6, shortest=8, longest=64):
        await page.use(code=code, new="1234")
    with refused("password_weak", reason="sequence"):
        await page.use(code=code, new="123456")
    with refused("password_weak", reason="id_number"):
        await page.use(code=code, new="900307")
    with refused("password_weak", reason="phone"):
        await page.use(code=code, new="138000")
    assert (await page.view()).tries_left == 5
    with refused("wrong_proof", tries_left=4):
        await page.use(code="no", new="900307")
    await page.use(code=code, new=PASSWORD)
    page = await Page.open(till, "王小明", "set_password")
    with refused("wrong_proof", tries_left=4):
        await page.use(password=NEW, new=PASSWORD)
    with refused("password_unchanged"):
        await page.use(password=PASSWORD, new=PASSWORD)
    assert (await page.view()).tries_left == 4


async def test_a_page_is_over(till, refused) -> None:
    """After ten minutes, when a newer one was made, when a factor was changed on another, and when its token is no token."""
    late = await Page.open(till, "王小明", "set_password")
    till.clock.advance(minutes=10)
    with refused("ticket_over"):
        await late.view()
    old, new = [await Page.open(till, "王小明", "set_password") for _ in range(2)]
    with refused("ticket_over"):
        await old.code()
    await new.view()
    other = await Page.open(till, "王小明", "add_authenticator")
    await new.use(code=await new.code(), new=PASSWORD)
    with refused("ticket_over"):
        await other.view()
    for token in ("", "x", "é", "\ud800", new.token[:-1], None):
        with refused("ticket_over"):
            await Page(till, token).view()
    with refused("ticket_over"):
        await (await Page.open(till, "王小明", "set_password")).code()  # which asks for the password and no code


async def test_the_same_wish_gives_the_same_page(till) -> None:
    """A message that is delivered twice makes one ticket, whose id opens nothing without the server's secret."""
    key = till.key()
    first, again = [await till.wallet.ticket(till.ids["王小明"], "set_password", key=key) for _ in range(2)]
    assert first == again
    assert await till.sql("SELECT COUNT(*) FROM tickets") == [(1,)]
    token = till.wallet.ticket_token(first.id)
    assert len(token) == 43
    assert await _refusal(Page(till, first.id).view()) == "ticket_over"
    assert token not in str(await till.sql("SELECT * FROM tickets"))


async def test_guessing_a_password_ends(till, refused) -> None:
    """Five wrong ones end the page and its order, ten lock the person, for longer each time; then the right one does not help."""
    await set_password(till, "王小明")
    order = await till.propose("王小明", "李娜", 100)
    code, page = await till.code(order), await Page.open(till, "王小明", "enter_password", order)
    for left in (4, 3, 2, 1):
        with refused("wrong_proof", tries_left=left):
            await page.use(password="000000")
    with refused("order_locked", tries=5):
        await page.use(password="000000")
    with refused("ticket_locked", tries=5):
        await page.use(password=PASSWORD)
    with refused("order_locked", tries=5):
        await till.authorize("王小明", order, code)
    for minutes in (5, 30):
        page = await Page.open(till, "王小明", "enter_password", await till.propose("王小明", "李娜", 100))
        for _ in range(4):
            assert await _refusal(page.use(password="000000")) == "wrong_proof"
        until = later(till, minutes=minutes)
        with refused("payments_locked", retry_at=until):
            await page.use(password="000000")
        with refused("payments_locked", retry_at=until):
            await Page.open(till, "王小明", "set_password")
        with refused("payments_locked", retry_at=until):
            await till.propose("王小明", "李娜", 100)
        assert [notice.kind for notice in await till.collect()][-1] == "payments_locked"
        till.clock.advance(minutes=minutes)
    assert await _refusal(_enter(till, PASSWORD)) == ""


async def test_pages_for_one_order_share_its_tries(till, refused) -> None:
    """A new link for the same order brings no new tries."""
    await set_password(till, "王小明")
    order = await till.propose("王小明", "李娜", 100)
    for _ in range(2):
        page = await Page.open(till, "王小明", "enter_password", order)
        for _ in range(2):
            assert await _refusal(page.use(password="000000")) == "wrong_proof"
    page = await Page.open(till, "王小明", "enter_password", order)
    for password in ("000000", PASSWORD):
        with refused("order_locked", tries=5):
            await page.use(password=password)


async def test_codes_by_sms_forgive_no_wrong_password(till) -> None:
    """Who has the phone confirms small payments between the guesses, and is locked out after ten all the same."""
    await set_password(till, "王小明")
    refusals = []
    for _ in range(10):
        await till.transfer("王小明", "李娜", 100)
        refusals.append(await _refusal(_enter(till, "000000")))
    assert refusals == ["wrong_proof"] * 4 + ["order_locked"] + ["wrong_proof"] * 4 + ["payments_locked"]


async def test_each_kind_of_code_forgives_its_own(till, refused) -> None:
    """A change proven by SMS forgives no wrong password, and a right password no wrong code."""
    await set_password(till, "王小明")
    for _ in range(9):
        await _refusal(_enter(till, "000000"))
    change = await till.wallet.start_change(till.ids["王小明"], "unfreeze", key=till.key())
    await till.wallet.prove_change(till.ids["王小明"], change.id, await till.code(), key=till.key())
    assert await _refusal(_enter(till, "000000")) == "payments_locked"
    till.clock.advance(minutes=10)
    for _ in range(9):
        await _refusal(till.authorize("王小明", await till.propose("王小明", "李娜", 100), "no"))
    assert await _refusal(_enter(till, PASSWORD)) == ""
    assert await _refusal(till.authorize("王小明", await till.propose("王小明", "李娜", 100), "no")) == "payments_locked"


async def test_a_right_password_starts_the_count_anew(till) -> None:
    """Four wrong ones and a right one, again and again, lock nobody out."""
    await set_password(till, "王小明")
    for _ in range(3):
        page = await Page.open(till, "王小明", "enter_password", await till.propose("王小明", "李娜", 100))
        assert [await _refusal(page.use(password="000000")) for _ in range(4)] == ["wrong_proof"] * 4
        assert await _refusal(page.use(password=PASSWORD)) == ""


async def test_many_guesses_at_once_are_five(till) -> None:
    """Forty at a time, the right one among the last: five are judged, the page is over."""
    await set_password(till, "王小明")
    page = await Page.open(till, "王小明", "enter_password", await till.propose("王小明", "李娜", 100))
    guesses = [*(f"{number:06d}" for number in range(39)), PASSWORD]
    refusals = await asyncio.gather(*(_refusal(page.use(password=guess)) for guess in guesses))
    assert sorted(refusals)[-4:] == ["wrong_proof"] * 4
    assert sorted(set(refusals)) == ["order_locked", "ticket_locked", "wrong_proof"]
    assert refusals.count("ticket_locked") >= 30


async def test_the_right_answers_twice_at_once_count_once(till) -> None:
    """One of the two is done, the other finds the page over; one notice is written."""
    page = await Page.open(till, "王小明", "set_password")
    code = await page.code()
    refusals = await asyncio.gather(*(_refusal(page.use(code=code, new=PASSWORD)) for _ in range(4)))
    assert sorted(refusals) == ["", "ticket_over", "ticket_over", "ticket_over"]
    assert [notice.kind for notice in await till.collect()] == ["credential_changed"]


async def test_one_code_of_the_app_for_two_pages_at_once(till) -> None:
    """Two pages, one half minute, one code: it proves one of them."""
    app, _ = await set_up_app(till, "王小明")
    first = await Page.open(till, "王小明", "new_recovery_codes")
    second = await Page.open(till, "王小明", "remove_authenticator")
    await till.collect()
    attempts = [page.use(second=app.code()) for page in (first, second)]
    assert sorted(await asyncio.gather(*map(_refusal, attempts)))[0] == ""
    assert [notice.kind for notice in await till.collect()] == ["credential_changed"]


async def test_recovery_codes_are_shown_once(till) -> None:
    """Whoever sends the same answers again is shown nothing."""
    page = await Page.open(till, "王小明", "add_authenticator")
    answers = {"code": await page.code(), "app_code": App(till, (await page.view()).offer.secret_text).code()}
    assert len(await page.use(**answers)) == 10
    assert await _refusal(page.use(**answers)) == "ticket_over"


async def test_nobody_else_has_a_page(till, refused) -> None:
    """A frozen person changes nothing that guards their money, nor does somebody who does not exist."""
    with refused("wallet_frozen", city="xiamen"):
        await Page.open(till, "赵敏", "set_password")
    page = await Page.open(till, "王小明", "set_password")
    code = await page.code()
    await till.sql("UPDATE users SET status = 'frozen' WHERE id = ?", till.ids["王小明"])
    with refused("wallet_frozen", city="xiamen"):
        await page.use(code=code, new=PASSWORD)
    with refused("not_logged_in"):
        await till.wallet.ticket(10**9, "set_password", key=till.key())


async def test_codes_of_pages_are_counted(till, refused) -> None:
    """Three in ten minutes here, as for log-ins."""
    page = await Page.open(till, "王小明", "set_password")
    for _ in range(3):
        await page.code()
    with refused("too_many_codes", limit=3, retry_at=later(till, minutes=10)):
        await page.code()


async def test_nothing_secret_is_kept_or_logged(till, caplog) -> None:
    """Codes, passwords, id numbers, tokens: in no table and in no log, at the most talkative, right or wrong."""
    caplog.set_level(logging.DEBUG)
    await _identify(till)
    page = await Page.open(till, "王小明", "set_password")
    code = await page.code()
    secrets = [page.token, code, PASSWORD, "wrong-but-mine", ID_NUMBER]
    await _refusal(page.use(code=code, new="wrong-but-mine"))
    page = await Page.open(till, "王小明", "reset_password")
    await page.use(code=await page.code(), id_number=ID_NUMBER, new=PASSWORD)
    await _refusal((await Page.open(till, "王小明", "set_password")).use(password="wrong-but-mine", new=PASSWORD))
    app, codes = await set_up_app(till, "王小明", password=PASSWORD)
    secrets += [page.token, *codes]
    tables = ("users", "tickets", "challenges", "outbox", "replays", "passwords", "authenticators", "recovery_codes")
    kept = str([await till.sql(f"SELECT * FROM {table}") for table in tables]) + caplog.text
    for secret in secrets:
        assert secret not in kept
    assert app.code() not in caplog.text


async def test_old_tickets_are_removed(till) -> None:
    """A week after it was made, nothing of a page is left."""
    await Page.open(till, "王小明", "set_password")
    till.clock.advance(days=8)
    await Page.open(till, "王小明", "set_password")
    await till.wallet.tidy()
    assert await till.sql("SELECT COUNT(*) FROM tickets") == [(1,)]
