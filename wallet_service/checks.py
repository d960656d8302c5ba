"""What may stand for an id or a text at the public face: anything else is refused before a database sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from wallet_service.errors import InvalidArgument, InvalidNote

LONGEST_NOTE = 100  # characters
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


def check_known(argument: str, value: object, known: Sequence[object]) -> None:
    """Refuse what is none of a few known values; what only equals one, as True does 1, is none of them."""
    if not any(type(value) is type(each) and value == each for each in known):
        raise InvalidArgument(argument=argument)


def checked_limit(limit: object, most: int) -> int:
    """Give how many rows are wanted at most, 0 to ``most``, or refuse what is no whole number."""
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise InvalidArgument(argument="limit")
    return max(0, min(limit, most))


def checked_note(note: object) -> str:
    """Give a note without what cannot be printed, or refuse one that is no text or too long."""
    if note is None:
        return ""
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise InvalidNote(limit=LONGEST_NOTE)
    return "".join(character for character in note if character.isprintable())
