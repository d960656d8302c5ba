"""Resident id numbers by GB 11643: region, birthday, order within the day, and a check character (ISO 7064 MOD 11-2)."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

_CHECK = "10X98765432"
_OLDEST = date(1800, 1, 1)  # the standard's own samples are of 1880
_WEIGHTS = tuple(2 ** (17 - place) % 11 for place in range(17))


def plain_id_number(text: str) -> str:
    """Undo how people write the number: full-width digits, spaces, a small x."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", text)).upper()


def is_id_number(text: str, today: date) -> bool:
    """Tell whether a plain text is the number of somebody born by ``today``."""
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", text):
        return False
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS, strict=False))
    return _OLDEST <= born <= today and text[17] == _CHECK[total % 11]
