"""Trains the model: its parts are fitted, calibrated and given thresholds by what they say on folds that they have not seen."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlu.calibration import Votes, choose, fit_scales
from nlu.encoder import Encoder
from nlu.entities import find_entities, normal_form
from nlu.errors import ModelError, NluError
from nlu.examples import DATA, Corpus, Example, data_files, read_corpus
from nlu.features import grams, mask, pieces, readable
from nlu.fitting import Meanings, fit_head, fit_linear, no_head
from nlu.model import MODEL, Card, Model, Neighbours, load_model, save_model
from nlu.vectors import Floats, Vectors, keys_of
from nlu.words import WORDS

_log = logging.getLogger(__name__)

RECIPE = 9
"""Raised when code changes what a training run would give for the same data."""

_SHAPING = ("amounts", "delays", "holidays", "ids", "masks", "notes", "payees", "periods")
"""The word lists that decide what is masked; the others are read anew at each start and train nothing."""

_FOLDS = 4
_NOW = datetime(2026, 1, 15, 4, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """One way of seeing an example: its features' text, its label's number and the fold that the example is held out with."""

    masked: str
    label: int
    fold: int


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
    vectors, encoder = Vectors.load(root), Encoder()
    texts = [readable(sample.masked) for sample in samples]
    encoded = vectors.of(texts, encoder)
    meanings = Meanings.of(texts, encoded, vectors, encoder) if encoded is not None else None
    target = np.array([sample.label for sample in samples])
    votes = _held_out_votes(samples, target, encoded, meanings, len(labels))
    linear = fit_linear([sample.masked for sample in samples], target, len(labels))
    words = meanings.fit(np.arange(len(samples)), target, len(labels)) if meanings is not None else None
    head = fit_head(encoded, target, len(labels)) if encoded is not None else no_head(len(labels))
    alone, pooled = fit_scales(votes)
    chosen = choose(votes, alone, pooled, labels)
    card = Card(
        data_hash=seen,
        labels=labels,
        topics=corpus.topics,
        thresholds=chosen.thresholds,
        sure=chosen.sure,
        fast_scales=alone,
        pooled_scales=pooled,
        has_encoder=encoded is not None,
        measured=chosen.measured,
    )
    neighbours = Neighbours.of(encoded, target, head.mean, len(labels)) if encoded is not None else None
    model = Model(card, linear, words, head, neighbours)
    save_model(model, keys_of(texts) if encoded is not None else keys_of([]), root)
    vectors.save(root)
    return model


def _samples(corpus: Corpus) -> list[Sample]:
    """See each example as the interpreter will, and once more with its annotated payees hidden."""
    numbers = {label: number for number, label in enumerate(corpus.labels)}
    samples: list[Sample] = []
    for example in corpus.examples:
        seen = sorted({_masked(example, ()), _masked(example, _payees(example))})
        samples += [Sample(masked, numbers[example.label], _fold(example)) for masked in seen]
    return samples


def _payees(example: Example) -> tuple[str, ...]:
    return tuple(example.text[mark.start : mark.end] for mark in example.marks if mark.entity == "payee")


def _masked(example: Example, names: Sequence[str]) -> str:
    normal = normal_form(example.text)
    entities = find_entities(normal.text, _NOW, names)
    return mask(normal.text, [(one.kind, one.start, one.end) for one in entities])


def _fold(example: Example) -> int:
    """Give the fold that holds an example out: by its words alone, so that more examples leave the others where they are."""
    return int.from_bytes(hashlib.sha256(example.text.encode()).digest()[:4], "big") % _FOLDS


def _held_out_votes(
    samples: list[Sample], target: npt.NDArray[np.int64], encoded: Floats | None, meanings: Meanings | None, size: int
) -> Votes:
    """Let models that have not seen an example vote on it."""
    folds = np.array([sample.fold for sample in samples])
    votes = Votes.none(target, size, has_encoder=encoded is not None)
    for fold in range(_FOLDS):
        seen, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        linear = fit_linear([samples[index].masked for index in seen], target[seen], size)
        words = meanings.fit(seen, target, size) if meanings is not None else None
        for index in held:
            votes.linear[index] = linear.logits(grams(samples[index].masked))
            if words is not None:
                votes.meanings[index] = words.logits(pieces(readable(samples[index].masked)))
        if encoded is not None:
            head = fit_head(encoded[seen], target[seen], size)
            votes.head[held] = head.logits(encoded[held])
            votes.neighbours[held] = Neighbours.of(encoded[seen], target[seen], head.mean, size).votes(encoded[held])
        _log.info("fold %d of %d", fold + 1, _FOLDS)
    return votes
