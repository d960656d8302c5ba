"""The chat page and the simulated phone in a real browser, against a scripted assistant."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import qrcode
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from bot.channels import dev, pages
from bot.channels.web import WebDoor
from bot.messages import Button, Outcome, Reply

CHROMIUM = shutil.which("chromium")
PHONE_SIZE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class Sms:
    """A phone into which a test puts messages."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    def messages(self, to: str | None = None) -> list[dict[str, str]]:
        """Give what was sent, newest first."""
        return [message for message in reversed(self.sent) if to in (None, message["to"])]

    async def drain(self) -> None:
        """Nothing is ever queued here."""


class Site:
    """The pages on one port, which can go down and come back there."""

    def __init__(self, assistant: Any) -> None:
        self.assistant = assistant
        self.sms = Sms()
        self.said: list[dict[str, Any]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def up(self) -> None:
        """Serve, on the same port as before."""
        self.door = WebDoor(self.assistant, history=self._history, demo=True)
        app = web.Application()
        app.add_routes([*self.door.routes(), *dev.routes(self.sms, demo=True), *pages.asset_routes()])
        app.on_shutdown.append(self.door.close)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The address of the chat."""
        return f"http://127.0.0.1:{self.port}"

    async def _history(self, channel: str, sender: str) -> list[dict[str, Any]]:
        return self.said


@pytest.fixture
async def site(scripted: Any) -> AsyncIterator[Site]:
    """A running site that is taken down after the test."""
    site = Site(scripted)
    await site.up()
    yield site
    await site.down()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def phone(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser as wide as a phone; a script error or a broken policy on any of its pages fails the test."""
    context = await browser.new_context(viewport=PHONE_SIZE)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
    yield context
    await context.close()
    assert not faults


async def open_chat(context: BrowserContext, site: Site) -> Page:
    """Open the chat and wait until it is connected."""
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.locator("#lamp")).to_have_class("lamp on")
    return page


async def say(page: Page, text: str) -> None:
    """Type a message and send it with Enter."""
    await page.fill("#input", text)
    await page.keyboard.press("Enter")


async def test_a_talk_in_the_browser(site, phone, scripted):
    """Texts, buttons, codes and foreign markup: shown as they should be, and nothing runs."""
    scripted.script["<img src=x onerror=alert(1)>"] = Outcome((Reply("<b>不是</b> {{ 7*7 }}\n收款人：*娜\n金额：¥200.00"),))
    page = await open_chat(phone, site)
    await expect(page.locator("#welcome")).to_be_visible()
    await say(page, "<img src=x onerror=alert(1)>")
    await expect(page.locator(".mine .bubble").last).to_have_text("<img src=x onerror=alert(1)>")
    answer = page.locator(".log .theirs .bubble").last
    await expect(answer).to_contain_text("<b>不是</b> {{ 7*7 }}")
    await expect(answer.locator("dd").last).to_have_text("¥200.00")
    await expect(page.locator("#welcome")).to_be_hidden()
    await say(page, "付款码")
    await page.get_by_role("button", name="算了").click()
    await expect(page.locator(".mine .bubble").last).to_have_text("算了")
    await expect(page.locator(".options")).to_have_count(0)
    await say(page, "493201")
    await expect(page.locator(".mine .bubble").last).to_have_text("••••••")
    assert "493201" not in await page.inner_text("body")
    assert [(inbound.kind, inbound.text) for inbound in scripted.heard][2] == ("press", "tok-no")
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE_SIZE["width"]


async def test_a_link_opens_in_a_window_of_its_own(site, phone, scripted):
    """It is a link of this server and says nothing in the chat; one that leads elsewhere leads nowhere."""
    scripted.script["页面"] = Outcome((Reply("请打开", (Button("安全页面", url="/assets/coin.svg#abc"), Button("算了", "tok"))),))
    scripted.script["别处"] = Outcome((Reply("请打开", (Button("别处", url="https://evil.example/"),)),))
    page = await open_chat(phone, site)
    await say(page, "页面")
    link = page.get_by_role("link", name="安全页面")
    assert await link.get_attribute("rel") == "noopener noreferrer"
    async with phone.expect_page() as opened:
        await link.click()
    assert (await opened.value).url == f"{site.url}/assets/coin.svg#abc"
    await expect(page.get_by_role("button", name="算了")).to_be_visible()
    assert len(scripted.heard) == 1
    await say(page, "别处")
    await expect(page.locator(".options a")).to_have_count(1)
    assert await page.locator(".options a").get_attribute("href") is None


async def test_facts_become_a_receipt_and_other_lines_stay_words(site, phone, scripted):
    """Lines of facts and of transactions are laid out in rows; a single one, or a sentence, stays as it is."""
    card = "请核对：\n收款人 *娜（138****0002）\n金额 ¥200.00，手续费 ¥0.00\n从厦门钱包付出，实时到账"
    bill = "明细：\n今天 08:05 转给*娜 -¥200.00\n11月21日 18:32 中山路 便利店 +¥35.50"
    scripted.script.update(
        {"卡": Outcome((Reply(card),)), "账": Outcome((Reply(bill),)), "句": Outcome((Reply("余额 ¥5.00\n好的"),))}
    )
    page = await open_chat(phone, site)
    for text, names, values in (
        ("卡", ["收款人", "金额", "手续费"], ["*娜（138****0002）", "¥200.00", "¥0.00"]),
        ("账", ["今天 08:05 转给*娜", "11月21日 18:32 中山路 便利店"], ["-¥200.00", "+¥35.50"]),
        ("句", [], []),
    ):
        await say(page, text)
        await expect(page.locator(".mine .bubble.waiting")).to_have_count(0)
        answer = page.locator(".log .theirs .bubble").last
        assert await answer.locator("dt").all_inner_texts() == names
        assert await answer.locator("dd").all_inner_texts() == values
    await expect(answer).to_have_text("余额 ¥5.00\n好的")


