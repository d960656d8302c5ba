"""Makes probabilities honest and chooses thresholds, both from votes on held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlu.examples import FAQ_PREFIX
from nlu.model import Thresholds
from nlu.vectors import Floats

_SCALES = np.geomspace(0.02, 4, 40)
_ROUNDS = 3
_CHOICES = 3
# The share of held-out examples, around a confidence, that must be right for acting or answering. They were written to
# be hard: where half of them are right, three in four are on exams by other people (docs/understanding.md), and there acting
# serves people better than asking; money needs a code besides.
_WORTH = 0.5
_OFFER = 2 / 3  # a choice that holds nothing wanted costs a turn
_SURE_LOSS = 0.005
_FLAT = 0.002

Scales = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Votes:
    """Logits of the models on examples that they have not seen, and the right labels."""

    linear: Floats
    meanings: Floats
    head: Floats
    neighbours: Floats
    target: npt.NDArray[np.int64]
    has_encoder: bool

    @staticmethod
    def none(target: npt.NDArray[np.int64], size: int, *, has_encoder: bool) -> Votes:
        """Give votes that say nothing yet, to be written into."""
        linear, meanings, head, neighbours = np.zeros((4, len(target), size), dtype=np.float32)
        return Votes(linear, meanings, head, neighbours, target, has_encoder)

    @property
    def fast(self) -> tuple[Floats, ...]:
        """Give the votes that are had in no time: of n-grams, and of what words mean."""
        return self.linear, self.meanings

    @property
    def pooled(self) -> tuple[Floats, ...]:
        """Give the votes that count where the encoder was asked."""
        return self.linear, self.head, self.neighbours


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds and the figures that they were chosen by."""

    thresholds: Thresholds
    sure: float
    measured: dict[str, float]


def fit_scales(votes: Votes) -> tuple[Scales, Scales]:
    """Find the scales of the fast votes, and of those with the encoder, that give the lowest held-out log loss."""
    return _fit(votes.fast, votes.target), _fit(votes.pooled, votes.target)


def _fit(parts: Sequence[Floats], target: npt.NDArray[np.int64]) -> Scales:
    scales = [1.0] * len(parts)
    for _ in range(_ROUNDS):
        for place in range(len(parts)):
            tried = [[*scales[:place], float(scale), *scales[place + 1 :]] for scale in _SCALES]
            scales = min(tried, key=lambda one: _loss(added(parts, one), target))
    return tuple(scales)


def added(parts: Sequence[Floats], scales: Sequence[float]) -> Floats:
    """Add votes up, each by its scale."""
    out = np.zeros_like(parts[0])
    for part, scale in zip(parts, scales, strict=True):
        out += part * np.float32(scale)
    return out


def choose(votes: Votes, fast: Scales, pooled: Scales, labels: Sequence[str]) -> Choice:
    """Choose when the fast votes need no second opinion, and the thresholds of the result."""
    first = probabilities(added(votes.fast, fast))
    both = probabilities(added(votes.pooled, pooled))
    sure = _sure(first, both, votes.target)
    unsure = first.max(axis=1) < sure
    final = np.where(unsure[:, None], both, first)
    faq = np.array([label.startswith(FAQ_PREFIX) for label in labels])
    intents = np.concatenate([final[:, ~faq], final[:, faq].sum(axis=1, keepdims=True)], axis=1)
    position = np.where(faq, (~faq).sum(), np.cumsum(~faq) - 1)
    best, target = intents.argmax(axis=1), position[votes.target]
    answers, place = final[:, faq], np.cumsum(faq) - 1
    answered = faq[votes.target] & (answers.argmax(axis=1) == place[votes.target]) if faq.any() else faq[votes.target]
    among = (np.argsort(-intents, axis=1)[:, :_CHOICES] == target[:, None]).any(axis=1)
    accept = _edge(intents.max(axis=1), best == target, _WORTH)
    thresholds = Thresholds(
        accept=round(accept, 3),
        clarify=round(min(accept, _edge(intents.max(axis=1), among, _OFFER)), 3),
        faq=round(_edge(answers.max(axis=1), answered, _WORTH), 3) if faq.any() else 1.0,
    )
    accepted = intents.max(axis=1) >= thresholds.accept
    measured = {
        "label_accuracy_fast": np.mean(first.argmax(axis=1) == votes.target),
        "label_accuracy": np.mean(final.argmax(axis=1) == votes.target),
        "intent_accuracy": np.mean(best == target),
        "accepted": np.mean(accepted),
        "accepted_right": np.mean((best == target)[accepted]),
        "encoded": np.mean(unsure),
    }
    return Choice(thresholds, round(sure, 3), {name: round(float(figure), 4) for name, figure in measured.items()})


def probabilities(logits: Floats) -> Floats:
    """Softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: Floats = powers / powers.sum(axis=1, keepdims=True)
    return out


def _loss(logits: Floats, target: npt.NDArray[np.int64]) -> float:
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float(np.mean(total - logits[np.arange(len(target)), target]))


def _sure(first: Floats, both: Floats, target: npt.NDArray[np.int64]) -> float:
    """Give the lowest confidence from which on the fast votes may decide alone, at the price of half a point in all."""
    top = first.max(axis=1)
    alone_right, both_right = first.argmax(axis=1) == target, both.argmax(axis=1) == target
    for edge in np.arange(0.3, 0.995, 0.01):
        if np.where(top >= edge, alone_right, both_right).mean() >= both_right.mean() - _SURE_LOSS:
            return float(edge)
    return 1.0


def _edge(confidence: Floats, right: npt.NDArray[np.bool_], share: float) -> float:
    """Give the confidence from which on to answer, when a right answer is worth 1 - ``share`` and a wrong one costs ``share``.

    With honest confidences that is where one answer in ``share`` is right. The sum is flat around its best, which single examples
    would move: the highest confidence counts that gives the best sum but for one example in 500.
    """
    order = np.argsort(-confidence, kind="stable")
    worth = np.cumsum(right[order] - share)
    return float(confidence[order[int(np.flatnonzero(worth >= worth.max() - len(worth) * _FLAT)[0])]])
