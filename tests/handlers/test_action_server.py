"""The same actions in process and under ``python -m rasa_sdk``: equal answers for every registered action."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.dialogue.actions import ActionResult, Actions, make_call
from handlers.wallet_action import using
from tests.bot.talk import wrong
from tests.conftest import SECRET
from tests.handlers.record import PREPARED, prepare
from wallet_service import Wallet

TRACKERS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "trackers").glob("*.json"))
}
AGAIN = "record it: python -m tests.handlers.record (its PLAYS may need a line more)"
_SECONDS_APART = 120  # the two sides run one after the other, and codes expire a fixed time after they are made

Run = Callable[[str, Mapping[str, Any]], Awaitable[ActionResult]]


@dataclass
class Side:
    """One of the two ways to run actions, on a database of its own; fills the placeholders of recorded trackers."""

    wallet: Wallet
    run: Run
    made: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)

    async def play(self, call: Mapping[str, Any]) -> ActionResult:
        """Run one recorded call."""
        tracker = call["tracker"]
        slots = {name: await self.filled(value, tracker["sender_id"]) for name, value in tracker["slots"].items()}
        result = await self.run(call["action"], {**tracker, "slots": slots})
        self.made |= {name: value for name, value in result.slots if value is not None}
        slots = tuple((name, self.nameless(value)) for name, value in result.slots)
        replies = tuple(
            (name, values | {"ticket": "$ticket"} if "ticket" in values else values) for name, values in result.replies
        )
        return ActionResult(slots, replies)

    def nameless(self, value: Any) -> Any:
        """Write a code of this side as a placeholder: each side has its own."""
        return "$code" if value in self.codes.values() else "$wrong" if value in map(wrong, self.codes.values()) else value

    async def filled(self, value: Any, conversation: str) -> Any:
        """Put what this side made in the place of a placeholder."""
        kind, _, rest = value.partition(":") if isinstance(value, str) and value.startswith("$") else ("", "", "")
        match kind:
            case "$actor":
                return self.wallet.sign_actor(int(rest), conversation)
            case "$login_id" | "$order_id" | "$payee_id" | "$recall_id" | "$recall_shown":
                return self.made[kind[1:]]
            case "$code" | "$wrong":
                code = await self.code(rest)
                return code if kind == "$code" else wrong(code)
        return value

    async def code(self, phone: str) -> str:
        """Read the newest code that went to a phone."""
        for notice in await self.wallet.claim_notices():
            if "code" in notice.facts:
                self.codes[notice.to] = notice.facts["code"]
        return self.codes[phone]


@asynccontextmanager
async def action_server(database: Path) -> AsyncIterator[str]:
    """Start rasa-sdk's own server on loopback; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "SANIC_HOST": "127.0.0.1",
        "ZHANGGUI_DATABASE_URL": f"sqlite:///{database}",
        "ZHANGGUI_SECRET_KEY": SECRET,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = (sys.executable, "-m", "rasa_sdk", "--actions", "handlers", "--port", str(port))
    log = database.with_suffix(".log").open("wb")
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | settings, cwd=root, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.returncode is None, database.with_suffix(".log").read_text()
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        log.close()


def moved(call: Mapping[str, Any], conversation: str) -> dict[str, Any]:
    """Put a recorded call into a conversation of another number, its keys too."""
    tracker = call["tracker"]
    key = f"{conversation}/{tracker['slots']['turn_key'].partition('/')[2]}"
    return {**call, "tracker": {**tracker, "sender_id": conversation, "slots": {**tracker["slots"], "turn_key": key}}}


@pytest.fixture
def database(tmp_path: Path, demo_database: Path) -> Callable[[str], Path]:
    """Copies of the demo's database, one a side."""

    def copy(name: str) -> Path:
        path: Path = shutil.copy(demo_database, tmp_path / f"{name}.db")
        return path

    return copy


