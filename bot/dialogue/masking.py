"""Keeps codes, phones and card numbers out of every record."""

from __future__ import annotations

import re
import unicodedata

_LONG = re.compile(r"\d(?:[\s-]?\d){5,}")
_CODE = re.compile(r"\d(?:[\s-]?\d){3,}")
_RECOVERY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{4}(?:[\s-]?[0-9A-Za-z]{4}){2}(?![0-9A-Za-z])")  # as the wallet groups them


def masked(text: str, *, everything: bool) -> str:
    """Hide long numbers (phones, cards, ids) for the record, and where a code may stand every digit and recovery code."""
    if everything:
        hidden = _RECOVERY.sub(lambda match: "•" * len(match[0]), unicodedata.normalize("NFKC", text))
        return "".join("•" if _is_digit(character) else character for character in hidden)
    return _LONG.sub(_shorten, text)


def may_hold_code(text: str) -> bool:
    """Tell whether a text holds a row of digits as long as the better part of a code, in any spelling, or a recovery code."""
    spelled = "".join("0" if _is_digit(character) else character for character in text)
    return _CODE.search(spelled) is not None or is_recovery_code(text)


def is_recovery_code(text: str) -> bool:
    """Tell whether a text holds something like a recovery code: three groups of four letters and digits."""
    return _RECOVERY.search(unicodedata.normalize("NFKC", text)) is not None


def _is_digit(character: str) -> bool:
    """Tell whether a character stands for one digit, in any script: 4, full-width, or the Chinese word for it."""
    return unicodedata.numeric(character, -1.0) in range(10)


def _shorten(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) == 11 else f"****{digits[-4:]}"
