"""Turns a reply's name and values into words and buttons.

Templates are sandboxed and strict: a missing variable is an error, never an empty space, and values are never templates.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from jinja2 import StrictUndefined, Template, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

SHANGHAI = ZoneInfo("Asia/Shanghai")
_KINDS = ("flow_names", "slot_names", "slot_shows", "city_names", "topic_names", "risk_reasons", "ui", "commands")


class LocaleError(KeyError):
    """A reply, name or word that no locale file has."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One message in words: its text, its buttons as (title, payload command), and a picture's path if it has one."""

    text: str
    buttons: tuple[tuple[str, str], ...] = ()
    image: str | None = None


class Locale:
    """All words of one language, read once."""

    def __init__(self, folder: Path) -> None:
        self.responses: dict[str, list[dict[str, Any]]] = {}
        self.names: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
        self.faq: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self._faq_titles: dict[str, dict[str, str]] = {}
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False
        )
        self._environment.filters.update(money=money, moment=moment, clock=clock, day=day)
        self._environment.filters.update(city_name=self.city_name, risk_reason=self.risk_reason)
        self._templates: dict[str, Template] = {}
        for path in sorted(folder.glob("*.yml")):
            self._add(_read(path), path)
        for path in sorted((folder / "faq").glob("*.yml")):
            data = _read(path)
            self.faq[path.stem] = data.get("responses") or {}
            self._faq_titles[path.stem] = data.get("titles") or {}

    @staticmethod
    def load(language: str = "zh_CN") -> Locale:
        """Read a language that comes with the package."""
        return Locale(Path(__file__).parent / language)

    def say(self, name: str, values: Mapping[str, Any], *, channel: str = "", variant: int = 0) -> Spoken:
        """Put a reply into words; raises :class:`LocaleError` when there is no such reply."""
        try:
            variants = self.responses[name]
        except KeyError:
            raise LocaleError(name) from None
        fitting = [one for one in variants if one.get("channel", channel) == channel] or variants
        own = [one for one in fitting if one.get("channel") == channel] or fitting
        return self._spoken(own[variant % len(own)], values)

    def answer(self, key: str, city: str, values: Mapping[str, Any]) -> tuple[Spoken, str | None]:
        """Answer a question for a city: its own answer, the common one, or another city's, whose name then comes along."""
        short = key.removeprefix("faq/")
        name = f"utter_faq/{short}"
        for source in (city, "common", *sorted(self.faq)):
            if name in self.faq.get(source, {}):
                foreign = source if source not in (city, "common") else None
                return self._spoken(self.faq[source][name][0], values), foreign
        raise LocaleError(name)

    def faq_title(self, key: str, city: str) -> str:
        """Give the short form of a question, for a button."""
        short = key.removeprefix("faq/")
        for source in (city, "common", *sorted(self._faq_titles)):
            if short in self._faq_titles.get(source, {}):
                return self._faq_titles[source][short]
        raise LocaleError(key)

    def word(self, kind: str, name: str) -> str:
        """Give a plain word: kind is flow_names, slot_names, city_names or ui."""
        try:
            return self.names[kind][name]
        except KeyError:
            raise LocaleError(f"{kind}: {name}") from None

    def city_name(self, city: str) -> str:
        """Give a city's name; also a filter for templates."""
        return self.word("city_names", city)

    def risk_reason(self, rule: str) -> str:
        """Say why a risk rule stops at a payment; also a filter for templates."""
        return self.word("risk_reasons", rule)

    def show_slot(self, name: str, value: Any) -> str:
        """Write a slot's value as a person reads it."""
        template = self.names["slot_shows"].get(name, "{{ value }}")
        return self._render(template, {"value": value})

    def variables(self, name: str) -> set[str]:
        """Give the variables that a reply's templates read, without those that its own buttons bring."""
        found: set[str] = set()
        for variant in self.responses[name]:
            found |= self._undeclared(str(variant.get("text", ""))) | self._undeclared(str(variant.get("image", "")))
            for button in variant.get("buttons", []):
                inner = self._undeclared(button["title"]) | self._undeclared(button["payload"])
                found |= inner - {"item"} | {button["each"]} if "each" in button else inner
        return found

    def _undeclared(self, template: str) -> set[str]:
        parsed = self._environment.parse(template)
        own = {node.name for node in parsed.find_all(nodes.Name) if node.ctx == "store"}
        return meta.find_undeclared_variables(parsed) - own

    def _add(self, data: Mapping[str, Any], path: Path) -> None:
        for kind, words in data.items():
            if kind == "responses":
                for name, variants in words.items():
                    if name in self.responses:
                        raise LocaleError(f"{path}: {name} stands elsewhere already")
                    self.responses[name] = variants
            elif kind in self.names:
                self.names[kind].update(words)
            elif kind != "version":
                raise LocaleError(f"{path}: unknown part {kind!r}")

    def _spoken(self, variant: Mapping[str, Any], values: Mapping[str, Any]) -> Spoken:
        image = variant.get("image")
        return Spoken(
            text=self._render(str(variant.get("text", "")), values).strip(),
            buttons=tuple(self._buttons(variant, values)),
            image=self._render(image, values) or None if image else None,
        )

    def _buttons(self, variant: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for button in variant.get("buttons", []):
            each = button.get("each")
            for scope in [{**values, "item": item} for item in values[each]] if each else [values]:
                yield self._render(button["title"], scope), self._render(button["payload"], scope)

    def _render(self, source: str, values: Mapping[str, Any]) -> str:
        template = self._templates.get(source)
        if template is None:
            template = self._templates[source] = self._environment.from_string(source)
        return template.render(values)


def money(fen: int) -> str:
    """Write an amount given in fen as ¥1,234.50."""
    sign = "-" if fen < 0 else ""
    return f"{sign}¥{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


def moment(value: str | dt.datetime) -> str:
    """Write a UTC time (ISO text or datetime) as month-day hour:minute in Shanghai."""
    return f"{_local(value):%m-%d %H:%M}"


def clock(value: str | dt.datetime) -> str:
    """Write a UTC time (ISO text or datetime) as hour:minute in Shanghai."""
    return f"{_local(value):%H:%M}"


def day(value: str, shift: int = 0) -> dt.date:
    """Read an ISO date, moved by some days: periods end before their end, and people name the last day in them."""
    return dt.date.fromisoformat(value) + dt.timedelta(days=shift)


def _local(value: str | dt.datetime) -> dt.datetime:
    when = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return when.astimezone(SHANGHAI)


def _read(path: Path) -> dict[str, Any]:
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return data or {}
