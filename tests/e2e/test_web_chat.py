"""A whole transfer in a real browser, from the first word to the money moved, with the codes from the simulated phone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright, expect

from bot.app import App, open_app, web_application
from bot.config import read_settings
from wallet_service import packaged_profiles

CHROMIUM = shutil.which("chromium")
PAYER, PAYEE = "13800000001", "13800000002"
PATIENCE = 20_000  # milliseconds for an answer on a busy machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture
async def running() -> AsyncIterator[tuple[App, str]]:
    """The whole demo on a free port."""
    settings = read_settings(demo=True, cities=tuple(packaged_profiles()), environment={})
    async with open_app(settings) as app:
        runner = web.AppRunner(web_application(app, base_url=""))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield app, f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page as wide as a phone; a script error on it fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        faults: list[str] = []
        context.on("weberror", lambda error: faults.append(str(error.error)))
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
        await browser.close()
        assert not faults


async def say(page: Page, text: str, answer: str) -> None:
    """Send a message and wait for an answer that contains some words."""
    await page.fill("#input", text)
    await page.keyboard.press("Enter")
    own = page.locator(".mine .bubble").last
    await expect(own).to_have_text(re.compile(rf"{re.escape(text)}|•+"), timeout=PATIENCE)
    await expect(page.locator(".mine").last.locator("xpath=following-sibling::article").last).to_contain_text(
        answer, timeout=PATIENCE
    )


async def outbox(url: str, phone: str) -> list[dict[str, str]]:
    """Read what was sent to a phone, newest first."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/dev/outbox", params={"to": phone}) as answer:
        messages: list[dict[str, str]] = await answer.json()
        return messages


async def code_on(url: str, phone: str) -> str:
    """Read the newest code on a phone."""
    return next(message["code"] for message in await outbox(url, phone) if "code" in message)


async def keep(page: Page, name: str) -> None:
    """Keep a picture of the page for a person to look at, where ZHANGGUI_SHOTS says."""
    if folder := os.environ.get("ZHANGGUI_SHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


async def test_a_transfer_in_the_browser_moves_the_money(running, page):
    """A stranger writes one wish, logs in, confirms with the code of the phone, and both sides have moved."""
    app, url = running
    await page.goto(url)
    await expect(page.locator("#lamp")).to_have_class("lamp on")
    await say(page, "给李娜转200块", "手机号")
    await say(page, PAYER, "验证码")
    await say(page, await code_on(url, PAYER), "验证码")
    await expect(page.locator(".log")).to_contain_text("*娜")
    await expect(page.locator(".log")).to_contain_text("¥200.00")
    await keep(page, "transfer-card")
    code = await code_on(url, PAYER)
    await page.fill("#input", code)
    await page.keyboard.press("Enter")
    await expect(page.locator(".log")).to_contain_text("¥4,800.00", timeout=PATIENCE)
    await expect(page.locator(".mine .bubble").last).to_have_text("••••••")
    assert code not in await page.inner_text("body")
    await keep(page, "transfer-done")
    assert (await page.inner_text(".log")).count("请核对") == 1
    await say(page, "余额", "¥4,800.00")
    assert "200.00" in (await outbox(url, PAYEE))[0]["text"]
    assert (await app.wallet.verify()).ok


async def test_the_talk_is_there_again_after_a_reload(running, page):
    """A reloaded page shows the same talk, once, with the replies on offer still usable."""
    _, url = running
    await page.goto(url)
    await say(page, "余额", "手机号")
    await say(page, PAYER, "验证码")
    said = await page.locator(".log .row .bubble").all_inner_texts()
    await page.reload()
    await expect(page.locator(".log .row .bubble")).to_have_count(len(said))
    assert [len(text) for text in await page.locator(".log .row .bubble").all_inner_texts()] == [len(text) for text in said]
    await page.get_by_role("button", name="没收到，重发").click()
    await expect(page.locator(".log .theirs .bubble").last).to_contain_text("验证码", timeout=PATIENCE)
    assert PAYER not in await page.inner_text("#log")
