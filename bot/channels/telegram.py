"""The Telegram door, and the only module that imports aiogram: its client and methods, with an update loop of our own.

aiogram's dispatcher confirms updates when it has read them, so a crash loses what was in hand, and it lets one chat's updates
race each other. Here an update is confirmed after it was answered, and each chat keeps its order (see ``telegram_intake``).
"""

from __future__ import annotations

import asyncio
import hmac
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog
from aiogram import Bot, exceptions, methods, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ChatAction
from aiogram.utils.backoff import Backoff, BackoffConfig
from aiogram.utils.token import TokenValidationError
from aiohttp import ClientError, web

from bot.channels import telegram_text as shapes
from bot.channels.checks import MAX_PICTURE
from bot.channels.telegram_intake import Intake
from bot.channels.telegram_updates import CHANNEL, UPDATES, Picture, Update, read_update
from bot.channels.telegram_words import words
from bot.messages import Assistant, Attachment, Button, Inbound, Outcome, Reply

log = structlog.get_logger()

T = TypeVar("T")
FetchImage = Callable[[str], Awaitable[bytes]]
Sleep = Callable[[float], Awaitable[None]]

WEBHOOK_PATH = "/webhooks/telegram"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
POLL_SECONDS = 25  # one long poll
BUSY_POLL_SECONDS = 0.2  # between polls while turns are under way, doubled up to the next figure while nothing new comes
BUSY_POLL_MOST = 0.5
CALL_SECONDS = 30
COURTESY_SECONDS = 3  # what nobody should wait for: typing, taking a keyboard away
TYPING_SECONDS = 4.5  # Telegram shows it for five
TURN_SECONDS = 60
TURN_TRIES = 3
ANSWER_TRIES = 12  # about four minutes of a network that is down
PUSH_TRIES = 3  # a push that fails waits in the database
PUSH_SECONDS = 10  # who pushes has other people to serve
PREPARE_SECONDS = 5  # the start does not wait longer for a Telegram that does not answer
WEBHOOK_SECONDS = 50  # Telegram gives up after a minute and sends the update again
DRAIN_SECONDS = 10
LONGEST_PAUSE = 30.0
BACKOFF = BackoffConfig(min_delay=1.0, max_delay=LONGEST_PAUSE, factor=2.0, jitter=0.1)


class TelegramSetupError(Exception):
    """The Bot API refuses the token or the webhook address, so the door cannot open."""


