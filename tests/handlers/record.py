"""Records what actions are given while conversations are played: ``python -m tests.handlers.record`` writes ``trackers/*.json``.

What only the database of a run can know is written as a placeholder: who acts as ``$actor:1``, the ids of the log-in, of the
payee's wallet and of the order as ``$login_id``, ``$payee_id`` and ``$order_id``, a code as ``$code:PHONE`` or ``$wrong:PHONE``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bot.app import App, open_app
from bot.dialogue.actions import ActionResult
from tests.bot.talk import CHEN, LI, WANG, Talk, wrong
from tests.conftest import demo_settings
from wallet_service import Fen, Transfer, Wallet
from wallet_service.keys import hotp

HERE = Path(__file__).parent / "trackers"
NEW, FROZEN = "13912345678", "13800000004"
# A line that begins with ":" is not said: ":code PHONE" types the newest code of a phone, ":wrong PHONE" another one,
# ":press TITLE" presses a button.
PLAYS = {
    "login": ["余额", "1380000", WANG, "12", f":wrong {WANG}", "没收到验证码", f":code {WANG}", "明细", ":press 更早的"],
    "newcomer": ["登录", NEW, f":code {NEW}", ":press 开通", "切换到青岛", "开通钱包", "退出登录"],
    "transfer": [
        *("登录", WANG, f":code {WANG}", "转账", "李四光", "李娜", "几百块", "200块", "确认", "12", f":wrong {WANG}"),
        *("没收到验证码", f":code {WANG}", "余额"),
    ],
    "recall": [
        *("登录", WANG, f":code {WANG}", "撤回", "给李娜转300，三小时后到账", ":press 2小时后到账", f":code {WANG}"),
        *("给李娜转400，明天到账", f":code {WANG}", "我那笔转出去了吗", "撤回", "300那笔", ":press 撤回", "撤回", ":press 撤回"),
        *("今天还能转多少", "我还能转8000吗", "四类钱包限额多少", "明细"),
    ],
    "cancel": ["登录", LI, f":code {LI}", "转账", CHEN, "50块", "姓程", "姓陈", "金额改成15块", "取消"],
    "hints": ["登录", LI, f":code {LI}", f"给{CHEN}转50块，刷单用", "姓陈", "是转到安全账户", f":code {LI}"],
    "refused": [
        *("登录", FROZEN, f":code {FROZEN}", f"给{CHEN}转10块", "退出登录"),
        *("登录", CHEN, f":code {CHEN}", f"给{WANG}转150块", "0.001元", "退出登录", "切换到大连"),
    ],
}


PLAYS["second"] = [
    *("登录", WANG, f":code {WANG}", "给李娜转5100块", "000000", ":press 改用支付密码", "取消"),
    *("绑定验证器", ":press 解绑验证器"),
]
PREPARED = frozenset({"second"})  # before these plays 王小明 has both second factors, and ¥300.00 more than the others leave


async def prepare(wallet: Wallet, code: Callable[[str], Awaitable[str]]) -> None:
    """Give 王小明 some money, a payment password and an authenticator; ``code`` reads the newest code on a phone."""
    (payee,) = await wallet.find_payees(2, WANG, city="xiamen")
    gift = await wallet.propose(Transfer(2, payee.wallet_id, Fen(30_000)), actor=2, key="a gift")
    await wallet.authorize(gift.id, await code(LI), actor=2, key="a gift arrives")
    for purpose, answers in (("set_password", {"new": "258046"}), ("add_authenticator", {"password": "258046"})):
        token = wallet.ticket_token((await wallet.ticket(1, purpose, key=purpose)).id)  # type: ignore[arg-type]
        offer = (await wallet.open_ticket(token)).offer
        if offer is not None:
            key = base64.b32decode(offer.secret_text.replace(" ", ""))
            answers["app_code"] = hotp(key, int(wallet.context.now().timestamp()) // 30)
        await wallet.send_ticket_code(token)
        await wallet.use_ticket(token, {**answers, "code": await code(WANG)})


class Recorder:
    """Stands before an app's actions and notes every call."""

    def __init__(self, app: App) -> None:
        self.app, self.calls = app, list[dict[str, Any]]()
        self._run = app.engine.runner.actions.run
        app.engine.runner.actions.run = self._note  # type: ignore[method-assign]

    async def _note(self, name: str, tracker: Mapping[str, Any]) -> ActionResult:
        slots = {slot: self._written(slot, value) for slot, value in tracker["slots"].items()}
        self.calls.append({"action": name, "tracker": {**tracker, "slots": slots}})
        return await self._run(name, tracker)

    def _written(self, slot: str, value: Any) -> Any:
        if value is None:
            return None
        if slot == "actor":
            return f"$actor:{value.partition('.')[0]}"
        if slot in ("login_id", "order_id", "payee_id", "recall_shown") or (slot == "recall_id" and isinstance(value, str)):
            return f"${slot}"
        if slot in ("code", "login_code") and len(value) == 6:
            assert self.app.phone is not None
            newest = next(message for message in self.app.phone.messages() if "code" in message)
            return f"${'code' if newest['code'] == value else 'wrong'}:{newest['to']}"
        return value


async def record(name: str, lines: list[str], database: Path) -> list[dict[str, Any]]:
    """Play one conversation on a fresh demo and give the calls of its actions."""
    async with open_app(demo_settings(database)) as app:
        recorder, talk = Recorder(app), Talk(app, sender="recorder")

        async def code(phone: str) -> str:
            await app.courier.drain()
            return talk.code(phone)

        if name in PREPARED:
            await prepare(app.wallet, code)
        for number, line in enumerate(lines):
            verb, _, rest = line.partition(" ")
            if verb == ":press":
                await talk.press(rest, f"m{number}")
                continue
            said = {":code": talk.code, ":wrong": lambda phone: wrong(talk.code(phone))}.get(verb)
            await talk.send(talk.inbound(said(rest) if said else line, f"m{number}"))
        return recorder.calls


def main() -> None:
    """Write every play's calls to its file."""
    HERE.mkdir(exist_ok=True)
    for name, lines in PLAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            calls = asyncio.run(record(name, lines, Path(folder) / "demo.db"))
        text = ",\n".join(json.dumps(call, ensure_ascii=False) for call in calls)
        (HERE / f"{name}.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
        print(name, [call["action"] for call in calls])  # noqa: T201


if __name__ == "__main__":
    main()
