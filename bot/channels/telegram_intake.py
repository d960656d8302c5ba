"""The order of work behind the door: updates of one chat one after the other, chats side by side, each update once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Job = Callable[[], Awaitable[None]]

REMEMBERED = 1000  # finished update ids kept, ten times what one getUpdates returns


class Intake:
    """Runs one job per update id and knows which ids may be confirmed to the server.

    An update is confirmed only after its job has ended, so what a dying process had in hand is delivered again. While a slow
    chat holds the offset back the server repeats the updates behind it; those are recognised here and not run twice.
    """

    def __init__(self) -> None:
        self._running: dict[int, asyncio.Task[None]] = {}
        self._done: dict[int, None] = {}
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._next: int | None = None
        self.started = 0  # jobs begun since the door opened

    @property
    def offset(self) -> int | None:
        """Give the first update id that is not finished: all before it are confirmed by asking from there."""
        return min(self._running, default=self._next)

    def submit(self, update_id: int, chat: int, job: Job) -> asyncio.Task[None] | None:
        """Start the job behind its chat's earlier ones; a known update gives its running task, or None when it has ended."""
        self._next = update_id + 1
        if update_id in self._running or update_id in self._done:
            return self._running.get(update_id)
        self.started += 1
        task = asyncio.create_task(_after(self._lanes.get(chat), job), name=f"telegram-update-{update_id}")
        self._running[update_id] = task
        self._lanes[chat] = task
        task.add_done_callback(lambda ended: self._finish(update_id, chat, ended))
        return task

    def skip(self, update_id: int) -> None:
        """Count an update as finished that asks for no work."""
        self._next = update_id + 1

    async def settle(self, seconds: float) -> None:
        """Wait until some job ends, at most ``seconds``."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def drain(self, seconds: float) -> None:
        """Wait for all jobs, then cancel what is left after ``seconds``: those updates stay unconfirmed."""
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _finish(self, update_id: int, chat: int, task: asyncio.Task[None]) -> None:
        if self._lanes.get(chat) is task:
            del self._lanes[chat]
        if task.cancelled():
            return  # stays in _running, so that the offset never passes it
        del self._running[update_id]
        self._done[update_id] = None
        if len(self._done) > REMEMBERED:
            del self._done[next(iter(self._done))]


async def _after(previous: asyncio.Task[None] | None, job: Job) -> None:
    if previous is not None:
        await asyncio.wait([previous])
    await job()
