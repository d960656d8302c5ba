"""``zhanggui bench``: turns, the ledger and understanding, measured on this machine."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import aiohttp
import aiohttp.web

from bot.app import open_app, web_application
from bot.config import Settings
from bot.demo import log_in
from bot.loop import run_loop

_WARM_UP = 20  # turns that are not counted
_LINES = 20000  # at most, for the parser


async def run(
    what: str, *, clients: int | None, seconds: float, hot: bool, accounts: int | None, url: str | None
) -> list[dict[str, Any]]:
    """Measure one thing; gives one row of figures for each number of clients."""
    if what == "turns":
        return [await _turns(count, seconds) for count in ([clients] if clients else [1, 8])]
    if what == "ledger":
        from wallet_service.bench import Plan, bench_ledger, bench_scale

        if accounts is not None:
            return await bench_scale(Plan(seconds=seconds, accounts=accounts), url=url)
        return await bench_ledger(Plan(clients or 16, seconds, hot), url=url)
    return [await asyncio.to_thread(_parses, seconds)]


async def _turns(clients: int, seconds: float) -> dict[str, Any]:
    """Ask for the balance through the REST door of a server in a process of its own, each client in its own conversation."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            server = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot.bench", str(clients), folder, stdout=asyncio.subprocess.PIPE
            )
            stack.push_async_callback(_end, server)
            url = (await server.stdout.readline()).decode().strip() if server.stdout else ""
            if not url:
                raise RuntimeError("the server under load did not start")
            session = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": "Bearer demo"}))
            question = (Path(folder) / "question").read_text("utf-8")

            async def turn(number: int) -> None:
                body = {"sender": f"client {number}", "message_id": uuid4().hex, "message": question}
                async with session.post(f"{url}/webhooks/rest/webhook", json=body) as response:
                    replies = await response.json()
                    if response.status != 200 or "¥" not in replies[0]["text"]:
                        raise RuntimeError(f"no balance: {response.status} {replies}")

            times = await _load(turn, clients, seconds)
    return {"bench": "turns", "clients": clients, **_figures(times, seconds)}


async def _end(server: asyncio.subprocess.Process) -> None:
    if server.returncode is None:
        server.kill()
    await server.wait()


async def _load(work: Callable[[int], Awaitable[None]], clients: int, seconds: float) -> list[float]:
    """Let every client work without a pause for so long; gives each turn's seconds."""
    for _ in range(_WARM_UP):
        await work(0)
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await work(number)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return times


def _parses(seconds: float) -> dict[str, Any]:
    """Parse the training sentences one after another in one thread."""
    from nlu import Interpreter
    from nlu.examples import read_corpus

    interpreter = Interpreter.load()
    interpreter.warm()
    texts = [example.text for example in read_corpus().examples][:: max(1, len(read_corpus().examples) // _LINES)]
    times: list[float] = []
    end = time.perf_counter() + seconds
    for text in texts[:: max(1, len(texts) // 2000)] * 100:
        start = time.perf_counter()
        if start > end:
            break
        interpreter.parse(text)
        times.append(time.perf_counter() - start)
    return {"bench": "nlu", **_figures(times, sum(times))}


def _figures(times: list[float], seconds: float) -> dict[str, Any]:
    cuts = quantiles(times, n=100)
    return {
        "per_second": round(len(times) / seconds, 1),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p95_ms": round(cuts[94] * 1000, 2),
        "count": len(times),
    }


async def _serve(clients: int, folder: str) -> None:
    """Be the server under load: a demo on a database file, with every client logged in."""
    settings = Settings(demo=True, database_url=f"sqlite:///{folder}/bench.db", secret_key=uuid4().hex * 2, rest_token="demo")  # noqa: S106
    async with open_app(settings) as app:
        for number in range(clients):
            await log_in(app, "rest", f"client {number}", f"139{number:08}")
        runner = aiohttp.web.AppRunner(web_application(app, base_url=""), access_log=None)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (Path(folder) / "question").write_text(app.locale.word("flow_names", "check_balance"), "utf-8")
        host, port = runner.addresses[0][:2]
        sys.stdout.write(f"http://{host}:{port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run_loop(_serve(int(sys.argv[1]), sys.argv[2]))
