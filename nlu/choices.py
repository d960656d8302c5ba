"""Finds what picks from a list that was just shown: 第二笔, 最后一个, and the words that merely point (那笔)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.numbers import read_number
from nlu.words import words


@dataclass(frozen=True, slots=True)
class Choice:
    """A span of normalised text and the place that it names, from 1, or -1 for the last; None where it only points."""

    start: int
    end: int
    place: int | None


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    found = words("choices")
    return {
        name: re.compile(found[name].replace("{n}", found["n"]).replace("{counters}", found["counters"]))
        for name in ("ordinal", "last", "first", "pointing")
    }


def find_choices(text: str) -> list[Choice]:
    """Find the places that a normalised answer names; no two overlap."""
    found: list[Choice] = []
    for name, pattern in _patterns().items():
        for match in pattern.finditer(text):
            if not any(match.start() < other.end and other.start < match.end() for other in found):
                found.append(Choice(match.start(), match.end(), _place(name, match)))
    return found


def _place(name: str, match: re.Match[str]) -> int | None:
    number = read_number(match["n"]) if name == "ordinal" else {"first": 1, "last": -1}.get(name)
    return None if number is None else int(number)
