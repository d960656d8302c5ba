"""Finds sums of money and reads them to the fen; what has no single exact reading is reported as vague, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from nlu.amount_grammar import AmountGrammar, amount_grammar
from nlu.numbers import read_number, signs
from nlu.words import words

HUGE = 10**15
"""From this many fen on an amount is marked: no wallet holds it, and databases end at 2**63."""

PHONE_DIGITS = 11
CODE_DIGITS = 6
_CLAUSE_ENDS = " ,;.!?"

MASK = "\0"
"""Stands for a character that belongs to another entity."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum in the text; ``fen`` is None when it is vague or not a whole number of fen, ``bare`` means written without a unit."""

    start: int
    end: int
    fen: int | None
    vague: bool = False
    bare: bool = False
    problem: str | None = None


def find_amounts(
    text: str, taken: Sequence[tuple[int, int]] = (), payees: Sequence[tuple[int, int]] = (), expects: str | None = None
) -> list[Amount]:
    """Find the sums in a normalised text outside the ``taken`` and ``payees`` spans.

    A bare number counts beside a money verb, as a correction, or when the conversation ``expects`` an amount.
    """
    masked = list(text)
    for start, end in [*taken, *payees]:
        masked[start:end] = MASK * (end - start)
    grammar = amount_grammar()
    hidden = _hide(_hide("".join(masked), grammar.no_sums), grammar.idiom)
    found = _merge_joined(hidden, _scan(hidden, grammar), grammar)
    wanted = expects == "amount" or (expects == "payee" and bool(payees))
    money = [
        one
        for one in found
        if not one.bare
        or _is_foreign(hidden, one, grammar)
        or _is_money(hidden, one, wanted or (expects == "payee" and _is_lone_sum(hidden, one, grammar)), bool(payees), grammar)
    ]
    return [replace(_mark_foreign_and_about(hidden, one, grammar), bare=False) for one in money]


def _hide(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda found: MASK * len(found.group()), text)


def _scan(text: str, grammar: AmountGrammar) -> list[Amount]:
    found: list[Amount] = []
    at = 0
    while at < len(text):
        tokens = _tokens(text, at, grammar)
        if not tokens or tokens[0][0] not in "nh":
            at += 1
            continue
        shape = _shape(text, tokens, grammar)
        if shape is None:
            at = tokens[0][2]
            continue
        one = _read(text, tokens[:shape], grammar)
        found.append(one)
        at = one.end
    return found


def _tokens(text: str, at: int, grammar: AmountGrammar) -> list[tuple[str, int, int]]:
    tokens: list[tuple[str, int, int]] = []
    while len(tokens) < 12 and (match := grammar.token.match(text, at)):
        tokens.append((str(match.lastgroup), at, match.end()))
        at = match.end()
    return tokens


def _shape(text: str, tokens: list[tuple[str, int, int]], grammar: AmountGrammar) -> int | None:
    """Give how many tokens make the longest sensible sum."""
    kinds = "".join(" " if kind == "s" else kind for kind, _, _ in tokens)
    for shape in grammar.shapes:
        match = shape.match(kinds)
        if match is None:
            continue
        size = match.end()
        if _fits(text, tokens, size, grammar):
            return size
    return None


def _fits(text: str, tokens: list[tuple[str, int, int]], size: int, grammar: AmountGrammar) -> bool:
    kind, _, end = tokens[size - 1]
    first = tokens[0][0]
    rest = tokens[size][0] if size < len(tokens) else ""
    if size > 1 and kind in "nh":  # a tail such as the five of 三块五 must not belong to what follows
        return rest not in ("y", "j", "h") and not grammar.not_after.match(text, end)
    names = {"y": "yuan", "j": "jiao", "f": "fen"}
    if kind in names and grammar.not_next[names[kind]].match(text, end):
        return False
    return not (first == "h" and size == 1)


