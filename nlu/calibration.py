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
# Shares of held-out examples, around a confidence, that must be right. They were written to be hard, and money needs a code
# besides: from three in five on, acting serves people better than asking.
_ACCEPT = 0.6
_CLARIFY = 0.6
_FAQ = 0.6
_SURE_LOSS = 0.003

Scales = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Votes:
    """Logits of the models on examples that they have not seen, and the right labels."""

    linear: Floats
    head: Floats
    neighbours: Floats
    target: npt.NDArray[np.int64]
    has_encoder: bool

    def pooled(self, scales: Scales) -> Floats:
        """Add up the votes of all three."""
        out: Floats = self.linear * scales[0] + self.head * scales[1] + self.neighbours * scales[2]
        return out


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds and the figures that they were chosen by."""

    thresholds: Thresholds
    sure: float
    measured: dict[str, float]


def fit_scales(votes: Votes) -> tuple[float, Scales]:
    """Find the scale of the linear model alone, and of all pooled, that give the lowest held-out log loss."""
    alone = float(min(_SCALES, key=lambda scale: _loss(votes.linear * scale, votes.target)))
    scales = [alone, 0.0, 0.0]
    if votes.has_encoder:
        for _ in range(_ROUNDS):
            for place in range(3):
                tried = [[*scales[:place], float(scale), *scales[place + 1 :]] for scale in _SCALES]
                scales = min(tried, key=lambda one: _loss(votes.pooled((one[0], one[1], one[2])), votes.target))
    return alone, (scales[0], scales[1], scales[2])


def choose(votes: Votes, alone: float, pooled: Scales, labels: Sequence[str]) -> Choice:
    """Choose when the linear model needs no second opinion, and the thresholds of the result."""
    first = probabilities(votes.linear * alone)
    both = probabilities(votes.pooled(pooled))
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
    accept = _edge(intents.max(axis=1), best == target, _ACCEPT)
    thresholds = Thresholds(
        accept=round(accept, 3),
        clarify=round(min(accept, _edge(intents.max(axis=1), among, _CLARIFY)), 3),
        faq=round(_edge(answers.max(axis=1), answered, _FAQ), 3) if faq.any() else 1.0,
    )
    accepted = intents.max(axis=1) >= thresholds.accept
    measured = {
        "label_accuracy_linear": np.mean(first.argmax(axis=1) == votes.target),
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
    """Give the confidence from which on the linear model is as often right as all together."""
    top = first.max(axis=1)
    alone_right, both_right = first.argmax(axis=1) == target, both.argmax(axis=1) == target
    for edge in np.arange(0.5, 0.995, 0.01):
        held = top >= edge
        if held.any() and alone_right[held].mean() >= both_right[held].mean() - _SURE_LOSS:
            return float(edge)
    return 1.0


def _edge(confidence: Floats, right: npt.NDArray[np.bool_], share: float) -> float:
    """Give the confidence from which on to answer, when a right answer is worth 1 - ``share`` and a wrong one costs ``share``.

    With honest confidences that is where one answer in ``share`` is right; the best sum does not hang on single examples.
    """
    order = np.argsort(-confidence, kind="stable")
    worth = np.cumsum(right[order] - share)
    return float(confidence[order[int(worth.argmax())]])
