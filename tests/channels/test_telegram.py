"""The Telegram door against a Bot API server on loopback: real HTTP, real long polling, a scripted assistant behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bot.channels.telegram import TelegramDoor, TelegramSetupError
from bot.messages import Button, Inbound, Outcome, Reply
from tests.channels.fake_telegram import BOT, TOKEN, FakeTelegram

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
CHAT = 77
OTHER = 88


def says(*texts: str, **more: object) -> Outcome:
    """An outcome of plain replies."""
    return Outcome(tuple(Reply(text) for text in texts), **more)  # type: ignore[arg-type]


class Scripted:
    """An assistant that answers as a test tells it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.heard: list[Inbound] = []
        self.waiting: dict[str, tuple[Reply, ...]] = {}
        self.answer: Callable[[Inbound], Awaitable[Outcome]] = self.echo

    async def echo(self, inbound: Inbound) -> Outcome:
        """Say the message back."""
        return says(f"听到:{inbound.text}")

    async def handle(self, inbound: Inbound) -> Outcome:
        """Answer as told."""
        self.heard.append(inbound)
        return await self.answer(inbound)

    async def claim_pushes(self, channel: str, sender: str) -> tuple[Reply, ...]:
        """Hand over what waits, once."""
        assert channel == "telegram"
        return self.waiting.pop(sender, ())

    @property
    def texts(self) -> list[str]:
        """What was heard, in order."""
        return [inbound.text for inbound in self.heard]

    def always(self, outcome: Outcome) -> None:
        """Give one outcome to everything."""

        async def give(_: Inbound) -> Outcome:
            return outcome

        self.answer = give


