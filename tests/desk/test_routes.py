"""The desk over real HTTP: who gets in, who may do what, and what the answers look like."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from bot.desk.agents import SESSION
from bot.dialogue.store import Event
from tests.desk.conftest import PASSWORD, Browser, Site


async def _refusal(response: Any, status: int, code: str) -> str:
    """Check a refusal and give its sentence."""
    assert response.status == status, await response.text()
    body = await response.json()
    assert body["error"] == code
    assert any("\u4e00" <= one <= "\u9fff" for one in body["message"])
    assert "{" not in body["message"]
    return str(body["message"])


async def test_a_stranger_sees_the_login_and_nothing_else(site: Site) -> None:
    """Without a session the page leads to the log-in and every API route answers 401."""
    _, handoff = await site.house.waiting()
    stranger = site.browser()
    page = await stranger.get("")
    assert (page.status, page.headers["Location"]) == (303, "/desk/login")
    for path in ("me", "queue", "live", f"handoffs/{handoff}"):
        await _refusal(await stranger.get("/api/" + path), 401, "no_session")
    for path in ("logout", *(f"handoffs/{handoff}/{what}" for what in ("take", "say", "return", "close"))):
        await _refusal(await stranger.post(path), 401, "no_session")


async def test_logging_in_with_a_right_and_a_wrong_password(site: Site) -> None:
    """The right password opens the desk, a wrong one says so without saying what was wrong."""
    await site.house.agent()
    browser = site.browser()
    await _refusal(await browser.log_in(password="not this one"), 401, "wrong_login")
    response = await browser.log_in()
    assert response.status == 200
    cookie = response.headers.getall("Set-Cookie")[0]
    assert cookie.startswith("desk_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/desk"} <= {part.strip() for part in cookie.split(";")}
    assert (await browser.get("")).status == 200
    assert (await (await browser.get("/api/me")).json())["name"] == "小林"


async def test_guessing_is_slowed_down(site: Site) -> None:
    """After five wrong passwords the answer is 429 with the seconds to wait, for the right one too."""
    await site.house.agent()
    browser = site.browser()
    for _ in range(5):
        await _refusal(await browser.log_in(password="not this one"), 401, "wrong_login")
    response = await browser.log_in()
    assert "60" in await _refusal(response, 429, "throttled")
    assert response.headers["Retry-After"] == "60"
    site.house.clock.pass_seconds(60)
    assert (await browser.log_in()).status == 200


async def test_a_session_expires(site: Site) -> None:
    """When the shift is over the same cookie opens nothing any more."""
    browser, _ = await site.at_desk()
    assert (await browser.get("/api/queue")).status == 200
    site.house.clock.pass_seconds(SESSION / 1000)
    await _refusal(await browser.get("/api/queue"), 401, "no_session")
    assert (await browser.get("")).status == 303


async def test_logging_out_ends_the_session(site: Site) -> None:
    """After the log-out the old cookie is dead, even for who kept a copy of it."""
    browser, _ = await site.at_desk()
    cookies = {one.key: one.value for one in browser.http.cookie_jar}
    assert (await browser.post("logout")).status == 200
    browser.http.cookie_jar.update_cookies(cookies)
    await _refusal(await browser.get("/api/me"), 401, "no_session")


async def test_a_post_without_the_token_changes_nothing(site: Site) -> None:
    """Every POST, the log-in too, needs the token that only the desk's own page knows."""
    conversation, handoff = await site.house.waiting()
    browser, _ = await site.at_desk()
    other, _ = await site.at_desk("小周")
    for forged in ("", "x", "中", other.csrf):
        for path in ("logout", *(f"handoffs/{handoff}/{what}" for what in ("take", "say", "return", "close"))):
            headers = {"X-CSRF-Token": forged} if forged != "中" else {"X-CSRF-Token": "\u00e4"}
            response = await browser.http.post(f"{browser.base}/api/{path}", json={}, headers=headers)
            await _refusal(response, 403, "bad_csrf")
    body = {"name": "小林", "password": PASSWORD}
    await _refusal(await site.browser().post("login", body, csrf=""), 403, "bad_csrf")
    await _refusal(await site.browser().post("login", body, csrf="guess"), 403, "bad_csrf")
    assert (await site.house.store.get(conversation.id)).holder is None


