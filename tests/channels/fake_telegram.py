"""A Bot API server for tests: the real HTTP protocol on loopback, strict where the real one is strict, with people to play."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession, web

from tests.channels import fake_telegram_rules as rules
from tests.channels.fake_telegram_rules import Refusal, bad

TOKEN = "123456:TEST-token_for-the-fake"
BOT = {"id": 123456, "is_bot": True, "first_name": "掌柜", "username": "zhanggui_fake_bot"}


class FakeTelegram:
    """The server, its chats, and the people in them."""

    def __init__(self, long_poll: float = 5.0) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.commands: list[dict[str, str]] = []
        self.typing: list[int] = []
        self.deleted: list[dict[str, Any]] = []
        self.offline = False
        self.webhook: dict[str, str] = {}
        self.webhook_answers: list[int] = []
        self._long_poll = long_poll  # seconds, the most that a getUpdates waits
        self._chats: dict[int, dict[int, dict[str, Any]]] = {}
        self._blocked: set[int] = set()
        self._queries: set[str] = set()
        self._files: dict[str, bytes] = {}
        self._updates: list[dict[str, Any]] = []
        self._troubles: list[tuple[str, int | None, Refusal]] = []
        self._counter = 0
        self._poll = 0
        self._changed = asyncio.Condition()
        self._posts: dict[int, asyncio.Task[None]] = {}
        self._lanes: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> FakeTelegram:
        app = web.Application(client_max_size=20 * 2**20)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path}", self._download)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for post in self._posts.values():
            post.cancel()
        await asyncio.gather(*self._posts.values(), return_exceptions=True)
        await self._runner.cleanup()

    # What people do.

    async def user_says(self, chat: int, text: str, **more: Any) -> int:
        """A person writes; gives the message's id."""
        return await self.user_sends(chat, text=text, **more)

    async def user_sends(self, chat: int, **content: Any) -> int:
        """A person sends anything: ``sticker={…}``, ``voice={…}``, ``location={…}``; a negative chat id is a group."""
        message = self._new_message(chat, {"id": abs(chat), "is_bot": False, "first_name": "客人"}, content)
        await self.update(message=message)
        return message["message_id"]

    async def user_sends_photo(self, chat: int, *sizes: bytes, caption: str | None = None) -> int:
        """A person sends a photo, in sizes from small to large."""
        photo = [self._file(data) | {"width": 90 * n, "height": 90 * n} for n, data in enumerate(sizes, 1)]
        return await self.user_sends(chat, photo=photo, **({"caption": caption} if caption else {}))

    async def user_sends_document(self, chat: int, data: bytes, mime: str) -> int:
        """A person sends a file."""
        return await self.user_sends(chat, document=self._file(data) | {"mime_type": mime})

    async def user_sends_sticker(self, chat: int) -> int:
        """A person sends a sticker."""
        return await self.user_sends(chat, sticker=self._file(b"webp") | {"width": 512, "height": 512, "emoji": "👍"})

    async def user_edits(self, chat: int, message_id: int, text: str) -> None:
        """A person changes an earlier message."""
        self._chats[chat][message_id]["text"] = text
        await self.update(edited_message=self._chats[chat][message_id] | {"edit_date": int(time.time())})

    async def user_presses(self, chat: int, title: str) -> None:
        """A person presses the newest button of that title that is still on the screen."""
        for message in reversed(self._chats[chat].values()):
            for row in message.get("reply_markup", {}).get("inline_keyboard", []):
                for button in row:
                    if button["text"] == title:
                        await self.press_data(chat, message, button["callback_data"])
                        return
        raise AssertionError(f"no button {title} in chat {chat}")

    async def press_data(self, chat: int, message: dict[str, Any], data: str) -> None:
        """A person's client sends callback data, whatever is on the screen."""
        self._queries.add(query := f"q{self._next()}")
        person = {"id": chat, "is_bot": False, "first_name": "客人"}
        await self.update(callback_query={"id": query, "from": person, "chat_instance": "1", "message": message, "data": data})

    async def update(self, **event: Any) -> None:
        """Queue an update, and post it when a webhook is set."""
        self._updates.append({"update_id": 1000 + self._next(), **json.loads(json.dumps(event))})
        await self._notify()
        if self.webhook:
            self._post_pending()

    def block(self, chat: int) -> None:
        """A person blocks the bot."""
        self._blocked.add(chat)

    def unblock(self, chat: int) -> None:
        """A person takes the bot back."""
        self._blocked.discard(chat)

    # What tests ask and arrange.

    def trouble(
        self, method: str, status: int, description: str, times: int = 1, chat: int | None = None, **parameters: int
    ) -> None:
        """Let the next calls of a method fail, in one chat or anywhere; ``retry_after=1`` makes it a flood."""
        self._troubles += [(method, chat, Refusal(status, description, **parameters))] * times

    def messages(self, chat: int, mine: bool = False) -> list[dict[str, Any]]:
        """Give what the bot's messages (or the person's own) in a chat now show."""
        return [message for message in self._chats.get(chat, {}).values() if message["from"]["is_bot"] != mine]

    def texts(self, chat: int) -> list[str]:
        """Give the words of the bot's messages in a chat, a picture's caption included."""
        return [message.get("text") or message.get("caption") or "" for message in self.messages(chat)]

    def buttons(self, chat: int) -> list[str]:
        """Give the titles of all buttons now on the screen of a chat."""
        keyboards = [message.get("reply_markup", {}).get("inline_keyboard", []) for message in self.messages(chat)]
        return [button["text"] for keyboard in keyboards for row in keyboard for button in row]

    def count(self, method: str) -> int:
        """Tell how often a method was called."""
        return sum(name == method for name, _ in self.calls)

    @property
    def pending(self) -> int:
        """Tell how many updates are not confirmed."""
        return len(self._updates)

    async def wait_for(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        """Wait until something is true, looked at after every call."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(condition)

    async def answer(self, chat: int, number: int) -> str:
        """Wait for the bot's message of that number (from 1) in a chat, and give its words."""
        await self.wait_for(lambda: len(self.texts(chat)) >= number)
        return self.texts(chat)[number - 1]

    # The server.

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.offline:
            assert request.transport is not None
            request.transport.abort()
            await self._notify()
            return web.Response()
        try:
            result = await self._call(request)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        finally:
            await self._notify()
        return web.json_response({"ok": True, "result": result})

    async def _call(self, request: web.Request) -> Any:
        rules.admit(request.match_info["token"], TOKEN)
        method = request.match_info["method"]
        form = dict(await request.post())
        files = {name: value for name, value in form.items() if isinstance(value, web.FileField)}
        given = rules.parameters(method, {name: str(value) for name, value in form.items() if name not in files})
        self.calls.append((method, given))
        self._check(method, given.get("chat_id"))
        act = getattr(self, "_" + re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), method))
        return await act(given, files)

    def _check(self, method: str, chat: int | None) -> None:
        for trouble in self._troubles:
            if trouble[0] == method and trouble[1] in (None, chat):
                self._troubles.remove(trouble)
                raise trouble[2]
        if chat in self._blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        if chat is not None and chat not in self._chats:
            raise bad("chat not found")

    async def _get_me(self, *_: Any) -> dict[str, Any]:
        return BOT | {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}

    async def _get_updates(self, given: dict[str, Any], _: Any) -> list[dict[str, Any]]:
        if self.webhook:
            raise Refusal(409, rules.WEBHOOK_ACTIVE)
        self._poll += 1
        mine = self._poll
        self._updates = [update for update in self._updates if update["update_id"] >= given.get("offset", 0)]
        await self._notify()
        wait = min(given.get("timeout", 0), self._long_poll)
        try:
            async with asyncio.timeout(wait), self._changed:
                await self._changed.wait_for(lambda: self._updates or self._poll != mine)
        except TimeoutError:
            pass
        if self._poll != mine:
            raise Refusal(409, rules.OTHER_POLL)
        return self._updates[: given.get("limit", 100)]

    async def _set_webhook(self, given: dict[str, Any], _: Any) -> bool:
        if not given["url"].startswith(("https://", "http://127.0.0.1:")):  # plain only on loopback, for tests
            raise bad("bad webhook: HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[\w-]{0,256}", given.get("secret_token", ""), re.ASCII):
            raise bad("secret token contains unallowed characters")
        self.webhook = given
        self._post_pending()
        return True

    async def _delete_webhook(self, *_: Any) -> bool:
        self.webhook = {}
        return True

    def _post_pending(self) -> None:
        """Post updates as the real server does: one after the other in each chat, again and again until taken."""
        for update in self._updates:
            chat = _chat_of(update)
            if update["update_id"] not in self._posts:
                self._lanes[chat] = asyncio.create_task(self._post(update, self._lanes.get(chat)))
                self._posts[update["update_id"]] = self._lanes[chat]

    async def _post(self, update: dict[str, Any], earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook.get("secret_token", "")}
        async with ClientSession() as session:
            while update in self._updates:
                async with session.post(self.webhook["url"], json=update, headers=headers) as answer:
                    self.webhook_answers.append(answer.status)
                if answer.ok:
                    self._updates.remove(update)
                await self._notify()
                await asyncio.sleep(0.05)

    async def _send_message(self, given: dict[str, Any], _: Any) -> dict[str, Any]:
        return self._new_message(given["chat_id"], BOT, {"text": rules.text(given)} | rules.markup(given))

    async def _send_photo(self, given: dict[str, Any], files: dict[str, web.FileField]) -> dict[str, Any]:
        upload = files.get(given["photo"].removeprefix("attach://"))
        data = upload.file.read() if upload else self._files.get(given["photo"])
        data = rules.picture(data)
        content = {"photo": [self._file(data) | {"width": 90, "height": 90}]} | rules.caption(given) | rules.markup(given)
        return self._new_message(given["chat_id"], BOT, content)

    async def _send_chat_action(self, given: dict[str, Any], _: Any) -> bool:
        if given["action"] not in {"typing", "upload_photo", "upload_document", "record_voice", "choose_sticker"}:
            raise bad("wrong parameter action in request")
        self.typing.append(given["chat_id"])
        return True

    async def _edit_message_text(self, given: dict[str, Any], _: Any) -> dict[str, Any]:
        return self._edit(given, {"text": rules.text(given)} | rules.markup(given))

    async def _edit_message_reply_markup(self, given: dict[str, Any], _: Any) -> dict[str, Any]:
        return self._edit(given, rules.markup(given))

    def _edit(self, given: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
        message = self._chats[given["chat_id"]].get(given["message_id"])
        if message is None:
            raise bad("message to edit not found")
        if not message["from"]["is_bot"]:
            raise bad("message can't be edited")
        edited = {key: value for key, value in message.items() if key != "reply_markup"} | change
        if edited == message:
            raise bad(rules.SAME)
        self._chats[given["chat_id"]][given["message_id"]] = edited
        return edited

    async def _delete_message(self, given: dict[str, Any], _: Any) -> bool:
        message = self._chats[given["chat_id"]].get(given["message_id"])
        if message is None:
            raise bad("message to delete not found")
        if time.time() - message["date"] > rules.TWO_DAYS or given["chat_id"] < 0:
            raise bad("message can't be deleted for everyone")
        self.deleted.append(self._chats[given["chat_id"]].pop(given["message_id"]))
        return True

    async def _answer_callback_query(self, given: dict[str, Any], _: Any) -> bool:
        if given["callback_query_id"] not in self._queries:
            raise bad(rules.OLD_QUERY)
        self._queries.remove(given["callback_query_id"])
        return True

    async def _set_my_commands(self, given: dict[str, Any], _: Any) -> bool:
        self.commands = rules.commands(given)
        return True

    async def _get_file(self, given: dict[str, Any], _: Any) -> dict[str, Any]:
        if given["file_id"] not in self._files:
            raise bad("invalid file_id")
        return {"file_id": given["file_id"], "file_unique_id": given["file_id"], "file_path": given["file_id"] + ".bin"}

    async def _download(self, request: web.Request) -> web.Response:
        rules.admit(request.match_info["token"], TOKEN)
        return web.Response(body=self._files[request.match_info["path"].removesuffix(".bin")])

    def _file(self, data: bytes) -> dict[str, Any]:
        name = f"file{self._next()}"
        self._files[name] = data
        return {"file_id": name, "file_unique_id": name, "file_size": len(data)}

    def file(self, message: dict[str, Any]) -> bytes:
        """Give the bytes of a message's photo."""
        return self._files[message["photo"][-1]["file_id"]]

    def _new_message(self, chat: int, sender: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        kind = (
            {"id": chat, "type": "private", "first_name": "客人"}
            if chat > 0
            else {"id": chat, "type": "supergroup", "title": "群"}
        )
        message = {"message_id": self._next(), "date": int(time.time()), "chat": kind, "from": sender, **content}
        self._chats.setdefault(chat, {})[message["message_id"]] = message
        return message

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _chat_of(update: dict[str, Any]) -> int:
    event = update.get("message") or update.get("edited_message") or update.get("callback_query", {}).get("message", {})
    chat: int = event.get("chat", {}).get("id", 0)
    return chat
