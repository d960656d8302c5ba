"""From a message to its meaning: intent, entities, FAQ ranking and topic in Rasa's parse form."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nlu.encoder import Encoder
from nlu.entities import Entity, find_entities, normal_form
from nlu.examples import FAQ_PREFIX
from nlu.features import grams, mask, readable
from nlu.fraud import fraud_wordings
from nlu.guards import held_back, names_topic, says_nothing
from nlu.lexical import LEXICAL
from nlu.model import MODEL, Model, Thresholds, load_model, softmax
from nlu.normalise import Normal
from nlu.vectors import Floats
from nlu.words import words

_log = logging.getLogger(__name__)
_RANKED = 10
_SURELY = 0.8  # a message that is this surely a command is no name


class Interpreter:
    """A loaded model; safe to share between threads."""

    def __init__(self, model: Model, encoder: Encoder | None = None) -> None:
        self._model = model
        self._encoder = encoder or Encoder()

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

        Beside Rasa's fields stand the ``topic`` and, as ``hints``, the schemes of fraud that the wording sounds like.
        """
        try:
            normal = normal_form(text)
            now = now or datetime.now(UTC)
            entities = find_entities(normal.text, now, names, expects)
            if any(one.guessed for one in entities) and self._surely_says(normal.text):
                entities = find_entities(normal.text, now, names)
            return self._form(normal, entities)
        except Exception:  # a message must get an answer whatever is in it
            _log.exception("a message could not be parsed")
            return self._form(normal_form(""), [], text)

    def _surely_says(self, text: str) -> bool:
        """Tell whether a message that could be a name is one of the things that people say to steer a conversation."""
        labels = self._probabilities(text, [])
        return max((labels.get(label, 0.0) for label in words("guards")["steering"]), default=0.0) >= _SURELY

    def _form(self, normal: Normal, entities: list[Entity], text: str | None = None) -> dict[str, Any]:
        labels = self._probabilities(normal.text, entities)
        by_topic: dict[str, float] = {}
        for label, share in labels.items():
            topic = self._model.card.topics[label]
            by_topic[topic] = by_topic.get(topic, 0.0) + share
        for label in held_back(normal.text, entities, labels):
            labels[label] = min(labels[label], self.thresholds.clarify / 2)
        if says_nothing(normal.text):
            labels = {label: min(share, self.thresholds.accept * 0.9) for label, share in labels.items()}
        faq = sorted(((label, share) for label, share in labels.items() if label.startswith(FAQ_PREFIX)), key=_by_share)
        intents = [(label, share) for label, share in labels.items() if not label.startswith(FAQ_PREFIX)]
        if faq:
            intents.append((FAQ_PREFIX[:-1], sum(share for _, share in faq)))
        intents.sort(key=_by_share)
        ranking = [{"name": label, "confidence": _rounded(share)} for label, share in intents[:_RANKED]]
        topic = max(by_topic, key=lambda topic: by_topic[topic])
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
            "hints": fraud_wordings(normal.text),
        }

    def _levelled(self, faq: list[tuple[str, float]], topic: str) -> list[tuple[str, float]]:
        """Give all answers on a topic the same share, in the order that they have."""
        alike = [share for label, share in faq if self._model.card.topics[label] == topic]
        level = sum(alike) / max(len(alike), 1)
        shares = [(label, level if self._model.card.topics[label] == topic else share) for label, share in faq]
        return sorted(shares, key=lambda item: -item[1])

    def _probabilities(self, text: str, entities: list[Entity]) -> dict[str, float]:
        card = self._model.card
        masked = mask(text, [(one.kind, one.start, one.end) for one in entities])
        linear = self._model.linear.logits(grams(masked))
        shares = softmax(linear * card.linear_scale)
        if card.has_encoder and float(shares.max()) < card.sure and text:
            shares = self._second_opinion(linear, masked, shares)
        return dict(zip(card.labels, map(float, shares), strict=True))

    def _second_opinion(self, linear: Floats, masked: str, alone: Floats) -> Floats:
        vector = self._encoder.vector(readable(masked))
        if vector is None or self._model.neighbours is None:
            return alone
        first, second, third = self._model.card.pooled_scales
        near = self._model.neighbours.votes(vector[None])[0]
        return softmax(linear * first + self._model.head.logits(vector) * second + near * third)


def _by_share(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _rounded(share: float) -> float:
    return round(share, 4)


def _significant(share: float) -> float:
    """Round so that small shares keep their order: where a service takes nearly all, one answer still fits best."""
    return float(f"{share:.4g}")
