"""Turns a message into the features that the linear model weighs: character n-grams of the text with its entities masked."""

from __future__ import annotations

from collections.abc import Iterable

from nlu.words import words

MASKS = {
    "amount": "A",
    "card": "C",
    "code": "N",
    "delay": "E",
    "note": "B",
    "order": "O",
    "payee": "P",
    "period": "D",
    "phone": "T",
    "wallet_id": "W",
}
"""Capitals occur in no normalised text, so they can stand for entities."""

LONGEST = 120
LONGEST_WORD = 4
_SIZES = (1, 2, 3, 4)
_START, _END = "<", ">"


def mask(text: str, spans: Iterable[tuple[str, int, int]]) -> str:
    """Put one capital in the place of each entity whose own words must not decide what the message is about."""
    pieces: list[str] = []
    last = 0
    for entity, start, end in sorted(spans, key=lambda span: span[1]):
        if entity in MASKS and start >= last:
            pieces += [text[last:start], MASKS[entity]]
            last = end
    return ("".join(pieces) + text[last:])[:LONGEST]


def grams(masked: str) -> set[str]:
    """Give the distinct n-grams of a masked text; its ends count as characters."""
    padded = f"{_START}{masked.replace(' ', '')}{_END}"
    return {padded[at : at + size] for size in _SIZES for at in range(len(padded) - size + 1)}


def pieces(text: str) -> set[str]:
    """Give everything in a readable text that could be a word."""
    return {text[at : at + size] for size in range(1, LONGEST_WORD + 1) for at in range(len(text) - size + 1)}


def readable(masked: str) -> str:
    """Put an everyday word in the place of each mask: what the sentence encoder reads."""
    named = words("masks")
    return "".join(named.get(char, char) for char in masked)