async def test_equal_answers_in_process_and_over_http(database: Callable[[str], Path]) -> None:
    """On every recorded tracker, in the order of the recording: the same events and the same responses, values and all."""
    actions, told = Actions("handlers"), 0
    here, there = database("here"), database("there")
    async with (
        Wallet.open(f"sqlite:///{here}", secret=SECRET) as own,
        Wallet.open(f"sqlite:///{there}", secret=SECRET) as others,
        action_server(there) as address,
        ClientSession() as session,
    ):

        async def near(action: str, tracker: Mapping[str, Any]) -> ActionResult:
            with using(own):
                return await actions.run(action, tracker)

        async def far(action: str, tracker: Mapping[str, Any]) -> ActionResult:
            async with session.post(f"{address}/webhook", json=make_call(action, tracker)) as response:
                assert response.status == 200, await response.text()
                answer = await response.json()
            assert {event["event"] for event in answer["events"]} <= {"slot"}
            return ActionResult.read(answer["events"], answer["responses"])

        sides = Side(own, near), Side(others, far)
        for conversation, (name, calls) in enumerate(TRACKERS.items(), 1):
            for side in sides if name in PREPARED else ():
                await prepare(side.wallet, side.code)
            for call in calls:
                first, second = [await side.play(moved(call, str(conversation))) for side in sides]
                assert first == _with_times_of(first, second), call["action"]
                told += len(first.replies)
        async with session.get(f"{address}/actions") as response:
            assert {action["name"] for action in await response.json()} == actions.names
        assert [(await side.wallet.balance(1, "xiamen")).available for side in sides] == [510000, 510000]
    assert told > 20


def test_every_action_has_a_recorded_tracker() -> None:
    """A new action is compared too: somebody must record it."""
    recorded = {call["action"] for calls in TRACKERS.values() for call in calls}
    missing = Actions("handlers").names - recorded
    assert not missing, f"no tracker of {sorted(missing)}: {AGAIN}"
    assert recorded <= Actions("handlers").names, f"trackers of what is no action any more: {AGAIN}"


def test_recordings_hold_nothing_of_one_run() -> None:
    """No signed actor, no id of a log-in, no code stands in the recordings."""
    for path in (Path(__file__).parent / "trackers").glob("*.json"):
        slots = [call["tracker"]["slots"] for call in json.loads(path.read_text(encoding="utf-8"))]
        for name in ("actor", "login_id", "order_id", "payee_id", "code", "login_code"):
            held = {str(slot[name]) for slot in slots if slot.get(name) is not None}
            assert not [value for value in held if len(value) > 2 and not value.startswith("$")], path


async def test_in_process_the_recorded_tracker_is_left_alone(database: Callable[[str], Path]) -> None:
    """An action gets a copy: whatever it does to its tracker, the conversation's own is as before."""
    actions, calls = Actions("handlers"), TRACKERS["login"]
    async with Wallet.open(f"sqlite:///{database('alone')}", secret=SECRET) as wallet:
        before = json.dumps(calls[0]["tracker"])
        with using(wallet):
            await actions.run(calls[0]["action"], calls[0]["tracker"])
        assert json.dumps(calls[0]["tracker"]) == before


async def test_an_action_refuses_an_actor_of_another_conversation(database: Callable[[str], Path]) -> None:
    """A signature made for one conversation opens nothing in another, nor does a made-up one."""
    actions = Actions("handlers")
    call = next(call for calls in TRACKERS.values() for call in calls if call["action"] == "action_show_balance")
    async with Wallet.open(f"sqlite:///{database('forged')}", secret=SECRET) as wallet:
        for forged in (wallet.sign_actor(1, "another"), "1", "1.00", "", None):
            tracker = {**call["tracker"], "slots": {**call["tracker"]["slots"], "actor": forged}}
            with using(wallet):
                result = await actions.run("action_show_balance", tracker)
            assert [name for name, _ in result.replies] == ["utter_refused_not_logged_in"]


def _with_times_of(first: ActionResult, second: ActionResult) -> ActionResult:
    """Give the second answer with the first one's times, where both are times and close to each other."""

    def joined(one: Any, other: Any) -> Any:
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            return {key: joined(one[key], other[key]) for key in one}
        if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            return [joined(*pair) for pair in zip(one, other, strict=True)]
        if isinstance(one, str) and isinstance(other, str) and one != other and _near(one, other):
            return one
        return other

    if [name for name, _ in first.replies] != [name for name, _ in second.replies]:
        return second
    pairs = zip(first.replies, second.replies, strict=True)
    return ActionResult(second.slots, tuple((name, joined(values, others)) for (name, values), (_, others) in pairs))


def _near(one: str, other: str) -> bool:
    try:
        apart = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False
    return abs(apart.total_seconds()) < _SECONDS_APART
