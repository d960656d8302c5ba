"""Freezing, identity, a new phone, a mailbox: what proves them, what they stop, and who is told."""

from __future__ import annotations

import base64
import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from sqlalchemy import insert, select

from tests.wallet_service.conftest import SECRET, Till
from tests.wallet_service.pages import PASSWORD, Page, set_password, set_up_app
from wallet_service import LoginLimit, Wallet, WalletError
from wallet_service.context import CodeLimit
from wallet_service.resident_ids import is_id_number, plain_id_number
from wallet_service.schema import account_events, authenticators, users

DATABASES = ("sqlite", "postgresql")
VECTORS = Path(__file__).parents[3] / "shared" / "eval" / "id_luhn_vectors.tsv"
WANG, LI = "11010519491231002X", "53010219200508011X"


async def proven(till: Till, challenge: Any, user_id: int) -> str:
    """Prove a change with the code that was sent for it."""
    await till.wallet.prove_change(user_id, challenge.id, await till.code(), key=till.key())
    return str(challenge.id)


async def told(till: Till) -> list[tuple[str, str, str]]:
    """Give the kind, way and address of what was told since the last look."""
    return [(notice.kind, notice.channel, notice.to) for notice in await till.collect_all()]


async def happened(till: Till, name: str) -> list[tuple[str, str, Any]]:
    """Give what is on record of somebody's account."""
    wanted = select(account_events).where(account_events.c.user_id == till.ids[name]).order_by(account_events.c.id)
    async with till.wallet.database.read() as connection:
        return [(row.kind, row.by, row.facts) for row in await connection.execute(wanted)]


async def test_a_freeze_stops_what_is_proposed_and_nothing_else(till, refused) -> None:
    """At once, without a code: open proposals are cancelled, posted orders stay, no money goes either way."""
    wang = till.ids["王小明"]
    posted = await till.transfer("王小明", "李娜", 100)
    order = await till.propose("王小明", "李娜", 200)
    code = await till.code(order)
    person = await till.wallet.freeze(wang, key=till.key())
    assert (person.status, person.frozen_by) == ("frozen", "owner")
    assert (await till.wallet.order(order.id, actor=wang)).status == "cancelled"
    assert (await till.wallet.order(posted.id, actor=wang)).status == "posted"
    with refused("order_not_open", status="cancelled"):
        await till.authorize("王小明", order, code)
    with refused("wallet_frozen", city="xiamen"):
        await till.propose("王小明", "李娜", 100)
    with refused("payee_unavailable"):
        await till.propose("李娜", "王小明", 100)
    assert await told(till) == [("wallet_frozen", "sms", "13800000001"), ("wallet_frozen", "doors", "")]
    assert await happened(till, "王小明") == [("wallet_frozen", "owner", {})]
    assert (await till.wallet.verify()).ok


async def test_a_freeze_is_told_once(till) -> None:
    """Freezing what is frozen changes nothing; a stronger hand takes it over, a weaker one does not."""
    wang = till.ids["王小明"]
    for by, holds in (("risk", "risk"), ("owner", "risk"), ("agent", "agent"), ("risk", "agent")):
        assert (await till.wallet.freeze(wang, key=till.key(), by=by)).frozen_by == holds
    assert [by for _, by, _ in await happened(till, "王小明")] == ["risk", "agent"]


async def test_the_owner_lifts_their_own_freeze_with_a_code(till, refused) -> None:
    """A code to the phone; a wrong one costs a try, and the proof is good once."""
    wang = till.ids["王小明"]
    with refused("not_frozen", status="active"):
        await till.wallet.start_unfreeze(wang, key=till.key())
    await till.wallet.freeze(wang, key=till.key())
    challenge = await till.wallet.start_unfreeze(wang, key=till.key())
    assert challenge.phone_masked == "138****0001"
    with refused("change_not_found"):
        await till.wallet.unfreeze(wang, challenge.id, key=till.key())
    with refused("wrong_code", tries_left=4):
        await till.wallet.prove_change(wang, challenge.id, "000000", key=till.key())
    await proven(till, challenge, wang)
    person = await till.wallet.unfreeze(wang, challenge.id, key=till.key())
    assert (person.status, person.frozen_by) == ("active", "")
    await till.transfer("王小明", "李娜", 100)
    await till.wallet.freeze(wang, key=till.key())
    with refused("change_not_found"):
        await till.wallet.unfreeze(wang, challenge.id, key=till.key())