class House:
    """A server, an assistant and doors between them; ``slept`` holds every pause that a door asked for, in seconds."""

    def __init__(self, telegram: FakeTelegram, stack: AsyncExitStack) -> None:
        self.telegram = telegram
        self.assistant = Scripted()
        self.slept: list[float] = []
        self._stack = stack

    async def fetch_image(self, path: str) -> bytes:
        """Give the bytes of a picture."""
        if path == "/lost":
            raise LookupError(path)
        return b"no picture" if path == "/odd" else PNG + path.encode()

    async def sleep(self, seconds: float) -> None:
        """Pause, without a test's waiting for it."""
        self.slept.append(seconds)
        await asyncio.sleep(0.01)

    def door(self, token: str = TOKEN, secret: str | None = None, public_url: str = "") -> TelegramDoor:
        """Build a door to the server; it is closed with the test."""
        door = TelegramDoor(
            token,
            self.assistant,
            fetch_image=self.fetch_image,
            public_url=public_url,
            api_base=self.telegram.url,
            webhook_secret=secret,
            sleep=self.sleep,
        )
        self._stack.push_async_callback(door.stop)
        return door

    async def open(self) -> TelegramDoor:
        """Open a polling door."""
        door = self.door()
        await door.start_polling()
        return door


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A house whose doors are closed before its server."""
    async with FakeTelegram() as telegram, AsyncExitStack() as stack:
        yield House(telegram, stack)


@asynccontextmanager
async def held(house: House, text: str) -> AsyncIterator[asyncio.Event]:
    """Let the assistant hang on one text until the event is set; entered once it hangs."""
    go, hanging = asyncio.Event(), asyncio.Event()

    async def hang(inbound: Inbound) -> Outcome:
        if inbound.text == text:
            hanging.set()
            await go.wait()
        return await house.assistant.echo(inbound)

    house.assistant.answer = hang
    await house.telegram.user_says(CHAT, text)
    await hanging.wait()
    yield go
    go.set()


async def test_a_message_becomes_an_inbound_and_its_answer_a_message(house: House) -> None:
    """What a person writes reaches the assistant with channel, chat and a message id; the reply comes back; all is confirmed."""
    await house.open()
    await house.telegram.user_says(CHAT, "给李娜转200块")
    assert await house.telegram.answer(CHAT, 1) == "听到:给李娜转200块"
    (inbound,) = house.assistant.heard
    assert (inbound.channel, inbound.sender, inbound.kind) == ("telegram", str(CHAT), "text")
    assert inbound.message_id.startswith("u")
    assert not inbound.metadata
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)


async def test_message_ids_differ(house: House) -> None:
    """The same words said twice, or by two people, are four messages with four ids."""
    await house.open()
    for chat in (CHAT, OTHER, CHAT, OTHER):
        await house.telegram.user_says(chat, "余额")
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 4)
    assert len({inbound.message_id for inbound in house.assistant.heard}) == 4


async def test_a_slow_chat_keeps_its_order_and_holds_nobody_up(house: House) -> None:
    """While one chat's turn hangs another is answered, and the hanging chat's next message waits for its turn."""
    await house.open()
    async with held(house, "慢") as go:
        await house.telegram.user_says(CHAT, "后")
        await house.telegram.user_says(OTHER, "快")
        assert await house.telegram.answer(OTHER, 1) == "听到:快"
        assert "后" not in house.assistant.texts
        go.set()
        assert await house.telegram.answer(CHAT, 2) == "听到:后"
    assert house.telegram.texts(CHAT) == ["听到:慢", "听到:后"]
    assert sorted(house.assistant.texts) == sorted(["慢", "后", "快"]), "the server repeats what is unconfirmed; it is done once"


async def test_what_a_dying_process_had_in_hand_is_delivered_again(house: House) -> None:
    """An update is confirmed only after its answer, so the next process gets it again under the same id, and only that one."""
    first = await house.open()
    await house.telegram.user_says(OTHER, "早先")
    await house.telegram.answer(OTHER, 1)
    async with held(house, "在办"):
        await house.telegram.user_says(OTHER, "办完了")
        await house.telegram.answer(OTHER, 2)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("telegram-"):
                task.cancel()
        house.assistant.answer = house.assistant.echo
        await house.open()
        assert await house.telegram.answer(CHAT, 1) == "听到:在办"
    again = [inbound.message_id for inbound in house.assistant.heard if inbound.text == "在办"]
    assert len(again) == 2
    assert len(set(again)) == 1
    assert house.assistant.texts.count("早先") == 1
    assert first is not None


async def test_a_graceful_stop_finishes_and_confirms(house: House) -> None:
    """Stopping waits for the turn in hand and leaves nothing that the next start would answer twice."""
    door = await house.open()
    async with held(house, "在办") as go:
        stopping = asyncio.create_task(door.stop())
        await asyncio.sleep(0)
        go.set()
        await stopping
    assert house.telegram.texts(CHAT) == ["听到:在办"]
    assert house.telegram.pending == 0


async def test_buttons_are_pressed_once_and_go_away(house: House) -> None:
    """A press is answered before its turn, arrives as the opaque payload, and takes the used keyboard away."""
    await house.open()
    token = "t" * 32
    house.assistant.always(Outcome((Reply("转给哪位?", (Button("李娜", token), Button("张三丰", "u" * 32))),)))
    await house.telegram.user_says(CHAT, "转账")
    await house.telegram.answer(CHAT, 1)
    assert house.telegram.buttons(CHAT) == ["李娜", "张三丰"]

    async def answered_already(_: Inbound) -> Outcome:
        assert house.telegram.count("answerCallbackQuery") == 1
        return says("好的")

    house.assistant.answer = answered_already
    await house.telegram.user_presses(CHAT, "李娜")
    assert await house.telegram.answer(CHAT, 2) == "好的"
    press = house.assistant.heard[-1]
    assert (press.kind, press.text, press.sender) == ("press", token, str(CHAT))
    assert house.telegram.buttons(CHAT) == []
    assert house.telegram.texts(CHAT)[0] == "转给哪位?"


@pytest.mark.parametrize(
    ("public_url", "text", "buttons"),
    [
        ("https://wallet.example.com", "请打开", ["安全页面", "算了"]),
        ("http://127.0.0.1:8080", "请打开\n安全页面 http://127.0.0.1:8080/secure#abc", ["算了"]),
    ],
)
async def test_a_link_is_a_button_where_telegram_takes_it(house: House, public_url: str, text: str, buttons: list[str]) -> None:
    """An https address stands behind a button, any other in the text, since Telegram refuses it as a button."""
    door = house.door(public_url=public_url)
    await door.start_polling()
    house.assistant.always(Outcome((Reply("请打开", (Button("安全页面", url="/secure#abc"), Button("算了", "tok"))),)))
    await house.telegram.user_says(CHAT, "设置支付密码")
    assert await house.telegram.answer(CHAT, 1) == text
    assert house.telegram.buttons(CHAT) == buttons


async def test_a_press_that_telegram_holds_too_old_still_counts(house: House) -> None:
    """When the query can no longer be answered the person's choice is carried out all the same."""
    await house.open()
    house.assistant.always(Outcome((Reply("继续吗?", (Button("继续", "tok"),)),)))
    await house.telegram.user_says(CHAT, "转账")
    await house.telegram.answer(CHAT, 1)
    house.telegram.trouble("answerCallbackQuery", 400, "Bad Request: query is too old and response timeout expired")
    house.assistant.answer = house.assistant.echo
    await house.telegram.user_presses(CHAT, "继续")
    assert await house.telegram.answer(CHAT, 2) == "听到:tok"


