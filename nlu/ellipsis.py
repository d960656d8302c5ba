"""Finds out what a message leaves out because it was said before: the wish itself, or what a question was about."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlu.entities import Entity, normal_form
from nlu.words import one_of, words

_VALUE = "\x00"
_NEEDS_VALUE = ("other", "instead")
_WHOM = frozenset({"payee", "phone", "wallet_id"})


@dataclass(frozen=True, slots=True)
class _Words:
    marks: dict[str, re.Pattern[str]]
    verbs: dict[str, re.Pattern[str]]
    nothing_else: re.Pattern[str]
    asked_of: re.Pattern[str]
    things: dict[str, str]  # word → group
    thing: re.Pattern[str]
    places: frozenset[str]


@functools.cache
def _words() -> _Words:
    found = words("ellipsis")
    marks, verbs = found["marks"], found["verbs"]
    all_marks = [word for listed in marks.values() for word in listed]
    all_verbs = [word for listed in verbs.values() for word in listed]
    things = {word: group for group, listed in found["things"].items() for word in listed}
    return _Words(
        marks={name: re.compile(one_of(listed)) for name, listed in marks.items()},
        verbs={name: re.compile(one_of(listed)) for name, listed in verbs.items()},
        nothing_else=re.compile(f"(?:{one_of([*all_marks, *all_verbs, *found['fillers']])}|{_VALUE})+"),
        asked_of=re.compile(found["asked_of"].replace("{thing}", one_of(things))),
        things=things,
        thing=re.compile(one_of(things)),
        places=frozenset(found["places"]),
    )


def elliptical(text: str, entities: Sequence[Entity]) -> dict[str, Any] | None:
    """Tell that a normalised message leaves out what it wants, and by which verb it names it all the same."""
    known, rest = _words(), list(text)
    for one in entities:
        rest[one.start : one.end] = _VALUE * (one.end - one.start)
    left = "".join(rest)
    if known.nothing_else.fullmatch(left) is None:
        return None
    mark = next((name for name, pattern in known.marks.items() if pattern.search(left)), None)
    if mark is None or (mark in _NEEDS_VALUE and not entities) or any(one.negated for one in entities):
        return None
    if mark == "again" and any(one.kind in _WHOM for one in entities):
        return None  # 「再给张三丰转」 is a wish of its own, whose sum is asked for
    return {"mark": mark, "intents": [intent for intent, pattern in known.verbs.items() if pattern.search(left)]}


def asked_of_other(question: str, text: str) -> str | None:
    """Ask a question that was just answered of the other thing that a message names; None when it names none."""
    known, said = _words(), normal_form(question).text
    match = known.asked_of.fullmatch(normal_form(text).text)
    if match is None or not said:
        return None
    thing = match["thing"]
    place = known.things[thing] in known.places
    about = [old for old in known.thing.finditer(said) if (known.things[old[0]] in known.places) == place]
    if not about:
        return thing + said if place else None
    if len({known.things[old[0]] for old in about}) > 1:
        return None
    return said[: about[0].start()] + thing + said[about[0].end() :]
