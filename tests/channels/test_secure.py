"""The one-time page's server side: who may reach it, what it answers, and what nobody keeps."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from bot.app import App
from tests.bot.talk import LI, Talk
from tests.conftest import OpenDemo, served

LI_ID = 2
NEW = "258046"


async def _ticket(app: App, purpose: str = "set_password") -> str:
    """Make a page for 李娜; gives its token."""
    made = await app.wallet.ticket(LI_ID, purpose, key=f"page {purpose}")
    return app.wallet.ticket_token(made.id)


async def _post(server: TestServer, act: str, headers: dict[str, str] | None = None, **body: str) -> tuple[int, dict]:
    async with ClientSession() as session, session.post(server.make_url(f"/secure/{act}"), json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_password_is_set_over_http(open_demo: OpenDemo) -> None:
    """Open, have the code sent, use: then the page is over; refusals are told in words."""
    async with open_demo() as app, served(app) as server:
        token = await _ticket(app)
        status, shown = await _post(server, "open", token=token)
        assert (status, shown["purpose"], shown["person"], shown["asks"]) == (200, "set_password", "*娜", ["code", "new"])
        status, sent = await _post(server, "code", token=token)
        assert (status, sent["phone"]) == (200, "138****0002")
        await app.courier.drain()
        code = Talk(app).code(LI)
        status, refused = await _post(server, "use", token=token, code=code, new="123456")
        assert (status, refused["over"], "换一个" in refused["error"]) == (409, False, True)
        status, refused = await _post(server, "use", token=token, code="000000", new=NEW)
        assert (status, refused["over"], "4次" in refused["error"]) == (409, False, True)
        assert await _post(server, "use", token=token, code=code, new=NEW) == (200, {"codes": []})
        status, refused = await _post(server, "open", token=token)
        assert (status, refused["over"]) == (409, True)
        assert await app.wallet.second_factors(LI_ID) == {"password"}


async def test_the_page_lets_nothing_foreign_run(open_demo: OpenDemo) -> None:
    """Its own files only, nothing inline, no frame, no cache, no referrer; the token is nowhere in the address that is asked."""
    async with open_demo() as app, served(app) as server, ClientSession() as session:
        async with session.get(server.make_url("/secure")) as answer:
            page, headers = await answer.text(), answer.headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
        assert (headers["X-Content-Type-Options"], headers["Cross-Origin-Opener-Policy"]) == ("nosniff", "same-origin")
        assert "<style" not in page
        assert 'src="/assets/secure.js"' in page
        assert page.count("<script") == 1
        token = await _ticket(app)
        async with session.post(server.make_url("/secure/open"), json={"token": token}) as answer:
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("public_url", "host", "private"),
    [
        ("", "127.0.0.1", True),
        ("", "localhost:8080", True),
        ("", "[::1]:8080", True),
        ("", "wallet.example.com", False),
        ("", "192.168.1.7:8080", False),
        ("http://wallet.example.com", "wallet.example.com", False),
        ("https://wallet.example.com", "wallet.example.com", True),
        ("https://wallet.example.com", "other.example.com", False),
        ("https://wallet.example.com", "127.0.0.1:8080", True),
    ],
)
async def test_it_is_served_over_https_or_here_only(open_demo: OpenDemo, public_url: str, host: str, private: bool) -> None:
    """Under a name that is not the public https address, nothing is asked and nothing is taken."""
    async with open_demo(public_url=public_url) as app, served(app) as server, ClientSession() as session:
        async with session.get(server.make_url("/secure"), headers={"Host": host}) as answer:
            assert ("<form" in await answer.text()) is private
        status, answered = await _post(server, "open", {"Host": host}, token=await _ticket(app))
        assert status == (200 if private else 403)
        assert ("purpose" in answered) is private


async def test_an_address_that_is_not_here_is_not_loopback(open_demo: OpenDemo) -> None:
    """Who comes from elsewhere and says that the host is this machine is not believed."""
    from bot.channels.secure import SecurePages

    class Elsewhere:
        host, remote = "localhost", "192.168.1.9"

    async with open_demo() as app:
        assert not SecurePages(app.wallet, app.locale)._is_private(Elsewhere())  # type: ignore[arg-type]


async def test_what_is_no_question_of_the_page_is_refused(open_demo: OpenDemo) -> None:
    """Another site's script, a body that is no object or too large, answers that are no text, a made-up token."""
    async with open_demo() as app, served(app) as server, ClientSession() as session:
        token = await _ticket(app)
        status, _ = await _post(server, "open", {"Origin": "https://evil.example"}, token=token)
        assert status == 403
        for data, expected in (
            ("[]", 400),
            ("{", 400),
            ("{}", 400),
            ('{"token": 5}', 400),
            ('{"token": "' + "x" * 9_000 + '"}', 413),
        ):
            url, headers = server.make_url("/secure/open"), {"Content-Type": "application/json"}
            async with session.post(url, data=data, headers=headers) as answer:
                assert answer.status == expected, data[:20]
        status, _ = await _post(server, "use", token=token, code=["1"], new=NEW)  # type: ignore[arg-type]
        assert status == 400
        status, refused = await _post(server, "open", token="made-up")
        assert (status, refused["over"]) == (409, True)
        async with session.get(server.make_url("/secure/open")) as answer:
            assert answer.status == 405


def test_every_page_has_its_words() -> None:
    """Each purpose has a title, a line and an end, each answer a label, in the page's words."""
    from typing import get_args

    from bot.channels.pages import words
    from wallet_service.tickets import TicketPurpose

    for purpose in get_args(TicketPurpose):
        for part in ("purpose", "lead", "done"):
            assert words()[f"secure_{part}_{purpose}"]
    for name in ("code", "password", "password_enter", "second", "id_number", "app_code", "new", "again"):
        assert words()[f"secure_ask_{name}"]
