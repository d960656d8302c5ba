"""Looks through the training data for what makes a model worse: doubles, near contradictions, thin intents, unknown topics."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nlu.entities import normal_form
from nlu.examples import DATA, FAQ_PREFIX, Example, read_corpus
from nlu.words import one_of, words

LEAST = 60
LEAST_FAQ = 12
_CORE = 3  # characters of a sentence without its fillers, from which on it says something
ENTITIES = frozenset(
    {"payee", "amount", "phone", "card", "biller", "city", "order", "period", "wallet_id", "code", "slot", "note", "delay"}
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to mend in the data, and where."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def check(data: Path = DATA) -> list[Fault]:
    """Read all examples below ``data`` and list every fault; unreadable files raise DataError."""
    corpus = read_corpus(data)
    fillers = re.compile(one_of(words("checking")["fillers"]) + r"|[\s,.;!?~]")
    faults: list[Fault] = []
    first: dict[str, Example] = {}
    seen: dict[str, set[str]] = {}
    places: dict[str, Example] = {}
    for example in corpus.examples:
        places.setdefault(example.label, example)
        faults += [
            Fault(example.path, example.line, f"unknown entity {mark.entity}")
            for mark in example.marks
            if mark.entity not in ENTITIES
        ]
        text = normal_form(example.text).text.replace(" ", "")
        core = fillers.sub("", text)
        other = first.setdefault(core if len(core) >= _CORE else text, example)
        if other.label != example.label or example.text in seen.setdefault(example.label, set()):
            faults.append(Fault(example.path, example.line, _double(example, other)))
        seen.setdefault(example.label, set()).add(example.text)
    counts = Counter(example.label for example in corpus.examples)
    topics = set(words("topics")["topics"])
    for label, topic in sorted(corpus.topics.items()):
        place = places.get(label)
        path, line = (place.path, place.line) if place else ("", 0)
        least = LEAST_FAQ if label.startswith(FAQ_PREFIX) else LEAST
        if counts[label] < least:
            faults.append(Fault(path, line, f"{label} has {counts[label]} examples, fewer than {least}"))
        if topic not in topics:
            faults.append(Fault(path, line, f"{label} has the unknown topic {topic}"))
    return faults


def _double(example: Example, other: Example) -> str:
    where = f"{other.path}:{other.line}"
    if example.label == other.label:
        return f"stands already at {where}: {example.text}"
    return f"{example.label} here and {other.label} at {where}: {example.text} / {other.text}"
