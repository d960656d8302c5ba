"""Reads the answer to the question for somebody's family name; nothing in it is taken for a name that merely could be one."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from nlu.lexical import LEXICAL
from nlu.payee_grammar import payee_grammar
from nlu.words import one_of, words


@dataclass(frozen=True, slots=True)
class Surname:
    """The span of an answer in the normalised text and the family name in it; ``guessed`` when only the question makes it one."""

    start: int
    end: int
    value: str
    guessed: bool = False


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    found = words("surnames")
    name = payee_grammar().family_name.pattern
    before, after, parts = (one_of(found[part]) for part in ("before", "after", "parts"))
    told = re.compile(rf"(?<!{'|'.join(found['denied'])}){one_of(found['says'])} ?(?P<name>{name}|[a-z]{{2,}})")
    answer = re.compile(
        rf"[ ,]*(?:{before}[ ,]*)*{parts}?(?P<whole>(?P<name>{name})(?P<given>[\u3400-\u9fff]{{1,2}})??|(?P<latin>[a-z-]{{2,}}))"
        rf"{after}*[ ,.!~]*"
    )
    return told, answer


def find_surname(text: str) -> Surname | None:
    """Find the one family name that a normalised message gives, said as such or as nothing but the answer."""
    told, answer = _patterns()
    said = list(told.finditer(text))
    if len({match["name"] for match in said}) == 1:
        return Surname(said[0].start(), said[-1].end(), said[0]["name"])
    if said or (match := answer.fullmatch(text)) is None or text.strip() in payee_grammar().not_answers:
        return None
    if match["latin"]:
        return Surname(0, len(text), match["latin"], guessed=True)
    if match["given"] and match.span("whole") not in LEXICAL.people(text):
        return None
    return Surname(0, len(text), match["name"], guessed=match["given"] is None and len(match["name"]) == 1)
