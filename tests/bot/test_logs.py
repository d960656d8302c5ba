"""The log tells what went wrong and where, and repeats nothing of what it went wrong with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "13800000001"
START = "import asyncio, logging, structlog\nfrom bot import logs\nlogs.set_up('debug')\n"
WAYS = {
    "a library's trace": """
def handler(phone):
    raise ValueError(f'bad {phone}')
try:
    handler(word)
except ValueError:
    logging.getLogger('aiohttp.server').exception('Error handling request from %s', word)
""",
    "a library's words": "logging.getLogger('some.library').error('cannot send %s', word)",
    "a library's exception as the message": "logging.getLogger('some.library').error(ValueError(word))",
    "a library at debug": "logging.getLogger('aiosqlite').debug(f'executing {word}')",
    "our own trace": """
try:
    int(word + 'x')
except ValueError as error:
    structlog.get_logger().exception('turn failed')
    structlog.get_logger().error('turn failed', exc_info=error)
    logging.getLogger('nlu.interpreter').exception('a message could not be parsed')
""",
    "a cause": """
try:
    try:
        {}[word]
    except KeyError as error:
        raise RuntimeError('no ' + word) from error
except RuntimeError:
    logging.getLogger('wallet_service').warning('put off', exc_info=True)
""",
    "a task that nobody waits for": """
async def turn(word):
    raise ValueError(word)
async def main():
    logs.watch(asyncio.get_running_loop())
    asyncio.create_task(turn(word))
    await asyncio.sleep(0)
    import gc; gc.collect()
asyncio.run(main())
""",
    "a callback": """
def called(word):
    raise ValueError(word)
async def main():
    logs.watch(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(called, word)
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
}


def _logged(way: str, prepare: str = START) -> str:
    code = f"import sys\nword = sys.argv[1]\n{prepare}{way}"
    done = subprocess.run([sys.executable, "-c", code, SECRET], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_way_into_the_log_repeats_a_value(way: str) -> None:
    """Whatever fails with a phone in its hands, each line is one JSON object without it, and tells the type where one failed."""
    logged = _logged(WAYS[way])
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged.splitlines()]
    assert SECRET not in logged
    assert {"event", "level", "timestamp"} <= set().union(*lines) or way == "a library at debug"
    if "raise" in WAYS[way] or "int(" in WAYS[way]:
        assert all("Error > " in line["fault"] for line in lines)
        assert any(":" in line["fault"] for line in lines)


def test_the_ways_do_repeat_it_without_us() -> None:
    """Logged as the standard library does it, each of these lines holds the phone: the test above would see it."""
    plain = "import asyncio, logging, structlog\nlogging.basicConfig(level=logging.DEBUG)\nclass logs:\n    watch = print\n"
    for way in ("a library's trace", "a library's words", "a library's exception as the message", "a library at debug"):
        assert SECRET in _logged(WAYS[way], plain)


def test_our_own_lines_keep_their_figures() -> None:
    """What the program itself says comes whole, by either way of logging."""
    logged = _logged("structlog.get_logger().info('sent', kind='sms')\nlogging.getLogger('wallet_service.chain').error('%d', 5)")
    first, second = [json.loads(line) for line in logged.splitlines()]
    assert (first["event"], first["kind"], first["level"]) == ("sent", "sms", "info")
    assert (second["event"], second["logger"], second["level"]) == ("5", "wallet_service.chain", "error")
