"""Tells by what stands around a bare number whether it is a sum of money."""

from __future__ import annotations

from nlu.amount_grammar import AmountGrammar

MASK = "\0"
"""Stands for a character that belongs to another entity."""

PHONE_DIGITS = 11
CODE_DIGITS = 6
CARD_TAIL = 4
_CLAUSE_ENDS = " ,;.!?"
_ROUND = "00"
_FAR = 18
_BETWEEN = 7


class Bare:
    """The numbers without a unit in one text, most of which are no money."""

    def __init__(self, text: str, expects: str | None, grammar: AmountGrammar, *, paid: bool) -> None:
        self._text = text
        self._grammar = grammar
        self._paid = paid
        self._expects = expects

    def is_money(self, start: int, end: int, *, about: bool) -> bool:
        """Tell whether a bare number is money; ``about`` when words of approximation stand around it."""
        text, grammar = self._text, self._grammar
        if self._is_foreign(start, end):
            return True
        if self.is_counted(start, end) or self._is_called(start, end) or self._is_word(start, end):
            return False
        near = grammar.near.search(text, 0, start) is not None
        alone = self._is_alone(start, end)
        if text[start:end] in grammar.dates_too:
            return near or (self._is_wanted() and alone)
        if self._is_wanted() or (self._expects == "payee" and alone and end - start < CODE_DIGITS):
            return True
        if near or grammar.verb_after.match(text, end) or (about and grammar.round.search(text, start, end)):
            return True
        return self._is_correction(start, end) or self._has_verb_before(start, end)

    def is_counted(self, start: int, end: int) -> bool:
        """Tell whether a number counts or numbers something else than money."""
        text, grammar = self._text, self._grammar
        if (
            grammar.not_after.match(text, end)
            or grammar.counted_range.match(text, end)
            or grammar.rate.search(text, 0, start)
            or self._is_latin(start, end)
        ):
            return True
        if grammar.card_name.search(text, 0, start):
            return end - start == CARD_TAIL and text[start:end].isdigit() and not text[start:end].endswith(_ROUND)
        return grammar.not_before.search(text, 0, start) is not None

    def _is_wanted(self) -> bool:
        return self._expects == "amount" or (self._expects == "payee" and self._paid)

    def _is_foreign(self, start: int, end: int) -> bool:
        return bool(
            self._grammar.foreign_before.search(self._text, 0, start) or self._grammar.foreign_after.match(self._text, end)
        )

    def _is_latin(self, start: int, end: int) -> bool:
        """Tell whether a number is a part of a Latin word, name or address."""
        text = self._text
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        if before == ":" and start > 1:
            return text[start - 2].isascii()
        return (
            (before.isascii() and (before.isalpha() or before in ("_", "/", ":", "@", "#")))
            or (after.isascii() and (after.isalpha() or after in ("_", "@")))
            or self._grammar.latin_before.search(text, 0, start) is not None
        )

    def _is_called(self, start: int, end: int) -> bool:
        """Tell whether a number is one to call: a service's with a word of calling, or eleven digits as mobile phones have."""
        text, grammar = self._text, self._grammar
        written = text[start:end]
        if len(written) == PHONE_DIGITS and written.isdigit() and written[0] == "1":
            return True
        called = grammar.called_before.search(text, 0, start) or grammar.called_after.match(text, end)
        return written in grammar.services and called is not None

    def _is_word(self, start: int, end: int) -> bool:
        """Tell whether a single spoken digit belongs to the word that goes on around it, such as a name."""
        text, grammar = self._text, self._grammar
        written, before = text[start:end], text[max(0, start - 1) : start]
        if written in grammar.no_number_alone and not self._is_wanted():
            return True
        if written in grammar.capitals or written in grammar.zeros:
            return bool(before) and before not in _CLAUSE_ENDS
        return bool(grammar.spoken_digit.fullmatch(written)) and not grammar.digit_after.match(text, end)

    def _is_alone(self, start: int, end: int) -> bool:
        """Tell whether a message is nothing but a number, and one that is too short for a phone or a wallet."""
        grammar = self._grammar
        return (
            end - start < grammar.phone_digits
            and grammar.alone.fullmatch(self._text, 0, start) is not None
            and grammar.alone.fullmatch(self._text, end) is not None
        )

    def _is_correction(self, start: int, end: int) -> bool:
        text, grammar = self._text, self._grammar
        if grammar.correction.search(text) is None:
            return False
        if grammar.correction_before.search(text, 0, start) or grammar.correction.match(text, end):
            return True
        return self._stands_free(start, end) and end - start < CODE_DIGITS

    def _stands_free(self, start: int, end: int) -> bool:
        """Tell whether nothing but the ends of a clause stand around a number."""
        before, after = self._text[max(0, start - 1) : start], self._text[end : end + 1]
        return (not before or before in _CLAUSE_ENDS) and (not after or after in _CLAUSE_ENDS)

    def _has_verb_before(self, start: int, end: int) -> bool:
        grammar = self._grammar
        clause = self._text[max(0, start - _FAR) : start]
        for verb in grammar.verb.finditer(clause):
            between = clause[verb.end() :]
            if grammar.between_stop.search(between) or len(between.replace(MASK, "")) > _BETWEEN:
                continue
            if verb.group() == grammar.split_verb and not (self._paid or grammar.verb_after.match(self._text, end)):
                continue
            return True
        return False
