"""What every page needs: its words, its templates and assets, and headers that let nothing foreign run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
import yaml
from aiohttp import web

STATIC = Path(__file__).parent / "static"
ASSETS = "/assets"

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")


@cache
def words(locale: str = "zh_CN") -> Mapping[str, str]:
    """Return the words of the pages and doors in one language."""
    source = files("locales").joinpath(locale, "web.yml").read_text(encoding="utf-8")
    ui: dict[str, str] = yaml.safe_load(source)["ui"]
    return ui


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(STATIC), autoescape=True, undefined=jinja2.StrictUndefined)


def page(request: web.Request, template: str, **facts: object) -> web.Response:
    """Answer with a page of ``static/``; its template sees the words as ``ui`` and the given facts."""
    html = _templates().get_template(template).render(ui=dict(words()), **facts)
    return web.Response(text=html, content_type="text/html", headers=headers(request))


def headers(request: web.Request) -> dict[str, str]:
    """Return the headers of a page: only its own files load, nobody frames it, nothing is kept by caches."""
    host = request.host if _HOST.fullmatch(request.host) else ""
    sockets = f" ws://{host} wss://{host}" if host else ""  # older Safari does not count a WebSocket as 'self'
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        f"connect-src 'self'{sockets}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def asset_routes() -> list[web.RouteDef]:
    """Return the route of the pages' scripts, styles and drawings."""
    return [web.get(ASSETS + "/{name}", _asset)]


async def _asset(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    known = {path.name: path for path in STATIC.iterdir() if path.suffix in {".css", ".js", ".svg"}}
    if name not in known:
        raise web.HTTPNotFound
    kept = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return web.FileResponse(known[name], headers=kept)