async def test_a_payment_password_lifts_a_freeze_on_its_page(till, refused) -> None:
    """The phone alone does not, and no chat takes the password; the page asks for both and counts what is wrong."""
    wang = till.ids["王小明"]
    await set_password(till, "王小明")
    with refused("not_frozen", status="active"):
        await Page.open(till, "王小明", "unfreeze")
    await till.wallet.freeze(wang, key=till.key())
    challenge = await till.wallet.start_unfreeze(wang, key=till.key())
    await proven(till, challenge, wang)
    with refused("second_proof_needed", ways=["password"]):
        await till.wallet.unfreeze(wang, challenge.id, key=till.key(), second=PASSWORD)
    page = await Page.open(till, "王小明", "unfreeze")
    assert (await page.view()).asks == ("code", "password")
    code = await page.code()
    for wrong in ({"code": code}, {"code": code, "password": "000000"}, {"code": "000000", "password": PASSWORD}):
        with pytest.raises(WalletError):
            await page.use(**wrong)
    assert (await till.wallet.person(wang)).status == "frozen"
    await page.use(code=code, password=PASSWORD)
    assert (await till.wallet.person(wang)).status == "active"
    assert (await happened(till, "王小明"))[-1] == ("wallet_unfrozen", "owner", {})
    with refused("ticket_over"):
        await page.use(code=code, password=PASSWORD)


async def test_the_page_lifts_no_freeze_of_the_house(till, refused) -> None:
    """Nor does one that was opened before the house froze too; whoever has an authenticator is asked for that."""
    wang = till.ids["王小明"]
    app, _ = await set_up_app(till, "王小明")
    await till.wallet.freeze(wang, key=till.key())
    page = await Page.open(till, "王小明", "unfreeze")
    assert (await page.view()).asks == ("code", "second")
    code = await page.code()
    await till.wallet.freeze(wang, key=till.key(), by="risk")
    with refused("freeze_needs_person", by="risk"):
        await page.use(code=code, second=app.next())
    with refused("freeze_needs_person", by="risk"):
        await Page.open(till, "王小明", "unfreeze")


@pytest.mark.parametrize("by", ["risk", "agent"])
async def test_the_owner_does_not_lift_the_houses_freeze(till, refused, by) -> None:
    """Not even with a code from before; an agent, named, can."""
    wang = till.ids["王小明"]
    await till.wallet.freeze(wang, key=till.key())
    challenge = await till.wallet.start_unfreeze(wang, key=till.key())
    await proven(till, challenge, wang)
    await till.wallet.freeze(wang, key=till.key(), by=by)
    with refused("freeze_needs_person", by=by):
        await till.wallet.start_unfreeze(wang, key=till.key())
    with refused("freeze_needs_person", by=by):
        await till.wallet.unfreeze(wang, challenge.id, key=till.key())
    assert (await till.wallet.lift_freeze(wang, agent="小周", key=till.key())).status == "active"
    assert (await happened(till, "王小明"))[-1] == ("wallet_unfrozen", "小周", {})


async def test_a_proof_is_for_one_change(till, refused) -> None:
    """One for another purpose lifts no freeze."""
    wang = till.ids["王小明"]
    await till.wallet.freeze(wang, key=till.key())
    other = await till.wallet.start_change(wang, "old_phone", key=till.key())
    await proven(till, other, wang)
    with refused("change_not_found"):
        await till.wallet.unfreeze(wang, other.id, key=till.key())


async def test_a_mailboxs_code_is_no_phones(till, refused) -> None:
    """What is proven by mail cannot be asked for by SMS."""
    with refused("invalid_argument", argument="purpose"):
        await till.wallet.start_change(till.ids["王小明"], "email", key=till.key())


async def test_change_codes_count_with_the_other_codes_of_a_phone(till, refused) -> None:
    """Three in ten minutes in these tests, whatever they are for."""
    wang = till.ids["王小明"]
    for _ in range(2):
        await till.wallet.start_change(wang, "old_phone", key=till.key())
    await till.wallet.start_login("13800000001", key=till.key())
    retry_at = (till.clock.now + timedelta(minutes=10)).isoformat()
    with refused("too_many_codes", limit=3, retry_at=retry_at):
        await till.wallet.start_change(wang, "old_phone", key=till.key())