def _read(text: str, tokens: list[tuple[str, int, int]], grammar: AmountGrammar) -> Amount:
    start, end = tokens[0][1], tokens[-1][2]
    kinds = "".join(kind for kind, _, _ in tokens if kind not in "s")
    bare = kinds.strip("m") == "n" or (kinds == "nf" and text[tokens[-1][1] : end] == words("amounts")["fen"][-1])
    yuan = _value(kinds, [text[a:b] for kind, a, b in tokens if kind not in "s"])
    lone = "m" not in kinds and kinds[1:] == "y" and text[start:end] in words("amounts")["lone"]
    prefix = grammar.prefix.search(text, 0, start)
    if prefix:
        start, bare = prefix.start(), False
    if suffix := grammar.suffix.match(text, end):
        end, bare = suffix.end(), False
    sign = grammar.sign.search(text, 0, start)
    negative = bool(sign) and not (sign and grammar.numeral.match(text[max(0, sign.start() - 1) : sign.start()]))
    if sign and negative:
        start = sign.start()
    if yuan is None:
        return Amount(start, end, None, vague=True, bare=bare)
    fen = yuan * 100
    if fen != int(fen):
        return Amount(start, end, None, bare=bare, problem="sub_fen")
    value = -int(fen) if negative else int(fen)
    problem = "negative" if value < 0 else "zero" if value == 0 else "huge" if value >= HUGE else None
    return Amount(start, end, value, bare=bare or lone, problem=problem)


def _value(kinds: str, pieces: list[str]) -> Decimal | None:
    """Add up yuan, jiao and fen; None when any piece has no exact reading."""
    half = Decimal("0.5")
    scale = {"y": Decimal(1), "j": Decimal("0.1"), "f": Decimal("0.01")}
    total, last = Decimal(0), Decimal(1)
    index = 0
    while index < len(kinds):
        kind, piece = kinds[index], pieces[index]
        unit = kinds[index + 1] if index + 1 < len(kinds) else ""
        if kind in "mw":
            index += 1
            continue
        if kind == "h":
            total += half * scale.get(unit, last)
            index += 2 if unit in scale else 1
            continue
        if kind != "n":
            return None
        part = _part(piece, unit, last if index else None, scale)
        if part is None:
            return None
        total += part
        last = scale.get(unit, last)
        index += 2 if unit in scale else 1
    return total


def _part(piece: str, unit: str, above: Decimal | None, scale: dict[str, Decimal]) -> Decimal | None:
    sign = signs()
    if above is None:
        value = read_number(piece)
        return None if value is None else value * scale.get(unit, Decimal(1))
    digits = "".join(str(sign.digits.get(char, char)) for char in piece)
    if not re.fullmatch("[0-9]{1,2}", digits):
        return None
    if unit in scale:
        return Decimal(int(digits)) * scale[unit] if len(digits) == 1 or digits[0] == "0" else None
    if len(digits) == 2 and not piece.isascii() and digits[0] != "0":
        return None
    if above == scale["j"] and len(digits) == 2:
        return None
    return Decimal(f"0.{digits}") * above


def _merge_joined(text: str, found: list[Amount], grammar: AmountGrammar) -> list[Amount]:
    """Make one vague sum of ranges (1万-5万), of alternatives, and of numbers that only a space or comma divides."""
    merged: list[Amount] = []
    for one in found:
        last = merged[-1] if merged else None
        if last is not None and grammar.joined.fullmatch(text, last.end, one.start) and not _is_counted(text, one, grammar):
            gap = text[last.end : one.start]
            if last.bare or gap.strip(" ,"):
                merged[-1] = Amount(last.start, one.end, None, vague=True, bare=last.bare and one.bare)
                continue
        merged.append(one)
    return merged


