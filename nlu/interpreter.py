"""From a message to its meaning: intent, entities, FAQ ranking and topic in Rasa's parse form."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nlu.ellipsis import asked_of_other, elliptical
from nlu.encoder import Encoder
from nlu.entities import Entity, find_entities, normal_form
from nlu.examples import FAQ_PREFIX
from nlu.features import grams, mask, pieces, readable
from nlu.fraud import fraud_wordings
from nlu.guards import (
    asks_how,
    held_back,
    is_denied,
    is_question,
    names_topic,
    only_polite,
    says_nothing,
    wants_instead,
)
from nlu.lexical import LEXICAL
from nlu.model import MODEL, Model, Thresholds, load_model, softmax
from nlu.normalise import Normal
from nlu.vectors import Floats
from nlu.wishes import Wish, find_wishes, may_wish, wished_for
from nlu.words import words

_log = logging.getLogger(__name__)
_RANKED = 10
_FAINT = 0.002  # an answer less likely than this is nobody's
_UNANSWERED = 0.7  # of the threshold of answers: what is only offered
_SURELY = 0.8  # a message that is this surely a command is no name


class Interpreter:
    """A loaded model; safe to share between threads."""

    def __init__(self, model: Model, encoder: Encoder | None = None) -> None:
        self._model = model
        self._encoder = encoder or Encoder()
        self.encoded = 0  # messages that the sentence encoder was asked about

    @staticmethod
    def load(root: Path = MODEL) -> Interpreter:
        """Load the committed model; the sentence encoder follows at its first use."""
        return Interpreter(load_model(root))

    @property
    def thresholds(self) -> Thresholds:
        """Give the confidences from which on to act, to offer choices, and to answer a question."""
        return self._model.card.thresholds

    @property
    def topics(self) -> frozenset[str]:
        """Give every topic that a message can get."""
        return frozenset(self._model.card.topics.values())

    def warm(self) -> None:
        """Load everything that would otherwise be loaded by the first messages."""
        find_entities("", datetime.now(UTC))
        LEXICAL.people("a")
        self._encoder.vector("")

    def parse(
        self, text: str, now: datetime | None = None, names: Sequence[str] = (), expects: str | None = None
    ) -> dict[str, Any]:
        """Understand one message; ``expects`` names the entity that the conversation is asking for. Never raises.

        Beside Rasa's fields stand ``topic``, ``topic_ranking`` and, as ``hints``, the schemes of fraud that the wording sounds
        like; ``asked`` and ``polite`` tell a question how or why from a wish in the form of a question, ``elliptical`` a message
        that leaves out what was said before, and ``clauses`` are the parses of several wishes, each with its place in the text.
        """
        try:
            return self._parse(normal_form(text), now or datetime.now(UTC), names, expects)
        except Exception:  # a message must get an answer whatever is in it
            _log.exception("a message could not be parsed")
            return self._form(normal_form(""), [], text)

    def _parse(self, normal: Normal, now: datetime, names: Sequence[str], expects: str | None) -> dict[str, Any]:
        entities = self._entities(normal.text, now, names, expects)
        form = self._form(normal, entities)
        wishes = self._wishes(normal.text, entities, now, names, expects)
        return {**form, "clauses": [self._clause(normal, wish, now, names, expects) for wish in wishes]} if wishes else form

    def asked_of_other(self, question: str, text: str) -> str | None:
        """Ask a question that was just answered of the other thing that a message names (「那提现呢」), None if it names none."""
        return asked_of_other(question, text)

    def _entities(self, text: str, now: datetime, names: Sequence[str], expects: str | None) -> list[Entity]:
        entities = find_entities(text, now, names, expects)
        if any(one.guessed for one in entities) and self._surely_says(text):
            entities = find_entities(text, now, names)
        return entities

    def _wishes(
        self, text: str, entities: Sequence[Entity], now: datetime, names: Sequence[str], expects: str | None
    ) -> list[Wish]:
        seen: dict[tuple[int, int], Wish | None] = {}

        def judge(start: int, end: int) -> Wish | None:
            if (start, end) not in seen:
                seen[start, end] = self._wish(text[start:end], start, now, names)
            return seen[start, end]

        def answered(end: int) -> bool:
            covered = sum(one.end - one.start for one in entities if one.kind == expects and one.end <= end)
            return covered >= 0.8 * end

        return find_wishes(text, entities, judge, answered)

    def _wish(self, text: str, start: int, now: datetime, names: Sequence[str]) -> Wish | None:
        """Read a part of a message as if it stood alone, with the guards that keep it from being an order to pay."""
        entities = self._entities(text, now, names, None)
        if not may_wish(text, entities):
            return None
        shares = self._probabilities(text, entities, alone=True)  # a cut that only the encoder would see is not sure enough
        intent = wished_for(text, entities, self._guarded(text, entities, shares), self.thresholds.accept)
        return Wish(start, start + len(text), intent, entities) if intent is not None else None

    def _clause(self, normal: Normal, wish: Wish, now: datetime, names: Sequence[str], expects: str | None) -> dict[str, Any]:
        start, end = normal.span(wish.start, wish.end)
        part = normal_form(normal.original[start:end])
        form = self._form(part, self._entities(part.text, now, names, expects if not wish.intent else None))
        joined = normal.text[wish.start - wish.lead : wish.end]
        leaning = elliptical(joined, self._entities(joined, now, names, None))
        return {**form, "start": start, "end": end, **({"elliptical": leaning} if leaning else {})}

    def _surely_says(self, text: str) -> bool:
        """Tell whether a message that could be a name is one of the things that people say to steer a conversation."""
        labels = self._probabilities(text, [], alone=True)
        return max((labels.get(label, 0.0) for label in words("guards")["steering"]), default=0.0) >= _SURELY

    def _form(self, normal: Normal, entities: list[Entity], text: str | None = None) -> dict[str, Any]:
        shares = self._probabilities(normal.text, entities)
        topics = self._by_topic(shares)
        topic = topics[0][0]
        labels = self._guarded(normal.text, entities, shares)
        faq = sorted(((label, share) for label, share in labels.items() if label.startswith(FAQ_PREFIX)), key=_by_share)
        intents = [(label, share) for label, share in labels.items() if not label.startswith(FAQ_PREFIX)]
        if faq:
            intents.append((FAQ_PREFIX[:-1], sum(share for _, share in faq)))
        intents.sort(key=_by_share)
        ranking = [{"name": label, "confidence": _rounded(share)} for label, share in intents[:_RANKED]]
        if names_topic(normal.text):
            faq = self._levelled(faq, topic)
        faq_ranking = [
            {"intent_response_key": label, "confidence": _significant(share), "topic": self._model.card.topics[label]}
            for place, (label, share) in enumerate(faq)
            if place < _RANKED or self._model.card.topics[label] == topic
        ]
        return {
            "text": normal.original if text is None else text,
            "intent": ranking[0],
            "intent_ranking": ranking,
            "entities": [one.to_json(normal) for one in entities],
            "response_selector": {"faq": {"response": faq_ranking[0] if faq_ranking else None, "ranking": faq_ranking}},
            "topic": topic,
            "topic_ranking": [{"name": name, "confidence": _rounded(share)} for name, share in topics[:_RANKED]],
            "hints": fraud_wordings(normal.text),
            **self._manner(normal.text, entities),
        }

    def _manner(self, text: str, entities: Sequence[Entity]) -> dict[str, Any]:
        """Say how a message speaks, where that is out of the common."""
        said = {"asked": asks_how(text), "polite": only_polite(text, entities), "elliptical": elliptical(text, entities)}
        return {name: value for name, value in said.items() if value}

    def _guarded(self, text: str, entities: Sequence[Entity], shares: Mapping[str, float]) -> dict[str, float]:
        """Give the probabilities after the guards: what may not be taken for an order, a cancellation or a denial."""
        labels = dict(shares)
        freed = 0.0
        for label in held_back(text, entities, labels):
            freed += max(labels[label] - self.thresholds.clarify / 2, 0.0)
            labels[label] = min(labels[label], self.thresholds.clarify / 2)
        if is_question(text, entities):
            self._ask_instead(labels, freed, self._by_topic(shares)[0][0])
        elif is_denied(text):
            labels["cancel"] = labels.get("cancel", 0.0) + freed
        if wants_instead(text, entities):
            _pass_on(labels, "cancel", "correct_slot")
        elif not entities and is_denied(text):
            _pass_on(labels, "deny", "cancel")
        if says_nothing(text):
            labels = {label: min(share, self.thresholds.accept * 0.9) for label, share in labels.items()}
        return labels

    def _by_topic(self, labels: Mapping[str, float]) -> list[tuple[str, float]]:
        """Give each topic's share, the likeliest first."""
        by_topic: dict[str, float] = {}
        for label, share in labels.items():
            topic = self._model.card.topics[label]
            by_topic[topic] = by_topic.get(topic, 0.0) + share
        return sorted(by_topic.items(), key=_by_share)

    def _ask_instead(self, labels: dict[str, float], freed: float, topic: str) -> None:
        """Give what a question may not have as an order to the answers on its topic; only one that stands out gets enough.

        An answer stands out when it is the likeliest of all, by as much as an answered question is, and not faint.
        """
        asking = {label: share for label, share in labels.items() if label.startswith(FAQ_PREFIX)}
        fitting = {label: share for label, share in asking.items() if self._model.card.topics[label] == topic}
        if not freed or not (whole := sum(fitting.values())):
            return
        best = max(asking, key=lambda label: asking[label])
        clear = best in fitting and asking[best] >= max(self.thresholds.faq * sum(asking.values()), _FAINT)
        most = 1.0 if clear else self.thresholds.faq * _UNANSWERED
        for label, share in fitting.items():
            labels[label] = max(share, min(share + freed * share / whole, most))

    def _levelled(self, faq: list[tuple[str, float]], topic: str) -> list[tuple[str, float]]:
        """Give all answers on a topic the same share, in the order that they have."""
        alike = [share for label, share in faq if self._model.card.topics[label] == topic]
        level = sum(alike) / max(len(alike), 1)
        shares = [(label, level if self._model.card.topics[label] == topic else share) for label, share in faq]
        return sorted(shares, key=lambda item: -item[1])

    def _probabilities(self, text: str, entities: Sequence[Entity], *, alone: bool = False) -> dict[str, float]:
        """Give each label's share; ``alone`` leaves the encoder out."""
        card = self._model.card
        masked = mask(text, [(one.kind, one.start, one.end) for one in entities])
        linear, fast = self._model.linear.logits(grams(masked)), card.fast_scales
        meanings = self._model.meanings.logits(pieces(readable(masked))) * fast[1] if self._model.meanings else 0.0
        shares = softmax(linear * fast[0] + meanings)
        if card.has_encoder and not alone and float(shares.max()) < card.sure and text:
            shares = self._second_opinion(linear, masked, shares)
        return dict(zip(card.labels, map(float, shares), strict=True))

    def _second_opinion(self, linear: Floats, masked: str, alone: Floats) -> Floats:
        vector = self._encoder.vector(readable(masked))
        if vector is None or self._model.neighbours is None:
            return alone
        self.encoded += 1
        first, second, third = self._model.card.pooled_scales
        near = self._model.neighbours.votes(vector[None])[0]
        return softmax(linear * first + self._model.head.logits(vector) * second + near * third)


def _pass_on(labels: dict[str, float], giver: str, taker: str) -> None:
    """Let one label have what another has, where the model knows both."""
    if giver in labels and taker in labels:
        labels[taker] += labels[giver]
        labels[giver] = 0.0


def _by_share(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _rounded(share: float) -> float:
    return round(share, 4)


def _significant(share: float) -> float:
    """Round so that small shares keep their order: where a service takes nearly all, one answer still fits best."""
    return float(f"{share:.4g}")
