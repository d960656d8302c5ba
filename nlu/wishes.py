"""Cuts a message into the wishes that it holds: only where each side by itself is surely one, else it stays whole."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nlu.entities import Entity
from nlu.examples import FAQ_PREFIX
from nlu.words import one_of, words

_CUTS = 6  # places looked at; whoever pauses more often tells a story
_TELLING = frozenset({"amount", "payee", "phone", "wallet_id", "period", "city", "biller", "card"})
_PAYEES = frozenset({"payee", "phone", "wallet_id"})
_OF_ANOTHER = frozenset({"note", "delay"})  # what by itself belongs to the wish before it


@dataclass(frozen=True, slots=True)
class Wish:
    """A span of the normalised text, what it surely wishes for, and the entities in it, with places in the span."""

    start: int
    end: int
    intent: str
    entities: Sequence[Entity]
    lead: int = 0  # characters of the word before it that joins it to the last one: 「再」转50

    def told(self, kinds: frozenset[str]) -> set[tuple[str, str]]:
        """Give what the wish names of some kinds and does not take back."""
        return {(one.kind, str(one.value)) for one in self.entities if one.kind in kinds and not one.negated}


Judge = Callable[[int, int], Wish | None]
"""Gives the wish that a span surely is, None when it is none."""


@dataclass(frozen=True, slots=True)
class _Words:
    joint: re.Pattern[str]
    named: Mapping[str, re.Pattern[str]]  # intent → the words of which a wish for it holds one
    questions: re.Pattern[str]
    conditions: re.Pattern[str]
    denied: re.Pattern[str]
    scoping: re.Pattern[str]
    amends: re.Pattern[str]
    shares: re.Pattern[str]
    doing: frozenset[str]
    asking: frozenset[str]
    plain: frozenset[str]
    checking: frozenset[str]
    after_payment: frozenset[str]
    dropping: frozenset[str]
    moving: frozenset[str]


@functools.cache
def _words() -> _Words:
    found, guards = words("wishes"), words("guards")
    pause = found["pause"][0]
    besides = f"(?P<besides>{one_of(found['besides'])}|(?<={pause}){one_of(found['besides_paused'])})"
    joining = f"(?P<next>{one_of(found['next'])})|{besides}|(?P<list>{one_of(found['list'])})"
    named = {**found["doing"], **guards["money_intents"], **found["dropping"]}
    return _Words(
        joint=re.compile(f"(?P<pause>{pause}*)(?:{joining}){pause}*|{pause}+"),
        named={intent: re.compile(one_of(listed)) for intent, listed in named.items()},
        questions=re.compile(one_of([*guards["questions"], *guards["polite_asks"]])),
        conditions=re.compile(one_of(found["conditions"])),
        denied=re.compile(one_of(found["denied"])),
        scoping=re.compile(one_of(found["scoping"])),
        amends=re.compile(one_of(found["amends"])),
        shares=re.compile(one_of(found["shares"])),
        doing=frozenset(found["doing"]),
        asking=frozenset(found["asking"]),
        plain=frozenset(found["plain"]),
        checking=frozenset(found["checking"]),
        after_payment=frozenset(found["after_payment"]),
        dropping=frozenset(found["dropping"]),
        moving=frozenset(guards["money_intents"]),
    )


def may_wish(text: str, entities: Sequence[Entity]) -> bool:
    """Tell whether a normalised text names anything that one can wish for, before it is read at all."""
    known = _words()
    return (
        any(one.kind in _TELLING for one in entities)
        or known.questions.search(text) is not None
        or any(pattern.search(text) for pattern in known.named.values())
    )


def wished_for(text: str, entities: Sequence[Entity], labels: Mapping[str, float], accept: float) -> str | None:
    """Name what a normalised text surely wishes for: the intent, or the likeliest question when it surely asks one."""
    known = _words()
    best = max(labels, key=lambda label: labels[label])
    if best in known.doing | known.dropping:
        told = best in known.moving and any(one.kind in _TELLING for one in entities)
        named = told or known.named[best].search(text)
        denied = best in known.doing and known.denied.search(text)
        return best if labels[best] >= accept and named and not denied else None
    asking = {label: share for label, share in labels.items() if label in known.asking or label.startswith(FAQ_PREFIX)}
    if not asking or sum(asking.values()) < accept or not known.questions.search(text):
        return None
    return max(asking, key=lambda label: asking[label])


def find_wishes(text: str, entities: Sequence[Entity], judge: Judge, answered: Callable[[int], bool]) -> list[Wish]:
    """Give the wishes of a message in order; fewer than two when it is one wish or none.

    ``answered`` tells whether the text up to a place is nothing but the answer to the question that stands.
    """
    known = _words()
    if known.shares.search(text):
        return []
    joints = [
        joint
        for joint in known.joint.finditer(text)
        if joint.start() > 0 and joint.end() < len(text)
        if not any(one.start < joint.end() and joint.start() < one.end for one in entities)
    ][:_CUTS]
    found: list[Wish] = []
    start, lead = 0, 0
    for number, joint in enumerate(joints):
        if joint.start() <= start:
            continue
        first = judge(start, joint.start())
        if first is None and not found and answered(joint.start()):
            first = Wish(0, joint.start(), "", entities=[one for one in entities if one.end <= joint.start()])
        if first is None:
            continue
        ends = [later.start() for later in joints[number + 1 :]] + [len(text)]
        followers = (judge(joint.end(), end) for end in ends if end > joint.end())
        second = next((wish for wish in followers if wish is not None), None)
        if second is not None and _are_two(text, first, joint, second):
            found.append(replace(first, lead=lead))
            start, lead = joint.end(), joint.end() - (joint.start("next") if joint["next"] else joint.end())
    if not found:
        return []
    if all(wish.intent in known.dropping for wish in found) and judge(start, len(text)) is None:
        return []
    ends = [len(text), *(joint.start() for joint in reversed(joints) if joint.start() > start)]
    last = next((wish for end in ends if (wish := judge(start, end)) is not None), None)
    return [*found, replace(last, lead=lead)] if last is not None else []


def _are_two(text: str, first: Wish, joint: re.Match[str], second: Wish) -> bool:
    """Tell whether two neighbours that each could stand alone are meant as two."""
    known = _words()
    before, behind = text[first.start : first.end], text[second.start : second.end]
    joined = bool(joint["next"] or joint["besides"])
    if second.intent in known.dropping:  # what it drops was begun before this message
        return first.intent in known.doing - known.moving and (joined or _stands(first))
    if known.conditions.search(before) or known.amends.match(behind):
        return False
    if first.intent in known.dropping:  # 「算了，给李娜」 corrects what is open
        return second.intent not in known.moving or _whole(second) or not second.told(_TELLING)
    asks = second.intent not in known.doing
    if joint["next"] and not joint["pause"] and (known.scoping.search(before) or (asks and first.intent not in known.plain)):
        return False  # 「注销之后积分作废吗」
    if not second.told(_TELLING) and any(one.kind in _OF_ANOTHER for one in second.entities):
        return False
    if first.intent in known.moving and _is_about(first, joint, second):
        return False
    if not joined and not _side_by_side(first, joint, second, scoped=known.scoping.search(before) is not None):
        return False
    return first.intent != second.intent or _differ(first, joint, second)


def _side_by_side(first: Wish, joint: re.Match[str], second: Wish, *, scoped: bool) -> bool:
    """Tell whether two neighbours with a list's word or a mere pause between them are two wishes, and no story."""
    known = _words()
    asks = second.intent not in known.doing
    if joint["list"] or not joint[0].strip():
        return _stands(first) and _stands(second) and not scoped
    if first.intent and first.intent not in known.doing:
        return asks and "?" in joint[0]
    return _stands(first) and (asks or _stands(second))