async def test_of_two_agents_one_takes_and_the_other_is_told(site: Site) -> None:
    """Two agents press 接入 at the same moment: one 200, one 409 that names the colleague."""
    _, handoff = await site.house.waiting()
    one, _ = await site.at_desk("小林")
    two, _ = await site.at_desk("小周")
    responses = await asyncio.gather(*(browser.post(f"handoffs/{handoff}/take") for browser in (one, two)))
    assert sorted(response.status for response in responses) == [200, 409]
    loser = next(response for response in responses if response.status == 409)
    winner = "小林" if responses[0].status == 200 else "小周"
    assert winner in await _refusal(loser, 409, "taken")


async def test_a_whole_service_over_http(site: Site) -> None:
    """See the queue, take, talk, hand back: each step shows in the lists and in the transcript."""
    _, handoff = await site.house.waiting(flow="transfer_money", slots={"payee": "*娜"})
    browser, agent = await site.at_desk()
    lists = await (await browser.get("/api/queue")).json()
    row = lists["queue"][0]
    assert (row["name"], row["topic"], row["city"], row["position"]) == ("*小明", "转账", "厦门", 1)
    assert (row["last_text"], lists["now"]) == ("人工", site.house.clock.now)

    await _refusal(await browser.post(f"handoffs/{handoff}/say", {"text": "您好", "key": "a"}), 409, "not_taken")
    assert (await browser.post(f"handoffs/{handoff}/take")).status == 200
    said = await browser.post(f"handoffs/{handoff}/say", {"text": "您好", "key": "a"})
    assert (said.status, await said.json()) == (200, {"ends": 1})
    shown = await (await browser.get(f"/api/handoffs/{handoff}")).json()
    assert [(one["kind"], one["text"]) for one in shown["messages"]] == [
        ("user", "人工"),
        ("handoff", "客服小林接入会话"),
        ("agent", "您好"),
    ]
    detail = shown["handoff"]
    assert (detail["state"], detail["agent_id"], detail["flow"], detail["reason"]) == ("held", agent.id, "转账", "客户要求人工")
    assert detail["slots"] == [{"label": "收款人", "text": "*娜"}]
    lists = await (await browser.get("/api/queue")).json()
    assert (len(lists["queue"]), len(lists["mine"]), len(lists["others"])) == (0, 1, 0)

    assert (await browser.post(f"handoffs/{handoff}/return")).status == 200
    await _refusal(await browser.post(f"handoffs/{handoff}/say", {"text": "您好", "key": "b"}), 409, "over")
    await _refusal(await browser.post(f"handoffs/{handoff}/close"), 409, "over")
    assert (await (await browser.get("/api/queue")).json())["mine"] == []


async def test_buttons_and_pictures_are_shown_by_name(site: Site) -> None:
    """What the bot offered is shown by its titles, and a picture or a sticker as such."""
    conversation, handoff = await site.house.waiting()
    now = site.house.clock.now
    offered = Event("bot", {"reply": "utter_x", "text": "请选", "buttons": ["取消转账", "换个金额"]}, now)
    await site.house.store.record(conversation.id, [offered, Event("user", {"text": "", "message": "image"}, now)])
    browser, _ = await site.at_desk()
    shown = await (await browser.get(f"/api/handoffs/{handoff}")).json()
    assert shown["messages"][1]["buttons"] == ["取消转账", "换个金额"]
    assert (shown["messages"][2]["text"], shown["messages"][2]["picture"]) == ("", True)


