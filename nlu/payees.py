"""Finds who is to get the money: by how the sentence is built, by the speaker's contacts, by the lexical model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nlu.amount_context import MASK
from nlu.amount_grammar import amount_grammar
from nlu.amounts import find_amounts
from nlu.lexical import LEXICAL
from nlu.normalise import normalise
from nlu.numbers import read_number
from nlu.payee_grammar import NAME_CHARS, payee_grammar

_LONGEST = 10
_FARTHEST = 24  # several names, one after the other


@dataclass(frozen=True, slots=True)
class Payee:
    """A payee's span in the normalised text, and the name as the contacts have it or as it is written.

    ``guessed`` says that nothing but the question it answers makes it a name, ``own`` that the speaker means themselves.
    """

    start: int
    end: int
    value: str
    guessed: bool = False
    own: bool = False


def find_payees(
    text: str, taken: Sequence[tuple[int, int]] = (), names: Sequence[str] = (), expects: str | None = None
) -> list[Payee]:
    """Find the payees in a normalised text outside the ``taken`` spans; no two overlap, none is cut."""
    hidden = list(text)
    for start, end in taken:
        hidden[start:end] = MASK * (end - start)
    return _Search("".join(hidden), names, expects).run()


class _Search:
    """One search through one message."""

    def __init__(self, text: str, names: Sequence[str], expects: str | None) -> None:
        self.text = text
        self.expects = expects
        self.grammar = payee_grammar()
        self.names = {normalise(name).text: name for name in names if name.strip()}
        self.found: list[Payee] = []
        self._people: list[tuple[int, int]] | None = None

    @property
    def people(self) -> list[tuple[int, int]]:
        """Give the lexical model's person names, asking it only once."""
        if self._people is None:
            self._people = LEXICAL.people(self.text.replace(MASK, ","))
        return self._people

    def run(self) -> list[Payee]:
        """Look in the order of certainty."""
        self._by_pattern()
        self._by_contacts()
        if self.expects == "payee" and not self.found:
            self._by_answer()
        if not self.found or self.grammar.correction.search(self.text):
            self._by_people()
        return sorted(self.found, key=lambda one: one.start)

    def _add(self, start: int, end: int, value: str | None = None, *, guessed: bool = False) -> None:
        if not any(start < other.end and other.start < end for other in self.found):
            self.found.append(Payee(start, end, value if value is not None else self.text[start:end], guessed))

    def _by_contacts(self) -> None:
        for name in sorted(self.names, key=len, reverse=True):
            if len(name) < 2:
                continue
            at = self.text.find(name)
            while at >= 0:
                end = at + len(name)
                if not self._is_sender(end) and not self._inside_word(at, end):
                    self._add(at, *self._with_relative(name, end))
                at = self.text.find(name, end)

    def _with_relative(self, name: str, end: int) -> tuple[int, str | None]:
        """Say where a contact's name ends and whom it means: the contact, or somebody of theirs known only in these words."""
        relative = self.grammar.relative.match(self.text, end)
        return (relative.end(), None) if relative else (end, self.names[name])

    def _inside_word(self, start: int, end: int) -> bool:
        """Tell whether a longer name, or a longer Latin word, holds the span."""
        before, after = self.text[max(0, start - 1) : start], self.text[end : end + 1]
        if self.text[start].isascii() and ((before.isascii() and before.isalnum()) or (after.isascii() and after.isalnum())):
            return True
        return any(
            a <= start and end <= b and (a, b) != (start, end) and self.grammar.family.fullmatch(self.text[a:b])
            for a, b in self.people
        )

    def _is_sender(self, end: int) -> bool:
        return self.grammar.sender.match(self.text, end) is not None

    def _by_pattern(self) -> None:
        for trigger in self.grammar.to.finditer(self.text):
            self._after(trigger.end(), direct=False, asked=self.grammar.asked.fullmatch(trigger[0]) is not None)
        for trigger in self.grammar.direct.finditer(self.text):
            if not any(one.end <= trigger.start() <= one.end + 1 for one in self.found):  # 给房东转房租: the payee is named
                self._after(trigger.end(), direct=True, number_before=self._number_before(trigger.start()))
        for pause in self.grammar.next_sum.finditer(self.text) if self.found else ():
            self._after(pause.end(), direct=True)

    def _after(self, at: int, *, direct: bool, asked: bool = False, number_before: bool = False) -> None:
        """Take the name behind a word of paying; ``direct`` only with its sum right behind it, or before the word."""
        if not direct and (own := self.grammar.self_word.match(self.text, at)):
            self.found.append(Payee(*own.span(1), own[1], own=True))
            return
        region = self.grammar.region.match(self.text, at)
        if region is None or self.text[region.start(1)] in self.grammar.not_first:
            return
        start = region.start(1)
        if self._is_sum(start):
            return
        if not direct and (whole := self.grammar.described_first.match(self.text, start)) and not self._holds_contact(whole):
            self._add(*whole.span())
            return
        end, by_verb = self._end(start, min(region.end(1), start + _FARTHEST))
        if direct and (by_verb or not (self._number_at(end) or (number_before and end == len(self.text)))):
            return
        if asked and self.grammar.asked_for.match(self.text, end):
            return
        if by_verb and self.grammar.shop_verb.match(self.text, end):
            return
        for part_start, part_end in self._parts(start, end):
            span = self._name(part_start, part_end, loose=by_verb and not direct)
            if span is not None and not self._is_sender(span[1]):
                self._add(span[0], span[1], self.names.get(self.text[span[0] : span[1]]))

    def _is_sum(self, at: int) -> bool:
        """Tell whether a sum stands where a name could, in units or in words such as no name has."""
        found = self.grammar.number.match(self.text, at)
        return (found is not None and found["unit"] is not None) or amount_grammar().vague_sum.match(self.text, at) is not None

    def _number_before(self, at: int) -> bool:
        return self.grammar.number.fullmatch(self.text[:at].strip()) is not None

    def _holds_contact(self, found: re.Match[str]) -> bool:
        """Tell whether a description holds a contact's name; a contact known as "wife" is not the wife of somebody else."""
        return any(len(name) > 1 and name in found[0] and not self.grammar.kin.fullmatch(name) for name in self.names)

    def _end(self, start: int, limit: int) -> tuple[int, bool]:
        """Say where a name that begins at ``start`` ends, and whether a verb of paying ends it."""
        grammar, text = self.grammar, self.text
        ends_of_people = {b for a, b in self.people if a == start and b - a >= 2}
        foreign = grammar.foreign.match(text, start)
        stop = limit
        for at in range(start + 1, limit):
            if (
                at - start >= 2
                and not (foreign and at < foreign.end())
                and not grammar.of_kin.match(text, at)
                and not grammar.title.match(text, at)
                and (grammar.ends.match(text, at, limit) or grammar.to.match(text, at, limit))
            ):
                stop = at
                break
            if self._number_at(at) and self._number_ends_name(start, at):
                stop = at
                break
            verb = grammar.verb.match(text, at)
            if verb and at not in ends_of_people and len(verb.group()) == 1 and grammar.verb.match(text, at + 1):
                continue
            if verb and (at in ends_of_people or not any(end > at for end in ends_of_people)):
                return at, True
        return stop, False

    def _number_at(self, at: int) -> bool:
        if at >= len(self.text):
            return False
        rest = self.text[at:].lstrip(" ")
        return (rest[:1].isdigit() and rest[:1].isascii()) or rest[:1] in ("¥", "-") or self._spoken_number(rest) is not None

    def _spoken_number(self, rest: str) -> int | None:
        """Give the length of a number in characters that can stand behind a name; a lone numeral may belong to the name."""
        found = self.grammar.number.match(rest)
        if found is None:
            return None
        run, after = found["run"], rest[found.end() : found.end() + 1]
        if read_number(run) is None and not (len(run) > 1 and found["unit"] is not None):
            return None
        if len(run) == 1 and not found["unit"] and after:
            return None
        return found.end()

    def _number_ends_name(self, start: int, at: int) -> bool:
        written = self.text[start:at]
        run = self.grammar.number.match(self.text, at)
        exact = run is not None and read_number(run["run"]) is not None
        return len(written) >= 2 and (exact or self.text[at].isascii())

    def _parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """Split 李娜和张三丰 in two, and names that only the model can tell apart, but not a name such as 周和."""
        side_by_side = [span for span in self.people if start <= span[0] and span[1] <= end]
        if len(side_by_side) > 1 and [b for _, b in side_by_side] == [*(a for a, _ in side_by_side[1:]), end]:
            return side_by_side
        spans, last = [], start
        for joint in self.grammar.split.finditer(self.text, start, end):
            if joint.start() - last >= 2 and end - joint.end() >= 2:
                spans.append((last, joint.start()))
                last = joint.end()
        return [*spans, (last, end)]

    def _name(self, start: int, end: int, *, loose: bool) -> tuple[int, int] | None:
        """Narrow a stretch of text to the name in it; ``loose`` when the sentence's build alone makes it one."""
        grammar = self.grammar
        while end > start and self.text[end - 1] in " '\"·.":
            end -= 1
        while cut := next(
            (m for m in grammar.ends.finditer(self.text, start + 1, end) if m.end() == end and m.start() - start >= 2), None
        ):
            end = cut.start()
        written = self.text[start:end]
        if not written or written in grammar.nobody:
            return None
        if written in self.names or (end - start >= 2 and any(self._is_given(written, name) for name in self.names)):
            return start, end
        exact = (start, end) in self.people and end - start >= 2 and not grammar.thing_word.search(written)
        if not exact:
            for name in sorted(self.names, key=len, reverse=True):
                if len(name) >= 2 and (inside := written.find(name)) >= 0:
                    return start + inside, self._with_relative(name, start + inside + len(name))[0]
        own = grammar.mine.match(written)
        if own and not exact:
            return self._owned(start, end, own.end())
        if exact or grammar.kin.fullmatch(written) or grammar.described.fullmatch(written):
            return start, end
        if grammar.latin.fullmatch(written) or grammar.foreign.fullmatch(written):
            return (start, end) if loose or len(written) >= 3 else None
        if not loose and (numbered := grammar.numbered.fullmatch(written)):
            return start, start + numbered.end(1)
        if grammar.thing.search(written):
            return None
        if loose and grammar.nick.fullmatch(written):
            return start, end
        if len(written) > 4 and (person := self._person_inside(start, end)):
            return person
        if len(written) < 2 or len(written) > (8 if written.isascii() else 6):
            return None
        if loose or grammar.nick.fullmatch(written) or grammar.family.fullmatch(written):
            return start, end
        return self._person_inside(start, end) or ((start, end) if written.isascii() and written.isalpha() else None)

    def _is_given(self, written: str, name: str) -> bool:
        """Tell whether a text is a contact's name without the surname."""
        return self.grammar.family_name.fullmatch(name.removesuffix(written)) is not None

    def _owned(self, start: int, end: int, skip: int) -> tuple[int, int] | None:
        rest = self.text[start + skip : end]
        if not rest or rest in self.grammar.nobody:
            return None
        if other := self.grammar.other.match(rest):
            return start + skip + other.end(), end
        if person := self._person_inside(start + skip, end):
            return person
        kin = self.grammar.kin.match(rest)
        known = (
            self.grammar.described.fullmatch(rest)
            or self.grammar.role.fullmatch(rest)
            or (kin and (len(kin[0]) > 1 or rest[kin.end() :][:1] in (self.grammar.of, "")))
        )
        return (start, end) if known and len(rest) <= _LONGEST else None

    def _person_inside(self, start: int, end: int) -> tuple[int, int] | None:
        inside = next(((a, b) for a, b in self.people if start <= a and b <= end and b - a >= 2), None)
        if inside is None or self.grammar.thing_word.search(self.text, *inside):
            return None
        behind = self.grammar.relative.match(self.text, inside[1], end) or self.grammar.title.match(self.text, inside[1], end)
        return (inside[0], behind.end()) if behind else inside

    def _by_answer(self) -> None:
        """Read a message that answers "to whom?" with a bare name."""
        start, end = 0, len(self.text)
        while start < end and self.text[start:end] not in self.names:
            trimmed = self.grammar.answer.search(self.text[start:end])
            if trimmed is None or not trimmed.group():
                break
            start, end = (start + trimmed.end(), end) if trimmed.start() == 0 else (start, start + trimmed.start())
            while start < end and self.text[start] in " ,:":
                start += 1
            while start < end and self.text[end - 1] in " ,":
                end -= 1
        written = self.text[start:end]
        if self.grammar.self_word.fullmatch(written):
            self.found.append(Payee(start, end, written, own=True))
            return
        if not written or written in self.grammar.not_answers or not re.fullmatch(rf"[{NAME_CHARS} ]+", written):
            return
        if written not in self.names and read_number(written) is not None and written[0] not in self.grammar.surnames:
            return
        span = self._name(start, end, loose=len(written) <= 4 and self.grammar.verb.search(written) is None)
        if span is not None and self.text[slice(*span)] not in self.grammar.not_answers:
            name = self.names.get(self.text[span[0] : span[1]])
            sure = (
                name is not None or span in self.people or self.grammar.kin.fullmatch(written) or self.grammar.mine.match(written)
            )
            self._add(*span, name, guessed=not sure)

    def _by_people(self) -> None:
        """Take person names where the message is about paying or corrects a payee."""
        grammar = self.grammar
        sure = grammar.context.search(self.text) or grammar.correction.search(self.text)
        if not (sure or grammar.sum_context.search(self.text)) or not self.people:  # the model is asked last: it takes longest
            return
        sums = find_amounts(self.text)
        if not (sure or sums):
            return
        for start, person_end in self.people:  # where the model takes a sum for a part of a name, the name ends before it
            end = min([person_end, *(one.start for one in sums if start < one.end and one.start < person_end)])
            written = self.text[start:end]
            if end - start < 2 or MASK in written or written in self.grammar.nobody or self._is_sender(end):
                continue
            if not written.isascii() and not self.grammar.thing.search(written):
                self._add(start, end, self.names.get(written))
