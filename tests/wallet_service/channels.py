"""A bank or a biller in the test's own process: it does each number once, and answers as it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from wallet_service import Answer, Errand

Script = Answer | Exception | Callable[[Errand], Awaitable[Answer]]


class Channel:
    """Answers ``done`` unless the next of its ``answers`` says otherwise; a callable answers for itself."""

    def __init__(self) -> None:
        self.asked: list[Errand] = []
        self.answers: deque[Script] = deque()

    async def run(self, errand: Errand) -> Answer:
        """Note the errand and answer it."""
        self.asked.append(errand)
        answer = self.answers.popleft() if self.answers else "done"
        if isinstance(answer, Exception):
            raise answer
        return await answer(errand) if callable(answer) else answer
