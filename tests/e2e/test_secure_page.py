"""The one-time page in a real browser: setting up both factors as people do, on a phone and on a desktop."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from bot.app import App
from tests.conftest import OpenDemo, served
from wallet_service.keys import hotp

CHROMIUM = shutil.which("chromium")
PATIENCE = 20_000  # milliseconds for an answer on a busy machine
LI_ID, LI = 2, "13800000002"
PASSWORD = "correct horse battery"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture
async def running(open_demo: OpenDemo) -> AsyncIterator[tuple[App, str]]:
    """The whole demo on a free port."""
    async with open_demo() as app, served(app) as server:
        yield app, str(server.make_url("")).rstrip("/")


@pytest.fixture(params=[(390, 844), (1280, 900)], ids=["phone", "desktop"])
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page of a phone or a desktop; a script error or a broken policy on it fails the test."""
    width, height = request.param
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=2)
        faults: list[str] = []
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
        await browser.close()
        assert not faults


async def keep(page: Page, name: str) -> None:
    """Keep a picture of the page for a person to look at, where ZHANGGUI_SHOTS says."""
    if folder := os.environ.get("ZHANGGUI_SHOTS"):
        width = (page.viewport_size or {"width": 0})["width"]
        await page.screenshot(path=Path(folder) / f"{name}-{width}.png", animations="disabled", full_page=True)


async def open_page(page: Page, app: App, url: str, purpose: str, order_id: int | None = None) -> str:
    """Follow a fresh link; gives its token."""
    made = await app.wallet.ticket(LI_ID, purpose, key=f"{purpose} {time.monotonic_ns()}", order_id=order_id)
    token = app.wallet.ticket_token(made.id)
    await page.goto("about:blank")
    await page.goto(f"{url}/secure#{token}")
    return token


async def code_on_phone(page: Page, app: App) -> str:
    """Have the code sent by the page and read it on the phone."""
    await page.get_by_role("button", name="获取验证码").click()
    await expect(page.locator(".hint")).to_contain_text("138****0002")
    await app.courier.drain()
    assert app.phone is not None
    return str(app.phone.messages(LI)[0]["code"])


async def test_both_factors_are_set_up_and_used(running, page, tmp_path):
    """A password, then an authenticator whose QR code a camera reads; then the password proves an order."""
    app, url = running
    token = await open_page(page, app, url, "set_password")
    await expect(page.get_by_role("heading", name="设置支付密码")).to_be_visible()
    await page.get_by_label("短信验证码").fill(await code_on_phone(page, app))
    await page.get_by_label("新的支付密码").fill("123456")
    await page.get_by_label("再输一遍").fill("12345")
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("alert")).to_contain_text("两遍输的不一样")
    await page.get_by_label("再输一遍").fill("123456")
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("alert")).to_contain_text("容易被人猜到")
    await keep(page, "secure-password")
    for label in ("新的支付密码", "再输一遍"):
        await page.get_by_label(label).fill(PASSWORD)
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("heading", name="支付密码设好了")).to_be_visible()
    await keep(page, "secure-password-done")
    assert token not in page.url
    assert PASSWORD not in await page.content()

    await open_page(page, app, url, "add_authenticator")
    await expect(page.locator("#qr")).to_be_visible()
    shot = tmp_path / "qr.png"
    await page.locator("#qr").screenshot(path=shot)
    (read,) = zxingcpp.read_barcodes(Image.open(shot))
    secret = (await page.locator("#secret").inner_text()).replace(" ", "")
    assert read.text.startswith("otpauth://totp/")
    assert f"secret={secret}" in read.text
    await page.get_by_label("短信验证码").fill(await code_on_phone(page, app))
    await page.get_by_label("现在的支付密码").fill(PASSWORD)
    await page.get_by_label("验证器里显示的6位数").fill("000000")
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("alert")).to_contain_text("对不上")
    await keep(page, "secure-authenticator")
    code = hotp(base64.b32decode(secret), int(time.time()) // 30)
    await page.get_by_label("验证器里显示的6位数").fill(code)
    await page.get_by_role("button", name="确定").click()
    await expect(page.locator("#codes li")).to_have_count(10)
    await keep(page, "secure-recovery-codes")
    assert await page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert secret not in (await page.content()).replace(" ", "")
    assert await app.wallet.second_factors(LI_ID) == {"authenticator", "password"}


async def test_a_password_proves_the_order_that_the_page_shows(running, page):
    """Payee and amount stand above the field; a wrong one is told with what is left, the right one ends the page."""
    from wallet_service import Fen, Transfer

    app, url = running
    await open_page(page, app, url, "set_password")
    await page.get_by_label("短信验证码").fill(await code_on_phone(page, app))
    for label in ("新的支付密码", "再输一遍"):
        await page.get_by_label(label).fill(PASSWORD)
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("heading", name="支付密码设好了")).to_be_visible()
    (payee,) = await app.wallet.find_payees(LI_ID, "13800000001", city="xiamen")
    order = await app.wallet.propose(Transfer(LI_ID, payee.wallet_id, Fen(12_345)), actor=LI_ID, key="e2e")
    await open_page(page, app, url, "enter_password", order.id)
    await expect(page.locator("#order")).to_contain_text("¥123.45")
    await expect(page.locator("#order")).to_contain_text("*小明")
    await page.get_by_label("支付密码").fill("wrong one")
    await page.get_by_role("button", name="显示").click()
    await expect(page.get_by_label("支付密码")).to_have_attribute("type", "text")
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("alert")).to_contain_text("还可以试4次")
    await keep(page, "secure-order")
    await page.get_by_label("支付密码").fill(PASSWORD)
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("heading", name="支付密码对上了")).to_be_visible()