async def test_codes_are_deleted_from_the_chat(house: House) -> None:
    """A message that the assistant wants forgotten disappears before the answer; other messages stay."""
    await house.open()

    async def forget_codes(inbound: Inbound) -> Outcome:
        return says("好", forget_message=inbound.text.isdigit())

    house.assistant.answer = forget_codes
    await house.telegram.user_says(CHAT, "转账")
    await house.telegram.user_says(CHAT, "493201")
    await house.telegram.answer(CHAT, 2)
    assert [message["text"] for message in house.telegram.messages(CHAT, mine=True)] == ["转账"]
    order = [method for method, _ in house.telegram.calls if method in {"deleteMessage", "sendMessage"}]
    assert order == ["sendMessage", "deleteMessage", "sendMessage"]


async def test_a_code_too_old_to_delete_is_still_answered(house: House) -> None:
    """Telegram refuses to delete what is older than two days; the turn goes on."""
    house.assistant.always(says("好", forget_message=True))
    await house.telegram.user_says(CHAT, "493201")
    house.telegram.messages(CHAT, mine=True)[0]["date"] -= 3 * 24 * 3600
    await house.open()
    assert await house.telegram.answer(CHAT, 1) == "好"
    assert len(house.telegram.messages(CHAT, mine=True)) == 1


async def test_the_menu_is_chinese(house: House) -> None:
    """The command menu offers what people need most, described in Chinese."""
    await house.open()
    menu = {command["command"]: command["description"] for command in house.telegram.commands}
    assert set(menu) == {"help", "balance", "transfer", "history", "human"}
    assert all(any("一" <= sign <= "鿿" for sign in text) for text in menu.values())


async def test_a_deep_link_names_the_city(house: House) -> None:
    """``/start xiamen`` is /start with a city; a payload of another form is no city, and a command loses the bot's name."""
    await house.open()
    for text in ("/start xiamen", "/start ref_42", "/start", f"/help@{BOT['username']}"):
        await house.telegram.user_says(CHAT, text)
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 4)
    assert [(inbound.text, dict(inbound.metadata)) for inbound in house.assistant.heard] == [
        ("/start", {"city": "xiamen"}),
        ("/start", {}),
        ("/start", {}),
        ("/help", {}),
    ]


async def test_typing_shows_while_a_turn_takes_its_time(house: House) -> None:
    """A person sees that somebody is at work before the answer is there."""
    await house.open()
    async with held(house, "慢"):
        await house.telegram.wait_for(lambda: house.telegram.typing == [CHAT])
        assert house.telegram.texts(CHAT) == []


async def test_nobody_types_in_a_chat_that_a_human_holds(house: House) -> None:
    """After a silent turn the next message shows no typing, for no bot is about to answer."""
    await house.open()
    house.assistant.always(Outcome())
    await house.telegram.user_says(CHAT, "人工")
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)
    house.telegram.typing.clear()
    async with held(house, "在吗") as go:
        go.set()
        await house.telegram.answer(CHAT, 1)
    assert house.telegram.typing == []


async def test_long_answers_are_cut_at_line_ends(house: House) -> None:
    """A text over 4096 units arrives whole in several messages, and only the last carries the buttons."""
    await house.open()
    lines = [f"第{number}笔 ¥1,234.50 {'很长的说明' * 9}" for number in range(200)]
    house.assistant.always(Outcome((Reply("\n".join(lines), (Button("更多", "tok"),)),)))
    await house.telegram.user_says(CHAT, "账单")
    await house.telegram.wait_for(lambda: house.telegram.buttons(CHAT) == ["更多"])
    assert "\n".join(house.telegram.texts(CHAT)).split("\n") == lines
    assert len(house.telegram.texts(CHAT)) > 1
    assert "reply_markup" in house.telegram.messages(CHAT)[-1]