async def test_every_object_is_checked(site: Site) -> None:
    """A colleague's conversation is 403 on every route, an unknown one 404, a reviewer gets neither list nor customer."""
    _, handoff = await site.house.waiting()
    holder, _ = await site.at_desk("小林")
    other, _ = await site.at_desk("小周")
    reviewer, _ = await site.at_desk("小审", "reviewer")
    assert (await holder.post(f"handoffs/{handoff}/take")).status == 200
    say = {"text": "您好", "key": "a"}
    assert "小林" in await _refusal(await other.get(f"/api/handoffs/{handoff}"), 403, "not_yours")
    for what in ("say", "return", "close"):
        await _refusal(await other.post(f"handoffs/{handoff}/{what}", say), 403, "not_yours")
        await _refusal(await holder.post(f"handoffs/999/{what}", say), 404, "no_handoff")
        await _refusal(await reviewer.post(f"handoffs/{handoff}/{what}", say), 403, "wrong_role")
    await _refusal(await holder.get("/api/handoffs/999"), 404, "no_handoff")
    await _refusal(await holder.get("/api/handoffs/1;drop"), 404, "no_route")
    await _refusal(await reviewer.get("/api/queue"), 403, "wrong_role")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[]", "bad_json"),
        (b"\xff", "bad_json"),
        (b'{"key":"a"}', "bad_request"),
        (b'{"text":5,"key":"a"}', "bad_request"),
        (b'{"text":"x"}', "bad_request"),
        (b'{"text":"x","key":""}', "bad_request"),
        (b'{"text":"  ","key":"a"}', "empty_text"),
        (b'{"text":"' + b"x" * 2001 + b'","key":"a"}', "text_too_long"),
        (b'{"text":"' + b"x" * 40000 + b'","key":"a"}', "body_too_large"),
    ],
)
async def test_a_bad_body_is_named(site: Site, body: bytes, code: str) -> None:
    """What is no JSON object, lacks a field or is too large gets a 400 that says so."""
    _, handoff = await site.house.waiting()
    browser, _ = await site.at_desk()
    await browser.post(f"handoffs/{handoff}/take")
    headers = {"X-CSRF-Token": browser.csrf}
    response = await browser.http.post(f"{browser.base}/api/handoffs/{handoff}/say", data=body, headers=headers)
    await _refusal(response, 400, code)


async def test_strange_words_stay_words(site: Site) -> None:
    """HTML, Jinja and format strings in names, topics and messages come out as the same characters, in JSON only."""
    evil = "<img src=x onerror=alert(1)>{{ 7*7 }}{0.__class__}"
    conversation = await site.house.customer(said=evil)
    await site.house.desk.request(conversation.id, topic=evil[:32], city="xiamen", reason="{x}", context={"customer": evil})
    agent = await site.house.agent("<b>{0}</b>")
    browser = site.browser()
    assert (await browser.log_in(agent.name)).status == 200
    handoff = (await (await browser.get("/api/queue")).json())["queue"][0]["id"]
    await browser.post(f"handoffs/{handoff}/take")
    await browser.post(f"handoffs/{handoff}/say", {"text": evil, "key": "a"})
    response = await browser.get(f"/api/handoffs/{handoff}")
    assert response.content_type == "application/json"
    shown = await response.json()
    assert shown["handoff"]["name"] == evil
    assert [one["text"] for one in shown["messages"]] == [evil, "客服<b>{0}</b>接入会话", evil]
    assert (await site.house.store.claim_pushes("web", "ann"))[-1].text == evil


async def test_no_page_carries_code_of_its_own(site: Site) -> None:
    """Pages allow only files of this server, hold no inline script or style, and every answer keeps others out."""
    browser, _ = await site.at_desk()
    for path in ("", "/login"):
        response = await browser.get(path)
        html = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert "<style" not in html
        assert " style=" not in html
        assert not re.search(r"\son\w+=", html)
        assert html.count("<script") == html.count('<script type="module" src="/desk/assets/')
    for path in ("", "/login", "/api/me", "/api/words", "/api/nothing", "/assets/desk.js"):
        headers = (await browser.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] in ("no-store", "no-cache")