async def test_a_lost_connection_loses_and_doubles_nothing(site, phone, scripted):
    """While the server is away messages wait and the page says so; they are answered once when it is back."""
    page = await open_chat(phone, site)
    await say(page, "一")
    await expect(page.locator(".log .theirs")).to_have_count(1)
    await site.down()
    await say(page, "二")
    await expect(page.locator("#notice")).to_be_visible()
    await site.up()
    await expect(page.locator(".log .theirs .bubble").last).to_have_text("echo 二", timeout=15_000)
    await expect(page.locator(".log .row")).to_have_count(4)
    await expect(page.locator("#notice")).to_be_hidden()
    assert [inbound.text for inbound in scripted.heard] == ["一", "二"]


async def test_a_page_that_is_loaded_again_still_sends_what_was_not_answered(site, phone, scripted):
    """A message under way when the page is reloaded is heard once and answered on the new page; history stands above it."""
    page = await open_chat(phone, site)
    scripted.gate.clear()
    await say(page, "转账")
    await expect(page.locator("#typing")).to_be_visible()
    site.said = [{"kind": "bot", "at": 1_700_000_000_000, "text": "以前的话"}]
    await page.reload()
    await expect(page.locator(".log .theirs .bubble").first).to_have_text("以前的话")
    scripted.gate.set()
    await expect(page.locator(".log .theirs .bubble").last).to_have_text("echo 转账")
    await expect(page.locator(".mine")).to_have_count(1)
    assert len(scripted.heard) == 1


async def test_an_agent_is_shown_as_a_person(site, phone, scripted):
    """An agent's words appear unasked, with a name and another face, and the header says who serves."""
    page = await open_chat(phone, site)
    await say(page, "人工")
    await expect(page.locator(".log .theirs")).to_have_count(1)
    await site.door.push(scripted.heard[0].sender, (Reply("我来了", author="agent"),))
    await expect(page.locator(".agents .bubble")).to_have_text("我来了")
    await expect(page.locator(".agents .face")).to_have_attribute("src", "/assets/agent.svg")
    await expect(page.locator("#state")).to_have_text("人工客服在为您服务")


async def test_a_picture_is_made_smaller_and_sent(site, phone, scripted):
    """A large picture is previewed, shrunk by the page and arrives as a JPEG; what is no picture is refused in words."""
    page = await open_chat(phone, site)
    await page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    await expect(page.locator("#notice")).to_have_text("这张图片打不开，请换一张。")
    big = io.BytesIO()
    qrcode.make("pay", box_size=100).save(big)
    await page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": big.getvalue()})
    await expect(page.locator("#preview")).to_be_visible()
    await page.click("#send")
    await expect(page.locator(".log .theirs")).to_have_count(1)
    await expect(page.locator(".mine .shot img")).to_be_visible()
    (inbound,) = scripted.heard
    assert inbound.kind == "image"
    assert inbound.attachments[0].mime == "image/jpeg"
    assert inbound.attachments[0].data[:2] == b"\xff\xd8"


async def test_a_failed_message_can_be_sent_again(site, phone, scripted):
    """A fault is shown at the message with a button that sends it again."""
    scripted.script["坏"] = RuntimeError("secret")
    page = await open_chat(phone, site)
    await say(page, "坏")
    await expect(page.locator(".fate")).to_be_visible()
    scripted.script["坏"] = Outcome((Reply("好了", (Button("继续", "tok"),)),))
    await page.get_by_role("button", name="重发").click()
    await expect(page.locator(".log .theirs .bubble").last).to_have_text("好了")
    await expect(page.locator(".fate")).to_have_count(0)
    await expect(page.locator(".mine")).to_have_count(1)


async def test_the_phone_rings(site, phone):
    """The simulated phone shows what arrives while it is looked at, the code large, number by number."""
    page = await phone.new_page()
    await page.goto(f"{site.url}/dev/phone")
    await expect(page.locator("#nothing")).to_be_visible()
    at = "2026-11-21T02:00:00+00:00"
    site.sms.sent = [
        {"to": "13800000002", "channel": "sms", "text": "到账 ¥1.00", "at": at},
        {"to": "13800000001", "channel": "sms", "text": "<i>验证码</i> 493201", "code": "493201", "at": at},
    ]
    await expect(page.locator(".code output")).to_have_text("493201")
    await expect(page.locator(".sms p").first).to_have_text("<i>验证码</i> 493201")
    assert await page.locator("#number option").all_inner_texts() == ["13800000001", "13800000002"]
    await page.select_option("#number", "13800000002")
    await expect(page.locator(".sms p").first).to_have_text("到账 ¥1.00")
    await asyncio.sleep(1.2)  # one more look at the server must not switch the number back
    await expect(page.locator("#number")).to_have_value("13800000002")
