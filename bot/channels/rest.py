"""The REST door: Rasa's REST channel, the parse form, and what a watchman asks (health, metrics)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot.channels import checks
from bot.channels.checks import Fault
from bot.channels.pages import words
from bot.messages import Assistant, Button, Inbound, Reply
from wallet_service.errors import ServiceUnavailable

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Parse = Callable[[str], Awaitable[Mapping[str, Any]]]
Health = Callable[[], Awaitable[Mapping[str, str]]]


class RestDoor:
    """Rasa's REST channel; ``token`` None switches it off, ``open_parse`` lets anyone use the parse form (demo).

    ``parse`` gives the parse form of a text, ``health`` the parts that are not ready and why (empty when all are),
    ``metrics`` the Prometheus text. ``public_url`` is put before the paths of pictures.
    """

    name = "rest"

    def __init__(
        self,
        assistant: Assistant,
        *,
        token: str | None,
        parse: Parse,
        health: Health,
        metrics: Callable[[], bytes] = generate_latest,
        open_parse: bool = False,
        public_url: str = "",
    ) -> None:
        self._assistant = assistant
        self._token = token
        self._parse = parse
        self._health = health
        self._metrics = metrics
        self._open_parse = open_parse
        self._public_url = public_url.rstrip("/")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that this door answers."""
        return [
            web.post("/webhooks/rest/webhook", telling_faults(self._talk)),
            web.post("/model/parse", telling_faults(self._understand)),
            web.get("/healthz", self._ready),
            web.get("/metrics", self._measure),
        ]

    async def push(self, sender: str, replies: tuple[Reply, ...]) -> bool:
        """Say that nobody can be reached: REST callers fetch what waits with their next message."""
        return False

    async def _talk(self, request: web.Request) -> web.Response:
        self._admit(request)
        inbound = read_inbound(await read_object(request))
        outcome = await self._assistant.handle(inbound)
        # Claimed only after the turn has succeeded, so that a failing turn loses nobody's words.
        waiting = await self._assistant.claim_pushes(self.name, inbound.sender)
        forms = [reply_form(reply, inbound.sender, self._public_url) for reply in (*waiting, *outcome.replies)]
        return json_answer(forms)

    async def _understand(self, request: web.Request) -> web.Response:
        if not self._open_parse:
            self._admit(request)
        text = checks.text((await read_object(request)).get("text"), "text")
        return json_answer(await self._parse(text))

    async def _ready(self, request: web.Request) -> web.Response:
        why = await self._health()
        if why:
            return json_answer({"status": "unready", "why": dict(why)}, status=503)
        return json_answer({"status": "ready"})

    async def _measure(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _admit(self, request: web.Request) -> None:
        if not self._token:
            raise Fault("fault_off", status=404)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        given_bytes = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given_bytes, self._token.encode()):
            raise Fault("fault_token", "Authorization", status=401)


def read_inbound(body: Mapping[str, Any]) -> Inbound:
    """Make the message of one request body; a missing message id is made up."""
    sender = checks.identifier(body.get("sender"), "sender")
    text = checks.text(body.get("message"), "message")
    given_id = body.get("message_id")
    message_id = uuid4().hex if given_id is None else checks.identifier(given_id, "message_id")
    pictures = checks.attachments(body.get("attachments"))
    return Inbound(
        channel=RestDoor.name,
        sender=sender,
        message_id=message_id,
        text=text,
        kind="image" if pictures else "text",
        may_press=True,
        attachments=pictures,
        metadata=checks.metadata(body.get("metadata")),
    )


def reply_form(reply: Reply, recipient: str, public_url: str = "") -> dict[str, Any]:
    """Put a reply into the form of Rasa's REST channel; what it does not have is left out."""
    form: dict[str, Any] = {"recipient_id": recipient, "text": reply.text}
    if reply.buttons:
        form["buttons"] = [_button_form(button, public_url) for button in reply.buttons]
    if reply.image:
        form["image"] = public_url + reply.image
    if reply.custom is not None:
        form["custom"] = dict(reply.custom)
    return form


def _button_form(button: Button, public_url: str) -> dict[str, str]:
    """Put a button into the form of Rasa's REST channel; a link has its address as well, and pressed it is shown again."""
    if button.url:
        return {"title": button.title, "payload": button.title, "url": public_url + button.url}
    return {"title": button.title, "payload": button.payload}


async def read_object(request: web.Request, most: int = checks.MAX_BODY) -> dict[str, Any]:
    """Read a JSON object of at most ``most`` bytes; the content type only decides which fault a body that is no JSON has."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise Fault("fault_too_large", status=413)
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Fault("fault_not_json", status=400 if request.content_type.endswith("json") else 415) from error
    if not isinstance(value, dict):
        raise Fault("fault_not_object")
    return value


def telling_faults(handler: Handler) -> Handler:
    """Answer what a handler refuses, or fails at, as JSON that says so."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Fault as fault:
            told = {"Connection": "close"} if fault.status == 413 else {}  # the rest of the body stays unread
            if fault.status == 401:
                told["WWW-Authenticate"] = "Bearer"
            return json_answer({"error": words()[fault.word], "field": fault.field}, fault.status, told)
        except Exception as error:
            log.error("request failed", path=request.path, fault=type(error).__name__)
            away = isinstance(error, ServiceUnavailable)  # to be sent again, with the same message id
            return json_answer({"error": words()["fault_internal"], "field": ""}, status=503 if away else 500)

    return answer


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON that nobody keeps."""
    text = json.dumps(value, ensure_ascii=False)
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(text=text, status=status, content_type="application/json", headers=kept)
