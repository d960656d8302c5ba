"""The parts of a model by themselves."""

from __future__ import annotations

import numpy as np

from nlu.features import pieces
from nlu.fitting import Meanings
from nlu.model import Linear
from nlu.vectors import SIZE

TEXTS = ["甲来", "甲去", "丙来", "丙去", "丁来", "丁去", "乙来"]
WORDS = ["丁", "丙", "乙", "去", "来", "甲"]


def _fitted(numbers: list[int]) -> Linear:
    """Fit on all but the last text, where each word means one of the numbers and 甲, 丙 and 丁 are labelled 0, 1 and 2."""
    unit = np.eye(SIZE, dtype=np.float32)
    meanings = Meanings(TEXTS, unit[[0, 0, 1, 1, 2, 2, 0]], WORDS, unit[numbers])
    return meanings.fit(np.arange(6), np.array([0, 0, 1, 1, 2, 2, 2]), 3)


def test_what_is_learned_of_a_word_counts_for_its_like() -> None:
    """乙 was never seen under a label; it means what 甲 does, and is taken for 甲's label."""
    model = _fitted([2, 1, 0, 3, 4, 0])
    for text, label in (("甲来", 0), ("丙来", 1), ("丁去", 2), ("乙来", 0), ("乙", 0)):
        assert model.logits(pieces(text)).argmax() == label, text


def test_words_and_vectors_belong_together() -> None:
    """With the vector of 丙 it is taken for that one's label: it is the meaning that decides."""
    assert _fitted([2, 1, 1, 3, 4, 0]).logits(pieces("乙")).argmax() == 1
