"""Changes proven by a code: what the code is good for, when it is dead, and how guessing ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.wallet_service.pages import PASSWORD, Page
from wallet_service import Change, WalletError
from wallet_service.changes import PURPOSES, spend_proof

DATABASES = ("sqlite", "postgresql")


async def _start(till, name: str = "王小明", purpose: str = "unfreeze", **options: str) -> tuple[Change, str]:
    """Begin a change; give it with the code that was sent."""
    change = await till.wallet.start_change(till.ids[name], purpose, key=till.key(), **options)
    return change, await till.code()


async def _spend(till, change: Change, name: str = "王小明", purpose: str = "unfreeze") -> str:
    """Spend a proof as whoever makes the change does."""
    async with till.wallet.database.write() as connection:
        return await spend_proof(till.wallet.context, connection, till.ids[name], purpose, change.id)


async def test_a_change_is_proven_once(till, refused) -> None:
    """The code goes to the person's phone with what it is for; its proof is good for one change."""
    change = await till.wallet.start_change(till.ids["王小明"], "unfreeze", key=till.key())
    (notice,) = await till.collect()
    assert (notice.kind, notice.to, notice.facts["purpose"]) == ("change_code", "13800000001", "unfreeze")
    assert (change.phone_masked, change.expires_at) == ("138****0001", till.clock.now + timedelta(minutes=5))
    key = till.key()
    for _ in range(2):  # the second is the same message once more
        await till.wallet.prove_change(till.ids["王小明"], change.id, notice.facts["code"], key=key)
    assert await _spend(till, change) == "13800000001"
    with refused("change_not_found"):
        await _spend(till, change)
    with refused("change_not_found"):
        await till.wallet.prove_change(till.ids["王小明"], change.id, notice.facts["code"], key=till.key())


async def test_a_new_phone_is_proven_on_itself(till, refused) -> None:
    """The code goes to the number that is to be proven, and the proof tells which that was."""
    change = await till.wallet.start_phone_change(till.ids["王小明"], "139 0000 0009", key=till.key())
    code = await till.code()
    assert till.notices[-1].to == "13900000009"
    await till.wallet.prove_change(till.ids["王小明"], change.id, code, key=till.key())
    assert await _spend(till, change, purpose="new_phone") == "13900000009"
    with refused("invalid_phone"):
        await till.wallet.start_phone_change(till.ids["王小明"], "12345", key=till.key())


async def test_no_other_phone_proves_the_person(till, refused) -> None:
    """Whatever is to be changed, its code goes to the person's own phone, whoever asks."""
    user = till.ids["王小明"]
    for purpose in PURPOSES:
        if purpose in ("new_phone", "email"):
            with refused("invalid_argument", argument="purpose"):
                await till.wallet.start_change(user, purpose, key=till.key())
        else:
            with pytest.raises(TypeError):
                await till.wallet.start_change(user, purpose, key=till.key(), phone="13700000001")
            await till.wallet.start_change(user, purpose, key=till.key())
            assert [notice.to for notice in await till.collect()] == ["13800000001"]
            till.clock.advance(days=1)


async def test_a_phone_that_was_given_up_proves_nothing_more(till, refused) -> None:
    """Neither a code that went to it nor a proof from before is good once the account has moved to another phone."""
    proven, code = await _start(till, purpose="close")
    await till.wallet.prove_change(till.ids["王小明"], proven.id, code, key=till.key())
    waiting, code = await _start(till)
    page = await Page.open(till, "王小明", "set_password")
    await till.sql("DELETE FROM outbox")
    typed = await page.code()
    other = till.wallet.context.vault.index("phone", "13900000009")
    await till.sql("UPDATE users SET phone_index = ? WHERE id = ?", other, till.ids["王小明"])
    with refused("change_not_found"):
        await _spend(till, proven, purpose="close")
    with refused("change_not_found"):
        await till.wallet.prove_change(till.ids["王小明"], waiting.id, code, key=till.key())
    with refused("change_not_found"):
        await page.use(code=typed, new=PASSWORD)


async def test_a_proof_is_for_one_person_and_one_purpose(till, refused) -> None:
    """Neither somebody else nor another change gets anything from it; unproven, it is worth nothing."""
    change, code = await _start(till)
    with refused("change_not_found"):
        await till.wallet.prove_change(till.ids["李娜"], change.id, code, key=till.key())
    with refused("change_not_found"):
        await _spend(till, change)
    await till.wallet.prove_change(till.ids["王小明"], change.id, code, key=till.key())
    for name, purpose in (("李娜", "unfreeze"), ("王小明", "close")):
        with refused("change_not_found"):
            await _spend(till, change, name, purpose)
    till.clock.advance(minutes=15)
    with refused("change_not_found"):
        await _spend(till, change)