async def test_markup_in_words_is_only_words(house: House) -> None:
    """HTML, Markdown and template signs in a name arrive as they are, and an empty reply is not sent at all."""
    await house.open()
    nasty = "<b>*娜*</b> _x_ [链接](http://evil.example) {{ 7*7 }} {link} \\ & &amp;"
    house.assistant.always(says(nasty, " \n ", "完"))
    await house.telegram.user_says(CHAT, "谁")
    await house.telegram.answer(CHAT, 2)
    assert house.telegram.texts(CHAT) == [nasty, "完"]
    assert all("parse_mode" not in given for _, given in house.telegram.calls)


async def test_links_are_not_previewed(house: House) -> None:
    """Telegram must not fetch what may be a one-time page."""
    await house.open()
    await house.telegram.user_says(CHAT, "https://example.org/once")
    await house.telegram.answer(CHAT, 1)
    sent = [given for method, given in house.telegram.calls if method == "sendMessage"]
    assert all('"is_disabled": true' in given["link_preview_options"] for given in sent)


async def test_an_agents_words_are_marked(house: House) -> None:
    """People see whether a person or the bot is speaking, whatever the person's words hold."""
    await house.open()
    house.assistant.always(Outcome((Reply("我是 {text}", author="agent"),)))
    await house.telegram.user_says(CHAT, "谁")
    assert await house.telegram.answer(CHAT, 1) == "人工客服：我是 {text}"


async def test_a_photo_comes_in_at_its_largest_within_five_megabytes(house: House) -> None:
    """The largest size that we take is fetched; a document that is a picture counts as one; a huge one comes without its data."""
    await house.open()
    huge = b"\xff\xd8\xff" + b"2" * (5 * 2**20)
    await house.telegram.user_sends_photo(CHAT, b"\xff\xd8\xff0", b"\xff\xd8\xff1", huge, caption="扫这个")
    await house.telegram.user_sends_document(CHAT, PNG, "image/png")
    await house.telegram.user_sends_photo(CHAT, huge)
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 3)
    photo, document, too_large = house.assistant.heard
    assert (photo.kind, photo.text, [item.data for item in photo.attachments]) == ("image", "扫这个", [b"\xff\xd8\xff1"])
    assert (document.kind, document.attachments[0].mime, document.attachments[0].data) == ("image", "image/png", PNG)
    assert (too_large.kind, too_large.attachments) == ("image", ())


async def test_a_photo_that_hides_its_size_is_not_swallowed(house: House) -> None:
    """When Telegram names no size the download itself stops at five megabytes."""
    await house.open()
    message = house.telegram.messages
    await house.telegram.user_sends_photo(CHAT, PNG)
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 1)
    photo = message(CHAT, mine=True)[0]["photo"][0]
    huge = await house.telegram.user_sends_photo(OTHER, b"\xff\xd8\xff" + b"2" * (6 * 2**20))
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 2)
    unsized = {key: value for key, value in message(OTHER, mine=True)[0]["photo"][0].items() if key != "file_size"}
    await house.telegram.user_sends(CHAT, photo=[unsized])
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 3)
    assert house.assistant.heard[0].attachments[0].data == PNG
    assert house.assistant.heard[2].attachments == ()
    assert photo
    assert huge


async def test_a_picture_goes_out_with_its_words_and_buttons(house: House) -> None:
    """A reply's picture is sent as bytes, its text as the caption; words too long for a caption follow by themselves."""
    await house.open()
    long = "长" * 1100
    house.assistant.always(Outcome((Reply("付款码", (Button("换一个", "tok"),), "/qr/1"), Reply(long, (), "/qr/2"))))
    await house.telegram.user_says(CHAT, "付款码")
    await house.telegram.answer(CHAT, 3)
    first, second, third = house.telegram.messages(CHAT)
    assert (first["caption"], house.telegram.file(first)) == ("付款码", PNG + b"/qr/1")
    assert house.telegram.buttons(CHAT) == ["换一个"]
    assert house.telegram.file(second) == PNG + b"/qr/2"
    assert third["text"] == long


@pytest.mark.parametrize("path", ["/lost", "/odd"])
async def test_words_survive_a_lost_picture(house: House, path: str) -> None:
    """A picture that is gone, or that Telegram refuses, does not take the words and buttons with it."""
    await house.open()
    house.assistant.always(Outcome((Reply("付款码", (Button("换一个", "tok"),), path),)))
    await house.telegram.user_says(CHAT, "付款码")
    assert await house.telegram.answer(CHAT, 1) == "付款码"
    assert house.telegram.buttons(CHAT) == ["换一个"]


