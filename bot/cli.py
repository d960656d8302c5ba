"""The ``zhanggui`` command: every verb a few lines, everything heavy imported where it is used."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import math
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot import logs
from bot.config import Settings, SettingsError, read_settings
from bot.loop import run_loop

_FAULTS_OF_SETTINGS = (  # told in one line; by name, since most of what raises them is imported only when it is needed
    "ConfigurationError",
    "SchemaError",
    "SourceError",
    "DataError",
    "TelegramSetupError",
    "ServiceUnavailable",
    "InvalidPasswordError",  # as PostgreSQL says it
    "InvalidCatalogNameError",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status: 0 done, 1 a check failed, 2 wrong use or settings."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except SettingsError as fault:
        print(fault, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as fault:
        if type(fault).__name__ not in _FAULTS_OF_SETTINGS:
            raise
        cause = f"the database cannot be used: {fault.__cause__}" if type(fault).__name__ == "ServiceUnavailable" else str(fault)
        print(cause.splitlines()[0], file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zhanggui", description="A Chinese city-wallet assistant, from message to ledger.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    run = verbs.add_parser("run", help="serve every configured channel")
    run.add_argument("--demo", action="store_true", help="demo data, simulated phones, no secrets needed")
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=8080)
    run.set_defaults(run=lambda options: run_loop(_run(options)))

    chat = verbs.add_parser("chat", help="talk in the terminal, or from a pipe: one message a line")
    chat.add_argument("--demo", action="store_true")
    chat.add_argument("--user", default=None, help="a demo user's name or phone (default: the first)")
    chat.add_argument("--city", default=None)
    chat.add_argument("--json", action="store_true", help="one JSON list of replies a line")
    chat.set_defaults(run=lambda options: run_loop(_chat(options)))

    train = verbs.add_parser("train", help="build the NLU model from nlu/data")
    train.set_defaults(run=_train)

    check = verbs.add_parser("check", help="faults of nlu/data: doubles, contradictions, thin intents, unknown names")
    check.set_defaults(run=_check)

    parse = verbs.add_parser("parse", help="one JSON line in the parse form for each line of a file or of standard input")
    parse.add_argument("file", nargs="?", default="-")
    parse.set_defaults(run=_parse)

    evaluate = verbs.add_parser(
        "evaluate", help="accuracy, calibration, confusions, entities, latency on text<TAB>topic or intent"
    )
    evaluate.add_argument("file")
    evaluate.add_argument("--now", type=datetime.fromisoformat, help="when the sentences are said, with an offset from UTC (now)")
    evaluate.set_defaults(run=_evaluate)

    database = verbs.add_parser("db", help="the database").add_subparsers(required=True, metavar="upgrade|rotate-keys")
    database.add_parser("upgrade", help="migrate to this version").set_defaults(run=lambda _: run_loop(_upgrade()))
    rotate = database.add_parser("rotate-keys", help="seal all personal data under a new key, while the service runs")
    rotate.add_argument("--keep", type=_seconds, help="seconds for other processes to learn the key (0: there are none)")
    rotate.set_defaults(run=lambda options: run_loop(_rotate_keys(options)))

    ledger = verbs.add_parser("ledger", help="the books").add_subparsers(required=True, metavar="verify")
    ledger.add_parser("verify", help="check every invariant and the hash chain").set_defaults(run=lambda _: run_loop(_verify()))

    agent = verbs.add_parser("agent", help="the people at the desk").add_subparsers(required=True, metavar="add")
    add = agent.add_parser("add", help="make an agent; the password is read from the terminal or standard input")
    add.add_argument("name")
    add.add_argument("--role", default="agent", choices=("agent", "reviewer", "supervisor", "admin"))
    add.set_defaults(run=lambda options: run_loop(_add_agent(options)))

    bench = verbs.add_parser("bench", help="measure")
    bench.add_argument("what", choices=("ledger", "turns", "nlu"))
    bench.add_argument("--clients", type=_positive(int), default=None, help="concurrent callers (turns: default 1, then 8)")
    bench.add_argument("--seconds", type=_positive(float), default=5.0)
    bench.add_argument("--hot", action="store_true", help="ledger: everybody pays one account")
    bench.add_argument("--accounts", type=_positive(int, above=1), help="ledger: what one posting costs among so many wallets")
    bench.add_argument("--json", action="store_true", help="one object on the last line")
    bench.set_defaults(run=_bench)
    return parser


def _positive(kind: Callable[[str], Any], above: int = 0) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if value <= above:
            raise ValueError(text)
        return value

    read.__name__ = f"number above {above}" if above else "positive number"
    return read


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def _settings(*, demo: bool, serving: bool = True) -> Settings:
    from wallet_service import packaged_profiles

    settings = read_settings(demo=demo, cities=tuple(packaged_profiles()), serving=serving)
    logs.set_up(settings.log_level)
    return settings


async def _run(options: argparse.Namespace) -> int:
    from bot.server import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    logs.watch(loop)
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        await serve(_settings(demo=options.demo), host=options.host, port=options.port, stop=stop)
    except (OSError, OverflowError) as fault:
        raise SettingsError(
            f"cannot listen on {options.host}:{options.port}: {getattr(fault, 'strerror', None) or fault}"
        ) from fault
    return 0


async def _chat(options: argparse.Namespace) -> int:
    from bot.app import open_app
    from bot.channels.terminal import chat
    from bot.demo import demo_user, log_in

    settings = _settings(demo=options.demo)
    logs.watch(asyncio.get_running_loop())
    if options.city is not None and options.city not in (cities := _cities()):
        raise SettingsError(f"--city is {options.city!r}; it must be one of {', '.join(cities)}")
    if options.user is not None and not options.demo:
        raise SettingsError("--user works with --demo only: everybody else logs in through the chat")
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings))
        sender = secrets.token_hex(8)
        if app.phone is not None:
            await log_in(app, "terminal", sender, demo_user(options.user))
            app.phone.watch(lambda message: print(f"[{message['to']}] {message['text']}", file=sys.stderr, flush=True))
        await chat(
            _Drained(app),
            sender=sender,
            as_json=options.json,
            stdin=sys.stdin.buffer,
            stdout=sys.stdout,
            metadata={"city": options.city or settings.city},
        )
    return 0


class _Drained:
    """The engine at a terminal: what the turn sent to the phone is there before the next line is read."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle(self, inbound: Any) -> Any:
        outcome = await self._app.engine.handle(inbound)
        await self._app.courier.drain()
        return outcome

    async def claim_pushes(self, channel: str, sender: str) -> Any:
        return await self._app.engine.claim_pushes(channel, sender)


