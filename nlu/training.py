"""Trains the model: n-gram and sentence-vector regressions, calibrated and given thresholds on held-out folds."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlu.calibration import Votes, choose, fit_scales
from nlu.encoder import Encoder
from nlu.entities import find_entities, normal_form
from nlu.errors import ModelError, NluError
from nlu.examples import DATA, Corpus, Example, data_files, read_corpus
from nlu.features import grams, mask, readable
from nlu.model import MODEL, Card, Head, Linear, Model, Neighbours, load_model, save_model
from nlu.vectors import SIZE, Floats, Vectors, keys_of
from nlu.words import WORDS

_log = logging.getLogger(__name__)

RECIPE = 3
"""Raised when code changes what a training run would give for the same data."""

_SHAPING = ("amounts", "delays", "ids", "masks", "notes", "payees", "periods")
"""The word lists that decide what is masked; the others are read anew at each start and train nothing."""

_FOLDS = 4
_LEAST_SENTENCES = 2
_LINEAR_C = 40.0
_HEAD_C = 6.0
_NOW = datetime(2026, 1, 15, 4, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """One way of seeing an example: its features' text and its label's number; ``group`` is the example it came from."""

    masked: str
    label: int
    group: int


def data_hash(root: Path = DATA) -> str:
    """Hash everything that decides what training gives."""
    digest = hashlib.sha256(f"recipe {RECIPE}\n".encode())
    for path in [*data_files(root), *(WORDS / f"{name}.yml" for name in _SHAPING)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_stale(root: Path = MODEL, data: Path = DATA) -> bool:
    """Tell whether the committed model was trained from other data than lies here."""
    try:
        return load_model(root).card.data_hash != data_hash(data)
    except ModelError:
        return True


def train(data: Path = DATA, root: Path = MODEL) -> Model:
    """Train from the examples below ``data`` and save into ``root``; the same data gives the same model."""
    seen = data_hash(data)  # taken first: what changes while training runs was not trained on
    corpus = read_corpus(data)
    if not corpus.examples:
        raise NluError(f"no examples below {data}")
    labels = corpus.labels
    samples = _samples(corpus)
    vectors = Vectors.load(root)
    texts = [readable(sample.masked) for sample in samples]
    encoded = vectors.of(texts, Encoder())
    target = np.array([sample.label for sample in samples])
    votes = _held_out_votes(samples, target, encoded, len(labels))
    linear = _fit_linear([sample.masked for sample in samples], target, len(labels))
    head = _fit_head(encoded, target, len(labels)) if encoded is not None else _no_head(len(labels))
    alone, pooled = fit_scales(votes)
    chosen = choose(votes, alone, pooled, labels)
    card = Card(
        data_hash=seen,
        labels=labels,
        topics=corpus.topics,
        thresholds=chosen.thresholds,
        sure=chosen.sure,
        linear_scale=alone,
        pooled_scales=pooled,
        has_encoder=encoded is not None,
        measured=chosen.measured,
    )
    neighbours = Neighbours.of(encoded, target, head.mean, len(labels)) if encoded is not None else None
    model = Model(card, linear, head, neighbours)
    save_model(model, keys_of(texts) if encoded is not None else keys_of([]), root)
    vectors.save(root)
    return model


def _samples(corpus: Corpus) -> list[Sample]:
    """See each example as the interpreter will, and once more with its annotated payees hidden."""
    numbers = {label: number for number, label in enumerate(corpus.labels)}
    samples: list[Sample] = []
    for group, example in enumerate(corpus.examples):
        seen = sorted({_masked(example, ()), _masked(example, _payees(example))})
        samples += [Sample(masked, numbers[example.label], group) for masked in seen]
    return samples


def _payees(example: Example) -> tuple[str, ...]:
    return tuple(example.text[mark.start : mark.end] for mark in example.marks if mark.entity == "payee")


def _masked(example: Example, names: Sequence[str]) -> str:
    normal = normal_form(example.text)
    entities = find_entities(normal.text, _NOW, names)
    return mask(normal.text, [(one.kind, one.start, one.end) for one in entities])


def _fold(group: int) -> int:
    return int.from_bytes(hashlib.sha256(str(group).encode()).digest()[:4], "big") % _FOLDS


def _held_out_votes(samples: list[Sample], target: npt.NDArray[np.int64], encoded: Floats | None, size: int) -> Votes:
    """Let models that have not seen an example vote on it."""
    folds = np.array([_fold(sample.group) for sample in samples])
    linear_votes = np.zeros((len(samples), size), dtype=np.float32)
    head_votes, near_votes = np.zeros_like(linear_votes), np.zeros_like(linear_votes)
    for fold in range(_FOLDS):
        seen, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        linear = _fit_linear([samples[index].masked for index in seen], target[seen], size)
        for index in held:
            linear_votes[index] = linear.logits(grams(samples[index].masked))
        if encoded is not None:
            head = _fit_head(encoded[seen], target[seen], size)
            head_votes[held] = head.logits(encoded[held])
            near_votes[held] = Neighbours.of(encoded[seen], target[seen], head.mean, size).votes(encoded[held])
        _log.info("fold %d of %d", fold + 1, _FOLDS)
    return Votes(linear_votes, head_votes, near_votes, target, encoded is not None)


def _fit_linear(texts: Sequence[str], target: npt.NDArray[np.int64], size: int) -> Linear:
    from scipy.sparse import csr_matrix

    bags = [grams(text) for text in texts]
    counts: dict[str, int] = {}
    for bag in bags:
        for gram in bag:
            counts[gram] = counts.get(gram, 0) + 1
    kept = sorted(gram for gram, count in counts.items() if count >= _LEAST_SENTENCES)
    vocabulary = {gram: index for index, gram in enumerate(kept)}
    idf = np.array([1 + np.log((1 + len(bags)) / (1 + counts[gram])) for gram in kept], dtype=np.float32)
    starts, columns, values = [0], [], []
    for bag in bags:
        at = np.array(sorted(vocabulary[gram] for gram in bag if gram in vocabulary), dtype=np.int64)
        weights = idf[at]
        columns.append(at)
        values.append(weights / np.sqrt(max(float(weights @ weights), 1e-9)))
        starts.append(starts[-1] + len(at))
    matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), np.array(starts)), shape=(len(bags), len(kept)))
    weights, bias = _regress(matrix, target, size, _LINEAR_C)
    scale = np.maximum(np.abs(weights).max(axis=0), 1e-6) / 127
    packed = np.rint(weights / scale).astype(np.int8)
    return Linear(vocabulary, idf, packed, scale.astype(np.float32), bias)


def _fit_head(encoded: Floats, target: npt.NDArray[np.int64], size: int) -> Head:
    mean = encoded.mean(axis=0)
    weights, bias = _regress((encoded - mean) * np.float32(4), target, size, _HEAD_C)
    return Head(mean, (weights * 4).astype(np.float16).astype(np.float32), bias)


def _no_head(size: int) -> Head:
    return Head(np.zeros(SIZE, np.float32), np.zeros((SIZE, size), np.float32), np.zeros(size, np.float32))


def _regress(matrix: Any, target: npt.NDArray[np.int64], size: int, strength: float) -> tuple[Floats, Floats]:
    """Fit a multinomial regression; labels that do not occur get a bias that keeps them out."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bounded number of steps is the point
        fitted = LogisticRegression(C=strength, max_iter=60, tol=1e-3).fit(matrix, target)
    weights = np.zeros((matrix.shape[1], size), dtype=np.float32)
    bias = np.full(size, -20.0, dtype=np.float32)
    weights[:, fitted.classes_] = fitted.coef_.T
    bias[fitted.classes_] = fitted.intercept_
    return weights, bias
