"""The REST door over real HTTP on loopback."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.channels.rest import RestDoor
from bot.messages import Reply
from wallet_service.errors import ServiceUnavailable

PATH = "/webhooks/rest/webhook"
AUTH = {"Authorization": "Bearer s3cret"}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n-pixel").decode()


class Server:
    """A server with a REST door whose token, health and parse form a test may set."""

    def __init__(self, assistant: Any) -> None:
        self.assistant = assistant
        self.why: dict[str, str] = {}
        self.clients: list[TestClient] = []

    async def start(self, **options: Any) -> TestClient:
        """Start one more server and give its client."""

        async def parse(text: str) -> dict[str, Any]:
            return {"text": text, "intent": {"name": "greet", "confidence": 0.9}}

        async def health() -> dict[str, str]:
            return self.why

        options = {"token": "s3cret", "parse": parse, "health": health, **options}
        app = web.Application()
        app.add_routes(RestDoor(self.assistant, **options).routes())
        client = TestClient(TestServer(app))
        await client.start_server()
        self.clients.append(client)
        return client


@pytest.fixture
async def server(scripted: Any) -> AsyncIterator[Server]:
    """Servers that are closed after the test."""
    server = Server(scripted)
    yield server
    for client in server.clients:
        await client.close()


async def test_a_message_gets_replies_in_rasas_form(server, scripted):
    """Buttons, picture and custom data appear where there are any, and only there."""
    client = await server.start()
    answer = await client.post(PATH, json={"sender": "s1", "message": "付款码"}, headers=AUTH)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert await answer.json() == [
        {
            "recipient_id": "s1",
            "text": "请出示",
            "buttons": [{"title": "好的", "payload": "tok-yes"}, {"title": "算了", "payload": "tok-no"}],
            "image": "/pictures/abc",
        },
        {"recipient_id": "s1", "text": "还要别的吗", "custom": {"n": 1}},
    ]


async def test_what_the_caller_says_reaches_the_assistant(server, scripted):
    """Sender, id, metadata and picture arrive as given, and a text may press a button."""
    client = await server.start()
    body = {
        "sender": "s1",
        "message": "tok-yes",
        "message_id": "m-1",
        "metadata": {"city": "qingdao"},
        "attachments": [{"type": "image", "data": f"data:image/png;base64,{PIXEL}"}],
    }
    await client.post(PATH, json=body, headers=AUTH)
    (inbound,) = scripted.heard
    assert (inbound.channel, inbound.sender, inbound.message_id, inbound.text) == ("rest", "s1", "m-1", "tok-yes")
    assert inbound.may_press
    assert inbound.kind == "image"
    assert dict(inbound.metadata) == {"city": "qingdao"}
    assert inbound.attachments[0].mime == "image/png"
    assert inbound.attachments[0].data == base64.b64decode(PIXEL)


async def test_a_missing_message_id_is_made_up_anew(server, scripted):
    """Two equal bodies without a message id are two messages."""
    client = await server.start()
    for _ in range(2):
        await client.post(PATH, json={"sender": "s1", "message": "在吗"}, headers=AUTH)
    first, second = scripted.heard
    assert first.message_id != second.message_id
    assert first.kind == "text"


async def test_waiting_pushes_come_before_the_replies(server, scripted):
    """What waits for this sender comes first and once; another sender's stays where it is."""
    scripted.waiting["rest", "s1"] = [Reply("到账提醒")]
    scripted.waiting["rest", "s2"] = [Reply("别人的")]
    client = await server.start()
    texts = []
    for _ in range(2):
        answer = await client.post(PATH, json={"sender": "s1", "message": "嗯"}, headers=AUTH)
        texts.append([form["text"] for form in await answer.json()])
    assert texts == [["到账提醒", "echo 嗯"], ["echo 嗯"]]