async def test_a_link_that_is_over_says_so(running, page):
    """Used, made up or without a token: the page says what to do, and asks nothing."""
    _, url = running
    for address in ("/secure", "/secure#made-up"):
        await page.goto("about:blank")
        await page.goto(url + address)
        await expect(page.get_by_role("heading", name="这个页面打不开")).to_be_visible()
        await expect(page.locator("#after")).to_contain_text("重新发起")
        await expect(page.locator("form")).to_have_count(0)
    await keep(page, "secure-over")


async def test_from_the_chat_to_the_page_and_back(running, page):
    """Asked for in the chat, opened from its link in a window of its own, done there: nothing of it stands in the chat."""
    app, url = running
    await page.goto(url)

    async def say(text: str, answer: str) -> None:
        await page.fill("#input", text)
        await page.keyboard.press("Enter")
        await expect(page.locator(".log .theirs .bubble").last).to_contain_text(answer, timeout=PATIENCE)

    async def code() -> str:
        await app.courier.drain()
        assert app.phone is not None
        return str(next(message["code"] for message in app.phone.messages(LI) if "code" in message))

    await say("设置支付密码", "手机号")
    await say(LI, "短信里的6位")
    await say(await code(), "安全页面")
    link = page.get_by_role("link", name="打开安全页面")
    await expect(link).to_be_visible()
    await keep(page, "secure-link")
    async with page.context.expect_page() as opened:
        await link.click()
    secure = await opened.value
    await expect(secure.get_by_role("heading", name="设置支付密码")).to_be_visible(timeout=PATIENCE)
    await secure.get_by_label("短信验证码").fill(await code_on_phone(secure, app))
    for label in ("新的支付密码", "再输一遍"):
        await secure.get_by_label(label).fill(PASSWORD)
    await secure.get_by_role("button", name="确定").click()
    await expect(secure.get_by_role("heading", name="支付密码设好了")).to_be_visible()
    await secure.close()
    await page.reload()
    await expect(page.locator(".log .theirs").last).to_be_visible()
    await page.get_by_role("button", name="打开安全页面").click()  # drawn from the record: asking for it brings the link again
    await expect(page.get_by_role("link", name="打开安全页面")).to_be_visible(timeout=PATIENCE)
    assert PASSWORD not in await page.content()
    assert await app.wallet.second_factors(LI_ID) == {"password"}
