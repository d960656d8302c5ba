"""What may stand for an id or a text at the public face: anything else is refused before a database sees it."""

from __future__ import annotations

from typing import TypeGuard

_BIGGEST_ID = 2**63 - 1


def is_id(value: object) -> TypeGuard[int]:
    """Tell whether a value can be the id of a row: an int that is no bool, above zero, and fits its column."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _BIGGEST_ID


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is a text that every database keeps: no lone surrogates, no NUL."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
