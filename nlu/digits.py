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


_ENTITIES = {
    "phone": "phone",
    "spoken_phone": "phone",
    "named_order": "order",
    "card": "card",
    "card_tail": "card",
    "wallet_id": "wallet_id",
    "order": "order",
}
"""What each pattern finds, most telling first; where a pattern has a group, the group is the entity."""

_MOBILE = re.compile("1[3-9][0-9]{9}")


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
    digits = "".join(found["spoken"])
    patterns = {name: re.compile(pattern.replace("{digits}", digits)) for name, pattern in found["patterns"].items()}
    patterns["named_order"] = re.compile(one_of(found["order_words"]) + found["order_after"])
    patterns["code"] = re.compile(found["code"])
    patterns["spaced_code"] = re.compile(found["spaced_code"])
    return patterns


def find_digits(text: str) -> list[Found]:
    """Find phones, cards, wallet ids and order numbers in a normalised text; no two overlap."""
    patterns = _patterns()
    found: list[Found] = []
    for name, entity in _ENTITIES.items():
        for match in patterns[name].finditer(text):
            group = patterns[name].groups
            start, end = match.span(group)
            value = _value(name, match[group])
            if value is None or any(start < other.end and other.start < end for other in found):
                continue
            found.append(Found(entity, start, end, value))
    return found


def find_codes(text: str, expects: str | None = None) -> list[Found]:
    """Find one-time codes: six digits that stand alone, in two groups of three only when a code is expected."""
    patterns = _patterns()
    found = [Found("code", match.start(), match.end(), match[0]) for match in patterns["code"].finditer(text)]
    if not found and expects == "code" and (match := patterns["spaced_code"].search(text)):
        found = [Found("code", match.start(), match.end(), re.sub("[^0-9]", "", match[0]))]
    return found


def _value(name: str, written: str) -> str | None:
    if name == "spoken_phone":
        spoken = "".join(str(words("ids")["spoken"].get(char, "")) for char in written)
        return spoken if _MOBILE.fullmatch(spoken) else None
    if name in ("order", "named_order"):
        return written.upper().replace(" ", "")
    number = re.sub("[^0-9]", "", written)
    if name == "phone":
        return number[-11:]
    return number if name != "card" or luhn(number) else None
