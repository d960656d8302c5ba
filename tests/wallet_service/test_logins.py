"""Logging in by a code, opening wallets, and what is never said about a phone."""

from __future__ import annotations

from datetime import timedelta

from wallet_service.context import SHANGHAI

DATABASES = ("sqlite", "postgresql")


async def test_a_known_phone_logs_in(till) -> None:
    """The code goes to the phone, the answer says who it is."""
    challenge = await till.wallet.start_login("138 0000 0001", key=till.key())
    assert challenge.phone_masked == "138****0001"
    notice = (await till.collect())[0]
    assert (notice.kind, notice.to, notice.channel) == ("login_code", "13800000001", "sms")
    login = await till.wallet.finish_login(challenge.id, notice.facts["code"], key=till.key())
    assert (login.user_id, login.name) == (till.ids["王小明"], "王小明")


async def test_a_new_phone_opens_a_wallet(till, refused) -> None:
    """Nobody at log-in, then a person of the lowest class with an empty wallet in the chosen city."""
    challenge = await till.wallet.start_login("13900000001", key=till.key())
    with refused("challenge_not_found"):
        await till.wallet.open_account(challenge.id, city="qingdao", key=till.key())
    login = await till.wallet.finish_login(challenge.id, await till.code(), key=till.key())
    assert login.user_id is None
    with refused("unknown_city", city="atlantis"):
        await till.wallet.open_account(challenge.id, city="atlantis", key=till.key())
    key = till.key()
    person = await till.wallet.open_account(challenge.id, city="qingdao", key=key)
    assert (person.level, person.status, person.name, person.cities) == (4, "active", "", ("qingdao",))
    assert (await till.wallet.balance(person.id)).available == 0
    assert await till.wallet.open_account(challenge.id, city="qingdao", key=key) == person
    with refused("challenge_not_found"):
        await till.wallet.open_account(challenge.id, city="qingdao", key=till.key())


async def test_a_wallet_in_another_city(till, refused) -> None:
    """One wallet a city; the first stays the default."""
    person = await till.newcomer("13900000001")
    wider = await till.wallet.open_wallet(person.id, "lanzhou", key=till.key())
    assert (wider.cities, wider.default_city) == (("xiamen", "lanzhou"), "xiamen")
    with refused("already_open", city="lanzhou"):
        await till.wallet.open_wallet(person.id, "lanzhou", key=till.key())
    with refused("unknown_city", city="atlantis"):
        await till.wallet.open_wallet(person.id, "atlantis", key=till.key())
    with refused("wallet_frozen", city="xiamen"):
        await till.wallet.open_wallet(till.ids["赵敏"], "xiamen", key=till.key())


async def test_two_logins_cannot_open_one_phone_twice(till, refused) -> None:
    """Both proved the phone; the second finds it taken."""
    challenges = []
    for _ in range(2):
        challenge = await till.wallet.start_login("13900000001", key=till.key())
        await till.wallet.finish_login(challenge.id, await till.code(), key=till.key())
        challenges.append(challenge)
    await till.wallet.open_account(challenges[0].id, city="xiamen", key=till.key())
    with refused("already_open", city="xiamen"):
        await till.wallet.open_account(challenges[1].id, city="xiamen", key=till.key())


async def test_registered_or_not_looks_the_same_before_the_code(till) -> None:
    """Same answer, same notice, but for the phone itself."""
    known = await till.wallet.start_login("13800000001", key=till.key())
    stranger = await till.wallet.start_login("13900000001", key=till.key())
    assert (known.expires_at, len(known.id)) == (stranger.expires_at, len(stranger.id))
    notices = await till.collect()
    assert [set(notice.facts) for notice in notices] == [{"code", "expires_at"}] * 2
    assert {notice.user_id for notice in notices} == {None}


