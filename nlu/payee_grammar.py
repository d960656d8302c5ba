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
    correction: re.Pattern[str]
    ends: re.Pattern[str]
    region: re.Pattern[str]
    thing: re.Pattern[str]
    number: re.Pattern[str]
    mine: re.Pattern[str]
    kin: frozenset[str]
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
    return PayeeGrammar(
        to=re.compile(one_of(found["to"])),
        direct=re.compile(one_of(found["direct"]) + " ?"),
        verb=re.compile(one_of(found["verbs"])),
        context=re.compile(one_of(found["direct"])),
        correction=re.compile(one_of([*money["corrections"], *words("kinds")["slot"]["payee"]])),
        ends=re.compile(one_of(found["ends"])),
        region=re.compile(rf"[ :\"'“”「」《》【】]*([{NAME_CHARS}]+(?: [a-z]+)*)"),
        thing=re.compile(one_of(found["things"])),
        number=re.compile(rf"(?P<run>[{numeral}{more}]+)(?P<unit>{units})?"),
        mine=re.compile(f"{one_of(found['mine'])}{found['of']}?"),
        kin=frozenset(found["kin"]),
        nobody=frozenset(found["nobody"]),
        nick=re.compile(
            rf"(?:{one_of(found['near'])})?{one_of(found['nick_before'])}{hanzi}{{1,2}}|{hanzi}{{1,3}}{one_of(found['nick_after'])}"
        ),
        family=re.compile(rf"{surname}{hanzi}{{1,2}}"),
        family_name=re.compile(surname),
        surnames=found["surnames"],
        numbered=re.compile(rf"({surname}[{''.join(money['digits'])}])[{numeral}]+(?:{units})?"),
        relative=re.compile(
            f"{found['of']}{one_of(found['relatives'])}|{one_of(set(found['relatives']) - set(found['titles']))}"
        ),
        of=found["of"],
        of_kin=re.compile(f"{found['of']}{one_of(found['kin'])}"),
        split=re.compile(one_of(found["and"])),
        sender=re.compile(
            rf"{hanzi}{{0,2}}{one_of([*found['verbs'], *found['to']])}{hanzi}{{0,2}}{found['mine'][0]}(?!{one_of(found['kin'])})"
        ),
        answer=re.compile(f"^{one_of(found['answer_before'])}+|{one_of(found['answer_after'])}+$"),
        not_answers=frozenset(found["not_answers"]),
    )
