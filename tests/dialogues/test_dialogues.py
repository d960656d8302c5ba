"""Every conversation under tests/dialogues, played through the REST door with real codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from tests.conftest import Clock, OpenDemo, served
from tests.dialogues.player import Player

HERE = Path(__file__).parent
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(HERE.glob("*.yml"))
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("case", CASES)
async def test_conversation(case: dict[str, Any], open_demo: OpenDemo) -> None:
    """The conversation goes as it is written."""
    clock = Clock()
    async with open_demo(clock=clock) as app, served(app) as server, ClientSession() as session:
        await Player(app, server, session, clock).play(case)
        report = await app.wallet.verify()
        assert report.ok, report.faults


def test_no_two_conversations_are_alike() -> None:
    """No two conversations share their steps and wording, and there are enough of them, some of them long."""
    said = [tuple(str(turn) for turn in case.values[0]["turns"]) for case in CASES]
    assert len(set(said)) == len(said) >= 60
    assert len({case.values[0]["name"] for case in CASES}) == len(CASES)
    assert sum(len(turns) >= 15 for turns in said) >= 4
