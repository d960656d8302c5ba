"""Makes probabilities honest and chooses thresholds, both from votes on held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlu.examples import FAQ_PREFIX
from nlu.model import Floats, Thresholds

_SCALES = np.geomspace(0.3, 6, 25)
# A wrong reading costs the person one more message (nothing moves without a code), a needless question costs one always: so a
# reading is acted on from where, among held-out messages of about that confidence, so many are right.
_ACCEPT_CHANCE = 0.6
_FAQ_CHANCE = 0.6
_WINDOW = 120  # held-out messages of about the same confidence
_CLARIFY_RECALL = 0.75
_SURE_PRECISION = 0.985
_CHOICES = 3


@dataclass(frozen=True, slots=True)
class Votes:
    """Logits of both models on examples that they have not seen, and the right labels."""

    linear: Floats
    head: Floats
    target: npt.NDArray[np.int64]
    has_head: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds and the figures that they were chosen by."""

    thresholds: Thresholds
    sure: float
    measured: dict[str, float]


def fit_scales(votes: Votes) -> tuple[float, tuple[float, float]]:
    """Find the scale of the linear model alone, and of both pooled, that give the lowest held-out log loss."""
    alone = min(_SCALES, key=lambda scale: _loss(votes.linear * scale, votes.target))
    if not votes.has_head:
        return float(alone), (float(alone), 0.0)
    pooled = (float(alone), 0.0)
    for _ in range(3):
        first = min(_SCALES, key=lambda scale: _loss(votes.linear * scale + votes.head * pooled[1], votes.target))
        second = min(_SCALES, key=lambda scale: _loss(votes.linear * first + votes.head * scale, votes.target))
        pooled = (float(first), float(second))
    return float(alone), pooled


def choose(votes: Votes, alone: float, pooled: tuple[float, float], labels: Sequence[str]) -> Choice:
    """Choose when the linear model needs no second opinion, and the thresholds of the result."""
    first = probabilities(votes.linear * alone)
    both = probabilities(votes.linear * pooled[0] + votes.head * pooled[1]) if votes.has_head else first
    sure = _lowest(first.max(axis=1), first.argmax(axis=1) == votes.target, _SURE_PRECISION)
    unsure = first.max(axis=1) < sure
    final = np.where(unsure[:, None], both, first)
    faq = np.array([label.startswith(FAQ_PREFIX) for label in labels])
    intents = np.concatenate([final[:, ~faq], final[:, faq].sum(axis=1, keepdims=True)], axis=1)
    position = np.where(faq, (~faq).sum(), np.cumsum(~faq) - 1)
    target = position[votes.target]
    best = intents.argmax(axis=1)
    accept = _from_chance(intents.max(axis=1), best == target, _ACCEPT_CHANCE)
    asked = faq[votes.target]
    answers = final[:, faq]
    place = np.cumsum(faq) - 1
    known = asked & (answers.argmax(axis=1) == place[votes.target])
    keys = _from_chance(answers.max(axis=1), known, _FAQ_CHANCE) if faq.any() else 1.0
    clarify = _clarify(final, votes.target, accept)
    measured = {
        "label_accuracy_linear": float(np.mean(first.argmax(axis=1) == votes.target)),
        "label_accuracy": float(np.mean(final.argmax(axis=1) == votes.target)),
        "label_accuracy_pooled": float(np.mean(both.argmax(axis=1) == votes.target)),
        "intent_accuracy": float(np.mean(best == target)),
        "unsure_share": float(np.mean(unsure)),
    }
    return Choice(
        Thresholds(accept=round(accept, 3), clarify=round(clarify, 3), faq=round(keys, 3)),
        round(sure, 3),
        {name: round(figure, 4) for name, figure in measured.items()},
    )


def probabilities(logits: Floats) -> Floats:
    """Softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: Floats = powers / powers.sum(axis=1, keepdims=True)
    return out


def _loss(logits: Floats, target: npt.NDArray[np.int64]) -> float:
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float(np.mean(total - logits[np.arange(len(target)), target]))


def _lowest(confidence: Floats, right: npt.NDArray[np.bool_], precision: float) -> float:
    """Give the lowest confidence from which on at least ``precision`` of the answers are right."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= precision)
    return float(confidence[order[good[-1]]]) if len(good) else 1.0


def _from_chance(confidence: Floats, right: npt.NDArray[np.bool_], chance: float) -> float:
    """Give the confidence above which the answers of each stretch of neighbours are right at least that often."""
    order = np.argsort(-confidence, kind="stable")
    width = min(_WINDOW, len(order))
    rates = np.convolve(right[order].astype(float), np.ones(width) / width, mode="valid")
    poor = np.flatnonzero(rates < chance)
    last = int(poor[0]) if len(poor) else len(order) - 1
    return float(confidence[order[min(last + width // 2, len(order) - 1)]])


def _clarify(final: Floats, target: npt.NDArray[np.int64], accept: float) -> float:
    """Give the lowest confidence at which the right label is among a few choices often enough to offer them."""
    among = (np.argsort(-final, axis=1)[:, :_CHOICES] == target[:, None]).any(axis=1)
    top = final.max(axis=1)
    for edge in np.linspace(0.05, accept, 60):
        band = (top >= edge) & (top < edge + 0.1)
        if band.sum() >= 10 and among[band].mean() >= _CLARIFY_RECALL:
            return float(edge)
    return accept
