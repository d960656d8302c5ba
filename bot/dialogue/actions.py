"""Runs the actions of ``handlers`` in process through rasa-sdk's executor, as its action server would over HTTP."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from rasa_sdk.executor import ActionExecutor

# rasa-sdk takes an empty domain for "the same as last time"; actions here read no domain, so it holds no more than it must.
_DOMAIN: Mapping[str, Any] = {"version": "3.1"}


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action answered: slots to set, in order, and replies as (name, values)."""

    slots: tuple[tuple[str, Any], ...]
    replies: tuple[tuple[str, dict[str, Any]], ...]

    @staticmethod
    def read(events: Sequence[Mapping[str, Any]], responses: Sequence[Mapping[str, Any]]) -> ActionResult:
        """Read the answer of an action in rasa-sdk's form, as it comes from its executor or from its server."""
        return ActionResult(
            slots=tuple((event["name"], event["value"]) for event in events if event["event"] == "slot"),
            replies=tuple(_reply(message) for message in responses),
        )

    def value_of(self, slot: str) -> Any:
        """Give the value that a validator left its slot with; a validator that says nothing of its slot rejects the value."""
        return next((value for name, value in reversed(self.slots) if name == slot), None)


class Actions:
    """The registered actions by name."""

    def __init__(self, package: str, within: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        importlib.import_module(package)  # rasa-sdk would exit the process on an ImportError
        self._executor = ActionExecutor()
        self._executor.register_package(package)
        self._within = within
        self.names = frozenset(self._executor.actions)

    async def run(self, name: str, tracker: Mapping[str, Any]) -> ActionResult:
        """Run one action on a copy of the tracker; whatever it raises goes up to the caller."""
        with self._within():
            result = await self._executor.run(make_call(name, copy.deepcopy(dict(tracker))))
        if result is None:
            raise LookupError(name)
        return ActionResult.read(result.events, result.responses)


def make_call(name: str, tracker: Mapping[str, Any]) -> dict[str, Any]:
    """Build what rasa-sdk is called with, in process as over HTTP."""
    return {"next_action": name, "sender_id": tracker["sender_id"], "tracker": tracker, "domain": dict(_DOMAIN)}


def make_tracker(conversation: int, slots: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """Build the tracker that an action sees: slots and where they come from, no history and no words of the person."""
    return {
        "sender_id": str(conversation),
        "slots": dict(slots),
        "latest_message": {},
        "events": [],
        "paused": False,
        "followup_action": None,
        "active_loop": {},
        "latest_action_name": None,
        "latest_input_channel": channel,
    }


def _reply(message: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Split a message of rasa-sdk's dispatcher into the reply's name and its values."""
    own = ("text", "buttons", "elements", "custom", "template", "response", "image", "attachment")
    return message["response"], {name: value for name, value in message.items() if name not in own}