def _stands(wish: Wish) -> bool:
    """Tell whether a wish says what it is without a word that joins it: a plain one, or a payment of so much or to somebody."""
    known = _words()
    if wish.intent in known.moving:
        return bool(wish.told(_PAYEES | {"amount", "biller"}))
    return wish.intent in known.plain or not wish.intent


def _is_about(payment: Wish, joint: re.Match[str], second: Wish) -> bool:
    """Tell whether what follows a payment only asks about it, or says what it is for.

    「先充值再提现要手续费吗」 is one question, and 「转50给他，刷单用」 one payment.
    """
    known = _words()
    if joint["besides"]:
        return False
    if second.intent in known.doing - known.checking:
        mere = not (joint["next"] or joint["list"])
        return mere and second.intent not in known.after_payment and not second.told(_PAYEES | {"amount"})
    return second.intent in known.checking or joint["next"] is not None or not _whole(payment)


def _differ(first: Wish, joint: re.Match[str], second: Wish) -> bool:
    """Tell whether two wishes of one kind are two: each for somebody or something else, or one more of the same."""
    if joint["next"] or joint["besides"]:
        return not {kind for kind, _ in first.told(_TELLING)}.isdisjoint(kind for kind, _ in second.told(_TELLING))
    if first.intent in _words().moving:
        whom, other = first.told(_PAYEES), second.told(_PAYEES)
        return bool(whom) and bool(other) and whom != other and _has_sum(first) == _has_sum(second)
    return bool(first.told(_TELLING)) and bool(second.told(_TELLING)) and first.told(_TELLING) != second.told(_TELLING)


def _has_sum(wish: Wish) -> bool:
    return any(kind == "amount" for kind, _ in wish.told(_TELLING))


def _whole(wish: Wish) -> bool:
    """Tell whether a payment names its sum and its payee."""
    return _has_sum(wish) and bool(wish.told(_PAYEES))