async def test_only_the_assets_are_files(site: Site) -> None:
    """No path leads out of the assets' folder."""
    browser = site.browser()
    assert (await browser.get("/assets/desk.css")).content_type == "text/css"
    for name in ("nothing.js", "..%2fservice.py", "%2e%2e%2froutes.py", "../pages/desk.html"):
        assert (await browser.get("/assets/" + name)).status == 404


async def _event(stream: Any) -> tuple[str, Any]:
    """Read one server-sent event."""
    name, data = "", None
    async with asyncio.timeout(10):
        while True:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if not line and name:
                return name, data
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))


async def _until(stream: Any, wanted: str) -> Any:
    """Read events up to one of a kind and give what it carries."""
    while True:
        name, data = await _event(stream)
        if name == wanted:
            return data


async def _live(browser: Browser, query: str = "") -> Any:
    response = await browser.get("/api/live" + query)
    assert (response.status, response.content_type) == (200, "text/event-stream")
    return response


async def test_the_queue_is_live(site: Site) -> None:
    """An open page learns of a new customer, and of a colleague's taking, without asking."""
    one, _ = await site.at_desk("小林")
    two, _ = await site.at_desk("小周")
    stream = await _live(one)
    assert (await _until(stream, "lists"))["queue"] == []
    _, handoff = await site.house.waiting()
    assert [row["id"] for row in (await _until(stream, "lists"))["queue"]] == [handoff]
    await two.post(f"handoffs/{handoff}/take")
    assert (await _until(stream, "lists"))["queue"] == []


async def test_the_talk_is_live(site: Site) -> None:
    """An open conversation shows what the customer writes as it comes, each message once."""
    conversation, handoff = await site.house.waiting()
    browser, _ = await site.at_desk()
    await browser.post(f"handoffs/{handoff}/take")
    stream = await _live(browser, f"?handoff={handoff}&after=0")
    assert (await _until(stream, "handoff"))["state"] == "held"
    assert [one["text"] for one in (await _until(stream, "messages"))["messages"]] == ["人工", "客服小林接入会话"]
    await site.house.store.record(conversation.id, [Event("user", {"text": "在吗"}, site.house.clock.now)])
    site.house.desk.bell.ring()
    assert [one["text"] for one in (await _until(stream, "messages"))["messages"]] == ["在吗"]
    await browser.post(f"handoffs/{handoff}/return")
    assert (await _until(stream, "handoff"))["state"] == "closed"


async def test_a_live_line_ends_with_the_session_and_the_right(site: Site) -> None:
    """When the session is over, or a colleague takes what one looks at, the line says why and ends."""
    _, handoff = await site.house.waiting()
    one, _ = await site.at_desk("小林")
    two, _ = await site.at_desk("小周")
    watching = await _live(one, f"?handoff={handoff}&after=0")
    await _until(watching, "handoff")
    await two.post(f"handoffs/{handoff}/take")
    assert (await _until(watching, "refused"))["status"] == 403
    assert await watching.content.read() == b""
    queue = await _live(one)
    await _until(queue, "lists")
    await one.post("logout")
    assert (await _until(queue, "refused"))["status"] == 401


async def test_live_lines_end_when_the_server_stops(site: Site) -> None:
    """Stopping the desk ends every line at once, so that a restart does not wait for open pages."""
    browser, _ = await site.at_desk()
    stream = await _live(browser)
    await _until(stream, "lists")
    site.house.desk.stop()
    async with asyncio.timeout(5):
        assert await stream.content.read() == b""


@pytest.mark.parametrize("query", ["?handoff=x", "?handoff=-1", "?handoff=99999999999", "?handoff=1&after=1.5", "?after=²"])
async def test_a_live_line_with_a_bad_number_is_refused(site: Site, query: str) -> None:
    """What is no whole number of a database key is a 400."""
    browser, _ = await site.at_desk()
    await _refusal(await browser.get("/api/live" + query), 400, "bad_request")
