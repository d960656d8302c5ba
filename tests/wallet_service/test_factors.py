"""The authenticator and its recovery codes: the published vectors, each code once, and who wins when two come at once."""

from __future__ import annotations

import asyncio
import base64
import csv
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.wallet_service.pages import App, Page, set_up_app
from wallet_service import WalletError
from wallet_service.factors import STEP, find_second, find_step, spend_second
from wallet_service.keys import hotp

DATABASES = ("sqlite", "postgresql")
VECTORS = Path(__file__).parents[3] / "shared" / "eval" / "otp_vectors.tsv"
RFC_SECRET = b"12345678901234567890"


def test_the_codes_of_rfc_4226() -> None:
    """Appendix D."""
    codes = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489"
    assert " ".join(hotp(RFC_SECRET, counter) for counter in range(10)) == codes


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_codes_of_rfc_6238(seconds, code) -> None:
    """Appendix B for SHA-1; ours are the last six of its eight digits."""
    secret, moment = base64.b32encode(RFC_SECRET).decode(), datetime.fromtimestamp(seconds, UTC)
    assert find_step(secret, code[2:], moment, after=seconds // STEP - 1) == seconds // STEP
    assert find_step(secret, code[2:], moment, after=seconds // STEP) is None


def test_the_vectors_that_everybody_is_measured_by() -> None:
    """The shared file, where it is there: every HOTP row, and every TOTP row of the algorithm that apps use."""
    if not VECTORS.exists():
        pytest.skip("the shared vectors are not on this machine")
    with VECTORS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) > 10
    for row in rows:
        key, moving = row["secret_ascii"].encode(), int(row["counter_or_unixtime"])
        if row["hash"] == "SHA1":
            assert hotp(key, moving if row["type"] == "HOTP" else moving // STEP) == row["code"][-6:]


async def _take(till, name: str, typed: str) -> bool:
    """Find and spend a second factor in one transaction, as whoever needs one does."""
    async with till.wallet.database.write() as connection:
        context, user_id, now = till.wallet.context, till.ids[name], till.wallet.context.now()
        second = await find_second(context, connection, user_id, typed, now)
        return second is not None and await spend_second(connection, user_id, second, now)


async def test_setting_one_up(till) -> None:
    """The page shows a secret as a QR code's address; a code of it and one by SMS make it count; everybody is told."""
    page = await Page.open(till, "王小明", "add_authenticator")
    view = await page.view()
    assert view.asks == ("code", "app_code")
    assert (await page.view()).offer == view.offer  # looking again shows the same secret
    address = urlsplit(view.offer.uri)
    secret = view.offer.secret_text.replace(" ", "")
    assert (address.scheme, address.netloc, parse_qs(address.query)["secret"]) == ("otpauth", "totp", [secret])
    assert parse_qs(address.query)["issuer"] == ["Zhanggui"]
    assert len(base64.b32decode(secret)) == 20
    assert secret not in repr(view)
    assert await till.wallet.second_factors(till.ids["王小明"]) == frozenset()
    codes = await page.use(code=await page.code(), app_code=App(till, secret).code())
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){2}[0-9A-HJKMNP-TV-Z]{4}", code) for code in codes)
    assert await till.wallet.second_factors(till.ids["王小明"]) == {"authenticator"}
    told = [notice for notice in await till.wallet.claim_notices() if notice.kind == "credential_changed"]
    assert {notice.channel for notice in told} == {"sms", "doors"}
    assert all(notice.facts["what"] == "authenticator_added" for notice in told)


async def test_an_app_that_shows_something_else_is_told_so(till, refused) -> None:
    """A wrong code of the new app costs no try, and nothing is used up: the same SMS code is good for the next attempt."""
    page = await Page.open(till, "王小明", "add_authenticator")
    app, code = App(till, (await page.view()).offer.secret_text), await page.code()
    with refused("wrong_app_code"):
        await page.use(code=code, app_code=app.code(steps=5))
    with refused("wrong_app_code"):
        await page.use(code=code, app_code="")
    assert (await page.view()).tries_left == 5
    assert len(await page.use(code=code, app_code=app.code())) == 10


async def test_a_code_is_good_in_its_step_and_beside_it(till) -> None:
    """Half a minute early or late is borne, more is not, in any spelling that people type."""
    app, _ = await set_up_app(till, "王小明")
    for steps, good in ((-2, False), (2, False), (-1, True), (0, True), (1, True)):
        assert await _take(till, "王小明", app.code(steps)) is good, steps
    till.clock.advance(minutes=5)
    wide = app.code().translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    assert await _take(till, "王小明", f" {wide[:3]} {wide[3:]} ")


async def test_no_step_is_taken_twice_or_backwards(till) -> None:
    """A code that was used, and every one before it, is dead, in its own half minute too and after the clock was set back."""
    app, _ = await set_up_app(till, "王小明")
    now, before = app.code(), app.code(-1)
    assert await _take(till, "王小明", now)
    assert not await _take(till, "王小明", now)
    assert not await _take(till, "王小明", before)
    till.clock.advance(minutes=-5)
    assert not await _take(till, "王小明", app.code())
    till.clock.advance(minutes=5, seconds=30)
    assert await _take(till, "王小明", app.code())


async def test_the_code_of_setting_up_is_used(till) -> None:
    """What proved the new app proves no payment in the same half minute."""
    page = await Page.open(till, "王小明", "add_authenticator")
    app = App(till, (await page.view()).offer.secret_text)
    await page.use(code=await page.code(), app_code=app.code())
    assert not await _take(till, "王小明", app.code())


@pytest.mark.parametrize("which", ["app", "recovery"])
async def test_of_two_at_once_one_wins(till, which) -> None:
    """The same code in eight transactions at a time is taken once."""
    app, codes = await set_up_app(till, "王小明")
    typed = app.code() if which == "app" else codes[3]
    assert sorted(await asyncio.gather(*(_take(till, "王小明", typed) for _ in range(8)))) == [False] * 7 + [True]


async def test_a_recovery_code_is_good_once_however_it_is_typed(till) -> None:
    """Lower case, other groups, full width, an O for a zero: the same code; used, it is dead; others go on."""
    _, codes = await set_up_app(till, "王小明")
    spellings = [
        codes[0].lower(),
        codes[1].replace("-", ""),
        codes[2].replace("-", " "),
        "".join(chr(ord(character) + 0xFEE0) for character in codes[3]),
        codes[4].replace("0", "O").replace("1", "l"),
    ]
    for typed in spellings:
        assert await _take(till, "王小明", typed), typed
        assert not await _take(till, "王小明", typed), typed
    assert not await _take(till, "李娜", codes[5])
    assert await _take(till, "王小明", codes[5])


async def test_an_offer_that_was_not_taken_up_counts_for_nothing(till) -> None:
    """A pending secret is no factor, and its codes prove nothing."""
    page = await Page.open(till, "王小明", "add_authenticator")
    app = App(till, (await page.view()).offer.secret_text)
    assert not await _take(till, "王小明", app.code())
    assert await till.wallet.second_factors(till.ids["王小明"]) == frozenset()


async def test_a_new_page_has_a_new_secret(till) -> None:
    """Whoever saw an older page's secret has nothing of the new one."""
    first = (await (await Page.open(till, "王小明", "add_authenticator")).view()).offer
    till.clock.advance(seconds=1)
    assert (await (await Page.open(till, "王小明", "add_authenticator")).view()).offer != first


async def test_new_recovery_codes_replace_the_old(till, refused) -> None:
    """The present factor makes ten others; the old ones are dead, and the person is told."""
    app, old = await set_up_app(till, "王小明")
    page = await Page.open(till, "王小明", "new_recovery_codes")
    with refused("wrong_proof", tries_left=4):
        await page.use(second="000000")
    new = await page.use(second=app.code())
    assert len(set(new) - set(old)) == 10
    assert not await _take(till, "王小明", old[0])
    assert await _take(till, "王小明", new[0])
    assert (await till.collect())[-1].facts["what"] == "recovery_codes_renewed"


async def test_removing_it_needs_it(till, refused) -> None:
    """A recovery code does, for whoever has lost the phone; afterwards there is none, and no code is worth anything."""
    app, codes = await set_up_app(till, "王小明")
    page = await Page.open(till, "王小明", "remove_authenticator")
    with refused("wrong_proof", tries_left=4):
        await page.use(second="WRNG-WRNG-WRNG")
    assert await page.use(second=codes[0]) == ()
    assert await till.wallet.second_factors(till.ids["王小明"]) == frozenset()
    assert not await _take(till, "王小明", app.next())
    assert not await _take(till, "王小明", codes[1])
    assert (await till.collect())[-1].facts["what"] == "authenticator_removed"
    for purpose in ("remove_authenticator", "new_recovery_codes"):
        with refused("no_authenticator"):
            await Page.open(till, "王小明", purpose)
    assert (await set_up_app(till, "王小明"))[1]


async def test_there_is_one_at_a_time(till, refused) -> None:
    """Nobody adds a second authenticator beside the first."""
    page = await Page.open(till, "王小明", "add_authenticator")
    await set_up_app(till, "王小明")
    with refused("authenticator_there"):
        await Page.open(till, "王小明", "add_authenticator")
    with pytest.raises(WalletError):
        await page.view()


async def test_only_keyed_hashes_are_kept(till) -> None:
    """Neither the secret nor a recovery code stands anywhere in the tables in clear."""
    app, codes = await set_up_app(till, "王小明")
    secret = base64.b32encode(app.key).decode()
    kept = []
    for table in ("authenticators", "recovery_codes", "replays", "outbox", "tickets", "challenges"):
        kept += [str(value) for row in await till.sql(f"SELECT * FROM {table}") for value in row]
    text = "\n".join(kept)
    for hidden in (secret, *codes, *(code.replace("-", "") for code in codes)):
        assert hidden not in text
