"""Fits the parts of a model: regressions over n-grams, over sentence vectors, and over what the words of a sentence mean."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlu.encoder import Encoder
from nlu.features import LONGEST_WORD, grams, pieces
from nlu.lexical import LEXICAL
from nlu.model import Head, Linear
from nlu.vectors import SIZE, Floats, Vectors

Target = npt.NDArray[np.int64]

_LEAST_SENTENCES = 2
_LINEAR_C, _HEAD_C, _MEANINGS_C = 40.0, 6.0, 4.0  # strengths of the regressions, chosen on held-out folds
_STEPS = 15  # of conjugate gradients; more change nothing that is seen
_RIDGE = 1.0


def fit_linear(texts: Sequence[str], target: Target, size: int) -> Linear:
    """Fit the model over n-grams of masked texts."""
    bags = [grams(text) for text in texts]
    counts = Counter(gram for bag in bags for gram in bag)
    vocabulary = _numbered(gram for gram, count in counts.items() if count >= _LEAST_SENTENCES)
    idf = _idf(vocabulary, counts, len(bags))
    return _packed(vocabulary, idf, *_regress(_matrix(bags, vocabulary, idf), target, size, _LINEAR_C))


def fit_head(encoded: Floats, target: Target, size: int) -> Head:
    """Fit the model over sentence vectors."""
    mean = encoded.mean(axis=0)
    weights, bias = _regress((encoded - mean) * np.float32(4), target, size, _HEAD_C)
    return Head(mean, (weights * 4).astype(np.float16).astype(np.float32), bias)


def no_head(size: int) -> Head:
    """Give a head that says nothing, where there is no encoder."""
    return Head(np.zeros(SIZE, np.float32), np.zeros((SIZE, size), np.float32), np.zeros(size, np.float32))


class Meanings:
    """Fits a model over words that knows from the encoder what they mean, so that what is learned of one counts for its like.

    Each word has its own vector. Corrected by a ridge regression, the sum over a sentence's words comes as near as it can to the
    vector of the whole sentence; a regression over those sums is linear in the words again, and is kept as such.
    """

    def __init__(self, texts: Sequence[str], encoded: Floats, words: Sequence[str], vectors: Floats) -> None:
        bags = [pieces(text) for text in texts]
        self._vocabulary = {word: number for number, word in enumerate(words)}
        counts = Counter(word for bag in bags for word in bag if word in self._vocabulary)
        self._idf = _idf(self._vocabulary, counts, len(bags))
        self._matrix = _matrix(bags, self._vocabulary, self._idf)
        self._encoded, self._vectors = encoded - encoded.mean(axis=0), vectors - vectors.mean(axis=0)

    @staticmethod
    def of(texts: Sequence[str], encoded: Floats, vectors: Vectors, encoder: Encoder) -> Meanings | None:
        """Find the words of the texts and their vectors; None where either library is not installed."""
        words = sorted(
            {word for text in texts for word in LEXICAL.words(text) if len(word) <= LONGEST_WORD} | set("".join(texts))
        )
        found = vectors.of(words, encoder) if LEXICAL.available else None
        return None if found is None else Meanings(texts, encoded, words, found)

    def fit(self, rows: npt.NDArray[np.int64], target: Target, size: int) -> Linear:
        """Fit the model on some of the texts."""
        matrix, wanted = self._matrix[rows], self._encoded[rows]
        raw = matrix @ self._vectors
        turned = np.linalg.solve(raw.T @ raw + 0.1 * np.eye(SIZE, dtype=np.float32), raw.T @ wanted)
        meaning = self._vectors @ turned + _ridge(matrix, wanted - raw @ turned)
        sums = matrix @ meaning
        mean = sums.mean(axis=0)
        factor = np.float32(4 / np.linalg.norm(sums - mean, axis=1).mean())
        weights, bias = _regress(((sums - mean) * factor).astype(np.float32), target[rows], size, _MEANINGS_C)
        weights *= factor
        return _packed(self._vocabulary, self._idf, (meaning @ weights).astype(np.float32), bias - mean @ weights)


def _numbered(found: Iterable[str]) -> dict[str, int]:
    return {gram: number for number, gram in enumerate(sorted(found))}


def _idf(vocabulary: Mapping[str, int], counts: Mapping[str, int], texts: int) -> Floats:
    return np.array([1 + np.log((1 + texts) / (1 + counts[gram])) for gram in vocabulary], dtype=np.float32)


def _matrix(bags: Sequence[set[str]], vocabulary: Mapping[str, int], idf: Floats) -> Any:
    """Give one row a text: the weights of its n-grams or words, of length one."""
    from scipy.sparse import csr_matrix

    starts, columns, values = [0], [], []
    for bag in bags:
        at = np.array(sorted(vocabulary[gram] for gram in bag if gram in vocabulary), dtype=np.int64)
        weights = idf[at]
        columns.append(at)
        values.append(weights / np.sqrt(max(float(weights @ weights), 1e-9)))
        starts.append(starts[-1] + len(at))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), np.array(starts)), shape=(len(bags), len(vocabulary)))


def _packed(vocabulary: dict[str, int], idf: Floats, weights: Floats, bias: Floats) -> Linear:
    """Round the weights to eight bits."""
    scale = np.maximum(np.abs(weights).max(axis=0), 1e-6) / 127
    return Linear(vocabulary, idf, np.rint(weights / scale).astype(np.int8), scale.astype(np.float32), bias.astype(np.float32))


def _regress(matrix: Any, target: Target, size: int, strength: float) -> tuple[Floats, Floats]:
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


def _ridge(matrix: Any, wanted: Floats) -> Floats:
    """Solve a ridge regression for all columns at once, by conjugate gradients."""
    solution = np.zeros((matrix.shape[1], wanted.shape[1]), np.float32)
    rest = matrix.T @ wanted
    step, left = rest.copy(), (rest * rest).sum(axis=0)
    for _ in range(_STEPS):
        turned = matrix.T @ (matrix @ step) + _RIDGE * step
        length = left / np.maximum((step * turned).sum(axis=0), 1e-12)
        solution += step * length
        rest -= turned * length
        before, left = left, (rest * rest).sum(axis=0)
        step = rest + step * (left / np.maximum(before, 1e-12))
    return solution
