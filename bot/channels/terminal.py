"""The terminal door: a conversation for humans, or one message a line for pipes and programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from typing import BinaryIO, TextIO
from uuid import uuid4

import structlog

from bot.channels.checks import MAX_TEXT
from bot.channels.pages import words
from bot.channels.rest import reply_form
from bot.messages import Assistant, Button, Inbound, Outcome, Reply

log = structlog.get_logger()

CHANNEL = "terminal"
POLL_SECONDS = 2.0  # how often a human's terminal asks for an agent's words

_CHOICE = re.compile(r"/([1-9]\d?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


async def chat(
    assistant: Assistant,
    *,
    sender: str,
    as_json: bool = False,
    stdin: BinaryIO,
    stdout: TextIO,
    metadata: Mapping[str, str] | None = None,
    public_url: str = "",
    interactive: bool | None = None,
) -> None:
    """Talk until the input ends or Ctrl-C; ``interactive`` (a prompt, colours) defaults to whether both ends are a terminal.

    ``stdin`` is read as bytes, so that broken UTF-8 is a message with replacement characters and not the end. With
    ``as_json`` each input line gives exactly one line of output, the list of replies in the REST form.
    """
    if interactive is None:
        interactive = not as_json and stdin.isatty() and stdout.isatty()
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(encoding="utf-8", errors="replace")
    talk = _Talk(assistant, sender, dict(metadata or {}), stdout, public_url, as_json, interactive)
    try:
        await talk.run(stdin)
    except BrokenPipeError:
        if stdout is sys.stdout:  # the reader has left: keep Python's own flush at exit from complaining
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


class _Talk:
    """One conversation at a terminal; remembers the buttons that were offered last."""

    def __init__(
        self,
        assistant: Assistant,
        sender: str,
        metadata: Mapping[str, str],
        stdout: TextIO,
        public_url: str,
        as_json: bool,
        interactive: bool,
    ) -> None:
        self._assistant = assistant
        self._sender = sender
        self._metadata = metadata
        self._stdout = stdout
        self._public_url = public_url.rstrip("/")
        self._as_json = as_json
        self._interactive = interactive
        self._offered: tuple[Button, ...] = ()
        self._turn = asyncio.Lock()

    async def run(self, stdin: BinaryIO) -> None:
        """Answer line after line."""
        listener = asyncio.create_task(self._listen()) if self._interactive else None
        try:
            with _reading(stdin) as lines:
                if self._interactive:
                    self._write(words()["terminal_hello"] + "\n")
                self._prompt()
                while (line := await lines.get()) is not None:
                    async with self._turn:
                        await self._answer(_decode(line))
                    self._prompt()
        finally:
            if listener is not None:
                listener.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listener
        if self._interactive:
            self._write("\n" + words()["terminal_bye"] + "\n")

    async def _answer(self, line: str) -> None:
        try:
            outcome = await self._assistant.handle(self._inbound(line))
            waiting = await self._assistant.claim_pushes(CHANNEL, self._sender)
        except Exception as error:
            log.error("turn failed", channel=CHANNEL, fault=type(error).__name__)
            outcome, waiting = Outcome((Reply(words()["fault_internal"]),)), ()
        if outcome.forget_message and self._interactive:
            masked = words()["terminal_prompt"] + words()["hidden"]
            self._write(f"\x1b[1A\r\x1b[2K{masked}\n")
        self._show((*waiting, *outcome.replies))

    def _inbound(self, line: str) -> Inbound:
        """Make the message of one line; ``/2`` presses the second of the buttons just offered."""
        choice = _CHOICE.fullmatch(line.strip())
        if choice and int(choice[1]) <= len(self._offered):
            return Inbound(
                CHANNEL, self._sender, uuid4().hex, self._offered[int(choice[1]) - 1].payload, "press", metadata=self._metadata
            )
        return Inbound(CHANNEL, self._sender, uuid4().hex, line, may_press=True, metadata=self._metadata)

    def _show(self, replies: tuple[Reply, ...]) -> None:
        buttons = tuple(button for reply in replies for button in reply.buttons if not button.url)
        if replies:
            self._offered = buttons
        if self._as_json:
            forms = [reply_form(reply, self._sender, self._public_url) for reply in replies]
            self._write(json.dumps(forms, ensure_ascii=False) + "\n")
            return
        number = 0
        for reply in replies:
            lines = [*_CONTROL.sub("", reply.text).split("\n")]
            if reply.image:
                lines.append(words()["terminal_picture"].format(address=self._public_url + reply.image))
            for button in reply.buttons:
                if button.url:
                    lines.append(self._page(button))
                    continue
                number += 1
                lines.append(f"  /{number} {button.title}")
            self._write("\n".join(self._named(reply, lines)) + "\n")

    def _page(self, button: Button) -> str:
        """Write a link out; without a server beside this terminal nobody could open it."""
        word = "terminal_page" if self._public_url else "terminal_no_page"
        return words()[word].format(title=button.title, address=self._public_url + button.url)

    def _named(self, reply: Reply, lines: list[str]) -> Iterator[str]:
        """Put the speaker before a reply, and indent what follows; for a pipe only an agent is named."""
        agent = reply.author == "agent"
        name = words()["terminal_agent" if agent else "terminal_bot"] if agent or self._interactive else ""
        colour = ("\x1b[36m" if agent else "\x1b[32m", "\x1b[0m") if self._interactive else ("", "")
        yield f"{colour[0]}{name} › {colour[1]}{lines[0]}" if name else lines[0]
        indent = "  " * (len(name) + 1) if self._interactive else ""
        for line in lines[1:]:
            yield indent + line

    async def _listen(self) -> None:
        """Show what an agent says while the human is thinking."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self._turn:
                waiting = await self._assistant.claim_pushes(CHANNEL, self._sender)
                if waiting:
                    self._write("\r\x1b[2K")
                    self._show(waiting)
                    self._prompt()

    def _prompt(self) -> None:
        if self._interactive:
            self._write(words()["terminal_prompt"])

    def _write(self, text: str) -> None:
        self._stdout.write(text)
        self._stdout.flush()


@contextlib.contextmanager
def _reading(stdin: BinaryIO) -> Iterator[asyncio.Queue[bytes | None]]:
    """Give a queue of input lines that ends with None, at the end of the input or with Ctrl-C.

    A thread of its own reads, because a file cannot be polled; it is a daemon, so a pending read never holds up the exit.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError, ValueError, OSError):  # the loop or the input was closed meanwhile
            for line in _split(stdin):
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, None)

    handled = False
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or no Unix
        loop.add_signal_handler(signal.SIGINT, queue.put_nowait, None)
        handled = True
    threading.Thread(target=read, name="stdin", daemon=True).start()
    try:
        yield queue
    finally:
        if handled:
            loop.remove_signal_handler(signal.SIGINT)


def _split(stdin: BinaryIO) -> Iterator[bytes]:
    """Split the input into lines.

    A real input is read below Python's buffer, whose lock a pending read would hold while the interpreter exits.
    """
    try:
        number = stdin.fileno()
    except OSError:
        yield from stdin
        return
    rest = b""
    while chunk := os.read(number, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _decode(line: bytes) -> str:
    """Read a line's text; what is longer than a message may be is cut just behind the limit, so that the assistant says so."""
    return line.rstrip(b"\r\n").decode("utf-8", "replace")[: MAX_TEXT + 1]
