"""The desk's HTTP face: two pages, their assets, and a small JSON API that refuses in whole sentences."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web

from bot.desk.agents import SESSION, Accounts, Session, now_ms
from bot.desk.errors import BadRequest, DeskError, Forbidden, NotFound, NotLoggedIn
from bot.desk.live import Line
from bot.desk.service import Desk
from bot.desk.views import Views
from locales import Locale

HERE: Final = Path(__file__).parent
COOKIE: Final = "desk_session"
LOGIN_COOKIE: Final = "desk_login"  # holds the log-in form's own token: there is no session yet
CSRF: Final = "X-CSRF-Token"
MAX_BODY: Final = 32 * 1024  # bytes
LARGEST: Final = 2**31 - 1  # a primary key on PostgreSQL
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def remote(request: web.Request) -> str:
    """Give the address that a request comes from; behind a proxy that is the proxy's."""
    return request.remote or ""


def desk_routes(
    desk: Desk,
    accounts: Accounts,
    *,
    locale: Locale,
    city_name: Callable[[str], str],
    secure: bool,
    address: Callable[[web.Request], str] = remote,
    clock: Callable[[], int] = now_ms,
) -> list[web.RouteDef]:
    """Return the desk's routes; ``secure`` keeps the cookies to https, ``city_name`` puts a city's code into words."""
    return DeskPages(desk, accounts, Views(locale, city_name, clock), secure=secure, address=address).routes()


