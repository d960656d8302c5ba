"""The word lists of payees as regular expressions, built once."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from nlu.amount_grammar import numeral_chars
from nlu.words import one_of, words

NAME_CHARS = r"a-z·.'\u3400-\u9fff"


@dataclass(frozen=True, slots=True)
class PayeeGrammar:
    """Every pattern that finding payees needs; the word lists say what each is for."""

    to: re.Pattern[str]
    direct: re.Pattern[str]
    verb: re.Pattern[str]
    context: re.Pattern[str]
    sum_context: re.Pattern[str]
    thing_word: re.Pattern[str]
    correction: re.Pattern[str]
    ends: re.Pattern[str]
    region: re.Pattern[str]
    thing: re.Pattern[str]
    number: re.Pattern[str]
    mine: re.Pattern[str]
    kin: re.Pattern[str]
    self_word: re.Pattern[str]
    shop_verb: re.Pattern[str]
    described: re.Pattern[str]
    described_first: re.Pattern[str]
    title: re.Pattern[str]
    role: re.Pattern[str]
    other: re.Pattern[str]
    latin: re.Pattern[str]
    foreign: re.Pattern[str]
    not_first: str
    nobody: frozenset[str]
    nick: re.Pattern[str]
    family: re.Pattern[str]
    family_name: re.Pattern[str]
    surnames: str
    numbered: re.Pattern[str]
    of: str
    of_kin: re.Pattern[str]
    relative: re.Pattern[str]
    split: re.Pattern[str]
    asked: re.Pattern[str]
    asked_for: re.Pattern[str]
    next_sum: re.Pattern[str]
    sender: re.Pattern[str]
    answer: re.Pattern[str]
    not_answers: frozenset[str]


@functools.cache
def payee_grammar() -> PayeeGrammar:
    """Build the patterns from the word lists."""
    found: dict[str, Any] = words("payees")
    money: dict[str, Any] = words("amounts")
    numeral = f"{numeral_chars()}0-9"
    units = one_of([*money["yuan"], *money["jiao"]])
    more = "".join(money["more"])
    surname = f"(?:{one_of(found['double_surnames'])}|[{found['surnames']}])"
    hanzi = r"[\u3400-\u9fff]"
    kin = f"{one_of([*found['kin_before'], ''])}{one_of(found['kin'])}"
    near = f"(?:{one_of(found['near'])}{found['of']}?)?"
    nick = (
        rf"{near}(?:{one_of(found['nick_before'])}{hanzi}{{1,2}}|{hanzi}{{1,3}}{one_of(found['nick_after'])})"
        rf"|{one_of(found['near'])}{found['of']}?{kin}"
    )
    family = rf"{surname}{hanzi}{{1,2}}"
    word = rf"(?:(?!{one_of(found['moves'])}){hanzi})"
    whose = rf"{found['of']}(?!{one_of(found['things'])})(?:{kin}|{nick}|(?![{found['not_of']}]){family})"
    described = rf"{word}{{1,8}}{whose}|{word}{{2,6}}{one_of(found['roles'])}"
    lazy = re.sub(r"(\{[0-9],[0-9]\})", r"\1?", described)
    return PayeeGrammar(
        to=re.compile(f"{one_of(found['to'])}|{found['to_after_sum']}"),
        direct=re.compile(one_of(found["direct"]) + " ?"),
        verb=re.compile(one_of(found["verbs"])),
        context=re.compile(one_of(found["context"])),
        sum_context=re.compile(one_of(found["sum_context"])),
        thing_word=re.compile(one_of(word for word in found["things"] if len(word) > 1)),
        correction=re.compile(one_of([*money["corrections"], *words("kinds")["slot"]["payee"]])),
        ends=re.compile(one_of(found["ends"])),
        region=re.compile(rf"[ :\"'“”「」《》【】@]*([{NAME_CHARS}、]+(?: [a-z]+)*)"),
        thing=re.compile(f"{one_of(found['things'])}|{one_of(found['thing_ends'])}$"),
        asked=re.compile(one_of(found["asked"])),
        asked_for=re.compile(one_of(found["asked_for"])),
        next_sum=re.compile(found["next_sum"]),
        number=re.compile(rf"(?P<run>[{numeral}{more}]+)(?P<unit>{units})?"),
        mine=re.compile(f"{one_of(found['mine'])}{found['of']}?"),
        kin=re.compile(kin),
        self_word=re.compile(rf"[ ]?({one_of(found['self'])})(?!{one_of(found['not_self_next'])})"),
        shop_verb=re.compile(one_of(found["shop_verbs"])),
        described=re.compile(described),
        described_first=re.compile(rf"(?:{lazy})(?={one_of(found['verbs'])}|[ ,0-9¥]|$)"),
        title=re.compile(one_of(found["titles"])),
        role=re.compile(f"{hanzi}{{1,4}}(?:{kin}|{one_of(found['roles'])})"),
        other=re.compile(f"{one_of(found['others'])}(?=({nick}|{family})$)"),
        latin=re.compile("[a-z][a-z.'-]*(?: [a-z][a-z.'-]*){0,3}"),
        foreign=re.compile(f"[{found['transliterated']}·]{{3,10}}"),
        not_first=found["not_first"],
        nobody=frozenset(found["nobody"]),
        nick=re.compile(nick),
        family=re.compile(family),
        family_name=re.compile(surname),
        surnames=found["surnames"],
        numbered=re.compile(rf"({surname}[{''.join(money['digits'])}])[{numeral}]+(?:{units})?"),
        relative=re.compile(
            f"{found['of']}{one_of(found['relatives'])}|{one_of(set(found['relatives']) - set(found['titles']))}"
        ),
        of=found["of"],
        of_kin=re.compile(whose),
        split=re.compile(one_of(found["and"])),
        sender=re.compile(
            rf"{hanzi}{{0,2}}{one_of([*found['verbs'], *found['to']])}{hanzi}{{0,2}}{found['mine'][0]}(?!{one_of(found['kin'])})"
        ),
        answer=re.compile(f"^{one_of(found['answer_before'])}+|{one_of(found['answer_after'])}+$"),
        not_answers=frozenset(found["not_answers"]),
    )
