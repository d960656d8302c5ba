"""Keeps questions, denials and messages without any word of money from being taken for orders to move money."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from typing import Protocol

from nlu.words import one_of, words


class Kind(Protocol):
    """What a guard needs to know of an entity."""

    @property
    def kind(self) -> str:
        """Name the entity."""
        ...

    @property
    def negated(self) -> bool:
        """Tell whether its value is taken back."""
        ...

    @property
    def start(self) -> int:
        """Give the place of its first character."""
        ...

    @property
    def end(self) -> int:
        """Give the place behind its last character."""
        ...


_LISTS = ("questions", "favours", "knowing", "verbs", "payee_words", "owed", "moved", "moved_on", "asked_how", "polite_asks")
_GONE = "\x00"
_PAYEES = frozenset({"payee", "phone", "wallet_id"})


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    found = words("guards")
    patterns = {name: re.compile(one_of(found[name])) for name in _LISTS}
    patterns["denied"] = re.compile(
        f"{one_of(found['denials'])}{one_of([*found['denied_between'], ''])}{one_of([*found['denied_between'], ''])}$"
    )
    patterns["incoming"] = re.compile(f"{one_of(found['asked_of'])}[^,.;!?]{{1,8}}?{one_of(found['gives'])}")
    patterns["forbidden"] = re.compile(f"(?:^|[,.;!?]){one_of(found['forbidden'])}[^,.;!?]{{0,12}}?{one_of(found['verbs'])}")
    patterns["only polite"] = re.compile(
        f"(?:{one_of([*found['polite_asks'], *found['polite'], *found['polite_verbs']])}|{_GONE})*"
    )
    instead = f"{one_of(found['instead'])}[ ,]*{one_of(found['instead_to'])}"
    patterns["instead"] = re.compile(f"{instead} ?{_GONE}+{one_of(found['instead_end'])}*$")
    for intent, needed in found["money_intents"].items():
        patterns[f"needs {intent}"] = re.compile(one_of(needed))
    return patterns


def held_back(text: str, entities: Sequence[Kind], labels: Collection[str]) -> list[str]:
    """Name the money intents among ``labels`` that this message may not be taken for."""
    intents = [label for label in words("guards")["money_intents"] if label in labels]
    if is_question(text, entities) or is_denied(text):
        return intents
    if "transfer_money" in intents and _pays_nobody(text, entities):
        return ["transfer_money"]
    if _is_named(text, entities):
        return []
    return [label for label in intents if not _patterns()[f"needs {label}"].search(text)]


def _pays_nobody(text: str, entities: Sequence[Kind]) -> bool:
    """Tell whether money is to come, has moved already, or must not go to the only payee named."""
    patterns = _patterns()
    if patterns["incoming"].search(text) or patterns["owed"].search(text):
        return True
    if patterns["moved"].search(text) and not patterns["moved_on"].search(text):
        return True
    named = any(one.kind == "payee" and not one.negated for one in entities)
    return not named and patterns["forbidden"].search(text) is not None


def says_nothing(text: str) -> bool:
    """Tell whether a message is a bare noun, which asks for nothing."""
    return _bare(text) in words("guards")["bare"]


def names_topic(text: str) -> bool:
    """Tell whether a message is a noun that names a topic without asking anything about it."""
    return _bare(text) in words("guards")["topic_nouns"]


def asks_how(text: str) -> bool:
    """Tell whether a message asks how, what or why."""
    return _patterns()["asked_how"].search(text) is not None


def only_polite(text: str, entities: Sequence[Kind]) -> bool:
    """Tell whether a question asks for nothing but the values in it: it is a wish in the form of a question."""
    if not entities or any(one.negated for one in entities):
        return False
    patterns, rest = _patterns(), _without(text, entities)
    return patterns["polite_asks"].search(rest) is not None and patterns["only polite"].fullmatch(rest) is not None


def wants_instead(text: str, entities: Sequence[Kind]) -> bool:
    """Tell whether a message that begins like a cancellation ends with what is wanted instead."""
    named = [one for one in entities if not one.negated]
    return bool(named) and _patterns()["instead"].search(_without(text, named)) is not None


def _bare(text: str) -> str:
    return text.replace(" ", "").strip(",.;!?")


def is_question(text: str, entities: Sequence[Kind]) -> bool:
    """Tell whether a message asks something, and does not ask a favour that says what it needs."""
    patterns = _patterns()
    if not patterns["questions"].search(text) or only_polite(text, entities):
        return False
    if only_polite(text, entities) and {"sum", "payee"} <= _given(entities):
        return False
    delays = [one for one in entities if one.kind == "delay"]  # who says when it is to arrive wants that, and asks nothing of it
    favour = patterns["favours"].search(text) and not patterns["knowing"].search(_without(text, delays))
    return not (favour and _is_named(text, entities))


def _given(entities: Sequence[Kind]) -> set[str]:
    """Say what a payment has of a sum and a payee."""
    kinds = {one.kind for one in entities if not one.negated}
    return {name for name, among in (("sum", {"amount"}), ("payee", _PAYEES)) if kinds & among}


def _without(text: str, entities: Sequence[Kind]) -> str:
    """Blank out entities."""
    for one in entities:
        text = text[: one.start] + _GONE * (one.end - one.start) + text[one.end :]
    return text


def _is_named(text: str, entities: Sequence[Kind]) -> bool:
    """Tell whether a sum is named, or somebody with a word of paying."""
    given = {one.kind for one in entities if not one.negated}
    return "amount" in given or ("payee" in given and _patterns()["payee_words"].search(text) is not None)


def is_denied(text: str) -> bool:
    """Tell whether every verb of paying in the message is denied."""
    patterns = _patterns()
    verbs = list(patterns["verbs"].finditer(text))
    return bool(verbs) and all(patterns["denied"].search(text, 0, verb.start()) for verb in verbs)
