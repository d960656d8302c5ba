"""The few words that the Telegram door says by itself, read from ``locales`` when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences by name, with ``{braces}`` for what the door fills in, and the command menu in its order."""

    ui: Mapping[str, str]
    commands: Mapping[str, str]

    def say(self, name: str, **facts: str) -> str:
        """Fill one sentence; facts are never read as templates themselves."""
        return self.ui[name].format(**facts)


@cache
def words(locale: str = "zh_CN") -> Words:
    """Read the words of one language."""
    source = yaml.safe_load(files("locales").joinpath(locale, "telegram.yml").read_text(encoding="utf-8"))
    return Words(ui=source["ui"], commands=source["commands"])