def _cities() -> tuple[str, ...]:
    from wallet_service import packaged_profiles

    return tuple(packaged_profiles())


def _train(_: argparse.Namespace) -> int:
    import nlu

    card = nlu.train().card
    print(f"{len(card.labels)} labels, thresholds {card.thresholds}, on held-out examples {card.measured}")
    return 0


def _parse(options: argparse.Namespace) -> int:
    from nlu import Interpreter

    if options.file != "-":
        _must_exist(options.file)
    interpreter = Interpreter.load()
    with sys.stdin.buffer if options.file == "-" else Path(options.file).open("rb") as source:
        for line in source:
            text = line.decode("utf-8", errors="replace").rstrip("\r\n")
            print(json.dumps(interpreter.parse(text), ensure_ascii=False), flush=True)
    return 0


def _must_exist(file: str) -> None:
    if not Path(file).is_file():
        raise SettingsError(f"there is no file {file}")


def _check(options: argparse.Namespace) -> int:
    import nlu

    faults = nlu.check()
    print("\n".join(map(str, faults)) or "no fault")
    return 1 if faults else 0


def _evaluate(options: argparse.Namespace) -> int:
    import nlu

    _must_exist(options.file)
    print(json.dumps(nlu.evaluate(Path(options.file), now=options.now).to_json(), ensure_ascii=False, indent=1))
    return 0


async def _upgrade() -> int:
    from bot.migrations import migrate as migrate_bot
    from wallet_service import Wallet, migrate

    settings = _settings(demo=False, serving=False)
    await migrate(settings.database_url)
    async with Wallet.open(settings.database_url, **settings.wallet) as wallet:
        await migrate_bot(wallet.database)
    print("the database is at this version")
    return 0


async def _rotate_keys(options: argparse.Namespace) -> int:
    from bot.migrations import TABLES, check
    from wallet_service import ROTATION_KEEP, Wallet

    settings = _settings(demo=False, serving=False)
    keep = ROTATION_KEEP if options.keep is None else options.keep
    async with Wallet.open(settings.database_url, **settings.wallet, working=False) as wallet:
        await check(wallet.database)
        done = await wallet.rotate_keys(TABLES, keep=keep)
    deleted, left = (", ".join(map(str, keys)) or "none" for keys in (done.retired, done.left))
    print(
        f"key {done.key_id} in use, {done.resealed} rows sealed again, deleted keys: {deleted}, older keys still needed: {left}"
    )
    return 1 if done.left else 0


async def _verify() -> int:
    from wallet_service import Wallet

    settings = _settings(demo=False, serving=False)
    path = urlsplit(settings.database_url).path[1:]
    if settings.database_url.startswith("sqlite") and not await asyncio.to_thread(Path(path).exists):
        raise SettingsError(f"ZHANGGUI_DATABASE_URL names {path or 'no file'}, which does not exist")
    async with Wallet.open(settings.database_url, **settings.wallet, working=False) as wallet:
        report = await wallet.verify()
    for fault in report.faults[:1]:
        print(f"FAULT {fault.check} at {fault.where}: {fault.detail}")
    print(f"{report.accounts} accounts, {report.orders} orders, {report.entries} entries, {report.sealed} sealed")
    if report.sealed and report.witnessed is None:
        print("no witness to compare with: an older copy of this database would not be noticed (see ZHANGGUI_LEDGER_WITNESS)")
    return 0 if report.ok else 1


async def _add_agent(options: argparse.Namespace) -> int:
    from bot.desk.agents import add_agent
    from bot.desk.errors import BadRequest
    from bot.migrations import check
    from locales import Locale
    from wallet_service import Wallet

    settings = _settings(demo=False, serving=False)
    asked = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    async with Wallet.open(settings.database_url, **settings.wallet) as wallet:
        await check(wallet.database)
        try:
            agent = await add_agent(wallet.database, options.name, asked, options.role)
        except BadRequest as fault:
            sentence = Locale.load().word("ui", f"desk_error_{fault.code}")
            raise SettingsError(sentence.format(**fault.facts)) from fault
    print(f"{agent.name} can log in at /desk")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from bot import bench
    from bot.config import database_url

    wanted = {name: getattr(options, name) for name in ("clients", "seconds", "hot", "accounts")}
    results = run_loop(bench.run(options.what, **wanted, url=database_url()))
    for result in results:
        print("  ".join(f"{name} {value}" for name, value in result.items()))
    if options.json:
        print(json.dumps(results[0] if len(results) == 1 else {"bench": options.what, "runs": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
