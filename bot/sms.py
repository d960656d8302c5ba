"""Notices by SMS, through a gateway that takes JSON."""

from __future__ import annotations

import aiohttp

from wallet_service import Notice

_SECONDS = 10


class SmsWebhook:
    """Posts each message to a gateway: ``{"to", "text", "kind", "id"}``; the id lets the gateway drop repeats."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def send(self, notice: Notice, text: str) -> None:
        """Post it; anything but a 2xx counts as not sent."""
        body = {"to": notice.to, "text": text, "kind": notice.kind, "id": notice.id}
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with self._session.post(self._url, json=body, timeout=timeout) as response:
            response.raise_for_status()
