"""The terminal door, as a pipe reads it and as a human does on a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.channels import terminal
from bot.messages import Button, Outcome, Reply

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds for something on a busy machine

PROGRAM = """
import asyncio, os, sys
from bot.channels.terminal import chat
from bot.messages import Button, Outcome, Reply

class Echo:
    async def handle(self, inbound):
        buttons = (Button("好的", "tok-yes"),) if inbound.text == "hi" else ()
        return Outcome((Reply(f"{inbound.kind}:{inbound.text}", buttons),), forget_message=inbound.text == "493201")
    async def claim_pushes(self, channel, sender):
        return ()

asyncio.run(chat(Echo(), sender="me", as_json="--json" in sys.argv, stdin=sys.stdin.buffer, stdout=sys.stdout))
"""


async def talk(assistant: Any, given: bytes, **options: Any) -> list[str]:
    """Give lines to the terminal as a pipe does, and return the lines it writes."""
    stdout = io.StringIO()
    await terminal.chat(assistant, sender="me", stdin=io.BytesIO(given), stdout=stdout, **options)
    return stdout.getvalue().splitlines()


async def test_json_gives_one_list_for_each_line(scripted):
    """Every input line, the empty one too, gives exactly one JSON list in the REST form, and nothing else is written."""
    lines = await talk(scripted, "余额\n\n付款码".encode(), as_json=True)
    lists = [json.loads(line) for line in lines]
    assert lists[0] == [{"recipient_id": "me", "text": "echo 余额"}]
    assert lists[1] == [{"recipient_id": "me", "text": "echo "}]
    assert lists[2][0]["buttons"][1] == {"title": "算了", "payload": "tok-no"}
    assert len(lists) == 3
    assert len({inbound.message_id for inbound in scripted.heard}) == 3


async def test_a_failing_turn_is_still_one_line(scripted):
    """A fault becomes one list with a sentence, and the next line is answered."""
    scripted.script["坏"] = RuntimeError("secret detail")
    lines = await talk(scripted, "坏\n好\n".encode(), as_json=True)
    assert "secret" not in lines[0]
    assert json.loads(lines[0])[0]["text"]
    assert json.loads(lines[1])[0]["text"] == "echo 好"


async def test_broken_utf8_is_a_message(scripted):
    """Bytes that are no UTF-8 become replacement characters, and Windows line ends vanish."""
    await talk(scripted, b"\xe4\xbd\r\n\xff\xfe\n", as_json=True)
    assert [inbound.text for inbound in scripted.heard] == ["\ufffd", "\ufffd\ufffd"]


async def test_a_slash_and_number_presses_an_offered_button(scripted):
    """/2 presses the second button of the last replies; the bare number is an amount, and a number too many is text."""
    await talk(scripted, "付款码\n2\n付款码\n/2\n付款码\n/3\n/1\n".encode())
    said = [(inbound.kind, inbound.text) for inbound in scripted.heard]
    assert said == [
        ("text", "付款码"),
        ("text", "2"),
        ("text", "付款码"),
        ("press", "tok-no"),
        ("text", "付款码"),
        ("text", "/3"),
        ("text", "/1"),
    ]


async def test_a_link_is_written_out_where_a_server_stands_beside(scripted):
    """With an address people can follow it; without one it says where to go; it takes no number from the buttons."""
    scripted.script["页面"] = Outcome((Reply("请打开", (Button("安全页面", url="/secure#abc"), Button("算了", "tok-no"))),))
    lines = await talk(scripted, "页面\n/1\n".encode(), public_url="http://127.0.0.1:8080")
    assert "  安全页面：http://127.0.0.1:8080/secure#abc" in lines
    assert [(inbound.kind, inbound.text) for inbound in scripted.heard] == [("text", "页面"), ("press", "tok-no")]
    lines = await talk(scripted, "页面\n".encode())
    assert any("安全页面" in line and "打不开网页" in line for line in lines)
    (form,) = await talk(scripted, "页面\n".encode(), as_json=True, public_url="http://127.0.0.1:8080")
    assert '"url": "http://127.0.0.1:8080/secure#abc"' in form


async def test_a_typed_payload_may_press(scripted):
    """A program presses a button by sending its payload, as over REST."""
    await talk(scripted, b"tok-yes\n", as_json=True, metadata={"city": "qingdao"})
    (inbound,) = scripted.heard
    assert inbound.may_press
    assert inbound.channel == "terminal"
    assert dict(inbound.metadata) == {"city": "qingdao"}


async def test_a_pipe_for_humans_shows_choices_and_pictures(scripted):
    """Without JSON the replies are plain lines: buttons are numbered, a picture is its address, no prompt and no colours."""
    lines = await talk(scripted, "付款码\n".encode(), public_url="http://127.0.0.1:8080")
    assert lines == ["请出示", "[图片] http://127.0.0.1:8080/pictures/abc", "  /1 好的", "  /2 算了", "还要别的吗"]


async def test_control_characters_of_a_reply_do_not_reach_the_terminal(scripted):
    """A name with escape sequences in it cannot repaint the screen."""
    (line,) = await talk(scripted, b"\x1b[2Jabc\n")
    assert line == "echo [2Jabc"


async def test_waiting_words_come_first(scripted):
    """An agent's words that waited are shown before the next replies, with the agent named."""
    scripted.waiting["terminal", "me"] = [Reply("我来了", author="agent")]
    lines = await talk(scripted, "嗯\n".encode())
    assert lines == ["人工客服 › 我来了", "echo 嗯"]


