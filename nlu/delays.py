"""Finds when a payment is to arrive: at once, or so many seconds after it is confirmed."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal

from nlu.numbers import read_number
from nlu.words import one_of, words


@dataclass(frozen=True, slots=True)
class Delay:
    """A span of normalised text and the seconds it means; None when it says "later" without saying how much."""

    start: int
    end: int
    seconds: int | None


@dataclass(frozen=True, slots=True)
class _Grammar:
    at_once: tuple[re.Pattern[str], ...]
    later: tuple[re.Pattern[str], ...]
    some_time: tuple[re.Pattern[str], ...]
    answer: re.Pattern[str]
    half: str
    units: dict[str, int]
    days: dict[str, int]


@functools.cache
def _grammar() -> _Grammar:
    found = words("delays")
    parts = {**found["fragments"], "unit": one_of(found["units"]), "day": one_of(found["days"])}

    def build(pattern: str) -> re.Pattern[str]:
        while (filled := re.sub(r"\{([a-z_]+)\}", lambda name: parts[name[1]], pattern)) != pattern:
            pattern = filled
        return re.compile(pattern)

    def all_of(name: str) -> tuple[re.Pattern[str], ...]:
        return tuple(build(pattern) for pattern in found[name])

    return _Grammar(
        at_once=all_of("at_once"),
        later=all_of("later"),
        some_time=all_of("some_time"),
        answer=build(found["answer"]),
        half=found["half"],
        units=found["units"],
        days=found["days"],
    )


def find_delays(text: str, expects: str | None = None) -> list[Delay]:
    """Find when something is to arrive in a normalised text; asked for it, a bare "two hours" is an answer."""
    grammar = _grammar()
    if expects == "delay" and (match := grammar.answer.fullmatch(text)):
        return [Delay(0, len(text), _seconds(match, grammar))]
    read = [
        *(Delay(*match.span(), 0) for pattern in grammar.at_once for match in pattern.finditer(text)),
        *(Delay(*match.span(), _seconds(match, grammar)) for pattern in grammar.later for match in pattern.finditer(text)),
        *(Delay(*match.span(), None) for pattern in grammar.some_time for match in pattern.finditer(text)),
    ]
    found: list[Delay] = []
    for one in sorted(read, key=lambda one: one.start - one.end):  # the longest first: 不要实时到账 is not 实时到账
        if not any(one.start < other.end and other.start < one.end for other in found):
            found.append(one)
    return [one for one in found if one.seconds is not None] or found


def _seconds(match: re.Match[str], grammar: _Grammar) -> int | None:
    said = match.groupdict()
    if said.get("day"):
        return grammar.days[said["day"]]
    if not said.get("n"):
        return 0
    number = Decimal("0.5") if said["n"] == grammar.half else read_number(said["n"])
    if number is None:
        return None
    return int((number + (Decimal("0.5") if said["half"] else 0)) * grammar.units[said["unit"]])
