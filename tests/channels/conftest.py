"""A small assistant that answers by a script, remembers what it was asked, and keeps the promise of equal answers."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from bot.messages import Button, Inbound, Outcome, Reply


class Scripted:
    """Answers texts from a dictionary; an unknown text is echoed, a known message id is answered as before."""

    def __init__(self) -> None:
        self.heard: list[Inbound] = []
        self.script: dict[str, Outcome | Exception] = {}
        self.waiting: defaultdict[tuple[str, str], list[Reply]] = defaultdict(list)
        self.gate = asyncio.Event()
        self.gate.set()
        self._given: dict[tuple[str, str, str], Outcome] = {}
        self._lock = asyncio.Lock()

    async def handle(self, inbound: Inbound) -> Outcome:
        """Answer one message, in order, once."""
        async with self._lock:
            await self.gate.wait()
            key = (inbound.channel, inbound.sender, inbound.message_id)
            if key not in self._given:
                self.heard.append(inbound)
                answer = self.script.get(inbound.text, Outcome((Reply(f"echo {inbound.text}"),)))
                if isinstance(answer, Exception):
                    raise answer
                self._given[key] = answer
            return self._given[key]

    async def claim_pushes(self, channel: str, sender: str) -> tuple[Reply, ...]:
        """Take what waits, once."""
        return tuple(self.waiting.pop((channel, sender), ()))


@pytest.fixture
def scripted() -> Scripted:
    """The scripted assistant, with one turn that offers buttons and a picture and one that hides a code."""
    assistant = Scripted()
    assistant.script["付款码"] = Outcome(
        (
            Reply("请出示", (Button("好的", "tok-yes"), Button("算了", "tok-no")), image="/pictures/abc"),
            Reply("还要别的吗", custom={"n": 1}),
        )
    )
    assistant.script["493201"] = Outcome((Reply("收到"),), forget_message=True)
    return assistant
