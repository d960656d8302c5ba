"""Small values: fen, fees, masks, wallet numbers, codes and signatures."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet_service import Fen, WalletError, is_phone, is_wallet_number, mask_name, mask_phone
from wallet_service.codes import order_text, typed_code
from wallet_service.errors import ConfigurationError
from wallet_service.keys import Keys, hotp
from wallet_service.numbers import new_wallet_number, plain_digits
from wallet_service.profile import Fee

RFC_4226 = ("755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489")


@pytest.mark.parametrize("value", [2.0, "200", Decimal(2), None, True])
def test_only_a_whole_int_becomes_fen(value: object) -> None:
    """A float, text, Decimal or bool is refused, not rounded."""
    with pytest.raises(WalletError) as refusal:
        Fen(value)
    assert refusal.value.code == "invalid_amount"


@pytest.mark.parametrize(
    ("amount", "fee"), [(1, 10), (10_000, 10), (10_001, 11), (20_000, 20), (10_000_000, 2_500), (10**11, 2_500)]
)
def test_a_fee_is_rounded_up_between_its_bounds(amount: int, fee: int) -> None:
    """One in a thousand, at least 10 fen and at most 25 yuan, never a fraction."""
    assert Fee(rate_ppm=1_000, min=10, max=2_500, source="test", date="2026-11").of(amount) == fee


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
    fields = {"actor_id": 1, "payer_id": 2, "payee_id": 3, "amount": 4, "fee": 5, "nonce": b"six"}
    spelled = order_text("transfer", fields)
    for name, value in fields.items():
        other = value + 1 if isinstance(value, int) else b"other"
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
