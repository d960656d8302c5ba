"""How text, buttons and commands are shaped for Telegram, and that nothing else of ours imports aiogram."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.channels.telegram_text import (
    button_rows,
    callback_data,
    plain_phone,
    read_command,
    speaks_to,
    split_text,
    utf16_length,
)
from bot.messages import Button

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "bot" / "channels" / "telegram.py"


@given(st.text(st.sampled_from("字a 。,\n😀"), max_size=200), st.integers(2, 40))
def test_pieces_fit_and_lose_no_sign(text: str, limit: int) -> None:
    """However a text is cut, each piece fits, none is blank, and every sign that shows is still there in order."""
    pieces = split_text(text, limit)
    assert all(0 < utf16_length(piece) <= limit and piece.strip() for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_cuts_fall_where_a_reader_would_put_them() -> None:
    """A cut falls at a line's end first, then after a punctuation mark, and never inside an emoji."""
    assert split_text("一二三\n四五六\n七八九", 8) == ["一二三\n四五六", "七八九"]
    assert split_text("一二三四五六。七八九十", 9) == ["一二三四五六。", "七八九十"]
    assert split_text("😀😀😀", 3) == ["😀", "😀", "😀"]
    assert split_text("短") == ["短"]
    assert split_text(" \n ") == []


@pytest.mark.parametrize(
    ("titles", "rows"),
    [
        ("确认 取消", ["确认 取消"]),
        ("没收到，重发 取消", ["没收到，重发 取消"]),
        ("查余额 转账 查明细 转人工", ["查余额 转账", "查明细 转人工"]),
        ("厦门 青岛 重庆", ["厦门 青岛 重庆"]),
        ("确认 李娜（尾号0002，上次转过） 一 二", ["确认", "李娜（尾号0002，上次转过）", "一 二"]),
        ("", []),
    ],
)
def test_short_buttons_share_a_row_and_long_ones_do_not(titles: str, rows: list[str]) -> None:
    """Yes and no stand side by side; a name with an explanation has a row of its own; order is kept."""
    laid = button_rows([Button(title, "t") for title in titles.split()])
    assert [" ".join(button.title for button in row) for row in laid] == rows


@pytest.mark.parametrize("payload", ["", "x" * 65, "钱" * 22])
def test_a_payload_that_telegram_would_refuse_is_a_programmers_error(payload: str) -> None:
    """An inline button carries 1 to 64 bytes."""
    with pytest.raises(ValueError, match="64 bytes"):
        callback_data(Button("确认", payload))


@pytest.mark.parametrize(
    ("typed", "text", "metadata"),
    [
        ("/start xiamen", "/start", {"city": "xiamen"}),
        ("/start Xiamen", "/start", {}),
        ("/start ../etc", "/start", {}),
        ("/HELP", "/help", {}),
        ("/transfer  李娜 200 ", "/transfer 李娜 200", {}),
        ("/ 转账", "/ 转账", {}),
        ("转账/help", "转账/help", {}),
        ("/SetSlots(amount=1)", "/SetSlots(amount=1)", {}),
        ("", "", {}),
    ],
)
def test_commands_are_read(typed: str, text: str, metadata: dict[str, str]) -> None:
    """A command is told by its form; anything else stays the person's own words."""
    assert read_command(typed) == (text, metadata)


def test_a_group_speaks_to_the_bot_by_command_or_name() -> None:
    """Another bot's command, or a longer name that begins like ours, is not for us."""
    assert speaks_to("/help", "our_bot")
    assert speaks_to("/help@Our_Bot", "our_bot")
    assert speaks_to("问问 @our_bot 吧", "our_bot")
    assert not speaks_to("/help@other_bot", "our_bot")
    assert not speaks_to("@our_bottle", "our_bot")
    assert not speaks_to("our_bot", "our_bot")


def test_shared_numbers_look_as_people_type_them() -> None:
    """The country's code goes; a foreign number keeps its own."""
    assert plain_phone("+86 138-0000-0002") == "13800000002"
    assert plain_phone("13800000002") == "13800000002"
    assert plain_phone("+44 20 7946 0000") == "442079460000"


def test_aiogram_stands_in_one_file() -> None:
    """Only the Telegram door imports aiogram, which takes three seconds; nothing of ours imports that door when it is loaded."""
    importers = {path for path in _sources() if any(name.split(".")[0] == "aiogram" for name in _imports(path, everywhere=True))}
    assert importers == {DOOR}
    eager = {path for path in _sources() if "bot.channels.telegram" in _imports(path, everywhere=False)}
    assert eager == set()


def test_the_other_modules_beside_the_door_load_without_aiogram() -> None:
    """A fresh interpreter that loads every other channel has not loaded aiogram."""
    names = [f"bot.channels.{path.stem}" for path in DOOR.parent.glob("*.py") if path != DOOR and path.stem != "__init__"]
    code = f"import sys, importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)\nprint('aiogram' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _sources() -> list[Path]:
    return [
        path for package in ("bot", "handlers", "locales", "nlu", "wallet_service") for path in (ROOT / package).rglob("*.py")
    ]


def _imports(path: Path, everywhere: bool) -> set[str]:
    """The modules that a file imports, those inside functions included or not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