@pytest.mark.parametrize(
    ("fault", "status"), [(RuntimeError("secret detail"), 500), (ServiceUnavailable(unknown=True), 503)], ids=["fault", "away"]
)
async def test_a_failing_turn_keeps_what_waits(server, scripted, fault, status):
    """A turn that fails answers one sentence without a trace, and loses no waiting push; a database that is away says so."""
    scripted.script["坏"] = fault
    scripted.waiting["rest", "s1"] = [Reply("到账提醒")]
    client = await server.start()
    answer = await client.post(PATH, json={"sender": "s1", "message": "坏"}, headers=AUTH)
    assert answer.status == status
    assert "secret detail" not in await answer.text()
    assert (await answer.json())["error"]
    assert scripted.waiting["rest", "s1"]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic s3cret", "Bearer", "s3cret", "Bearer s3cret2", "Bearer ключ"])
async def test_a_wrong_token_is_refused(server, scripted, header):
    """Only the exact bearer token opens the door."""
    client = await server.start()
    headers = {} if header is None else {"Authorization": header}
    answer = await client.post(PATH, json={"sender": "s1", "message": "余额"}, headers=headers)
    assert answer.status == 401
    assert (await answer.json())["field"] == "Authorization"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert not scripted.heard


async def test_without_a_token_the_door_is_off(server, scripted):
    """No configured token means 404, also for the empty bearer token."""
    client = await server.start(token=None)
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        answer = await client.post(PATH, json={"sender": "s1", "message": "余额"}, headers=headers)
        assert answer.status == 404
    assert not scripted.heard


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"sender=s1&message=hi", "application/x-www-form-urlencoded", 415),
        (b"{not json", "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b"", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'["sender"]', "application/json", 400),
        (b"null", "application/json", 400),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(server, scripted, body, content_type, status):
    """Forms, broken JSON, broken UTF-8, endless nesting and lists are told apart from messages."""
    client = await server.start()
    answer = await client.post(PATH, data=body, headers={**AUTH, "Content-Type": content_type})
    assert answer.status == status
    assert (await answer.json())["error"]
    assert not scripted.heard


async def test_json_is_taken_whatever_it_calls_itself(server, scripted):
    """JSON sent without its content type, as curl -d does, is understood, as Rasa's channel does."""
    client = await server.start()
    body = json.dumps({"sender": "s1", "message": "余额"})
    answer = await client.post(PATH, data=body, headers={**AUTH, "Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("change", "field", "status"),
    [
        ({"sender": None}, "sender", 400),
        ({"sender": 7}, "sender", 400),
        ({"sender": ""}, "sender", 400),
        ({"sender": "a\u0000b"}, "sender", 400),
        ({"sender": "\ud800"}, "sender", 400),
        ({"sender": "x" * 201}, "sender", 400),
        ({"message": None}, "message", 400),
        ({"message": ["余额"]}, "message", 400),
        ({"message": "字" * 10_001}, "message", 400),
        ({"message_id": 5}, "message_id", 400),
        ({"message_id": " "}, "message_id", 400),
        ({"metadata": "xiamen"}, "metadata", 400),
        ({"metadata": {"city": 5}}, "metadata", 400),
        ({"metadata": {str(n): "x" for n in range(21)}}, "metadata", 400),
        ({"attachments": {}}, "attachments", 400),
        ({"attachments": [{}] * 5}, "attachments", 400),
        ({"attachments": ["x"]}, "attachments[0]", 400),
        ({"attachments": [{"type": "audio", "data": "x"}]}, "attachments[0]", 400),
        ({"attachments": [{"type": "image"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": "https://x.example/a.png"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": "data:image/png;base64,%%%"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": "data:image/png;base64,AAA"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": "data:image/png;base64,"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": f"data:image/svg+xml;base64,{PIXEL}"}]}, "attachments[0].data", 400),
        ({"attachments": [{"type": "image", "data": "data:image/png;base64," + "A" * 7_000_000}]}, "attachments[0].data", 413),
    ],
)
async def test_a_wrong_field_is_named(server, scripted, change, field, status):
    """Every missing or ill-typed field is refused by its name, before the assistant hears of it."""
    client = await server.start()
    body = {key: value for key, value in {"sender": "s1", "message": "余额", **change}.items() if value is not None}
    sent = io.BytesIO(json.dumps(body).encode())
    answer = await client.post(PATH, data=sent, headers={**AUTH, "Content-Type": "application/json"})
    told = await answer.json()
    assert answer.status == status
    assert told["field"] == field
    assert told["error"]
    assert not scripted.heard


async def test_ten_thousand_characters_and_half_surrogates_pass(server, scripted):
    """The longest message is the assistant's to answer; a half surrogate is replaced so that it can be stored."""
    client = await server.start()
    answer = await client.post(PATH, json={"sender": "s1", "message": "字" * 9_999 + "\ud83d"}, headers=AUTH)
    assert answer.status == 200
    assert scripted.heard[0].text == "字" * 9_999 + "\ufffd"


async def test_a_body_over_eight_megabytes_is_refused(server, scripted):
    """Too much is refused with 413 and not read to the end."""
    client = await server.start()
    sent = io.BytesIO(b'{"sender":"' + b"a" * (9 * 1024 * 1024))
    answer = await client.post(PATH, data=sent, headers={**AUTH, "Content-Type": "application/json"})
    assert answer.status == 413
    assert not scripted.heard


async def test_pictures_get_the_public_address(server):
    """With a public URL a picture can be fetched from outside."""
    client = await server.start(public_url="https://pay.example/")
    answer = await client.post(PATH, json={"sender": "s1", "message": "付款码"}, headers=AUTH)
    assert (await answer.json())[0]["image"] == "https://pay.example/pictures/abc"


async def test_nobody_can_be_pushed_to_over_rest(server, scripted):
    """The door says that it reaches nobody, so that notices wait in the database."""
    door = RestDoor(scripted, token="x", parse=None, health=None)  # type: ignore[arg-type]
    assert await door.push("s1", (Reply("到账提醒"),)) is False


async def test_the_parse_form_is_open_in_the_demo_only(server):
    """In the demo anyone may parse; otherwise the REST token is asked for, and without a token there is no such address."""
    demo, closed, off = await server.start(open_parse=True), await server.start(), await server.start(token=None)
    assert (await (await demo.post("/model/parse", json={"text": "你好"})).json())["text"] == "你好"
    assert (await closed.post("/model/parse", json={"text": "你好"})).status == 401
    assert (await closed.post("/model/parse", json={"text": "你好"}, headers=AUTH)).status == 200
    assert (await off.post("/model/parse", json={"text": "你好"})).status == 404


@pytest.mark.parametrize("body", [{}, {"text": 5}, {"text": None}, {"text": "字" * 10_001}])
async def test_a_parse_request_without_a_fit_text_is_refused(server, body):
    """The parse form names the field that is wrong."""
    client = await server.start(open_parse=True)
    answer = await client.post("/model/parse", json=body)
    assert answer.status == 400
    assert (await answer.json())["field"] == "text"


async def test_health_says_what_is_missing(server):
    """Ready is 200; unready is 503 with the part and the reason."""
    client = await server.start()
    assert (await (await client.get("/healthz")).json()) == {"status": "ready"}
    server.why = {"database": "locked"}
    answer = await client.get("/healthz")
    assert answer.status == 503
    assert (await answer.json()) == {"status": "unready", "why": {"database": "locked"}}


async def test_metrics_are_prometheus_text(server):
    """The metrics are what the callable gives, in Prometheus's content type."""
    client = await server.start(metrics=lambda: b"turns_total 3\n")
    answer = await client.get("/metrics")
    assert answer.content_type == "text/plain"
    assert await answer.text() == "turns_total 3\n"
