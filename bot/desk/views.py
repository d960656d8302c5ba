"""What the desk's pages get: handoffs and messages as JSON objects, with their names in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bot.desk.errors import DeskError
from bot.desk.service import Overview
from bot.desk.store import Handoff
from locales import Locale, LocaleError

PREFIX = "desk_"


class Views:
    """Puts the desk's objects into the form that its pages show."""

    def __init__(self, locale: Locale, city_name: Callable[[str], str], clock: Callable[[], int]) -> None:
        self.words = {name.removeprefix(PREFIX): word for name, word in locale.names["ui"].items() if name.startswith(PREFIX)}
        self._locale = locale
        self._city_name = city_name
        self._clock = clock

    def overview(self, overview: Overview) -> dict[str, Any]:
        """Show the queue with positions, what the agent holds, and what colleagues hold."""
        return {
            "queue": [self.row(one, position) for position, one in enumerate(overview.queue, 1)],
            "mine": [self.row(one) for one in overview.mine],
            "others": [self.row(one) for one in overview.others],
        }

    def row(self, handoff: Handoff, position: int | None = None) -> dict[str, Any]:
        """Show a handoff as one line of a list."""
        return {
            "id": handoff.id,
            "name": str(handoff.context.get("customer") or "") or self.words["visitor"].format(number=handoff.conversation_id),
            "topic": self.words.get(f"topic_{handoff.topic}", handoff.topic),
            "city": self._city_name(handoff.city),
            "state": handoff.state,
            "position": position,
            "agent": handoff.agent,
            "requested_at": handoff.requested_at,
            "taken_at": handoff.taken_at,
            "last_id": handoff.last_id or 0,
            "last_text": handoff.last_text[:60],
        }

    def detail(self, handoff: Handoff) -> dict[str, Any]:
        """Show a handoff with what the bot knew when it asked for a human."""
        context = handoff.context
        slots = context.get("slots")
        return {
            **self.row(handoff),
            "agent_id": handoff.agent_id,
            "reason": self.words.get(f"reason_{handoff.reason}", handoff.reason),
            "flow": self._name("flow_names", str(context.get("flow") or "")),
            "slots": [
                {"label": self._name("slot_names", str(name)), "text": str(value)}
                for name, value in (slots.items() if isinstance(slots, Mapping) else ())
            ],
            "closed_at": handoff.closed_at,
        }

    def messages(self, transcript: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Show what was said; buttons are stored as their titles."""
        return [self._message(event) for event in transcript]

    def now(self) -> int:
        """Give the server's time (UTC milliseconds), from which pages count waiting times."""
        return self._clock()

    def refusal(self, error: DeskError) -> dict[str, str]:
        """Put a refusal into a sentence."""
        return {"error": error.code, "message": self.words[f"error_{error.code}"].format(**error.facts)}

    def _message(self, event: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"id": event["id"], "kind": event["kind"], "at": event["at"], "text": str(event.get("text") or "")}
        if event["kind"] == "handoff":
            what = self.words.get(f"event_{event.get('what')}", "")
            shown["text"] = what.format(agent=event.get("agent") or "")
        if event["kind"] == "agent":
            shown["agent"] = str(event.get("agent") or "")
        if event.get("message") == "image" or event.get("image"):
            shown["picture"] = True
        if event.get("buttons"):
            shown["buttons"] = [str(title) for title in event["buttons"]]
        return shown

    def _name(self, kind: str, name: str) -> str:
        try:
            return self._locale.word(kind, name)
        except LocaleError:
            return name