async def test_a_line_without_end_is_cut_where_the_assistant_says_too_long(scripted):
    """A giant line reaches the assistant one character over the limit, and not as a giant."""
    await talk(scripted, b"a" * 50_000)
    assert len(scripted.heard[0].text) == 10_001


async def test_an_agent_is_heard_while_the_human_thinks(scripted, monkeypatch):
    """An interactive terminal shows what is pushed while nothing is typed."""
    monkeypatch.setattr(terminal, "POLL_SECONDS", 0.01)
    reader, writer = os.pipe()
    stdout = io.StringIO()
    scripted.waiting["terminal", "me"] = [Reply("我来了", author="agent")]
    with open(reader, "rb") as stdin:  # noqa: PTH123 - a pipe has no path
        chat = asyncio.create_task(terminal.chat(scripted, sender="me", stdin=stdin, stdout=stdout, interactive=True))
        async with asyncio.timeout(PATIENCE):
            while "我来了" not in stdout.getvalue():
                await asyncio.sleep(0.01)
        os.close(writer)
        await chat
    assert not scripted.heard


def run(*arguments: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the terminal door as a program of its own with a pipe."""
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], input=given, capture_output=True, cwd=ROOT, timeout=60)


def test_a_real_pipe_gets_utf8_whatever_the_locale_says():
    """Standard output is UTF-8 JSON lines and standard error is empty."""
    done = run("--json", given="你好\n".encode())
    assert json.loads(done.stdout.decode()) == [{"recipient_id": "me", "text": "text:你好"}]
    assert done.stderr == b""
    assert done.returncode == 0


def test_a_reader_that_leaves_causes_no_noise():
    """When the reading side closes early the program ends quietly."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.close()
        process.stdin.write(b"a\nb\n")
        process.stdin.close()
        assert process.stderr.read() == b""


@pytest.fixture
def screen():
    """The program on a pseudo-terminal: what to type into, and what waits for an output."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=child, stdout=child, stderr=child, cwd=ROOT, start_new_session=True
    )
    os.close(child)
    seen = bytearray()

    def expect(text: str) -> None:
        while text.encode() not in seen:
            seen.extend(os.read(parent, 4096))

    yield process, lambda text: os.write(parent, text.encode()), expect
    process.kill()
    process.wait()
    os.close(parent)


Screen = tuple[subprocess.Popen[bytes], Callable[[str], int], Callable[[str], None]]


def test_a_human_gets_prompts_choices_and_a_masked_code(screen: Screen):
    """On a terminal there is a prompt, buttons are numbered, a code typed is painted over, and Ctrl-D ends politely."""
    process, type_, expect = screen
    expect("您 › ")
    type_("hi\n")
    expect("/1 好的")
    type_("/1\n")
    expect("press:tok-yes")
    type_("493201\n")
    expect("\x1b[1A\r\x1b[2K您 › ••••••")
    type_("\x04")
    expect("回头见")
    assert process.wait(PATIENCE) == 0


def test_ctrl_c_is_quiet(screen: Screen):
    """Ctrl-C ends the talk like Ctrl-D, without a trace."""
    process, _, expect = screen
    expect("您 › ")
    process.send_signal(signal.SIGINT)
    expect("回头见")
    assert process.wait(PATIENCE) == 0
