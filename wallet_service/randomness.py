"""The one source of chance, which tests and benchmarks replace."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Randomness:
    """Where unpredictable numbers come from."""

    below: Callable[[int], int] = secrets.randbelow
    octets: Callable[[int], bytes] = secrets.token_bytes
