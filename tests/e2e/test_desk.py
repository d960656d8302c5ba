"""A customer in the web chat and an agent at the desk, each in a browser page of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from bot.app import App
from bot.demo import add_demo_agent
from tests.conftest import OpenDemo, served

PHONE = "13800000001"
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        await chromium.close()


class Customer:
    """Somebody at the web chat."""

    def __init__(self, page: Page, app: App) -> None:
        self.page = page
        self._app = app

    async def says(self, text: str) -> None:
        """Type a message and send it."""
        await self.page.fill("#input", text)
        await self.page.keyboard.press("Enter")

    async def hears(self, text: str) -> None:
        """Wait until the newest words contain a text."""
        await expect(self.page.locator("#log .row.theirs").last).to_contain_text(text)

    async def logs_in(self) -> None:
        """Give the phone number and the code that arrives on it."""
        await self.says(PHONE)
        await self.hears("6位验证码")
        await self._app.courier.drain()
        assert self._app.phone is not None
        await self.says(self._app.phone.messages(PHONE)[0]["code"])


async def _strict(page: Page) -> list[str]:
    """Collect what a page complains of: errors of its scripts, and breaches of its content policy."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    return faults


async def _at_desk(page: Page, base: str, password: str) -> None:
    await page.goto(base + "/desk")
    await page.fill("#name", "demo")
    await page.fill("#password", password)
    await page.click("#submit")
    await page.wait_for_url("**/desk")
    await expect(page.locator("#lamp.on")).to_be_attached()


async def test_a_person_answers_and_gives_back(open_demo: OpenDemo, browser: Browser, tmp_path: Path) -> None:
    """In the middle of a transfer the customer asks for a person, talks with one while the bot is silent, and is given back."""
    async with open_demo() as app, served(app) as server:
        base = str(server.make_url("/")).rstrip("/")
        chat = await browser.new_page(viewport=NARROW)
        desk = await browser.new_page(viewport=WIDE)
        faults = await _strict(desk)
        customer = Customer(chat, app)
        await _at_desk(desk, base, await add_demo_agent(app))
        await expect(desk.locator("#queue-empty")).to_be_visible()

        await chat.goto(base)
        await customer.says("给李娜转200块")
        await customer.logs_in()
        await customer.hears("哪里要改")
        await customer.says("人工")
        await customer.hears("第一位")

        await desk.locator("#queue .row").click()
        await expect(desk.locator("#talk .said.user").last).to_contain_text("人工")
        await expect(desk.locator("#facts")).to_contain_text("转账")
        await expect(desk.locator("#talk-name")).to_have_text("*小明")
        await expect(desk.locator("#reply")).to_be_hidden()
        await desk.click("#take")
        await customer.hears("接入")

        await desk.fill("#text", "您好，请问是哪一笔？<b>别急</b>")
        await desk.keyboard.press("Enter")
        await customer.hears("您好，请问是哪一笔？<b>别急</b>")
        assert await chat.locator("#log b").count() == 0
        bots = await chat.locator("#log .row.theirs").count()
        await customer.says("余额")
        await expect(desk.locator("#talk .said.user").last).to_contain_text("余额")
        await customer.says("<img src=x onerror=alert(1)>")
        await expect(desk.locator("#talk .said.user").last).to_contain_text("<img src=x")
        assert await desk.locator("#talk img").count() == 0
        assert await chat.locator("#log .row.theirs").count() == bots
        await desk.screenshot(path=tmp_path / "desk.png")
        await chat.screenshot(path=tmp_path / "chat.png")

        await desk.click("#return")
        await expect(chat.locator("#log")).to_contain_text("交还给掌柜")
        await customer.hears("哪里要改")
        await expect(desk.locator("#reply")).to_be_hidden()
        await expect(desk.locator("#mine-empty")).to_be_visible()
        await customer.says("算了不转了")
        await customer.hears("已取消")
        await chat.screenshot(path=tmp_path / "back.png")
        assert faults == []


async def test_the_agents_words_wait_for_who_is_away(open_demo: OpenDemo, browser: Browser) -> None:
    """A customer who closed the page finds what the agent wrote meanwhile, once, when they come back."""
    async with open_demo() as app, served(app) as server:
        base = str(server.make_url("/")).rstrip("/")
        context = await browser.new_context(viewport=NARROW)
        chat = await context.new_page()
        desk = await browser.new_page(viewport=NARROW)
        customer = Customer(chat, app)
        await chat.goto(base)
        await customer.says("人工")
        await customer.hears("第一位")
        await _at_desk(desk, base, await add_demo_agent(app))
        await desk.locator("#queue .row").click()
        await desk.click("#take")
        await customer.hears("接入")
        await chat.close()
        await desk.fill("#text", "请回来看一下")
        await desk.click("#send")
        await expect(desk.locator("#talk .said.agent")).to_contain_text("请回来看一下")
        chat = await context.new_page()
        await chat.goto(base)
        await expect(chat.locator("#log .row.agents", has_text="请回来看一下")).to_have_count(1)
        await desk.click("#close")
        await desk.click("#ask button[value=yes]")
        await expect(chat.locator("#log")).to_contain_text("已结束本次人工服务")
        await context.close()
