"""Small values: fen, masks, wallet numbers, codes and signatures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_service import Fen, Period, Transfer, WalletError
from wallet_service.codes import order_text, typed_code
from wallet_service.errors import ConfigurationError
from wallet_service.keys import Keys, hotp
from wallet_service.limits import Spending
from wallet_service.masks import mask_name, mask_phone
from wallet_service.numbers import is_phone, is_wallet_number, new_wallet_number, plain_digits

DATABASES = ("sqlite", "postgresql")

RFC_4226 = ("755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489")


@pytest.mark.parametrize("value", [2.0, "200", Decimal(2), None, True])
def test_only_a_whole_int_becomes_fen(value: object) -> None:
    """A float, text, Decimal or bool is refused, not rounded."""
    with pytest.raises(WalletError) as refusal:
        Fen(value)
    assert refusal.value.code == "invalid_amount"


def test_masks_hide_the_family_name_and_the_middle_of_a_phone() -> None:
    """Nobody else sees a whole name or number."""
    assert [mask_name(name) for name in ("李娜", "王小明", "李", "")] == ["*娜", "*小明", "*", ""]
    assert mask_phone("13812341234") == "138****1234"


@given(st.integers(0, 10**9 - 1), st.integers(0, 12), st.integers(1, 9))
def test_a_wallet_number_catches_every_wrong_digit(serial: int, place: int, step: int) -> None:
    """A number with one digit changed is no wallet number; neither form is a phone."""
    number = new_wallet_number("01", lambda _: serial)
    assert is_wallet_number(number)
    assert not is_phone(number)
    wrong = number[:place] + str((int(number[place]) + step) % 10) + number[place + 1 :]
    assert not is_wallet_number(wrong)


@given(st.integers(0, 10**9 - 1), st.integers(0, 11))
def test_a_wallet_number_catches_every_swap_of_neighbours(serial: int, place: int) -> None:
    """Two digits typed in the wrong order are noticed."""
    number = new_wallet_number("05", lambda _: serial)
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert swapped == number or not is_wallet_number(swapped)


@pytest.mark.parametrize(
    "text", ["138 0000 0002", "138-0000-0002", "+86 13800000002", "008613800000002", "１３８０００００００２"]
)
def test_phones_are_read_as_people_write_them(text: str) -> None:
    """Spaces, hyphens, country code and full-width digits are no mistakes."""
    assert plain_digits(text) == "13800000002"


@pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC_4226)))
def test_codes_are_rfc_4226(counter: int, code: str) -> None:
    """The published HOTP vectors come out."""
    assert hotp(b"12345678901234567890", counter) == code


def test_a_code_is_bound_to_every_field_of_its_order() -> None:
    """Changing any one field changes the text that the code's key is made from."""
    numbers = ("actor_id", "payer_id", "payee_id", "amount", "fee", "card_id", "bill_id", "refunds_id", "delay")
    fields = {**dict(zip(numbers, range(1, 10), strict=True)), "method": "balance", "nonce": b"six"}
    spelled = order_text("transfer", fields)
    for name, value in fields.items():
        other = value + 1 if isinstance(value, int) else value * 2
        assert order_text("transfer", {**fields, name: other}) != spelled
    assert order_text("payment", fields) != spelled


@pytest.mark.parametrize("text", ["008612", " 008612\n", "００８６１２", "008 612"])
def test_codes_are_read_as_people_type_them(text: str) -> None:
    """Spaces and full-width digits are forgiven, and nothing of the code is taken for a country code."""
    assert typed_code(text) == "008612"


def test_an_actor_token_is_good_for_one_person_and_one_conversation() -> None:
    """Another conversation, another id, another key and any garbage are refused."""
    keys, token = Keys(b"k" * 16), Keys(b"k" * 16).sign_actor(7, "conversation")
    assert keys.verify_actor(token, "conversation") == 7
    forged = [token.replace("7.", "8.", 1), token[:-1], "", "7", "7.", "٧.x", "9" * 30 + ".aa", token + "é"]
    for text, conversation in [(token, "other"), *((text, "conversation") for text in forged)]:
        with pytest.raises(WalletError) as refusal:
            keys.verify_actor(text, conversation)
        assert refusal.value.code == "not_logged_in"
    with pytest.raises(WalletError):
        Keys(b"x" * 16).verify_actor(token, "conversation")