class RawUpdates(methods.TelegramMethod[list[dict[str, Any]]]):
    """getUpdates that leaves updates unparsed, so that one unreadable update cannot hold up all others."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int | None = None  # seconds
    allowed_updates: list[str] | None = None


class Wire:
    """The bot's end of the Bot API: calls with bounded patience, replies as messages, pictures as attachments."""

    def __init__(self, bot: Bot, fetch_image: FetchImage, public_url: str, sleep: Sleep) -> None:
        self.bot = bot
        self._public_url = public_url
        self._fetch_image = fetch_image
        self._sleep = sleep
        self._speaking: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def call(self, method: methods.TelegramMethod[T], tries: int = ANSWER_TRIES) -> T:
        """Call the API; floods wait as long as they are told, a broken line a little longer each time."""
        for attempt in range(1, tries + 1):
            pause = min(0.25 * 2**attempt, LONGEST_PAUSE)
            try:
                return await self.bot(method, request_timeout=CALL_SECONDS)
            except exceptions.TelegramRetryAfter as flood:
                pause = flood.retry_after
                if attempt == tries:
                    raise
            except exceptions.TelegramEntityTooLarge:
                raise
            except (exceptions.TelegramNetworkError, exceptions.TelegramServerError, exceptions.ClientDecodeError):
                if attempt == tries:
                    raise
            log.info("telegram.call_again", method=method.__api_method__, attempt=attempt, seconds=pause)
            await self._sleep(pause)
        raise ValueError("a call needs at least one try")

    async def attempt(self, method: methods.TelegramMethod[Any], tries: int = 1, seconds: int = COURTESY_SECONDS) -> None:
        """Call the API for a courtesy: when it fails nobody is told but the log."""
        try:
            async with asyncio.timeout(seconds):
                await self.call(method, tries)
        except (exceptions.AiogramError, TimeoutError) as error:
            log.info("telegram.courtesy_failed", method=method.__api_method__, error=describe(error))

    async def show(self, chat: int, replies: tuple[Reply, ...], tries: int = ANSWER_TRIES) -> None:
        """Send replies in order, never mixed with others that go to the same chat at the same time."""
        lock = self._speaking.setdefault(chat, asyncio.Lock())
        async with lock:
            for reply in replies:
                for message in await self._messages(chat, reply):
                    await self._send(message, tries)

    async def _send(self, message: methods.TelegramMethod[types.Message], tries: int) -> None:
        try:
            await self.call(message, tries)
        except (exceptions.TelegramBadRequest, exceptions.TelegramEntityTooLarge) as error:
            if "chat not found" in error.message:
                raise
            log.error("telegram.message_refused", method=message.__api_method__, error=error.message)
            if isinstance(message, methods.SendPhoto) and message.caption:  # the words matter more than the picture
                plain = methods.SendMessage(chat_id=message.chat_id, text=message.caption, reply_markup=message.reply_markup)
                await self._send(plain, tries)

    async def _messages(self, chat: int, reply: Reply) -> list[methods.TelegramMethod[types.Message]]:
        """Turn one reply into API calls: plain text without markup, no link previews (they would fetch one-time pages)."""
        text = words().say("agent", text=reply.text) if reply.author == "agent" and reply.text else reply.text
        if not self._public_url.startswith("https://"):  # Telegram takes no other address for a button
            reply, text = shapes.links_as_text(reply, text, self._public_url)
        pieces = shapes.split_text(text)
        photo = await self._picture(reply.image)
        calls: list[methods.SendPhoto | methods.SendMessage] = []
        if photo is not None:
            fits = len(pieces) == 1 and shapes.utf16_length(pieces[0]) <= shapes.CAPTION_LIMIT
            calls.append(methods.SendPhoto(chat_id=chat, photo=photo, caption=pieces.pop() if fits else None))
        off = types.LinkPreviewOptions(is_disabled=True)
        calls += [methods.SendMessage(chat_id=chat, text=piece, link_preview_options=off) for piece in pieces]
        if calls and reply.buttons:
            calls[-1] = calls[-1].model_copy(update={"reply_markup": keyboard(reply, self._public_url)})
        return list(calls)

    async def _picture(self, path: str | None) -> types.BufferedInputFile | None:
        if path is None:
            return None
        try:
            return types.BufferedInputFile(await self._fetch_image(path), filename="picture.png")
        except Exception as error:  # whatever became of the picture, the words still go out
            log.error("telegram.picture_lost", error=describe(error))
            return None

    async def download(self, picture: Picture) -> tuple[Attachment, ...]:
        """Fetch a picture that came in; none when it cannot be had or is over 5 MB after all."""
        room = Bounded()
        try:
            file = await self.call(methods.GetFile(file_id=picture.file_id), PUSH_TRIES)
            await self.bot.download_file(file.file_path or "", destination=room)
        except (exceptions.AiogramError, ClientError, TimeoutError, ValueError) as error:
            log.warning("telegram.download_failed", error=describe(error))
            return ()
        return (Attachment(picture.mime, room.getvalue()),)