def _is_counted(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    return one.bare and (
        bool(grammar.not_before.search(text, 0, one.start)) or bool(grammar.not_after.match(text, one.end)) or _in_word(text, one)
    )


def _in_word(text: str, one: Amount) -> bool:
    before, after = text[max(0, one.start - 1) : one.start], text[one.end : one.end + 1]
    return (before.isascii() and (before.isalpha() or before in ("_", "/", ":", "@", "#"))) or (
        after.isascii() and (after.isalpha() or after in ("_", "@"))
    )


def _is_foreign(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    return bool(grammar.foreign_before.search(text, 0, one.start) or grammar.foreign_after.match(text, one.end))


def _mark_foreign_and_about(text: str, one: Amount, grammar: AmountGrammar) -> Amount:
    before = grammar.foreign_before.search(text, 0, one.start)
    after = grammar.foreign_after.match(text, one.end)
    if before or after:
        start = before.start() if before else one.start
        return Amount(start, after.end() if after else one.end, None, vague=True)
    start, end = one.start, one.end
    about = grammar.about_before.search(text, 0, start)
    if about and not grammar.not_about.search(text, 0, start):
        start = about.start()
    if behind := grammar.about_after.match(text, end):
        end = behind.end()
    return one if (start, end) == (one.start, one.end) else Amount(start, end, None, vague=True)


def _is_lone_sum(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    """Tell whether a number is all that was said, and not as long as a code."""
    return one.end - one.start < CODE_DIGITS and _is_alone(text, one, grammar)


def _is_money(text: str, one: Amount, wanted: bool, paid: bool, grammar: AmountGrammar) -> bool:
    """Tell whether a bare number is money by what stands around it."""
    written = text[one.start : one.end]
    if _is_counted(text, one, grammar) or _is_called(text, one, grammar) or _is_word(text, one, grammar):
        return False
    if wanted:
        return True
    if grammar.verb_after.match(text, one.end):
        return True
    if grammar.correction.search(text) and grammar.correction_before.search(text, 0, one.start):
        return True
    if grammar.correction.match(text, one.end):
        return True
    if grammar.correction.search(text) and _stands_free(text, one) and len(written) < CODE_DIGITS:
        return True
    return _has_verb_before(text, one, paid, grammar)


def _is_called(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    """Tell whether a number is one to call: a service's with a word of calling, or eleven digits as mobile phones have."""
    written = text[one.start : one.end]
    if len(written) == PHONE_DIGITS and written.isdigit() and written[0] == "1":
        return True
    called = grammar.called_before.search(text, 0, one.start) or grammar.called_after.match(text, one.end)
    return written in grammar.services and called is not None


def _is_word(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    """Tell whether a single spoken digit belongs to the word that goes on behind it, such as a name."""
    return bool(grammar.spoken_digit.fullmatch(text, one.start, one.end)) and not grammar.digit_after.match(text, one.end)


def _is_alone(text: str, one: Amount, grammar: AmountGrammar) -> bool:
    """Tell whether a message is nothing but a number, and one that is too short for a phone or a wallet."""
    return (
        one.end - one.start < grammar.phone_digits
        and grammar.alone.fullmatch(text, 0, one.start) is not None
        and grammar.alone.fullmatch(text, one.end) is not None
    )


def _stands_free(text: str, one: Amount) -> bool:
    """Tell whether nothing but the ends of a clause stand around a number."""
    before, after = text[max(0, one.start - 1) : one.start], text[one.end : one.end + 1]
    return (not before or before in _CLAUSE_ENDS) and (not after or after in _CLAUSE_ENDS)


def _has_verb_before(text: str, one: Amount, paid: bool, grammar: AmountGrammar) -> bool:
    clause = text[max(0, one.start - 18) : one.start]
    for verb in grammar.verb.finditer(clause):
        between = clause[verb.end() :]
        if grammar.between_stop.search(between) or len(between.replace(MASK, "")) > 7:
            continue
        if verb.group() == grammar.split_verb and not (paid or grammar.verb_after.match(text, one.end)):
            continue
        return True
    return False
