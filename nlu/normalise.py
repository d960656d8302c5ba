"""Brings a message into one spelling, and knows for every character where it stood in the original."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any

LONGEST = 600
_RUN = 2
_CLOTH, _ACCOUNT = "\u5e10", "\u8d26"  # many write an account with the first, which means a tent


@dataclass(frozen=True, slots=True)
class Normal:
    """A normalised text; ``origin[i]`` is the original offset of its i-th character, ``original`` the text it came from."""

    text: str
    origin: tuple[int, ...]
    original: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Turn a non-empty span of the normalised text into the span of the original that it came from."""
        return self.origin[start], self.origin[end - 1] + 1


def normalise(original: str, keep_runs: str = "") -> Normal:
    """Normalise at most LONGEST characters; runs of a character in ``keep_runs`` (numerals) are never shortened."""
    chars: list[str] = []
    origin: list[int] = []
    for index, char in enumerate(original[:LONGEST]):
        for piece in _simplest(char):
            if piece == " " and (not chars or chars[-1] == " "):
                continue
            chars.append(piece)
            origin.append(index)
    if chars and chars[-1] == " ":
        chars.pop()
        origin.pop()
    chars = list(simplify("".join(chars)))
    return _shorten_runs(chars, origin, original, keep_runs)


def _simplest(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace() or category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf", "Cs", "Cn", "Co", "Mn", "Me"):
        return ""
    if category == "No":  # superscripts and fractions: folded to plain digits they would become other numbers
        return char
    return unicodedata.normalize("NFKC", char).lower().replace("\u2212", "-")


def simplify(text: str) -> str:
    """Turn traditional characters into simplified ones of the same number."""
    return text if text.isascii() else _converted(text).replace(_CLOTH, _ACCOUNT)


def _converted(text: str) -> str:
    by_char, by_phrase = _converters()
    plain: str = by_char.convert(text)
    if plain == text or len(plain) != len(text):
        return text
    phrased: str = by_phrase.convert(text)
    return phrased if len(phrased) == len(text) else plain


@functools.cache
def _converters() -> tuple[Any, Any]:
    import opencc

    return opencc.OpenCC("t2s"), opencc.OpenCC("tw2sp")


def _shorten_runs(chars: list[str], origin: list[int], original: str, keep_runs: str) -> Normal:
    out: list[str] = []
    at: list[int] = []
    run = 0
    for char, index in zip(chars, origin, strict=True):
        run = run + 1 if out and out[-1] == char else 1
        if run > _RUN and not char.isdigit() and char not in keep_runs:
            continue
        out.append(char)
        at.append(index)
    return Normal("".join(out), tuple(at), original)
