"""A wire to PostgreSQL that tests can cut: at a chosen message, before or after the server has had it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


class Wire:
    """Carries every connection to the server's socket and counts what the clients send."""

    def __init__(self, server: Path) -> None:
        self._server = server / _SOCKET
        self.sent = 0  # messages since the last arming
        self._cut_at: int | bytes | None = None
        self._delivered = self._for_good = self._down = False

    def cut(self, at: int | bytes, *, delivered: bool, for_good: bool = False) -> None:
        """Break the connection, once, at the n-th message from now or at the next that holds these bytes.

        ``delivered``: the server gets that message and does what it says; only its answer is lost. ``for_good``: no other
        connection gets through after it.
        """
        self.sent, self._cut_at, self._delivered, self._for_good = 0, at, delivered, for_good

    def mend(self) -> bool:
        """Cut nothing any more; tells whether it was cut."""
        was_cut, self._cut_at, self._down = self._cut_at is None, None, False
        return was_cut

    def _is_cut(self, data: bytes) -> bool:
        self.sent += 1
        found = data.find(self._cut_at) >= 0 if isinstance(self._cut_at, bytes) else self.sent == self._cut_at
        if found:
            self._cut_at, self._down = None, self._for_good
        return found

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end or the wire gives up."""
        if self._down:
            writer.close()
            return
        answers, requests = await asyncio.open_unix_connection(str(self._server))
        back = asyncio.create_task(self._back(answers, writer))
        try:
            while data := await reader.read(65536):
                if self._down or self._is_cut(data):
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    if self._delivered:
                        requests.write(data)
                        await answers.read(65536)
                    break
                requests.write(data)
        finally:
            back.cancel()
            for end in (writer, requests):
                end.close()

    async def _back(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await answers.read(65536):
                writer.write(data)
        writer.close()


@asynccontextmanager
async def wire(server: Path, folder: Path) -> AsyncIterator[Wire]:
    """Lay a wire to the server whose socket is in one folder; its own end is in the other."""
    carrier = Wire(server)
    lines: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.add(task)
        with contextlib.suppress(ConnectionError):
            await carrier.carry(reader, writer)
        lines.discard(task)

    listener = await asyncio.start_unix_server(accept, str(folder / _SOCKET))
    try:
        yield carrier
    finally:
        listener.close()
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
