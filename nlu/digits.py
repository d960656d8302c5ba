"""Finds what is known by its digits: phones, bank cards, wallet ids, order numbers and one-time codes."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.words import one_of, words


@dataclass(frozen=True, slots=True)
class Found:
    """A span of normalised text that is some entity."""

    entity: str
    start: int
    end: int
    value: str


def luhn(number: str) -> bool:
    """Tell whether a number of digits carries the right check digit."""
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char) * (2 if place % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    found = words("ids")
    patterns = {name: re.compile(pattern) for name, pattern in found["patterns"].items()}
    patterns["named_order"] = re.compile(one_of(found["order_words"]) + found["order_after"])
    patterns["code"] = re.compile(found["code"])
    patterns["spaced_code"] = re.compile(found["spaced_code"])
    return patterns


def find_digits(text: str) -> list[Found]:
    """Find phones, cards, wallet ids and order numbers in a normalised text; no two overlap."""
    patterns = _patterns()
    found: list[Found] = []
    for entity in ("phone", "named_order", "card", "wallet_id", "order"):
        for match in patterns[entity].finditer(text):
            start, end = match.span(1) if entity == "named_order" else match.span()
            value = _value(entity, match[1] if entity == "named_order" else match[0])
            if value is None or any(start < other.end and other.start < end for other in found):
                continue
            found.append(Found("order" if entity == "named_order" else entity, start, end, value))
    return found


def find_codes(text: str, expects: str | None = None) -> list[Found]:
    """Find one-time codes: six digits that stand alone, in two groups of three only when a code is expected."""
    patterns = _patterns()
    found = [Found("code", match.start(), match.end(), match[0]) for match in patterns["code"].finditer(text)]
    if not found and expects == "code" and (match := patterns["spaced_code"].search(text)):
        found = [Found("code", match.start(), match.end(), re.sub("[^0-9]", "", match[0]))]
    return found


def _value(entity: str, written: str) -> str | None:
    if entity == "phone":
        return re.sub("[^0-9]", "", written)[-11:]
    if entity == "card":
        number = re.sub("[^0-9]", "", written)
        return number if luhn(number) else None
    if entity == "wallet_id":
        return re.sub("[^0-9]", "", written)
    return written.upper()
