"""Repair lies in a data file: editing patterns.yml changes what the bot does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.app import PATTERNS
from bot.dialogue.source import SourceError
from nlu import Interpreter
from tests.bot.talk import WANG, Talk
from tests.conftest import OpenDemo

Edit = Callable[[dict[str, Any]], None]


def edited(folder: Path, edit: Edit) -> Path:
    """Write a changed copy of patterns.yml."""
    data = yaml.safe_load(PATTERNS.read_text(encoding="utf-8"))
    edit(data["flows"])
    path = folder / "patterns.yml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


async def test_an_unchanged_copy_changes_nothing(open_demo: OpenDemo, tmp_path: Path) -> None:
    """What the copies below do differently comes from the edit, not from the copying."""
    async with open_demo(patterns=edited(tmp_path, lambda flows: None)) as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        assert "谢" not in await talk.say("给李娜转10块", "谢谢")
        assert "咱们接着办转账" in talk.words()
        assert "转账已取消" in await talk.say("取消")


async def test_other_words_for_a_pattern(open_demo: OpenDemo, tmp_path: Path) -> None:
    """A cancelled flow is answered with the words that the file names."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_cancel_flow"]["steps"][-1] = {"action": "utter_restarted"}

    async with open_demo(patterns=edited(tmp_path, edit)) as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        assert "重新来" in await talk.say("给李娜转账", "取消")
        assert "已取消" not in talk.words()


async def test_one_more_step_in_a_pattern(open_demo: OpenDemo, tmp_path: Path) -> None:
    """A small talk that also shows what can be done: one step more, one reply more."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_chitchat"]["steps"].insert(1, {"action": "utter_ask_help"})

    async with open_demo(patterns=edited(tmp_path, edit)) as app:
        talk = Talk(app)
        await talk.say("谢谢")
        assert len(talk.outcome.replies) == 2
        assert "转人工" in talk.buttons()


async def test_a_threshold_in_a_condition(open_demo: OpenDemo, tmp_path: Path, interpreter: Interpreter) -> None:
    """A person is offered when the file says so: here after the first message that was not understood."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_cannot_handle"]["steps"][0]["next"][0]["if"] = "context.misses > 0"

    nonsense = ("qwrtp zxcvb", "%%%%", "哇啦哇啦叽里呱啦", "zzz yyy xxx", "ⱷⱷⱷ")
    least = min(nonsense, key=lambda text: float(interpreter.parse(text)["intent"]["confidence"]))
    async with open_demo(patterns=edited(tmp_path, edit)) as app:
        assert "请一位同事" in await Talk(app).say(least)
    async with open_demo() as app:
        words = await Talk(app).say(least)
        assert "没听明白" in words
        assert "请一位同事" not in words


async def test_another_intent_for_a_pattern(open_demo: OpenDemo, tmp_path: Path) -> None:
    """A pattern may be started by another intent: thanks now end what is open."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_chitchat"]["nlu_trigger"].remove({"intent": "thank"})
        flows["pattern_cancel_flow"]["nlu_trigger"].append({"intent": "thank"})

    async with open_demo(patterns=edited(tmp_path, edit)) as app:
        talk = Talk(app)
        await talk.log_in(WANG)
        assert "转账已取消" in await talk.say("给李娜转10块", "谢谢")


async def test_a_new_pattern_made_of_what_there_is(open_demo: OpenDemo, tmp_path: Path) -> None:
    """A link sends one pattern into another: thanks now bring a person."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_chitchat"]["nlu_trigger"].remove({"intent": "thank"})
        flows["pattern_thanked"] = {
            "description": "x",
            "nlu_trigger": [{"intent": "thank"}],
            "steps": [{"action": "utter_thank"}, {"link": "pattern_human_handoff"}],
        }

    async with open_demo(patterns=edited(tmp_path, edit)) as app:
        talk = Talk(app)
        words = await talk.say("谢谢")
        assert "已为您转人工" in words
        assert "排在第一位" in words


async def test_a_broken_edit_stops_the_start(open_demo: OpenDemo, tmp_path: Path) -> None:
    """A step that names no reply is refused before anybody is served."""

    def edit(flows: dict[str, Any]) -> None:
        flows["pattern_restart"]["steps"][-1] = {"action": "utter_nothing_like_it"}

    with pytest.raises(SourceError, match=r"patterns\.yml:\d+: .*utter_nothing_like_it"):
        async with open_demo(patterns=edited(tmp_path, edit)):
            pass