async def test_begun_anew_the_old_code_is_dead(till, refused) -> None:
    """Only the newest code of a change counts; one that had time enough is told so."""
    old, first = await _start(till)
    new, second = await _start(till)
    assert first != second
    with refused("change_not_found"):
        await till.wallet.prove_change(till.ids["王小明"], old.id, first, key=till.key())
    with refused("wrong_code", tries_left=4):
        await till.wallet.prove_change(till.ids["王小明"], new.id, first, key=till.key())
    till.clock.advance(minutes=5)
    with refused("code_expired", expired_at=new.expires_at.isoformat()):
        await till.wallet.prove_change(till.ids["王小明"], new.id, second, key=till.key())


async def test_guessing_ends(till, refused) -> None:
    """Five wrong codes end a change, ten lock everything that the person confirms; the right code no longer helps."""
    user = till.ids["王小明"]
    change, _ = await _start(till)
    for left in (4, 3, 2, 1):
        with refused("wrong_code", tries_left=left):
            await till.wallet.prove_change(user, change.id, "no", key=till.key())
    with refused("change_locked", tries=5):
        await till.wallet.prove_change(user, change.id, "no", key=till.key())
    change, code = await _start(till)
    for _ in range(4):
        with pytest.raises(WalletError):
            await till.wallet.prove_change(user, change.id, "no", key=till.key())
    until = (till.clock.now + timedelta(minutes=5)).isoformat()
    with refused("payments_locked", retry_at=until):
        await till.wallet.prove_change(user, change.id, "no", key=till.key())
    with refused("payments_locked", retry_at=until):
        await till.wallet.prove_change(user, change.id, code, key=till.key())
    with refused("payments_locked", retry_at=until):
        await _start(till)
    with refused("payments_locked", retry_at=until):
        await till.propose("王小明", "李娜", 100)


async def test_a_right_code_starts_the_count_anew(till, refused) -> None:
    """Four wrong ones and a right one leave no trace on the next payment."""
    change, code = await _start(till)
    for _ in range(4):
        with pytest.raises(WalletError):
            await till.wallet.prove_change(till.ids["王小明"], change.id, "no", key=till.key())
    await till.wallet.prove_change(till.ids["王小明"], change.id, code, key=till.key())
    assert (await till.propose("王小明", "李娜", 100)).tries_left == 5


async def test_two_at_once_spend_one_proof_once(till) -> None:
    """Of two changes that race for a proof one is made."""
    change, code = await _start(till)
    await till.wallet.prove_change(till.ids["王小明"], change.id, code, key=till.key())
    results = await asyncio.gather(*(_spend(till, change) for _ in range(4)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ChangeNotFound"] * 3 + ["str"]


async def test_codes_of_changes_count_for_their_phone(till, refused) -> None:
    """Three in ten minutes here, log-ins included: nobody's phone is flooded."""
    await till.wallet.start_login("13800000001", key=till.key())
    for _ in range(2):
        await _start(till)
    with refused("too_many_codes", limit=3, retry_at=(till.clock.now + timedelta(minutes=10)).isoformat()):
        await _start(till)


async def test_a_late_notice_is_void(till) -> None:
    """A code that another one has replaced, or whose change is over, is not sent any more."""
    for _ in range(2):
        await till.wallet.start_change(till.ids["王小明"], "close", key=till.key())
    assert len(await till.collect()) == 1
    await till.wallet.start_change(till.ids["李娜"], "close", key=till.key())
    till.clock.advance(minutes=5)
    assert await till.collect() == []


async def test_nobody_changes_what_is_no_change(till, refused) -> None:
    """A purpose that does not exist is a mistake of the program; ids that nobody was given are nobody's."""
    with refused("invalid_argument", argument="purpose"):
        await till.wallet.start_change(till.ids["王小明"], "dance", key=till.key())
    assert all(len(purpose) <= 16 for purpose in PURPOSES)
    for text in ("", "1", "1.", "é.é", "9" * 40 + ".x", "1.00000000000000000000"):
        with refused("change_not_found"):
            await till.wallet.prove_change(till.ids["王小明"], text, "000000", key=till.key())
    with refused("not_logged_in"):
        await till.wallet.start_change(10**9, "close", key=till.key())