async def test_identity_raises_the_level(till, refused) -> None:
    """Name and number are kept sealed, one identity opens one account, and a later level is for the same person."""
    chen, li = till.ids["陈建国"], till.ids["李娜"]
    with refused("invalid_id_number"):
        await till.wallet.raise_level(chen, 3, name="陈建国", id_number="110105194912310021", key=till.key(), by="ocr")
    with refused("invalid_name"):
        await till.wallet.raise_level(chen, 3, name="陈", id_number=WANG, key=till.key(), by="ocr")
    person = await till.wallet.raise_level(
        chen, 3, name=" 陈建国 ", id_number="１１０１０５ 19491231 002x", key=till.key(), by="ocr"
    )
    assert (person.level, person.name_masked) == (3, "*建国")
    assert await happened(till, "陈建国") == [("level_raised", "ocr", {"level": 3})]
    with refused("level_not_raised", level=3):
        await till.wallet.raise_level(chen, 3, name="陈建国", id_number=WANG, key=till.key(), by="ocr")
    with refused("identity_differs"):
        await till.wallet.raise_level(chen, 2, name="陈建国", id_number=LI, key=till.key(), by="counter")
    with refused("id_in_use"):
        await till.wallet.raise_level(li, 2, name="李娜", id_number=WANG, key=till.key(), by="ocr")
    assert (await till.wallet.raise_level(chen, 1, name="陈建国", id_number=WANG, key=till.key(), by="counter")).level == 1
    (row,) = await till.sql("SELECT id_number FROM users WHERE id = ?", chen)
    assert WANG.encode() not in bytes(row[0])


async def test_a_new_phone_proven_by_the_old_one(till, refused) -> None:
    """Both codes, both phones told, other doors logged out, the old number free for somebody else."""
    wang = till.ids["王小明"]
    here = await till.wallet.bind(wang, "web", "here", "", key=till.key())
    await till.wallet.bind(wang, "telegram", "there", "", key=till.key())
    with refused("invalid_phone"):
        await till.wallet.start_phone_change(wang, "123", key=till.key())
    with refused("same_phone"):
        await till.wallet.start_phone_change(wang, "13800000001", key=till.key())
    new = await till.wallet.start_phone_change(wang, "139 0000 5678", key=till.key())
    (notice,) = [notice for notice in await till.collect() if notice.kind == "change_code"]
    assert (notice.to, notice.facts["purpose"]) == ("13900005678", "new_phone")
    await till.wallet.prove_change(wang, new.id, notice.facts["code"], key=till.key())
    with refused("second_proof_needed", ways=["old_phone"]):
        await till.wallet.change_phone(wang, new.id, key=till.key())
    old = await till.wallet.start_change(wang, "old_phone", key=till.key())
    with refused("change_not_found"):
        await till.wallet.change_phone(wang, new.id, old_phone=old.id, key=till.key())
    await proven(till, old, wang)
    person = await till.wallet.change_phone(wang, new.id, old_phone=old.id, binding=here.id, key=till.key())
    assert person.phone_masked == "139****5678"
    assert [each.id for each in await till.wallet.bindings(wang)] == [here.id]
    assert set(await told(till)) == {
        ("phone_changed", "sms", "13800000001"),
        ("phone_changed", "sms", "13900005678"),
        ("phone_changed", "doors", ""),
    }
    assert (await happened(till, "王小明"))[-1] == ("phone_changed", "owner", {"proof": "old_phone"})
    login = await till.wallet.start_login("13900005678", key=till.key())
    assert (await till.wallet.finish_login(login.id, await till.code(), key=till.key())).user_id == wang
    assert (await till.newcomer("13800000001")).id != wang