async def test_everything_else_that_people_send_has_a_kind(house: House) -> None:
    """Stickers, voice and files reach the assistant as such, a shared contact as its number, a pinned message not at all."""
    await house.open()
    blob = {"file_id": "f", "file_unique_id": "f"}
    await house.telegram.user_sends_sticker(CHAT)
    await house.telegram.user_sends(CHAT, voice=blob | {"duration": 2})
    await house.telegram.user_sends(CHAT, pinned_message={"message_id": 1, "date": 1, "chat": {"id": CHAT, "type": "private"}})
    await house.telegram.user_sends(CHAT, animation=blob, document=blob)
    await house.telegram.user_sends(CHAT, video=blob | {"duration": 2}, caption="看")
    await house.telegram.user_sends_document(CHAT, b"%PDF", "application/pdf")
    await house.telegram.user_sends(CHAT, location={"latitude": 24.4, "longitude": 118.1})
    await house.telegram.user_sends(CHAT, contact={"phone_number": "+86 138 0000 0002", "first_name": "李娜"})
    await house.telegram.user_sends(CHAT, dice={"emoji": "🎲", "value": 3})
    await house.telegram.wait_for(lambda: len(house.assistant.heard) == 8)
    assert [(inbound.kind, inbound.text) for inbound in house.assistant.heard] == [
        ("sticker", ""),
        ("voice", ""),
        ("sticker", ""),
        ("file", "看"),
        ("file", ""),
        ("file", ""),
        ("text", "13800000002"),
        ("sticker", ""),
    ]
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)


async def test_an_edit_changes_nothing_and_says_so(house: House) -> None:
    """A person who edits an amount is told to send it anew; the assistant hears nothing twice."""
    await house.open()
    sent = await house.telegram.user_says(CHAT, "转500")
    await house.telegram.answer(CHAT, 1)
    await house.telegram.user_edits(CHAT, sent, "转300")
    assert "请再发一条" in await house.telegram.answer(CHAT, 2)
    assert house.assistant.texts == ["转500"]


async def test_groups_are_pointed_to_the_private_chat(house: House) -> None:
    """In a group the bot speaks only when spoken to, and then only of where a wallet belongs; the assistant hears none of it."""
    await house.open()
    group = -1001
    await house.telegram.user_says(group, "大家好")
    await house.telegram.user_says(group, "/help@another_bot")
    await house.telegram.user_says(group, "/balance")
    link = f"https://t.me/{BOT['username']}"
    assert link in await house.telegram.answer(group, 1)
    await house.telegram.user_says(group, f"@{BOT['username']} 余额")
    await house.telegram.user_says(group, "再说一遍", reply_to_message={"message_id": 1, "from": BOT})
    await house.telegram.answer(group, 3)
    assert len(house.telegram.texts(group)) == 3
    assert house.assistant.heard == []


async def test_a_flood_is_waited_out_as_long_as_told(house: House) -> None:
    """On 429 the door waits ``retry_after`` seconds and sends the same message once."""
    await house.open()
    house.telegram.trouble("sendMessage", 429, "Too Many Requests: retry after 7", times=2, retry_after=7)
    await house.telegram.user_says(CHAT, "余额")
    assert await house.telegram.answer(CHAT, 1) == "听到:余额"
    assert house.slept == [7, 7]
    assert house.telegram.texts(CHAT) == ["听到:余额"]


async def test_patience_with_floods_ends(house: House) -> None:
    """A push into an endless flood gives up after a few tries and says so."""
    door = await house.open()
    await house.telegram.user_says(CHAT, "在")
    await house.telegram.answer(CHAT, 1)
    house.telegram.trouble("sendMessage", 429, "Too Many Requests: retry after 7", times=99, retry_after=7)
    before = house.telegram.count("sendMessage")
    assert not await door.push(str(CHAT), (Reply("到账了"),))
    assert house.telegram.count("sendMessage") - before == 3


