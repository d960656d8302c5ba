"""Keeps the sentence vectors of training texts, so that a retrain encodes only what is new."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

_log = logging.getLogger(__name__)
_FILE = "vectors.npz"

SIZE = 384
Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.int8]
Keys = npt.NDArray[np.uint64]

_SCALE = np.float32(400.0)


class Encodes(Protocol):
    """What can turn a text into a sentence vector, where it is installed."""

    @property
    def available(self) -> bool:
        """Tell whether vectors can be had."""
        ...

    @property
    def vector(self) -> Callable[[str], Floats | None]:
        """Encode one text."""
        ...


def pack(vector: Floats) -> Packed:
    """Round a unit vector of 384 numbers to eight bits each."""
    out: Packed = np.clip(np.rint(vector * _SCALE), -127, 127).astype(np.int8)
    return out


def unpack(packed: Packed) -> Floats:
    """Undo :func:`pack` as far as it can be undone."""
    out: Floats = packed.astype(np.float32) / _SCALE
    return out


class Vectors:
    """Eight-bit sentence vectors by the hash of their text."""

    def __init__(self, known: dict[int, Packed]) -> None:
        self._known = known
        self._used: set[int] = set()

    @staticmethod
    def load(root: Path) -> Vectors:
        """Read the kept vectors; none where there is no file."""
        try:
            with np.load(root / _FILE) as arrays:
                return Vectors(dict(zip(map(int, arrays["keys"]), arrays["vectors"], strict=True)))
        except (OSError, ValueError, KeyError):
            return Vectors({})

    def of(self, texts: Sequence[str], encoder: Encodes) -> Floats | None:
        """Give one row a text; None when a new text needs the encoder and there is none."""
        keys = [_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing and not encoder.available:
            return None
        for done, (key, text) in enumerate(missing.items()):
            vector = encoder.vector(text)
            if vector is None:
                return None
            self._known[key] = pack(vector)
            if done % 1000 == 0:
                _log.info("encoding %d of %d", done, len(missing))
        self._used.update(keys)
        return unpack(np.stack([self._known[key] for key in keys]))

    def rows(self, keys: Keys) -> Floats:
        """Give the vectors of known keys."""
        return unpack(np.stack([self._known[int(key)] for key in keys]))

    def save(self, root: Path) -> None:
        """Write the vectors that were used, in a fixed order."""
        keys = sorted(self._used)
        rows = np.stack([self._known[key] for key in keys]) if keys else np.zeros((0, SIZE), np.int8)
        np.savez_compressed(root / _FILE, keys=np.array(keys, dtype=np.uint64), vectors=rows)


def keys_of(texts: Sequence[str]) -> Keys:
    """Give the keys under which the texts' vectors are kept."""
    return np.array([_key(text) for text in texts], dtype=np.uint64)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