class DeskPages:
    """Checks who asks, calls the desk, and answers in JSON."""

    def __init__(
        self, desk: Desk, accounts: Accounts, views: Views, *, secure: bool, address: Callable[[web.Request], str]
    ) -> None:
        self._desk = desk
        self._accounts = accounts
        self._views = views
        self._secure = secure
        self._address = address
        loader = jinja2.FileSystemLoader(HERE / "pages")
        self._templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        self._assets = {path.name: path for path in (HERE / "static").iterdir() if path.suffix in (".css", ".js", ".svg")}

    def routes(self) -> list[web.RouteDef]:
        """Return every route below /desk."""
        one = r"/desk/api/handoffs/{id:\d{1,9}}"
        pages = [
            web.get("/desk", self._desk_page),
            web.get("/desk/", self._desk_page),
            web.get("/desk/login", self._login_page),
            web.get("/desk/assets/{name}", self._asset),
        ]
        api = [
            web.get("/desk/api/words", self._words),
            web.get("/desk/api/login", self._login_token),
            web.post("/desk/api/login", self._log_in),
            web.post("/desk/api/logout", self._log_out),
            web.get("/desk/api/me", self._me),
            web.get("/desk/api/queue", self._queue),
            web.get("/desk/api/live", self._live),
            web.get(one, self._handoff),
            web.post(one + "/take", self._take),
            web.post(one + "/say", self._say),
            web.post(one + "/return", self._return),
            web.post(one + "/close", self._close),
            web.route("*", "/desk/api/{rest:.*}", self._nothing),
        ]
        return [web.route(route.method, route.path, self._guarded(route.handler)) for route in (*pages, *api)]

    def _guarded(self, handler: Handler) -> Handler:
        """Put refusals into words and the security headers on every answer."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                response = await handler(request)
            except DeskError as error:
                response = _json(self._views.refusal(error), error.status)
                if "seconds" in error.facts:
                    response.headers["Retry-After"] = str(error.facts["seconds"])
            if not response.prepared:
                for name, value in HEADERS.items():
                    response.headers.setdefault(name, value)
            return response

        return guarded

    async def _desk_page(self, request: web.Request) -> web.StreamResponse:
        try:
            await self._session(request)
        except NotLoggedIn:
            return web.Response(status=303, headers={"Location": "/desk/login"})
        return self._page("desk.html")

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        return self._page("login.html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        path = self._assets.get(request.match_info["name"])
        if path is None:
            raise NotFound("no_route")
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    async def _words(self, request: web.Request) -> web.StreamResponse:
        return _json(self._views.words)

    async def _login_token(self, request: web.Request) -> web.StreamResponse:
        token = secrets.token_urlsafe()
        response = _json({"csrf": token})
        self._set_cookie(response, LOGIN_COOKIE, token, None)
        return response

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        _check_csrf(request, request.cookies.get(LOGIN_COOKIE, ""))
        body = await _body(request)
        name, password = _text(body, "name", 64), _text(body, "password", 256)
        token, session = await self._accounts.log_in(name.strip(), password, self._address(request))
        response = _json(_me(session))
        self._set_cookie(response, COOKIE, token, SESSION // 1000)
        response.del_cookie(LOGIN_COOKIE, path="/desk")
        return response

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        await self._acting(request)
        await self._accounts.log_out(request.cookies[COOKIE])
        response = _json({})
        response.del_cookie(COOKIE, path="/desk")
        self._desk.bell.ring()
        return response

    async def _me(self, request: web.Request) -> web.StreamResponse:
        return _json(_me(await self._session(request)))

    async def _queue(self, request: web.Request) -> web.StreamResponse:
        session = await self._session(request)
        lists = self._views.overview(await self._desk.overview(session.agent))
        return _json({**lists, "now": self._views.now()})

    async def _handoff(self, request: web.Request) -> web.StreamResponse:
        session = await self._session(request)
        handoff = await self._desk.view(_id(request), session.agent)
        messages = self._views.messages(await self._desk.transcript(handoff))
        return _json({"handoff": self._views.detail(handoff), "messages": messages, "now": self._views.now()})

    async def _take(self, request: web.Request) -> web.StreamResponse:
        session = await self._acting(request)
        await self._desk.take(_id(request), session.agent)
        return _json({})

    async def _say(self, request: web.Request) -> web.StreamResponse:
        session = await self._acting(request)
        body = await _body(request)
        text, key = _text(body, "text", MAX_BODY), _text(body, "key", 64)
        return _json({"ends": await self._desk.say(_id(request), session.agent, text, key)})

    async def _return(self, request: web.Request) -> web.StreamResponse:
        session = await self._acting(request)
        await self._desk.hand_back(_id(request), session.agent)
        return _json({})

    async def _close(self, request: web.Request) -> web.StreamResponse:
        session = await self._acting(request)
        await self._desk.close(_id(request), session.agent)
        return _json({})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        await self._session(request)
        handoff_id, after = _number(request, "handoff"), _number(request, "after")
        response = web.StreamResponse(headers={**HEADERS, "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        line = Line(self._desk, self._accounts, self._views, request.cookies[COOKIE])
        await line.run(response, handoff_id, after or 0)
        return response

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        raise NotFound("no_route")

    async def _session(self, request: web.Request) -> Session:
        token = request.cookies.get(COOKIE)
        if not token:
            raise NotLoggedIn("no_session")
        return await self._accounts.session(token)

    async def _acting(self, request: web.Request) -> Session:
        """Give the session of a request that changes something, which must come from the desk's own page."""
        session = await self._session(request)
        _check_csrf(request, session.csrf)
        return session

    def _page(self, name: str) -> web.Response:
        html = self._templates.get_template(name).render(ui=self._views.words)
        return web.Response(text=html, content_type="text/html")

    def _set_cookie(self, response: web.Response, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(name, value, max_age=seconds, path="/desk", secure=self._secure, httponly=True, samesite="Strict")


def _json(data: Any, status: int = 200) -> web.Response:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def _me(session: Session) -> dict[str, Any]:
    agent = session.agent
    facts = {"id": agent.id, "name": agent.name, "role": agent.role, "supervises": agent.supervises}
    return {**facts, "csrf": session.csrf, "expires_at": session.expires_at}


def _check_csrf(request: web.Request, expected: str) -> None:
    given = request.headers.get(CSRF, "")
    if not expected or not secrets.compare_digest(given.encode(), expected.encode()):
        raise Forbidden("bad_csrf")


async def _body(request: web.Request) -> dict[str, Any]:
    """Read a small JSON object."""
    if request.content_length is None or request.content_length > MAX_BODY:
        raise BadRequest("body_too_large", limit=MAX_BODY)
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise BadRequest("bad_json") from None
    if not isinstance(body, dict):
        raise BadRequest("bad_json")
    return body


def _text(body: dict[str, Any], field: str, longest: int) -> str:
    value = body.get(field)
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest("bad_request", field=field)
    return value


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _number(request: web.Request, field: str) -> int | None:
    """Read a whole number from the query, None when it is not there."""
    value = request.query.get(field)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= LARGEST):
        raise BadRequest("bad_request", field=field)
    return int(value)
