"""The witness outside of the database: it tells an older copy from the present one, whatever stands in the copy."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.wallet_service.conftest import LIMITS, SECRET, Clock, Till, sql_on
from wallet_service import ConfigurationError, LedgerFault, Wallet, chain
from wallet_service.context import Newest
from wallet_service.errors import RolledBack
from wallet_service.keys import Keys
from wallet_service.witness import _read, _write

DATABASES = ("sqlite", "postgresql")
KEYS = Keys(SECRET)
Open = Callable[..., AbstractAsyncContextManager[Wallet]]


class Place:
    """Copies of the demo's database, and one witness beside them all."""

    def __init__(self, clock: Clock, ids: dict[str, int], witness: Path, copy: Callable[[], Awaitable[str]]) -> None:
        self.clock, self.ids, self.witness, self.copy = clock, ids, witness, copy
        self._one = asyncio.Lock()  # payers who read their codes from one outbox

    def open(self, url: str, **options: object) -> AbstractAsyncContextManager[Wallet]:
        """Open a copy as a process would."""
        options = {"witness": self.witness, **options}
        return Wallet.open(url, secret=SECRET, clock=self.clock, **LIMITS, **options)

    async def pay(self, wallet: Wallet, times: int = 1, amount: int = 100) -> None:
        """Make some transfers."""
        till = Till(wallet, self.clock, self.ids, "")
        till.key = lambda: uuid4().hex
        for _ in range(times):
            async with self._one:
                await till.transfer("王小明", "李娜", amount)

    def seen(self) -> int:
        """Give the position that the witness holds."""
        return _read(self.witness, KEYS).position


