"""Loads the small word lists under data/zh_CN/words; every Chinese word that code needs stands there."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import yaml

from nlu.examples import DATA

WORDS = DATA / "words"


@functools.cache
def words(name: str) -> dict[str, Any]:
    """Give one word list file as plain data; it is read once and must not be changed."""
    loaded: dict[str, Any] = yaml.load((WORDS / f"{name}.yml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return loaded


def one_of(choices: Iterable[str]) -> str:
    """Give a regular expression that matches the longest of some fixed words."""
    return "(?:" + "|".join(re.escape(word) for word in sorted(choices, key=len, reverse=True)) + ")"