class TelegramDoor:
    """Carries updates to the assistant and its replies back, by polling or by webhook.

    ``fetch_image`` gives the bytes behind a reply's image path, ``public_url`` stands before the paths of links; ``api_base`` is
    another Bot API server's address. Open the door with ``start_polling`` or ``start_webhook`` (with ``webhook_route`` mounted),
    close it with ``stop``.
    """

    name = CHANNEL

    def __init__(
        self,
        token: str,
        assistant: Assistant,
        *,
        fetch_image: FetchImage,
        public_url: str = "",
        api_base: str | None = None,
        webhook_secret: str | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        server = TelegramAPIServer.from_base(api_base) if api_base else PRODUCTION
        try:
            self._bot = Bot(token, session=AiohttpSession(api=server))
        except TokenValidationError as error:
            raise TelegramSetupError("the Telegram token is not of the form 123456:letters") from error
        self._wire = Wire(self._bot, fetch_image, public_url, sleep)
        self._assistant = assistant
        self._secret = webhook_secret
        self._sleep = sleep
        self._intake = Intake()
        self._worker: asyncio.Task[None] | None = None
        self._polling = False
        self._stopping = False
        self._me: types.User | None = None
        self._silent: set[int] = set()  # chats whose last message got no answer: a human has them, so nobody is typing

    async def start_polling(self) -> None:
        """Check the token, then fetch updates until ``stop``; a network that is down is waited for in the background."""
        ready = await self._prepare(methods.DeleteWebhook())
        self._polling = True
        self._worker = asyncio.create_task(self._poll(ready), name="telegram-polling")

    async def start_webhook(self, url: str) -> None:
        """Tell Telegram to post updates to ``url``, the public address of ``webhook_route``."""
        if not self._secret:
            raise TelegramSetupError("a Telegram webhook needs a secret")
        mode = methods.SetWebhook(url=url, secret_token=self._secret, allowed_updates=UPDATES)
        if not await self._prepare(mode):
            self._worker = asyncio.create_task(self._prepare_in_time(mode), name="telegram-webhook")

    def webhook_route(self, path: str = WEBHOOK_PATH) -> web.RouteDef:
        """Give the route to which Telegram posts updates."""
        return web.post(path, self._receive)

    async def stop(self) -> None:
        """Finish the turns in hand, confirm what was answered and close the connections."""
        self._stopping = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._intake.drain(DRAIN_SECONDS)
        if self._polling and self._intake.offset is not None:
            await self._wire.attempt(RawUpdates(offset=self._intake.offset, limit=1, timeout=0))
        await self._bot.session.close()

    async def push(self, sender: str, replies: tuple[Reply, ...]) -> bool:
        """Show replies nobody asked for; False when the person blocked the bot or Telegram is out of reach."""
        try:
            async with asyncio.timeout(PUSH_SECONDS):
                await self._wire.show(int(sender), replies, PUSH_TRIES)
        except (exceptions.AiogramError, TimeoutError, ValueError) as error:
            log.info("telegram.push_failed", error=describe(error))
            return False
        return True

    async def _prepare(self, mode: methods.TelegramMethod[bool]) -> bool:
        """Learn the bot's own name, choose polling or webhook and put up the command menu; False when the network is down."""
        menu = [types.BotCommand(command=name, description=text) for name, text in words().commands.items()]
        try:
            me = await self._bot(methods.GetMe(), request_timeout=PREPARE_SECONDS)
            await self._bot(mode, request_timeout=PREPARE_SECONDS)
        except (exceptions.TelegramUnauthorizedError, exceptions.TelegramNotFound) as error:
            raise TelegramSetupError("Telegram does not know this token") from error
        except exceptions.TelegramBadRequest as error:
            raise TelegramSetupError(error.message) from error
        except exceptions.AiogramError as error:
            log.warning("telegram.unreachable", error=describe(error))
            return False
        self._me = me
        await self._wire.attempt(methods.SetMyCommands(commands=menu), PUSH_TRIES, PREPARE_SECONDS)
        return True

    async def _prepare_in_time(self, mode: methods.TelegramMethod[bool]) -> None:
        """Go on trying to open the door until Telegram is in reach."""
        backoff = Backoff(BACKOFF)
        ready = False
        while not ready:
            await self._sleep(max(0.0, next(backoff)))
            try:
                ready = await self._prepare(mode)
            except TelegramSetupError as error:
                log.error("telegram.refused", error=str(error), again_in_seconds=backoff.next_delay)

    async def _poll(self, ready: bool) -> None:
        if not ready:
            await self._prepare_in_time(methods.DeleteWebhook())
        backoff = Backoff(BACKOFF)
        pause = BUSY_POLL_SECONDS
        while True:
            try:
                fetch = RawUpdates(offset=self._intake.offset, timeout=POLL_SECONDS, allowed_updates=UPDATES)
                batch = await self._bot(fetch, request_timeout=POLL_SECONDS + CALL_SECONDS)
                before = self._intake.started
                for raw in batch:
                    self._accept(raw)
            except Exception as error:  # whatever it is, the door stays open
                log.warning("telegram.polling_failed", error=describe(error), again_in_seconds=backoff.next_delay)
                await self._sleep(max(0.0, next(backoff)))
                continue
            backoff.reset()
            pause = BUSY_POLL_SECONDS if self._intake.started > before else min(2 * pause, BUSY_POLL_MOST)
            await self._intake.settle(pause)

    def _accept(self, raw: dict[str, Any]) -> asyncio.Task[None] | None:
        """Put one update to work; None when it is done already or asks for nothing."""
        try:
            update = read_update(raw)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.error("telegram.update_unreadable", update_id=raw["update_id"], error=describe(error))
            update = None
        if update is None:
            self._intake.skip(raw["update_id"])
            return None
        return self._intake.submit(update.update_id, update.chat, lambda: self._process(update))

    async def _process(self, update: Update) -> None:
        """Answer one update; whatever fails ends here, so that the next one has its turn."""
        try:
            if update.event == "press":
                await self._wire.attempt(methods.AnswerCallbackQuery(callback_query_id=update.query_id))
            if not update.private:
                await self._point_to_private_chat(update)
            elif update.event == "edited":
                await self._decline_edit(update)
            else:
                await self._turn(update)
        except exceptions.TelegramForbiddenError:
            log.info("telegram.blocked", update_id=update.update_id)
        except exceptions.AiogramError as error:
            log.error("telegram.not_answered", update_id=update.update_id, error=describe(error))
        except Exception:
            log.exception("telegram.update_failed", update_id=update.update_id)

    async def _decline_edit(self, update: Update) -> None:
        """Say that an edit changes nothing; a position that moves on by itself is an edit too, and nobody's words."""
        if update.kind == "text":
            await self._wire.show(update.chat, (Reply(words().say("edited"), system=True),))

    async def _point_to_private_chat(self, update: Update) -> None:
        """Answer a group only when it speaks to the bot, with the way to the private chat where a wallet belongs."""
        if self._me is not None and self._me.username and update.addresses(self._me.username, self._me.id):
            link = f"https://t.me/{self._me.username}"
            await self._wire.show(update.chat, (Reply(words().say("private_only", link=link), system=True),))

    async def _turn(self, update: Update) -> None:
        """Let the assistant answer; a pressed keyboard goes away, and what the assistant wants forgotten goes first."""
        inbound = update.inbound(await self._wire.download(update.picture) if update.picture else ())
        if inbound is None:
            return
        if update.event == "press":
            bare = methods.EditMessageReplyMarkup(chat_id=update.chat, message_id=update.message_id)
            outcome, _ = await asyncio.gather(self._answer(update.chat, inbound), self._wire.attempt(bare))
        else:
            outcome = await self._answer(update.chat, inbound)
            if outcome.forget_message:
                forget = methods.DeleteMessage(chat_id=update.chat, message_id=update.message_id)
                await self._wire.attempt(forget, ANSWER_TRIES, CALL_SECONDS)
        waiting = await self._waiting(inbound.sender)
        (self._silent.discard if outcome.replies else self._silent.add)(update.chat)
        await self._wire.show(update.chat, (*waiting, *outcome.replies))

    async def _answer(self, chat: int, inbound: Inbound) -> Outcome:
        """Ask the assistant, again after a failure: the same message id cannot act twice."""
        async with self._typing(chat):
            for attempt in range(1, TURN_TRIES + 1):
                try:
                    async with asyncio.timeout(TURN_SECONDS):
                        return await self._assistant.handle(inbound)
                except Exception:
                    log.exception("telegram.turn_failed", message_id=inbound.message_id, attempt=attempt)
                if attempt < TURN_TRIES:
                    await self._sleep(attempt)
        return Outcome((Reply(words().say("failed"), system=True),))

    async def _waiting(self, sender: str) -> tuple[Reply, ...]:
        try:
            return await self._assistant.claim_pushes(self.name, sender)
        except Exception:  # the answer in hand must not be lost for it
            log.exception("telegram.claim_failed")
            return ()

    @asynccontextmanager
    async def _typing(self, chat: int) -> AsyncIterator[None]:
        """Show that somebody is at work; it ends before the answer is sent, or it would outlast it."""
        done = asyncio.Event()
        show = None if chat in self._silent else asyncio.create_task(self._type(chat, done))
        try:
            yield
        finally:
            done.set()
            if show is not None:
                await show

    async def _type(self, chat: int, done: asyncio.Event) -> None:
        while not done.is_set():
            await self._wire.attempt(methods.SendChatAction(chat_id=chat, action=ChatAction.TYPING))
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), TYPING_SECONDS)

    async def _receive(self, request: web.Request) -> web.Response:
        """Take an update by webhook; it counts as taken only when it was answered, so that Telegram sends it again if not."""
        given = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogateescape")
        if not self._secret or not hmac.compare_digest(given, self._secret.encode()):
            return web.Response(status=401)
        if self._stopping:
            return web.Response(status=503)
        try:
            raw = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400)
        if not isinstance(raw, dict) or not isinstance(raw.get("update_id"), int):
            return web.Response(status=400)
        task = self._accept(raw)
        if task is not None:
            await asyncio.wait([task], timeout=WEBHOOK_SECONDS)
        return web.Response(status=200 if task is None or task.done() else 503)


class Bounded(io.BytesIO):
    """A buffer that takes 5 MB and refuses more, whatever size the sender gave."""

    def write(self, data: Any, /) -> int:
        """Append, up to the limit."""
        if self.tell() + len(data) > MAX_PICTURE:
            raise ValueError("picture over 5 MB")
        return super().write(data)


def keyboard(reply: Reply, public_url: str) -> types.InlineKeyboardMarkup:
    """Lay a reply's buttons out as an inline keyboard of opaque payloads and links."""

    def key(button: Button) -> types.InlineKeyboardButton:
        if button.url:
            return types.InlineKeyboardButton(text=button.title, url=public_url + button.url)
        return types.InlineKeyboardButton(text=button.title, callback_data=shapes.callback_data(button))

    rows = [[key(button) for button in row] for row in shapes.button_rows(reply.buttons)]
    return types.InlineKeyboardMarkup(inline_keyboard=rows)


def describe(error: BaseException) -> str:
    """Name an error for the log; only the API's own words are quoted, for others may quote an address with the token in it."""
    if isinstance(error, exceptions.TelegramAPIError) and not isinstance(error, exceptions.TelegramNetworkError):
        return f"{type(error).__name__}: {error.message}"
    return type(error).__name__
