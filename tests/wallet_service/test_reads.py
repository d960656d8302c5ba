"""Looking up: payees, contacts, balances and histories, in one statement each."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from sqlalchemy import insert, update

from wallet_service import Period
from wallet_service.driver import Connection
from wallet_service.schema import contacts, users

DATABASES = ("sqlite", "postgresql")


async def test_a_contact_is_found_by_name(till) -> None:
    """The contact's wallet in the payer's city, masked."""
    found = await till.wallet.find_payees(till.ids["王小明"], " 李娜 ", city="qingdao")
    assert [(match.wallet_id, match.city, match.known) for match in found] == [
        (await till.number("李娜", "qingdao"), "qingdao", True)
    ]
    assert (found[0].name_masked, found[0].phone_masked) == ("*娜", "138****0002")


@pytest.mark.parametrize("text", ["赵敏", "", "李", "%", "_娜", "x" * 10_000, "李娜' OR '1'='1"])
async def test_names_are_found_among_contacts_only(till, text) -> None:
    """A stranger's name, a part of a name and a pattern find nobody."""
    assert await till.wallet.find_payees(till.ids["王小明"], text, city="xiamen") == ()


async def test_two_contacts_of_one_name_are_two_matches(till) -> None:
    """The caller must ask which."""
    twin = await till.newcomer("13900000077")
    await till.write(update(users).where(users.c.id == twin.id).values(name="李娜"))
    await till.write(insert(contacts).values(owner_id=till.ids["王小明"], user_id=twin.id, name="李娜"))
    found = await till.wallet.find_payees(till.ids["王小明"], "李娜", city="xiamen")
    assert {match.phone_masked for match in found} == {"138****0002", "139****0077"}


async def test_a_contact_is_found_by_either_name(till) -> None:
    """By the name it was kept under and by the full one, which is not told: only the name that the person gave is."""
    mine = (contacts.c.owner_id == till.ids["王小明"]) & (contacts.c.user_id == till.ids["李娜"])
    await till.write(update(contacts).where(mine).values(name="娜姐"))
    for text in ("娜姐", "李娜"):
        assert len(await till.wallet.find_payees(till.ids["王小明"], text, city="xiamen")) == 1
    assert await till.wallet.contact_names(till.ids["王小明"]) == ("娜姐", "张三丰")


async def test_a_phone_leads_to_the_wallet_of_the_payers_city_else_the_default_one(till) -> None:
    """A person without a wallet in the payer's city is paid into their own default one."""
    stranger = await till.newcomer("13900000077", city="shanxi")
    await till.wallet.open_wallet(stranger.id, "lanzhou", key=till.key())
    for city, chosen in (("lanzhou", "lanzhou"), ("xiamen", "shanxi")):
        found = await till.wallet.find_payees(till.ids["王小明"], "139 0000 0077", city=city)
        assert [(match.city, match.known) for match in found] == [(chosen, False)]
    assert await till.wallet.find_payees(till.ids["王小明"], "13911112222", city="xiamen") == ()


async def test_a_wallet_number_means_exactly_that_wallet(till) -> None:
    """Whatever the payer's city; one wrong digit finds nothing."""
    number = await till.number("李娜", "lanzhou")
    found = await till.wallet.find_payees(till.ids["王小明"], f"{number[:4]} {number[4:]}", city="xiamen")
    assert [(match.wallet_id, match.city, match.known) for match in found] == [(number, "lanzhou", True)]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert await till.wallet.find_payees(till.ids["王小明"], wrong, city="xiamen") == ()


async def test_a_period_is_days_in_shanghai(till) -> None:
    """From midnight to midnight there, the end exclusive."""
    till.clock.now = datetime(2026, 11, 20, 15, 59, 59, tzinfo=UTC)
    await till.transfer("王小明", "李娜", 1)
    till.clock.now = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
    await till.transfer("王小明", "李娜", 2)
    for day, amounts in ((20, [-1]), (21, [-2])):
        period = Period(date(2026, 11, day), date(2026, 11, day + 1))
        assert [item.amount for item in await till.wallet.history(till.ids["王小明"], period)] == amounts


async def test_a_history_is_walked_page_by_page(till) -> None:
    """Every movement once, newest first, each telling the balance after it."""
    seen, before = [], None
    while page := await till.wallet.history(till.ids["王小明"], limit=7, before=before):
        seen += page
        before = page[-1].id
    assert len(seen) == len({item.id for item in seen}) > 40
    assert [item.id for item in seen] == sorted((item.id for item in seen), reverse=True)
    assert seen[0].balance_after == 500_000
    for newer, older in pairwise(seen):
        assert newer.balance_after == older.balance_after + newer.amount
    assert seen[-1].balance_after == seen[-1].amount
    assert {item.kind for item in seen} == {"top_up", "pay", "bill", "transfer", "withdraw"}
    assert len(await till.wallet.history(till.ids["王小明"], limit=10**9)) == len(seen)
    assert await till.wallet.history(till.ids["王小明"], before=-5) == ()


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
async def test_each_read_is_one_trip_to_the_database(till, monkeypatch) -> None:
    """No BEGIN, no COMMIT, no second SELECT, no extra hop for a cursor: the budget of a chat turn depends on it."""
    actor = till.ids["王小明"]
    reads = {
        "balance": lambda: till.wallet.balance(actor),
        "contact_names": lambda: till.wallet.contact_names(actor),
        "person": lambda: till.wallet.person(actor),
        "history": lambda: till.wallet.history(actor),
        "find_payees": lambda: till.wallet.find_payees(actor, "李娜", city="xiamen"),
        "claim_notices": till.wallet.claim_notices,
    }
    await till.wallet._sealer.stop()
    for read in reads.values():
        await read()
    trips: list[object] = []
    through, own = Connection._execute, asyncio.current_task()

    async def counted(self, function, *arguments, **options):
        if asyncio.current_task() is own:  # what the wallet's own tasks look at is not counted among these
            trips.append(function)
        return await through(self, function, *arguments, **options)

    monkeypatch.setattr(Connection, "_execute", counted)
    for name, read in reads.items():
        trips.clear()
        await read()
        assert len(trips) == 1, name


async def test_a_given_name_finds_its_contact(till) -> None:
    """A contact is found by the given name alone; one character, and signs that a database would expand, find nobody."""
    found = await till.wallet.find_payees(till.ids["王小明"], "三丰", city="xiamen")
    assert [match.phone_masked for match in found] == ["138****0005"]
    for text in ("丰", "%%", "__", "张三"):
        assert await till.wallet.find_payees(till.ids["王小明"], text, city="xiamen") == ()


async def test_nobody_is_found_from_a_city_that_is_none(till, refused) -> None:
    """As with every other question about a city."""
    with refused("unknown_city", city="nowhere"):
        await till.wallet.find_payees(till.ids["王小明"], "李娜", city="nowhere")
