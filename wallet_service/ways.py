"""By which ways a notice leaves: the table ``notices.toml``, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

WAYS = ("sms", "mail", "doors", "held")  # the first is everybody's
_FILE = Path(__file__).with_name("notices.toml")


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text("utf-8"))


def ways_of(kind: str) -> tuple[str, ...]:
    """Give the ways of a kind of notice; one that the table does not name goes by the usual ones, a code by one alone."""
    if kind.endswith("_code"):
        return (_table()["codes"].get(kind, "sms"),)
    return tuple(_table()["kinds"].get(kind, _table()["otherwise"]))
