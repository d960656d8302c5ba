"""A bank or a biller over signed HTTP, as ``docs/channels.md`` describes it for whoever stands at the other end.

Both directions are signed with HMAC-SHA256 under a key of the channel's own; an answer's signature covers the request's, so that
it can be the answer to nothing else. Only a signed answer that names the order says done or refused. Everything else, from a
connection that fails to a page of some proxy, is ``unknown``: the order is asked for again, and sent anew only when the other
end says, signed, that it never heard of its number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from wallet_service.context import utc_now
from wallet_service.errors import ConfigurationError
from wallet_service.outside import Answer, Errand, Outside

if TYPE_CHECKING:
    import aiohttp

CHANNELS = ("bank", "biller")
TIMEOUT, CONNECT_TIMEOUT = 20.0, 5.0  # seconds; two requests fit into the patience that the wallet has
LONGEST_ANSWER = 64 * 1024  # bytes
SHORTEST_KEY = 32  # characters
TIMESTAMP, SIGNATURE = "Zhanggui-Timestamp", "Zhanggui-Signature"
_NOT_ABOUT_THE_ORDER = (401, 403, 408, 425, 429)
_REASON = re.compile(r"[a-z_]{1,40}")
_HOST = r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?"
_PLAIN = re.compile(rf"(?P<scheme>https?)://{_HOST}(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)*/?")
log = logging.getLogger(__name__)

Said = Literal["done", "refused", "unknown", "missing"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel listens, and the key that both ends have."""

    url: str
    key: str = field(repr=False)


def read_endpoints(settings: Mapping[str, str]) -> dict[str, Endpoint]:
    """Read the channels from settings named ``BANK_URL``, ``BANK_KEY``, ``BILLER_URL`` and ``BILLER_KEY``.

    Raises ConfigurationError that begins with the name of the setting that is missing or wrong.
    """
    found = {}
    for channel in CHANNELS:
        url, key = (settings.get(f"{channel.upper()}_{part}") for part in ("URL", "KEY"))
        if not url and not key:
            continue
        if not url or not _is_safe(url):
            raise ConfigurationError(f"{channel.upper()}_URL must be an https address (http only on this machine itself)")
        if not key or len(key) < SHORTEST_KEY:
            raise ConfigurationError(f"{channel.upper()}_KEY must be the channel's key, at least {SHORTEST_KEY} characters")
        found[channel] = Endpoint(url.rstrip("/"), key)
    return found


def _is_safe(url: str) -> bool:
    """Tell whether card numbers may go there, and whether it is a plain address that both ends sign alike."""
    plain = _PLAIN.fullmatch(url)
    return plain is not None and (plain["scheme"] == "https" or _is_here(plain["host"].strip("[]")))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def connect_channels(
    found: Mapping[str, Endpoint], *, clock: Callable[[], datetime] = utc_now, patience: float = TIMEOUT
) -> AsyncIterator[dict[str, Outside]]:
    """Give the channels that have an endpoint, for ``Wallet.open(outside=…)``; ``patience`` is for one request, in seconds."""
    if not found:
        yield {}
        return
    import aiohttp  # only who has a channel pays for it

    timeout = aiohttp.ClientTimeout(total=patience, sock_connect=min(CONNECT_TIMEOUT, patience))
    options: dict[str, Any] = {"cookie_jar": aiohttp.DummyCookieJar(), "auto_decompress": False}  # what is signed is what is sent
    async with aiohttp.ClientSession(timeout=timeout, headers={"Accept-Encoding": "identity"}, **options) as session:
        yield {name: HttpChannel(endpoint, session, clock) for name, endpoint in found.items()}


class HttpChannel:
    """One channel; see :class:`~wallet_service.outside.Outside`."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession, clock: Callable[[], datetime]) -> None:
        self._url, self._key = endpoint.url, endpoint.key.encode()
        self._session, self._clock = session, clock

    async def run(self, errand: Errand) -> Answer:
        """Send an order, or ask what became of it when it may have been sent before."""
        if errand.again:
            said = await self._ask("GET", errand.number, b"")
            if said != "missing":
                return said
        said = await self._ask("POST", errand.number, _content(errand))
        return "unknown" if said == "missing" else said

    async def _ask(self, method: str, number: str, body: bytes) -> Said:
        address = f"{self._url}/orders/{number}"
        timestamp = str(int(self._clock().timestamp()))
        signature = sign(self._key, method, urlsplit(address).path, timestamp, body=body)
        headers = {TIMESTAMP: timestamp, SIGNATURE: signature, "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        async with self._session.request(method, address, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > LONGEST_ANSWER:
                    return "unknown"
            own = sign(self._key, "answer", str(response.status), signature, body=bytes(answer))
            told = response.headers.get(SIGNATURE, "")
        if not hmac.compare_digest(own.encode(), told.encode(errors="backslashreplace")):
            log.warning("an answer (%s) about an order was not signed by its channel", response.status)
            return "unknown"
        said = _read(response.status, bytes(answer), number)
        if said == "unknown":
            log.warning("an answer (%s) about order %s says neither done nor refused", response.status, number)
        return said


def sign(key: bytes, *parts: str, body: bytes) -> str:
    """Give the HMAC-SHA256 of the parts and the body, each on a line of its own, in hexadecimal."""
    return hmac.digest(key, b"\n".join([*(part.encode() for part in parts), body]), hashlib.sha256).hex()


def _content(errand: Errand) -> bytes:
    """Write an errand down: always the same bytes for the same order."""
    named = ("number", "kind", "city", "amount", "fee", "card", "bank", "service", "customer_no", "month")
    content = {name: value for name in named if (value := getattr(errand, name)) is not None}
    return json.dumps({**content, "currency": "CNY"}, ensure_ascii=False, separators=(",", ":")).encode()


def _read(status: int, body: bytes, number: str) -> Said:
    """Give what a signed answer says of an order; one that contradicts itself says nothing."""
    try:
        answer = json.loads(body)
    except ValueError:
        return "unknown"
    if not isinstance(answer, dict) or answer.get("number") != number:
        return "unknown"
    match status // 100, answer.get("status"), answer.get("reason"):
        case 2, "done", None:
            return "done"
        case 4, "missing", None if status == 404:
            return "missing"
        case 4, "refused", str(reason) if status not in _NOT_ABOUT_THE_ORDER and _REASON.fullmatch(reason):
            log.info("order %s was refused outside: %s", number, reason)
            return "refused"
    return "unknown"
