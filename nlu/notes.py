"""Finds the words that are to stand beside a payment; nothing inside them is another entity."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.words import one_of, words


@dataclass(frozen=True, slots=True)
class Note:
    """The span of a note's text in the normalised message."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Grammar:
    marked: re.Pattern[str]
    told: re.Pattern[str]
    denied: re.Pattern[str]
    about: re.Pattern[str]
    tail: re.Pattern[str]
    stop: re.Pattern[str]
    context: re.Pattern[str]
    quotes: str
    closing: dict[str, str]
    longest: int


@functools.cache
def _grammar() -> _Grammar:
    found = words("notes")
    return _Grammar(
        marked=re.compile(
            f"{one_of(found['markers'])}[ ,:]*(?:{one_of(found['amended'])}[ ,]*{one_of(found['anew'])}[ ,:]*)?"
            f"(?:{one_of(found['links'])}[ ,:]*)*"
        ),
        closing=found["closing"],
        told=re.compile(f"{''.join(f'(?<!{word})' for word in found['others'])}{one_of(found['told'])}[ ,:]*"),
        denied=re.compile(f"{one_of(found['denied'])} ?$"),
        about=re.compile(one_of(found["about"])),
        tail=re.compile(f"{one_of(found['tails'])}+$"),
        stop=re.compile(found["stop"]),
        context=re.compile(one_of(found["context"])),
        quotes=found["quotes"],
        longest=found["longest"],
    )


def find_note(text: str) -> Note | None:
    """Find the note of a payment in a normalised text; a question about notes, or none wanted, gives none."""
    grammar = _grammar()
    for pattern, context in ((grammar.marked, 0), (grammar.told, 1)):
        found = pattern.search(text)
        if found is None or grammar.denied.search(text, 0, found.start()):
            continue
        if grammar.about.match(text, found.end()) and not _is_quoted(text, found.end(), grammar):
            continue
        if (context or found.start()) and not grammar.context.search(text, 0, found.end()):
            continue
        return _trimmed(text, found.end(), grammar)
    return None


def _is_quoted(text: str, at: int, grammar: _Grammar) -> bool:
    return text[at : at + 1] in grammar.quotes and at < len(text)


def _trimmed(text: str, start: int, grammar: _Grammar) -> Note | None:
    """Leave out what follows the note, politeness and quotation marks."""
    closed = text.find(grammar.closing.get(text[start : start + 1], ""), start + 1)
    stop = grammar.stop.search(text, start + 1)
    end = closed if _is_quoted(text, start, grammar) and closed > 0 else stop.start() if stop else len(text)
    while start < end and (text[start] in grammar.quotes or text[start] == " "):
        start += 1
    if tail := grammar.tail.search(text, start, end):
        end = tail.start() if tail.start() > start else end
    while end > start and (text[end - 1] in grammar.quotes or text[end - 1] == " "):
        end -= 1
    return Note(start, min(end, start + grammar.longest)) if start < end else None