async def test_a_blocked_bot_lives_on(house: House) -> None:
    """A person who blocked the bot cannot be pushed to; their turns harm nobody, and after unblocking all is well."""
    door = await house.open()
    await house.telegram.user_says(CHAT, "在")
    await house.telegram.answer(CHAT, 1)
    house.telegram.block(CHAT)
    assert not await door.push(str(CHAT), (Reply("到账了"),))
    await house.telegram.user_says(CHAT, "最后一句")
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)
    house.telegram.unblock(CHAT)
    assert await door.push(str(CHAT), (Reply("到账了"),))
    await house.telegram.user_says(CHAT, "回来了")
    assert await house.telegram.answer(CHAT, 3) == "听到:回来了"
    assert house.telegram.texts(CHAT)[1] == "到账了"


async def test_a_push_does_not_wait_for_a_turn(house: House) -> None:
    """A notice reaches a person whose own message is still being worked on."""
    door = await house.open()
    async with held(house, "慢") as go:
        assert await door.push(str(CHAT), (Reply("到账了"), Reply("请查收")))
        assert house.telegram.texts(CHAT) == ["到账了", "请查收"]
        go.set()
        await house.telegram.answer(CHAT, 3)


@pytest.mark.parametrize("sender", ["404", "nobody"])
async def test_nobody_there_cannot_be_pushed_to(house: House, sender: str) -> None:
    """A chat that does not exist, or a sender that is no chat, is out of reach and no accident."""
    door = await house.open()
    assert not await door.push(sender, (Reply("在吗"),))


async def test_what_waited_comes_before_the_answer(house: House) -> None:
    """Words that could not be pushed are shown when the person writes again."""
    await house.open()
    house.assistant.waiting[str(CHAT)] = (Reply("您走后:到账 ¥1.00"),)
    await house.telegram.user_says(CHAT, "回来了")
    await house.telegram.answer(CHAT, 2)
    assert house.telegram.texts(CHAT) == ["您走后:到账 ¥1.00", "听到:回来了"]


async def test_a_broken_network_heals(house: House) -> None:
    """While the server is out of reach the door keeps trying, at start and later, and loses nothing."""
    house.telegram.offline = True
    await house.telegram.user_says(CHAT, "一")
    await house.open()
    await house.telegram.wait_for(lambda: len(house.slept) > 1)
    house.telegram.offline = False
    assert await house.telegram.answer(CHAT, 1) == "听到:一"
    assert house.telegram.commands
    house.telegram.trouble("getUpdates", 502, "Bad Gateway", times=2)
    house.telegram.trouble("sendMessage", 500, "Internal Server Error", times=2)
    await house.telegram.user_says(CHAT, "二")
    await house.telegram.answer(CHAT, 2)
    assert house.telegram.texts(CHAT) == ["听到:一", "听到:二"]


async def test_a_failing_turn_is_asked_again_under_the_same_id(house: House) -> None:
    """An assistant that stumbles is asked again; one that cannot get up gives the person a sentence, and no trace."""
    await house.open()
    falls = iter([RuntimeError("once"), *[RuntimeError("for ever")] * 3])

    async def stumble(inbound: Inbound) -> Outcome:
        if len(house.assistant.heard) == 2:
            return await house.assistant.echo(inbound)
        raise next(falls)

    house.assistant.answer = stumble
    await house.telegram.user_says(CHAT, "一")
    assert await house.telegram.answer(CHAT, 1) == "听到:一"
    assert len({inbound.message_id for inbound in house.assistant.heard}) == 1
    await house.telegram.user_says(CHAT, "二")
    sorry = await house.telegram.answer(CHAT, 2)
    assert "稍后" in sorry
    assert "RuntimeError" not in sorry
    assert house.assistant.texts == ["一", "一", "二", "二", "二"]
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)


async def test_an_unreadable_update_holds_nobody_up(house: House) -> None:
    """An update that is broken, or of a sort not known yet, is passed over; the next one is answered."""
    await house.telegram.update(message={"chat": "?"})
    await house.telegram.update(message_from_the_future={"chat": {"id": 1}})
    await house.telegram.user_says(CHAT, "还在吗")
    await house.open()
    assert await house.telegram.answer(CHAT, 1) == "听到:还在吗"
    await house.telegram.wait_for(lambda: house.telegram.pending == 0)


@pytest.mark.parametrize("token", ["no token", "123456:wrong"])
async def test_a_bad_token_is_named_at_start(house: House, token: str) -> None:
    """A token that is malformed or unknown stops the start with one sentence that does not repeat it."""
    with pytest.raises(TelegramSetupError) as refused:
        await house.door(token).start_polling()
    assert token not in str(refused.value)
