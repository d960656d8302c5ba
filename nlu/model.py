"""The trained model as plain arrays: loads in milliseconds, needs numpy alone, weighs a message in well under one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlu.errors import ModelError

MODEL = Path(__file__).parent / "model"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Confidences chosen on held-out folds: act from ``accept`` on, offer choices from ``clarify`` on, answer a question from ``faq`` on."""

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
    linear_scale: float
    pooled_scales: tuple[float, float]
    has_encoder: bool
    measured: dict[str, float]


@dataclass(frozen=True)
class Linear:
    """One multinomial model over n-grams: idf-weighted rows of eight-bit weights, one scale a label."""

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
        values = self.idf[at]
        values = values / np.sqrt(values @ values)
        out: Floats = (values @ self.weights[at].astype(np.float32)) * self.scale + self.bias
        return out


@dataclass(frozen=True)
class Head:
    """The multinomial model over sentence vectors, whose training mean is taken off first."""

    mean: Floats
    weights: Floats
    bias: Floats

    def logits(self, vector: Floats) -> Floats:
        """Weigh one sentence vector."""
        return (vector - self.mean) @ self.weights + self.bias


@dataclass(frozen=True)
class Model:
    """Everything that training leaves behind."""

    card: Card
    linear: Linear
    head: Head


def softmax(logits: Floats) -> Floats:
    """Turn logits into probabilities."""
    powers = np.exp(logits - logits.max())
    out: Floats = powers / powers.sum()
    return out


def load_model(root: Path = MODEL) -> Model:
    """Load the committed model."""
    try:
        meta = json.loads((root / "card.json").read_text(encoding="utf-8"))
        grams = (root / "grams.txt").read_text(encoding="utf-8").split("\n")
        with np.load(root / "weights.npz") as arrays:
            held = {name: arrays[name] for name in arrays.files}
        return _assemble(meta, grams, held)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ModelError(f"no usable model in {root}: {fault}; run training") from fault


def _assemble(meta: dict[str, Any], grams: list[str], held: dict[str, Any]) -> Model:
    card = Card(
        data_hash=meta["data_hash"],
        labels=tuple(meta["labels"]),
        topics=meta["topics"],
        thresholds=Thresholds(**meta["thresholds"]),
        sure=meta["sure"],
        linear_scale=meta["linear_scale"],
        pooled_scales=(meta["pooled_scales"][0], meta["pooled_scales"][1]),
        has_encoder=meta["has_encoder"],
        measured=meta["measured"],
    )
    linear = Linear(
        vocabulary={gram: index for index, gram in enumerate(grams)},
        idf=held["idf"],
        weights=held["weights"],
        scale=held["scale"],
        bias=held["bias"],
    )
    head = Head(held["mean"], held["head_weights"].astype(np.float32), held["head_bias"])
    return Model(card, linear, head)


def save_model(model: Model, root: Path = MODEL) -> None:
    """Write a model so that equal models give equal files."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "card.json").write_text(json.dumps(asdict(model.card), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    grams = sorted(model.linear.vocabulary, key=model.linear.vocabulary.__getitem__)
    (root / "grams.txt").write_text("\n".join(grams), encoding="utf-8")
    np.savez_compressed(
        root / "weights.npz",
        idf=model.linear.idf,
        weights=model.linear.weights,
        scale=model.linear.scale,
        bias=model.linear.bias,
        mean=model.head.mean,
        head_weights=model.head.weights.astype(np.float16),
        head_bias=model.head.bias,
    )