async def test_a_lost_phone_is_replaced_by_the_id_number(till, refused) -> None:
    """Its wrong tries count; with an authenticator enrolled it is not enough."""
    chen = till.ids["陈建国"]
    await till.wallet.raise_level(chen, 3, name="陈建国", id_number=WANG, key=till.key(), by="ocr")
    assert await till.wallet.phone_proofs(chen) == ("old_phone", "id_number")
    new = await till.wallet.start_phone_change(chen, "13900005678", key=till.key())
    await proven(till, new, chen)
    with refused("wrong_proof", tries_left=4):
        await till.wallet.change_phone(chen, new.id, id_number=LI, key=till.key())
    row = {"user_id": chen, "secret": "x", "status": "active", "last_step": 0, "created_at": till.clock.now}
    await till.write(insert(authenticators).values(row))
    with refused("second_proof_needed", ways=["old_phone", "authenticator"]):
        await till.wallet.change_phone(chen, new.id, id_number=WANG, key=till.key())
    await till.sql("DELETE FROM authenticators")
    person = await till.wallet.change_phone(chen, new.id, id_number=WANG.lower(), key=till.key())
    assert person.phone_masked == "139****5678"
    assert (await happened(till, "陈建国"))[-1][2] == {"proof": "id_number"}


async def test_an_authenticator_is_asked_as_well(till, refused) -> None:
    """To lift a freeze, and in place of a lost phone; a code of it is good once, and wrong ones end the change."""
    wang = till.ids["王小明"]
    secret = base64.b32encode(b"twenty bytes of key!").decode()
    row = {"user_id": wang, "secret": secret, "status": "active", "last_step": 0, "created_at": till.clock.now}
    await till.write(insert(authenticators).values(row))
    await till.wallet.freeze(wang, key=till.key())
    challenge = await till.wallet.start_unfreeze(wang, key=till.key())
    await proven(till, challenge, wang)
    app = pyotp.TOTP(secret)
    with refused("second_proof_needed", ways=["authenticator"]):
        await till.wallet.unfreeze(wang, challenge.id, key=till.key())
    with refused("wrong_proof", tries_left=4):
        await till.wallet.unfreeze(wang, challenge.id, second="000000", key=till.key())
    code = app.at(till.clock.now)
    assert (await till.wallet.unfreeze(wang, challenge.id, second=code, key=till.key())).status == "active"
    assert await till.wallet.phone_proofs(wang) == ("old_phone", "authenticator")
    new = await till.wallet.start_phone_change(wang, "13900005678", key=till.key())
    await proven(till, new, wang)
    with refused("wrong_proof", tries_left=4):
        await till.wallet.change_phone(wang, new.id, authenticator=code, key=till.key())
    till.clock.advance(seconds=30)
    person = await till.wallet.change_phone(wang, new.id, authenticator=app.at(till.clock.now), key=till.key())
    assert person.phone_masked == "139****5678"
    with refused("invalid_argument", argument="authenticator"):
        await till.wallet.change_phone(wang, new.id, authenticator="1", id_number="2", key=till.key())


async def test_five_wrong_id_numbers_end_the_change(till, refused) -> None:
    """Guessing does not help, and the right one comes too late."""
    chen = till.ids["陈建国"]
    await till.wallet.raise_level(chen, 3, name="陈建国", id_number=WANG, key=till.key(), by="ocr")
    new = await till.wallet.start_phone_change(chen, "13900005678", key=till.key())
    await proven(till, new, chen)
    for left in (4, 3, 2, 1):
        with refused("wrong_proof", tries_left=left):
            await till.wallet.change_phone(chen, new.id, id_number=LI, key=till.key())
    with refused("change_locked", tries=5):
        await till.wallet.change_phone(chen, new.id, id_number=LI, key=till.key())
    with refused("change_not_found"):
        await till.wallet.change_phone(chen, new.id, id_number=WANG, key=till.key())


async def test_a_phone_of_somebody_else_is_told_only_when_proven(till, refused) -> None:
    """Until its code is proven, nobody learns that it has an account."""
    wang = till.ids["王小明"]
    new = await till.wallet.start_phone_change(wang, "13800000002", key=till.key())
    await proven(till, new, wang)
    old = await till.wallet.start_change(wang, "old_phone", key=till.key())
    await proven(till, old, wang)
    with refused("phone_in_use"):
        await till.wallet.change_phone(wang, new.id, old_phone=old.id, key=till.key())


async def test_nobody_moves_an_account_that_the_house_has_frozen(till, refused) -> None:
    """It may be in the wrong hands; the owner who froze it because of a lost phone can."""
    wang = till.ids["王小明"]
    await till.wallet.freeze(wang, key=till.key())
    await till.wallet.start_phone_change(wang, "13900005678", key=till.key())
    await till.wallet.freeze(wang, key=till.key(), by="risk")
    with refused("freeze_needs_person", by="risk"):
        await till.wallet.start_phone_change(wang, "13900005679", key=till.key())
    with refused("freeze_needs_person", by="risk"):
        await till.wallet.start_email(wang, "wang@example.com", key=till.key())


