"""The database away, locked, full, read-only, cut off in the middle: a typed refusal, nothing twice, and all well afterwards."""

from __future__ import annotations

import asyncio
import itertools
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.wallet_service.conftest import LIMITS, SECRET, Clock, Till, sql_on
from tests.wallet_service.steps import STEPS, Steps, marks
from tests.wallet_service.wire import Wire, wire
from wallet_service import Wallet, WalletError
from wallet_service.bench import cluster as postgres
from wallet_service.errors import ServiceUnavailable

NOTHING_DONE = {"unknown": False}


async def database_on(server: postgres.Server) -> str:
    """Make a copy of the demo's database; give its name."""
    name = f"f{uuid4().hex}"
    await sql_on(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE demo")
    return name


@pytest.fixture
async def far(
    quick_server: postgres.Server, demo_file: tuple[Path, dict[str, int]], clock: Clock
) -> AsyncIterator[tuple[Till, Wire]]:
    """The demo wallet on a PostgreSQL server at the other end of a wire that tests can cut."""
    name = await database_on(quick_server)
    folder = quick_server.folder / name[:8]  # a socket's path must be short
    folder.mkdir()
    async with wire(quick_server.folder, folder) as carrier:
        url = f"postgresql://postgres@/{name}?host={folder}"
        async with Wallet.open(url, secret=SECRET, clock=clock, working=False, **LIMITS) as wallet:
            yield Till(wallet, clock, demo_file[1], url), carrier


@pytest.fixture
async def durable(durable_server: postgres.Server, demo_file: tuple[Path, dict[str, int]], clock: Clock) -> AsyncIterator[Till]:
    """The demo wallet on a PostgreSQL server that tests stop and start."""
    url = durable_server.url(await database_on(durable_server))
    async with Wallet.open(url, secret=SECRET, clock=clock, **LIMITS) as wallet:
        yield Till(wallet, clock, demo_file[1], url)


def everything(till: Till, order_id: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Give a call of every method that needs the database."""
    wallet, actor, key = till.wallet, till.ids["王小明"], "while it was away"
    return {
        "person": lambda: wallet.person(actor),
        "contact_names": lambda: wallet.contact_names(actor),
        "find_payees": lambda: wallet.find_payees(actor, "李娜", city="xiamen"),
        "balance": lambda: wallet.balance(actor),
        "history": lambda: wallet.history(actor),
        "order": lambda: wallet.order(order_id, actor=actor),
        "claim_notices": wallet.claim_notices,
        "notice_sent": lambda: wallet.notice_sent(1),
        "notice_failed": lambda: wallet.notice_failed(1, till.clock.now),
        "tidy": wallet.tidy,
        "verify": wallet.verify,
        "seal": wallet.seal,
        "start_login": lambda: wallet.start_login("13800000003", key=key),
        "open_wallet": lambda: wallet.open_wallet(actor, "xiamen", key=key),
        "authorize": lambda: wallet.authorize(order_id, "000000", actor=actor, key=key),
        "resend_code": lambda: wallet.resend_code(order_id, actor=actor, key=key),
        "cancel": lambda: wallet.cancel(order_id, actor=actor, key=key),
    }


async def outcome(call: Awaitable[object]) -> object:
    """Give the result of a call, or the code of its refusal."""
    try:
        return await call
    except WalletError as refusal:
        return refusal.code


# --- PostgreSQL goes away and comes back ---


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_is_stopped(durable, durable_server, refused, mode) -> None:
    """Every call is refused as such, by name, and nothing is kept of it; when the server is back the same wallet goes on."""
    till, order = durable, await durable.propose("王小明", "李娜", 100)
    calls = everything(till, order.id)
    await asyncio.to_thread(durable_server.stop, mode)
    try:
        for call in calls.values():
            with refused("service_unavailable", **NOTHING_DONE):
                await call()
    finally:
        await asyncio.to_thread(durable_server.start)
    assert (await till.authorize("王小明", order, key="while it was away")).status == "posted"
    assert await till.held_by("王小明") == 499_900
    assert {name: got for name, call in calls.items() if (got := await outcome(call())) == "service_unavailable"} == {}
    assert (await till.wallet.verify()).ok


async def test_sealing_and_notices_go_on_after_an_outage(durable, durable_server, refused) -> None:
    """What was posted before is sealed, what was to be told is told, without anybody restarting anything."""
    await durable.transfer("王小明", "李娜", 100)
    await asyncio.to_thread(durable_server.stop)
    with refused("service_unavailable", **NOTHING_DONE):
        await durable.wallet.claim_notices()
    await asyncio.sleep(0.3)  # in which the sealer tries in vain
    await asyncio.to_thread(durable_server.start)
    report = await durable.wallet.verify()
    while report.sealed < report.entries:
        await asyncio.sleep(0.05)
        report = await durable.wallet.verify()
    assert (durable.wallet.chain_fault, report.faults) == (None, ())
    assert {notice.kind for notice in await durable.collect()} == {"payment_posted", "money_received"}


async def test_an_opening_without_a_server_is_refused(tmp_path) -> None:
    """By the same name, whether the socket is missing or nobody listens at the port."""
    for url in (f"postgresql://postgres@/x?host={tmp_path}", "postgresql://postgres@127.0.0.1:1/x"):
        with pytest.raises(WalletError) as refusal:
            async with Wallet.open(url, secret=SECRET):
                pass
        assert refusal.value.code == "service_unavailable"


# --- the answer of the server is lost ---


CUT = ("propose", "authorize", "resend_code", "book", "start_login", "finish_login", "open_account", "freeze")


@pytest.mark.parametrize("name", CUT)
async def test_a_wire_cut_at_every_message(far, name) -> None:
    """Wherever a connection breaks in the middle of a step, another takes over, and the step is done once."""
    till, carrier = far
    steps, step, cuts = Steps(till), STEPS[name], 0
    ahead = name == "book"  # one statement that is its own transaction: any of its messages may not even get there
    # the server does what each message in turn says, and its answer is lost; only one commit does not get there
    places = ((at, delivered) for at in itertools.count(1) for delivered in ((False, True) if ahead else (True,)))
    for at, delivered in places if ahead else itertools.chain([(b"COMMIT;", False)], places):
        given, key, before = await step.before(steps), till.key(), await marks(till, step)
        carrier.cut(at, delivered=delivered)
        result = await step.call(till.wallet, given, key)
        cut = carrier.mend()
        assert await step.call(till.wallet, given, key) == result
        assert await marks(till, step) == before + 1
        if not cut:
            break
        cuts += 1
    assert cuts > (3 if ahead else 5)
    assert (await till.wallet.verify()).ok


_AT = {
    "before the commit": (2, True, False, 0),
    "at the commit": (b"COMMIT;", False, True, 0),
    "after the commit": (b"COMMIT;", True, True, 1),
    "at the statement": (None, False, True, 0),  # of what goes ahead, which is its own transaction: it holds the key
    "after the statement": (None, True, True, 1),
}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *itertools.product(("propose", "authorize", "refund", "start_login", "open_account"), list(_AT)[:3]),
        *itertools.product(("book",), list(_AT)[3:]),
    ],
)
async def test_what_is_known_of_a_step_that_broke_off(far, name, where) -> None:
    """It is said that nothing was done, or that nobody knows; when the wire is mended the key tells, and it is done once."""
    till, carrier = far
    step, (at, delivered, unknown, done) = STEPS[name], _AT[where]
    given, key, before = await step.before(Steps(till)), till.key(), await marks(till, step)
    carrier.cut(at or key.encode(), delivered=delivered, for_good=True)
    with pytest.raises(ServiceUnavailable) as refusal:
        await step.call(till.wallet, given, key)
    assert refusal.value.facts == {"unknown": unknown}
    assert carrier.mend()
    assert await marks(till, step) == before + done
    result = await step.call(till.wallet, given, key)
    assert await step.call(till.wallet, given, key) == result
    assert await marks(till, step) == before + 1


# --- SQLite's file cannot be written ---


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    """Let another process keep the file's write lock."""
    program = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None); held.execute('BEGIN IMMEDIATE');"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            other.stdout.readline()
            yield
        finally:
            other.communicate()


async def test_a_file_locked_by_another_process(till, refused) -> None:
    """Reads go on, writes are refused when the wait is over, and the same keys work as soon as the lock is gone."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    await till.sql("PRAGMA busy_timeout = 100")  # ms
    with held_by_another_process(till.path):
        assert await till.held_by("王小明") == 500_000
        with refused("service_unavailable", **NOTHING_DONE):
            await till.authorize("王小明", order, code, key="locked")
        with refused("service_unavailable", **NOTHING_DONE):
            await till.propose("王小明", "李娜", 100)
    assert (await till.authorize("王小明", order, code, key="locked")).status == "posted"
    assert (await till.wallet.verify()).ok


async def test_a_short_lock_is_waited_for(till) -> None:
    """Another process that writes for a moment is no outage."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    with held_by_another_process(till.path):
        waiting = asyncio.create_task(till.authorize("王小明", order, code))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert (await waiting).status == "posted"


async def test_a_full_disk(till) -> None:
    """A file that cannot grow: refused as an outage, nothing is kept, and all goes on when there is room again."""
    orders = [await till.propose("王小明", "李娜", 100 + number) for number in range(3)]
    codes = [await till.code(order) for order in orders]
    await till.sql("PRAGMA max_page_count = 1")
    note, refusals = "x" * 100, 0
    for number in range(200):  # a full file still has room in its last pages
        seen = await outcome(till.propose("王小明", "李娜", 100, note=note, key=f"full/{number}"))
        refusals += seen == "service_unavailable"
        if refusals > 3:
            break
    assert refusals > 3
    assert await till.held_by("王小明") == 500_000
    await till.sql("PRAGMA max_page_count = 1073741823")
    for order, code in zip(orders, codes, strict=True):
        assert (await till.authorize("王小明", order, code)).status == "posted"
    assert (await till.wallet.verify()).ok


async def test_a_file_that_may_not_be_written(till, refused) -> None:
    """Balances are shown, nothing else is done."""
    async with Wallet.open(f"sqlite:///file:{till.path}?mode=ro&uri=true", secret=SECRET, clock=till.clock) as reader:
        assert (await reader.balance(till.ids["王小明"])).available == 500_000
        with refused("service_unavailable", **NOTHING_DONE):
            await reader.start_login("13800000001", key=till.key())
        assert (await reader.verify()).ok


async def test_a_disk_that_fails_under_the_commit(till) -> None:
    """The log cannot be written any further, in the middle of a page: whatever was said of it, the key gives one result."""
    outcomes = set()
    for number in range(12):
        order = await till.propose("王小明", "李娜", 100)
        code, key = await till.code(order), till.key()
        log = Path(f"{till.path}-wal").stat().st_size
        with longest_file(log + 16_000 * number):
            seen = await outcome(till.authorize("王小明", order, code, key=key))
        posted = await till.authorize("王小明", order, code, key=key)
        outcomes.add("the receipt" if seen == posted else seen)
    assert "service_unavailable" in outcomes <= {"service_unavailable", "the receipt"}
    assert await till.held_by("王小明") == 500_000 - 12 * 100
    assert (await till.wallet.verify()).ok


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Let this process write no file beyond a size in bytes; Python has the signal ignored that would end it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