async def test_five_wrong_login_codes(till, refused) -> None:
    """The login is over, the right code too."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    code = await till.code()
    for left in (4, 3, 2, 1):
        with refused("wrong_code", tries_left=left):
            await till.wallet.finish_login(challenge.id, "x" + code, key=till.key())
    for typed in ("x" + code, code):
        with refused("login_locked", tries=5):
            await till.wallet.finish_login(challenge.id, typed, key=till.key())


async def test_a_login_code_expires_and_works_once(till, refused) -> None:
    """Five minutes, one use."""
    used, late = [await till.wallet.start_login("13800000001", key=till.key()) for _ in range(2)]
    notices = await till.collect()
    await till.wallet.finish_login(used.id, notices[0].facts["code"], key=till.key())
    with refused("challenge_not_found"):
        await till.wallet.finish_login(used.id, notices[0].facts["code"], key=till.key())
    till.clock.advance(minutes=5)
    with refused("code_expired", expired_at=late.expires_at.isoformat()):
        await till.wallet.finish_login(late.id, notices[1].facts["code"], key=till.key())


async def test_a_login_code_is_no_good_for_another_login(till, refused) -> None:
    """Two logins of one phone have two codes."""
    first, second = [await till.wallet.start_login("13800000001", key=till.key()) for _ in range(2)]
    codes = [notice.facts["code"] for notice in await till.collect()]
    assert codes[0] != codes[1]
    with refused("wrong_code", tries_left=4):
        await till.wallet.finish_login(first.id, codes[1], key=till.key())
    assert (await till.wallet.finish_login(second.id, codes[1], key=till.key())).user_id == till.ids["王小明"]


async def test_codes_for_one_phone_are_counted(till, refused) -> None:
    """Three in ten minutes, five a day; the refusal says when the next may be asked; other phones don't suffer."""
    start = till.clock.now
    for _ in range(3):
        await till.wallet.start_login("13800000001", key=till.key())
        till.clock.advance(minutes=1)
    with refused("too_many_codes", limit=3, retry_at="2026-11-20T04:10:00+00:00"):
        await till.wallet.start_login("13800000001", key=till.key())
    await till.wallet.start_login("13800000002", key=till.key())
    till.clock.advance(minutes=7)
    for _ in range(2):
        await till.wallet.start_login("13800000001", key=till.key())
        till.clock.advance(minutes=30)
    tomorrow = start.astimezone(SHANGHAI).replace(day=21)
    with refused("too_many_codes", limit=5, retry_at=tomorrow.astimezone(start.tzinfo).isoformat()):
        await till.wallet.start_login("13800000001", key=till.key())


async def test_what_is_no_phone(till, refused) -> None:
    """Landlines, short numbers and text."""
    for text in ("", "12345", "059212345678", "12800000001", "李娜", "1" * 10_000):
        with refused("invalid_phone"):
            await till.wallet.start_login(text, key=till.key())


async def test_logins_are_not_guessable(till, refused) -> None:
    """A made-up or changed challenge id is nobody's login."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    for text in ("1", "", "1.", challenge.id[:-1], "2" + challenge.id[1:], "é.é", "9" * 40 + ".x"):
        with refused("challenge_not_found"):
            await till.wallet.finish_login(text, "000000", key=till.key())


async def test_the_person_behind_a_login(till, refused) -> None:
    """What people see of themselves, and nobody for an id that does not exist."""
    person = await till.wallet.person(till.ids["王小明"])
    assert (person.name, person.name_masked, person.phone_masked) == ("王小明", "*小明", "138****0001")
    assert (person.level, person.status, person.default_city) == (2, "active", "xiamen")
    assert set(person.cities) == set(till.wallet.cities)
    with refused("not_logged_in"):
        await till.wallet.person(10**9)


async def test_a_resent_login_code_replaces_the_old_one(till, refused) -> None:
    """The same login, a new code, five new minutes, even after the old code ran out; it counts against the phone's codes."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    old = await till.code()
    with refused("wrong_code", tries_left=4):
        await till.wallet.finish_login(challenge.id, "x" + old, key=till.key())
    till.clock.advance(minutes=6)
    again = await till.wallet.resend_login_code(challenge.id, key=till.key())
    assert (again.id, again.expires_at - till.clock.now) == (challenge.id, timedelta(minutes=5))
    new = await till.code()
    with refused("wrong_code", tries_left=3):
        await till.wallet.finish_login(challenge.id, old, key=till.key())
    await till.wallet.resend_login_code(challenge.id, key=till.key())
    with refused("too_many_codes", limit=3, retry_at="2026-11-20T04:10:00+00:00"):
        await till.wallet.resend_login_code(challenge.id, key=till.key())
    with refused("wrong_code", tries_left=2):
        await till.wallet.finish_login(challenge.id, new, key=till.key())
    assert (await till.wallet.finish_login(challenge.id, await till.code(), key=till.key())).name == "王小明"
    with refused("challenge_not_found"):
        await till.wallet.resend_login_code(challenge.id, key=till.key())


async def test_a_login_is_not_kept_alive_for_ever(till, refused) -> None:
    """Half an hour after its start, or after five wrong codes, no new code is sent."""
    late, locked = [await till.wallet.start_login("13800000001", key=till.key()) for _ in range(2)]
    for left in (4, 3, 2, 1):
        with refused("wrong_code", tries_left=left):
            await till.wallet.finish_login(locked.id, "no", key=till.key())
    for attempt in (
        lambda: till.wallet.finish_login(locked.id, "no", key=till.key()),
        lambda: till.wallet.resend_login_code(locked.id, key=till.key()),
    ):
        with refused("login_locked", tries=5):
            await attempt()
    till.clock.advance(minutes=30)
    with refused("challenge_not_found"):
        await till.wallet.resend_login_code(late.id, key=till.key())
