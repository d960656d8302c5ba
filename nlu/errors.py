"""What can go wrong in understanding: faults of data files and of the trained model, never of a user's message."""

from __future__ import annotations


class NluError(Exception):
    """Anything that this package refuses."""


class DataError(NluError):
    """A data file that cannot be used; ``path`` and ``line`` (from 1) say where."""

    def __init__(self, path: str, line: int, fault: str) -> None:
        super().__init__(f"{path}:{line}: {fault}")
        self.path = path
        self.line = line
        self.fault = fault


class ModelError(NluError):
    """The trained model is missing or unreadable."""