async def test_a_mailbox_is_proven_by_what_comes_to_it(till, refused) -> None:
    """Six digits by mail alone; then notices come there, and a later change is told to the old one."""
    wang = till.ids["王小明"]
    for wrong in ("", "wang", "wang@", "@example.com", "wang@localhost", "a b@example.com", "x" * 65 + "@example.com"):
        with refused("invalid_email"):
            await till.wallet.start_email(wang, wrong, key=till.key())
    challenge = await till.wallet.start_email(wang, " Wang@Example.com ", key=till.key())
    assert challenge.phone_masked == "W***@Example.com"
    assert await told(till) == [("email_code", "mail", "Wang@Example.com")]
    await proven(till, challenge, wang)
    person = await till.wallet.set_email(wang, challenge.id, key=till.key())
    assert person.email_masked == "W***@Example.com"
    assert ("email_changed", "mail", "Wang@Example.com") in await told(till)
    second = await till.wallet.start_email(wang, "new@example.com", key=till.key())
    await proven(till, second, wang)
    await till.wallet.set_email(wang, second.id, key=till.key())
    assert {to for _, way, to in await told(till) if way == "mail"} == {"Wang@Example.com", "new@example.com"}
    (row,) = await till.sql("SELECT email FROM users WHERE id = ?", wang)
    assert b"example" not in bytes(row[0])


async def test_one_door_gets_so_many_login_codes(till, refused) -> None:
    """However many phones it names; another door goes on, and all doors together have a limit too."""
    limit = LoginLimit(door=CodeLimit(2, 5), everybody=CodeLimit(4, 100))
    async with Wallet.open(till.url, secret=SECRET, clock=till.clock, login_limit=limit) as wallet:
        retry_at = (till.clock.now + timedelta(minutes=10)).isoformat()
        first = await wallet.start_login("13900000001", door="rest/a", key=till.key())
        await wallet.resend_login_code(first.id, key=till.key())
        with refused("too_many_codes", limit=2, retry_at=retry_at):
            await wallet.start_login("13900000002", door="rest/a", key=till.key())
        with refused("too_many_codes", limit=2, retry_at=retry_at):
            await wallet.resend_login_code(first.id, key=till.key())
        await wallet.start_login("13900000003", door="rest/b", key=till.key())
        await wallet.start_login("13900000004", key=till.key())
        with refused("too_many_codes", limit=4, retry_at=retry_at):
            await wallet.start_login("13900000005", door="rest/c", key=till.key())
        till.clock.advance(minutes=10)
        await wallet.start_login("13900000002", door="rest/a", key=till.key())


@pytest.mark.parametrize("table", ["account_events"])
async def test_what_happened_stays(till, table) -> None:
    """The record is append-only in the database itself."""
    await till.wallet.freeze(till.ids["王小明"], key=till.key())
    for statement in (f"UPDATE {table} SET kind = 'x'", f"DELETE FROM {table}"):
        with pytest.raises(Exception, match=r"append-only|refused"):
            await till.sql(statement)


def test_resident_id_numbers() -> None:
    """Spellings are forgiven, a birthday in the future is not."""
    today = date(2026, 11, 20)
    assert plain_id_number("１１０１０５ 1949-1231 002x") == WANG
    assert is_id_number(WANG, today)
    assert not is_id_number(WANG, date(1949, 12, 30))
    assert not any(is_id_number(text, today) for text in ("", "11010519491231002", WANG + "0", "01010519491231002X", "1" * 18))


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not on this machine")
def test_published_id_numbers() -> None:
    """The check agrees with every published vector."""
    with VECTORS.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "id18"]
    assert len(rows) >= 5
    for row in rows:
        assert is_id_number(row["value"], date(2026, 11, 20)) == (row["valid_computed"] == "True"), row["value"]


def test_users_have_no_clear_data() -> None:
    """Names of the sealed columns, so that nobody adds a clear one unseen."""
    clear = {column.name for column in users.c if type(column.type).__name__ == "String"}
    assert clear == {"status", "frozen_by", "default_city"}