def test_a_short_secret_is_refused() -> None:
    """Nothing starts with a secret that can be guessed."""
    with pytest.raises(ConfigurationError):
        Keys("short")


NO_IDS = (True, 0, -1, 2**63, 10**5000, "1", 1.0, None)
NO_TEXTS = ("\ud800", None, 5, b"x")


@pytest.mark.parametrize("value", NO_IDS, ids=lambda value: type(value).__name__)
async def test_what_is_no_id_is_nobody_and_no_order(till, value) -> None:
    """A bool, float, text, None or a number out of range is refused like any stranger, before the database sees it."""
    wallet, key = till.wallet, till.key
    number, actor = await till.number("李娜"), till.ids["王小明"]
    for work, code in (
        (wallet.person(value), "not_logged_in"),
        (wallet.balance(value), "no_wallet"),
        (wallet.history(value), "no_wallet"),
        (wallet.open_wallet(value, "lanzhou", key=key()), "not_logged_in"),
        (wallet.propose(Transfer(value, number, Fen(1)), actor=value, key=key()), "not_allowed"),
        (wallet.propose(Transfer(actor, number, Fen(1)), actor=actor, key=key(), replaces=value), "order_not_found"),
        (wallet.order(value, actor=actor), "order_not_found"),
        (wallet.authorize(value, "000000", actor=actor, key=key()), "order_not_found"),
        (wallet.cancel(value, actor=actor, key=key()), "order_not_found"),
    ):
        if value is None and code == "order_not_found" and work.__name__ == "propose":
            work.close()  # None replaces nothing
            continue
        with pytest.raises(WalletError) as refusal:
            await work
        assert refusal.value.code == code
    assert await wallet.contact_names(value) == ()


@pytest.mark.parametrize("value", NO_TEXTS)
async def test_what_is_no_text_is_refused(till, value) -> None:
    """Lone surrogates and other types as key, phone, wallet number, code or login."""
    wallet, key = till.wallet, till.key
    number, actor = await till.number("李娜"), till.ids["王小明"]
    order = await till.propose("王小明", "李娜", 1)
    for work, code in (
        (wallet.cancel(order.id, actor=actor, key=value), "invalid_key"),
        (wallet.start_login(value, key=key()), "invalid_phone"),
        (wallet.finish_login(value, "000000", key=key()), "challenge_not_found"),
        (wallet.authorize(order.id, value, actor=actor, key=key()), "wrong_code"),
        (wallet.propose(Transfer(actor, value, Fen(1)), actor=actor, key=key()), "payee_not_found"),
    ):
        with pytest.raises(WalletError) as refusal:
            await work
        assert refusal.value.code == code
    assert await wallet.find_payees(actor, value, city="xiamen") == ()
    assert (await till.propose("王小明", "李娜", 1, note="\ud800")).note == ""
    with pytest.raises(WalletError):
        await wallet.propose(Transfer(actor, number, Fen(1), city=["xiamen"]), actor=actor, key=key())


async def test_any_period_can_be_asked_for(till) -> None:
    """From the first to the last day that a date can be."""
    ever = await till.wallet.history(till.ids["王小明"], Period(date.min, date.max), limit=200)
    assert ever == await till.wallet.history(till.ids["王小明"], limit=200)


async def test_an_amount_beyond_all_columns_is_too_large(till, refused) -> None:
    """However many digits it has."""
    with refused("amount_too_large", amount=10**100, limit=10**11):
        await till.propose("王小明", "李娜", 10**5000)


def test_a_clock_that_goes_back_brings_no_second_day() -> None:
    """Two clocks a second apart at midnight, or a year: what was spent stays counted in the later one."""
    late, early = datetime(2026, 12, 31, 16, tzinfo=UTC), datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)
    spent = Spending()
    for now in (late, early, late, early):
        spent = spent.at(now).plus(10)
    assert spent == Spending(20270101, 40, 2027, 40)
    assert spent.at(late + timedelta(days=1)).plus(1) == Spending(20270102, 1, 2027, 41)