@pytest.fixture
async def place(server, demo_file, tmp_path: Path, clock: Clock) -> AsyncIterator[Place]:
    """Copies of the demo on SQLite or PostgreSQL."""
    source, ids = demo_file
    made: list[str] = []

    async def copy() -> str:
        made.append(f"w{uuid4().hex}")
        if server is None:
            shutil.copy(source, tmp_path / made[-1])
            return f"sqlite:///{tmp_path / made[-1]}"
        await sql_on(server("postgres"), f"CREATE DATABASE {made[-1]} TEMPLATE demo")
        return server(made[-1])

    yield Place(clock, ids, tmp_path / "outside" / "ledger.head", copy)
    if server is not None:
        for name in made:
            await sql_on(server("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    """A folder for the witness."""
    (tmp_path / "outside").mkdir()


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def _faults(wallet: Wallet) -> list[tuple[str, str]]:
    return [(fault.check, fault.where) for fault in (await wallet.verify()).faults]


async def test_the_witness_follows_the_chain(place) -> None:
    """It is written while the wallet is open, for its owner's eyes only, and holds the last position at the end."""
    async with place.open(await place.copy()) as wallet:
        await until(place.witness.exists)
        first = place.seen()
        assert stat.S_IMODE(place.witness.stat().st_mode) == 0o600
        await place.pay(wallet)
        await until(lambda: place.seen() == first + 1)
        await place.pay(wallet, 2)
    assert place.seen() == first + 3
    assert [path.name for path in place.witness.parent.iterdir()] == ["ledger.head"]


async def test_it_is_not_written_with_every_posting(place, monkeypatch) -> None:
    """Within the second after one writing there is no other; the last one at the end is not forgotten."""
    monkeypatch.setattr(chain, "_SHOW", 3600.0)
    async with place.open(await place.copy(), seal_after=0.01) as wallet:
        await until(place.witness.exists)
        first = place.seen()
        for _ in range(3):
            await place.pay(wallet)
            await until(lambda: wallet.context.newest.position > first)
            assert place.seen() == first
    assert place.seen() == first + 3


async def test_an_older_copy_is_refused(place, caplog) -> None:
    """A database as it was before the last payments is whole and rightly signed; nothing is sealed on it, and verify says why."""
    async with place.open(await place.copy()) as wallet:
        await place.pay(wallet, 3)
    newest = place.seen()
    async with place.open(await place.copy()) as older:
        await until(lambda: older.chain_fault)
        assert "gone back" in older.chain_fault
        await place.pay(older)
        with pytest.raises(RolledBack):
            await older.seal()
        report = await older.verify()
        assert [(fault.check, fault.where) for fault in report.faults] == [("rolled_back", f"link {newest}")]
        assert report.sealed == report.entries - 1
    assert place.seen() == newest
    assert "CRITICAL" in caplog.text


async def test_another_history_is_refused(place) -> None:
    """An older copy that went on without the witness, longer than the right one by now, is not the one that was seen."""
    async with place.open(await place.copy()) as wallet:
        await place.pay(wallet)
    newest, other = place.seen(), await place.copy()
    async with place.open(other, witness=place.witness.with_name("another")) as wallet:
        await place.pay(wallet, 5, amount=200)
        assert await _faults(wallet) == []
    async with place.open(other) as wallet:
        with pytest.raises(RolledBack):
            await wallet.seal()
        assert await _faults(wallet) == [("rolled_back", f"link {newest}")]
    assert place.seen() == newest


async def test_an_empty_database_in_place_of_a_full_one_is_refused(place, server, tmp_path) -> None:
    """Nothing at all is an older copy too."""
    async with place.open(await place.copy()) as wallet:
        await wallet.seal()
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    if server is not None:
        name = f"w{uuid4().hex}"
        await sql_on(server("postgres"), f"CREATE DATABASE {name}")
        url = server(name)
    async with place.open(url) as empty:
        await until(lambda: empty.chain_fault)
        assert [check for check, _ in await _faults(empty)] == ["rolled_back"]
    if server is not None:
        await sql_on(server("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


async def test_who_only_checks_sees_it_and_writes_nothing(place) -> None:
    """``working=False`` finds the older copy, and leaves no witness where there was none."""
    async with place.open(await place.copy(), working=False) as wallet:
        assert await _faults(wallet) == []
    assert not place.witness.exists()
    async with place.open(await place.copy()) as wallet:
        await place.pay(wallet)
    async with place.open(await place.copy(), working=False) as older:
        assert [check for check, _ in await _faults(older)] == ["rolled_back"]


async def test_a_rollback_under_an_open_wallet_is_seen(till) -> None:
    """Without any witness the process itself remembers, and verify asks it too."""
    await till.transfer("王小明", "李娜", 100)
    await till.wallet.seal()
    newest = till.wallet.context.newest.position
    till.wallet.context.newest.see(Newest(newest + 1, b"x" * 32))
    assert await _faults(till.wallet) == [("rolled_back", f"link {newest + 1}")]


@pytest.mark.parametrize("spoil", ["", "5", "x y z", "300 00 11\n", "forged", "another position"])
async def test_a_witness_that_is_not_ours_stops_the_sealing(place, spoil) -> None:
    """Neither a garbled nor a forged witness is taken for none; once it is put right, sealing goes on by itself."""
    url = await place.copy()
    async with place.open(url) as wallet:
        await place.pay(wallet)
    right = place.witness.read_text()
    position, digest, signature = right.split()
    texts = {
        "forged": f"{position} {digest} {Keys('another secret of somebody').mac('witness', b'').hex()}\n",
        "another position": f"{int(position) - 1} {digest} {signature}\n",
    }
    place.witness.write_text(texts.get(spoil, spoil))
    async with place.open(url) as wallet:
        await until(lambda: wallet.chain_fault)
        assert "witness ledger.head" in wallet.chain_fault
        assert await _faults(wallet) == [("witness", "head")]
        with pytest.raises(LedgerFault):
            await wallet.seal()
        place.witness.write_text(right)
        await place.pay(wallet)
        await until(lambda: wallet.chain_fault is None)
        assert await _faults(wallet) == []
    assert place.seen() == int(position) + 1


async def test_who_removes_the_witness_may_go_back(place) -> None:
    """That is how an operator puts a back-up in place on purpose."""
    async with place.open(await place.copy()) as wallet:
        await place.pay(wallet, 2)
    newest = place.seen()
    place.witness.unlink()
    async with place.open(await place.copy()) as older:
        await older.seal()
        assert await _faults(older) == []
    assert place.seen() == newest - 2


async def test_two_processes_share_a_witness(place) -> None:
    """Both post, seal and check at once: no false alarm, and at the end the witness has seen all."""
    url = await place.copy()
    async with place.open(url, seal_after=0.01) as one, place.open(url, seal_after=0.01) as two:

        async def work(wallet: Wallet) -> None:
            for _ in range(5):
                await place.pay(wallet)
                await wallet.seal()
                assert await _faults(wallet) == []

        await asyncio.gather(work(one), work(two))
        assert (one.chain_fault, two.chain_fault) == (None, None)
        newest = max(one.context.newest.position, two.context.newest.position)
    assert place.seen() == newest


async def test_a_witness_needs_its_folder(place) -> None:
    """A path that cannot be is a setting's fault, told at the start."""
    with pytest.raises(ConfigurationError, match="no folder"):
        async with place.open(await place.copy(), witness=place.witness.parent / "none" / "head"):
            pass


async def test_a_witness_that_cannot_be_written_stops_nobody(place, monkeypatch, caplog) -> None:
    """A full disk is told in the log; sealing goes on, and the next second tries again."""
    real = _write

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "_SHOW", 0.05)
    monkeypatch.setattr("wallet_service.witness._write", full)
    async with place.open(await place.copy()) as wallet:
        await place.pay(wallet)
        await until(lambda: "witness could not be kept: OSError" in caplog.text)
        assert wallet.chain_fault is None
        monkeypatch.setattr("wallet_service.witness._write", real)
        await until(place.witness.exists)


async def test_verify_says_whether_there_was_a_witness(place, server) -> None:
    """The report names how far the witness knew; without one it says so, since an older copy would pass."""
    url = await place.copy()
    async with place.open(url) as wallet:
        await place.pay(wallet)
        await wallet.seal()
        assert (await wallet.verify()).witnessed == place.seen() > 0
    async with place.open(url, witness=place.witness.with_name("another"), working=False) as wallet:
        assert (await wallet.verify()).witnessed is None
    if server is not None:
        async with place.open(url, witness=None) as wallet:
            await wallet.seal()
            assert (await wallet.verify()).witnessed is None


def test_it_never_goes_back(tmp_path: Path) -> None:
    """A slower process with an older head does not overwrite a newer one."""
    path = tmp_path / "head"
    for position in (5, 7, 6, 7, 1):
        _write(path, KEYS, Newest(position, bytes([position]) * 32))
    assert _read(path, KEYS) == Newest(7, bytes([7]) * 32)
    assert set(tmp_path.iterdir()) == {path, tmp_path / "outside"}


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
async def test_sqlite_has_one_beside_its_file(till) -> None:
    """Without being asked: ``wallet.db.head``."""
    await until(Path(f"{till.path}.head").exists)
    await till.wallet.seal()
    assert _read(Path(f"{till.path}.head"), KEYS).position == till.wallet.context.newest.position
