"""The trained model as plain arrays: loads in milliseconds, needs numpy alone, weighs a message in well under one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlu.errors import ModelError
from nlu.vectors import Floats, Vectors

MODEL = Path(__file__).parent / "model"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Confidences chosen on held-out folds: from which on to act, to offer choices, and to answer a question."""

    accept: float
    clarify: float
    faq: float


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a trained model besides its weights."""

    data_hash: str
    labels: tuple[str, ...]
    topics: dict[str, str]
    thresholds: Thresholds
    sure: float
    fast_scales: tuple[float, ...]
    pooled_scales: tuple[float, ...]
    has_encoder: bool
    measured: dict[str, float]


@dataclass(frozen=True)
class Linear:
    """One multinomial model over n-grams or words: idf-weighted rows of eight-bit weights, one scale a label."""

    vocabulary: dict[str, int]
    idf: Floats
    weights: npt.NDArray[np.int8]
    scale: Floats
    bias: Floats

    def logits(self, grams: Iterable[str]) -> Floats:
        """Weigh a set of n-grams."""
        vocabulary = self.vocabulary
        rows = sorted(vocabulary[gram] for gram in grams if gram in vocabulary)
        if not rows:
            return self.bias
        at = np.array(rows)
        values: Floats = self.idf[at]
        values /= np.sqrt(values @ values)
        out: Floats = values @ self.weights[at].astype(np.float32) * self.scale + self.bias
        return out


@dataclass(frozen=True)
class Head:
    """The multinomial model over sentence vectors, whose training mean is taken off first."""

    mean: Floats
    weights: Floats
    bias: Floats

    def logits(self, vector: Floats) -> Floats:
        """Weigh one sentence vector."""
        out: Floats = ((vector - self.mean) @ self.weights + self.bias).astype(np.float32)
        return out


@dataclass(frozen=True)
class Neighbours:
    """The training sentences themselves: the nearer a message is to those of a label, the more they vote for it."""

    rows: Floats
    labels: npt.NDArray[np.int64]
    mean: Floats
    size: int

    @staticmethod
    def of(vectors: Floats, labels: npt.NDArray[np.int64], mean: Floats, size: int) -> Neighbours:
        """Centre and normalise the sentence vectors."""
        return Neighbours(_unit(vectors - mean), labels, mean, size)

    def votes(self, vectors: Floats) -> Floats:
        """Give the log share of each label among the neighbours, one row a sentence."""
        closeness = np.exp(_SHARPNESS * (_unit(vectors - self.mean) @ self.rows.T))
        shares = np.zeros((len(vectors), self.size))
        for place, row in enumerate(closeness):
            shares[place] = np.bincount(self.labels, weights=row, minlength=self.size)
        out: Floats = np.log(shares / shares.sum(axis=1, keepdims=True) + _LEAST_SHARE).astype(np.float32)
        return out


_GRAMS, _WORDS = "grams", "words"
_PARTS = ("idf", "weights", "scale", "bias")
_SHARPNESS = 18.0
_LEAST_SHARE = 1e-6


def _unit(vectors: Floats) -> Floats:
    out: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return out


@dataclass(frozen=True)
class Model:
    """Everything that training leaves behind; without a sentence encoder there are no neighbours and no meanings of words."""

    card: Card
    linear: Linear
    meanings: Linear | None
    head: Head
    neighbours: Neighbours | None


def softmax(logits: Floats) -> Floats:
    """Turn logits into probabilities."""
    powers = np.exp(logits - logits.max())
    out: Floats = powers / powers.sum()
    return out


def load_model(root: Path = MODEL) -> Model:
    """Load the committed model."""
    try:
        meta = json.loads((root / "card.json").read_text(encoding="utf-8"))
        grams, words = ((root / f"{name}.txt").read_text(encoding="utf-8").split("\n") for name in (_GRAMS, _WORDS))
        with np.load(root / "weights.npz") as arrays:
            held = {name: arrays[name] for name in arrays.files}
        vectors = Vectors.load(root) if meta["has_encoder"] else None
        return _assemble(meta, grams, words, held, vectors)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ModelError(f"no usable model in {root}: {fault}; run training") from fault


def _assemble(
    meta: dict[str, Any], grams: Sequence[str], words: Sequence[str], held: Mapping[str, Any], vectors: Vectors | None
) -> Model:
    card = Card(
        data_hash=meta["data_hash"],
        labels=tuple(meta["labels"]),
        topics=meta["topics"],
        thresholds=Thresholds(**meta["thresholds"]),
        sure=meta["sure"],
        fast_scales=tuple(meta["fast_scales"]),
        pooled_scales=tuple(meta["pooled_scales"]),
        has_encoder=meta["has_encoder"],
        measured=meta["measured"],
    )
    head = Head(held["mean"], held["head_weights"].astype(np.float32), held["head_bias"])
    neighbours = None
    if vectors is not None:
        rows = vectors.rows(held["sample_keys"])
        neighbours = Neighbours.of(rows, held["sample_labels"].astype(np.int64), head.mean, len(card.labels))
    meanings = _linear(words, _WORDS, held) if f"{_WORDS}_bias" in held else None
    return Model(card, _linear(grams, _GRAMS, held), meanings, head, neighbours)


def _linear(vocabulary: Sequence[str], name: str, held: Mapping[str, Any]) -> Linear:
    parts = {part: held[f"{name}_{part}"] for part in _PARTS}
    return Linear({gram: index for index, gram in enumerate(vocabulary)}, **parts)


def save_model(model: Model, sample_keys: npt.NDArray[np.uint64], root: Path = MODEL) -> None:
    """Write a model so that equal models give equal files; ``sample_keys`` name the neighbours' rows among the kept vectors."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "card.json").write_text(
        json.dumps(asdict(model.card), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    weights: dict[str, Any] = {}
    for name, linear in ((_GRAMS, model.linear), (_WORDS, model.meanings)):
        vocabulary = sorted(linear.vocabulary, key=linear.vocabulary.__getitem__) if linear else []
        (root / f"{name}.txt").write_text("\n".join(vocabulary), encoding="utf-8")
        weights |= {f"{name}_{part}": getattr(linear, part) for part in _PARTS} if linear else {}
    np.savez_compressed(
        root / "weights.npz",
        **weights,
        mean=model.head.mean,
        head_weights=model.head.weights.astype(np.float16),
        head_bias=model.head.bias,
        sample_keys=sample_keys,
        sample_labels=model.neighbours.labels.astype(np.int16) if model.neighbours else np.zeros(0, np.int16),
    )
