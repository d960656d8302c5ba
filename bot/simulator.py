"""The demo's phones and mailboxes: they keep what was "sent", so that whoever tries the demo can look."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from wallet_service import Notice

_KEPT = 500  # messages that are remembered


class SimulatedPhone:
    """All phones and mailboxes of the demo, newest message first."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self._clock = clock
        self._messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._shown: Callable[[dict[str, Any]], None] | None = None
        self.drain: Callable[[], Awaitable[None]] = _nothing  # set by the composition root: sends what waits

    def watch(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Have every message shown as it comes."""
        self._shown = show

    async def send(self, notice: Notice, text: str) -> None:
        """Put a message on a phone or into a mailbox."""
        message = {"to": notice.to, "channel": notice.channel, "text": text, "at": self._clock().isoformat()}
        if "code" in notice.facts:
            message["code"] = notice.facts["code"]
        self._messages.appendleft(message)
        if self._shown is not None:
            self._shown(message)

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """Give the messages of one phone or mailbox, or of all, newest first."""
        return [message for message in self._messages if to is None or message["to"] == to]


async def _nothing() -> None:
    """Wait for nothing."""
