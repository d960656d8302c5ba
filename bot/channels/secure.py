"""The one-time page: shows and takes what has no place in a chat. Over https only, or on the server's own machine.

The link carries its token behind the ``#``, which no server, proxy or referrer sees; the page posts it in the body.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bot.channels import checks, pages
from bot.channels.checks import Fault
from bot.channels.rest import json_answer, read_object, telling_faults
from bot.messages import ONE_TIME_PAGE
from bot.pictures import draw_qr
from locales import Locale
from wallet_service import Wallet, WalletError

_LARGEST = 8 * 1024  # bytes of a request
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_MAY_GO_ON = frozenset(  # after any other refusal the page has nothing left to do
    {
        "wrong_proof",
        "wrong_app_code",
        "too_many_codes",
        "change_not_found",
        "password_shape",
        "password_weak",
        "password_unchanged",
    }
)

Act = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class SecurePages:
    """The page and what it asks the wallet; ``public_url`` is the https address that people reach the server by, if any."""

    def __init__(self, wallet: Wallet, locale: Locale, *, public_url: str = "") -> None:
        self._wallet = wallet
        self._locale = locale
        public = urlsplit(public_url)
        self._public_host = public.netloc if public.scheme == "https" else None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page."""
        acts: dict[str, Act] = {"open": self._open, "code": self._send_code, "use": self._use}
        asking = [web.post(f"{ONE_TIME_PAGE}/{name}", self._asking(act)) for name, act in acts.items()]
        return [web.get(ONE_TIME_PAGE, self._page), *asking]

    async def _page(self, request: web.Request) -> web.Response:
        answer = pages.page(request, "secure.html", private=self._is_private(request))
        answer.headers["Content-Security-Policy"] = _POLICY
        return answer

    def _asking(self, act: Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            origin = request.headers.get("Origin")
            if not self._is_private(request):
                raise Fault("secure_not_private", status=403)
            if origin is not None and urlsplit(origin).netloc != request.host:
                raise Fault("fault_origin", status=403)
            body = await read_object(request, _LARGEST)
            try:
                return json_answer(await act(body))
            except WalletError as refusal:
                said = self._locale.say(f"utter_refused_{refusal.code}", refusal.facts).text
                return json_answer({"error": said, "over": refusal.code not in _MAY_GO_ON}, status=409)

        return telling_faults(answer)

    async def _open(self, body: dict[str, Any]) -> dict[str, Any]:
        view = await self._wallet.open_ticket(_token(body), issuer=self._locale.word("ui", "secure_issuer"))
        shown: dict[str, Any] = {
            "purpose": view.purpose,
            "person": view.person,
            "phone": view.phone_masked,
            "asks": view.asks,
            "expires_at": view.expires_at.isoformat(),
        }
        if view.order is not None:
            shown["order"] = self._locale.say(
                "utter_secure_order",
                {
                    "payee_name": view.order.payee_name_masked,
                    "payee_phone": view.order.payee_phone_masked,
                    "order_amount": view.order.amount,
                    "fee": view.order.fee,
                },
            ).text
        if view.offer is not None:
            picture = base64.b64encode(await draw_qr(view.offer.uri)).decode()
            shown |= {"qr": f"data:image/png;base64,{picture}", "secret": view.offer.secret_text}
        return shown

    async def _send_code(self, body: dict[str, Any]) -> dict[str, Any]:
        sent = await self._wallet.send_ticket_code(_token(body))
        return {"phone": sent.phone_masked, "expires_at": sent.expires_at.isoformat()}

    async def _use(self, body: dict[str, Any]) -> dict[str, Any]:
        answers = {name: checks.text(value, name) for name, value in body.items() if name != "token"}
        return {"codes": await self._wallet.use_ticket(_token(body), answers)}

    def _is_private(self, request: web.Request) -> bool:
        """Tell whether nobody between here and the browser can read along."""
        if self._public_host is not None and request.host == self._public_host:
            return True
        host = urlsplit(f"//{request.host}").hostname or ""
        return _is_here(request.remote or "") and (host == "localhost" or _is_here(host))


def _token(body: dict[str, Any]) -> str:
    return checks.text(body.get("token"), "token")


def _is_here(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
