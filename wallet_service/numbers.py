"""Wallet numbers (钱包号): 13 digits that nobody takes for a phone or a card, with a check digit against slips of the finger.

``8 CC RRRRRRRRR D``: a leading 8 (phones have 11 digits and start with 1, cards 16-19), the city's two digits, nine random
digits, so that a number tells nothing about its neighbours, and a Damm check digit, which catches every single wrong digit
and every swap of neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_DAMM = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip
_RANDOM_SPAN = 10**9


def _check_digit(digits: str) -> str:
    state = 0
    for digit in digits:
        state = int(_DAMM[state][int(digit)])
    return str(state)


def new_wallet_number(city_code: str, random_below: Callable[[int], int]) -> str:
    """Make a wallet number for a city's two-digit code."""
    body = f"8{city_code}{random_below(_RANDOM_SPAN):09d}"
    return body + _check_digit(body)


def new_merchant_number(city_code: str, random_below: Callable[[int], int]) -> str:
    """Make a merchant's number: of the same form, with a leading 9."""
    body = f"9{city_code}{random_below(_RANDOM_SPAN):09d}"
    return body + _check_digit(body)


def is_wallet_number(text: str) -> bool:
    """Tell whether the text is a well-formed wallet number."""
    return _is_number(text, "8")


def is_merchant_number(text: str) -> bool:
    """Tell whether the text is a well-formed merchant's number."""
    return _is_number(text, "9")


def _is_number(text: object, lead: str) -> bool:
    return isinstance(text, str) and re.fullmatch(lead + r"[0-9]{12}", text) is not None and _check_digit(text[:-1]) == text[-1]


def plain_digits(text: str) -> str:
    """Undo how people write numbers: full-width digits, spaces, hyphens, +86."""
    digits = re.sub(r"[\s\-–—()]", "", unicodedata.normalize("NFKC", text))
    return re.sub(r"^(\+|00)86(?=1)", "", digits)


def is_phone(text: str) -> bool:
    """Tell whether the text is a mainland mobile number."""
    return re.fullmatch(r"1[3-9][0-9]{9}", text) is not None
