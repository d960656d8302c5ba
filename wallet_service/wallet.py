"""The wallet: one object that everything else talks to, and that opens and closes all it needs."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL

from wallet_service import (
    authorizing,
    billing,
    booking,
    cards,
    chain,
    changes,
    following,
    logins,
    orders,
    outbox,
    people,
    previewing,
    proposing,
    reading,
    tidying,
    timers,
)
from wallet_service.account_face import AccountFace
from wallet_service.combining import Combiner, Wish
from wallet_service.commands import Command
from wallet_service.context import CodeLimit, Context, LoginLimit, utc_now
from wallet_service.database import Database, make_private_file, parse_url
from wallet_service.errors import ConfigurationError
from wallet_service.factor_face import FactorFace
from wallet_service.keys import Keys
from wallet_service.ledger import ensure_system_accounts
from wallet_service.migrations import check, current, upgrade
from wallet_service.money import Fen
from wallet_service.outside import Outside
from wallet_service.passwords import Hasher, PasswordCost
from wallet_service.privacy_face import PrivacyFace
from wallet_service.profile import Profile, packaged_profiles, profile_of
from wallet_service.randomness import Randomness
from wallet_service.timekeeping import Timekeeper
from wallet_service.vaulting import KeyWatch, open_vault
from wallet_service.verify import verify
from wallet_service.views import (
    Allowance,
    Balance,
    Bill,
    Booked,
    Card,
    Change,
    HistoryItem,
    Login,
    LoginChallenge,
    Notice,
    Order,
    PayeeMatch,
    Period,
    Person,
    Preview,
    Report,
)

T = TypeVar("T")


class Wallet(FactorFace, AccountFace, PrivacyFace):
    """Accounts, ledger, orders, logins and notices behind typed methods; made by :meth:`open`.

    ``key`` (1-255 characters) names one wish: repeated with the same content it gives the same result, with other content
    it is refused. Amounts are fen, times UTC. Every refusal is a :class:`WalletError`; see ``errors`` for the codes.
    """

    def __init__(self, context: Context, sealer: chain.Sealer, combiner: Combiner, timekeeper: Timekeeper) -> None:
        self._context = context
        self._sealer, self._combiner, self._timekeeper = sealer, combiner, timekeeper
        self._notices = timekeeper.notices

    @staticmethod
    @asynccontextmanager
    async def open(
        url: str,
        *,
        secret: str | bytes | None = None,
        clock: Callable[[], datetime] = utc_now,
        random: Randomness | None = None,
        profiles: Mapping[str, Profile] | None = None,
        login_limit: LoginLimit | None = None,
        code_limit: CodeLimit | None = None,
        password_cost: PasswordCost | None = None,
        outside: Mapping[str, Outside] | None = None,
        witness: Path | None = None,
        working: bool = True,
        seal_after: float = 0.2,
    ) -> AsyncIterator[Wallet]:
        """Open the wallet in a database: an empty one is migrated, one of another version refused.

        Without ``secret``, SQLite keeps a random one in a file beside the database, readable by its owner only;
        ``sqlite://`` without a file is a temporary database with a passing secret. ``seal_after`` is in seconds.
        ``witness`` is a file that keeps the chain's newest head outside of the database, so that an older copy of it is noticed:
        beside the file of SQLite if none is named, none for PostgreSQL. ``outside`` are the channels to a ``bank`` and a
        ``biller``. Without ``working`` nothing is sealed and nothing that is due is done: for whoever only checks.
        """
        location, folder = _locate(parse_url(url))
        try:
            keys = Keys(secret if secret is not None else _kept_secret(location, temporary=folder is not None))
            database = Database.connect(location)
            try:
                await _prepare(database)
                vault = await open_vault(database, keys, random or Randomness(), clock)
                shown = profiles if profiles is not None else packaged_profiles()
                limits = login_limit or LoginLimit(), code_limit or CodeLimit(), Hasher(keys, password_cost), outside or {}
                context = Context(
                    database, keys, vault, shown, clock, random or Randomness(), *limits, witness=_witness(location, witness)
                )
                await ensure_system_accounts(context)
                watch, sealer, combiner = KeyWatch(database, vault, clock), chain.Sealer(context, seal_after), Combiner(context)
                timekeeper = Timekeeper(context, combiner, sealer)
                watch.start()
                try:
                    if working:
                        await chain.begin(context)
                        sealer.start()
                        timekeeper.start()
                    yield Wallet(context, sealer, combiner, timekeeper)
                finally:
                    await timekeeper.stop()
                    await combiner.close()
                    await sealer.stop()
                    await watch.stop()
            finally:
                await database.close()
        finally:
            if folder is not None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    @property
    def database(self) -> Database:
        """The database, for the other tables that live beside the wallet's."""
        return self._context.database

    @property
    def context(self) -> Context:
        """The parts, for this package's own tools (demo data, benchmarks)."""
        return self._context

    # Identity

    def sign_actor(self, user_id: int, conversation: str) -> str:
        """Make the token that proves who acts in a conversation."""
        return self._context.keys.sign_actor(user_id, conversation)

    def verify_actor(self, token: str, conversation: str) -> int:
        """Give the user id that a token proves, or refuse with ``not_logged_in``."""
        return self._context.keys.verify_actor(token, conversation)

    async def start_login(self, phone: str, *, key: str, door: str | None = None) -> LoginChallenge:
        """Send a login code to a phone, registered or not; ``door`` names the end of a channel that asks for it."""
        challenge = await logins.start_login(self._context, phone, key=key, door=door)
        self._notices.set()
        return challenge

    async def resend_login_code(self, challenge_id: str, *, key: str) -> LoginChallenge:
        """Send a new code for a login that waits; the old one is dead."""
        challenge = await logins.resend_login_code(self._context, challenge_id, key=key)
        self._notices.set()
        return challenge

    async def finish_login(self, challenge_id: str, code: str, *, key: str) -> Login:
        """Take the code of a login."""
        login = await logins.finish_login(self._context, challenge_id, code, key=key)
        self._notices.set()
        return login

    async def open_account(self, challenge_id: str, *, city: str, key: str) -> Person:
        """Open the first wallet of a phone that a login has proven."""
        return await logins.open_account(self._context, challenge_id, city=city, key=key)

    async def open_wallet(self, user_id: int, city: str, *, key: str) -> Person:
        """Open a further wallet in another city."""
        return await logins.open_wallet(self._context, user_id, city, key=key)

    async def person(self, user_id: int) -> Person:
        """Show a person to themselves."""
        return await people.person(self._context, user_id)

    async def contact_names(self, user_id: int) -> tuple[str, ...]:
        """Give the names that a person keeps their contacts under."""
        return await people.contact_names(self._context, user_id)

    async def find_payees(self, user_id: int, text: str, *, city: str) -> tuple[PayeeMatch, ...]:
        """Find the wallets that a contact's name, a phone or a wallet number means, from a wallet in ``city``."""
        return await people.find_payees(self._context, user_id, text, city=city)

    # Changes

    async def start_change(self, user_id: int, purpose: changes.Purpose, *, key: str) -> Change:
        """Send the code that proves a change to the person's own phone; begun anew, the old code is dead."""
        change = await changes.start_change(self._context, user_id, purpose, key=key)
        self._notices.set()
        return change

    async def prove_change(self, user_id: int, change_id: str, code: str, *, key: str) -> None:
        """Take the code of a change; the proof is good for one change of its kind, for ten minutes."""
        try:
            await changes.prove_change(self._context, user_id, change_id, code, key=key)
        finally:
            self._notices.set()  # a lock is told too

    # Money

    async def balance(self, user_id: int, city: str | None = None) -> Balance:
        """Give what the person's wallet in a city (else their default one) holds."""
        return await reading.balance(self._context, user_id, city)

    async def cards(self, user_id: int) -> tuple[Card, ...]:
        """List the person's bound cards, the default one first."""
        return await cards.bound_cards(self._context, user_id)

    async def bills(self, user_id: int, city: str | None = None) -> tuple[Bill, ...]:
        """List what the person's households owe in a city (else in their default one), the oldest first; what is paid is not."""
        return await billing.open_bills(self._context, user_id, city)

    async def history(
        self,
        user_id: int,
        period: Period | None = None,
        *,
        city: str | None = None,
        limit: int = 10,
        before: int | None = None,
    ) -> tuple[HistoryItem, ...]:
        """Give a wallet's movements, newest first; ``before`` is the id of the last item already seen."""
        return await reading.history(self._context, user_id, period, city=city, limit=limit, before=before)

    async def held_orders(self, user_id: int, period: Period | None = None, *, city: str | None = None) -> tuple[Order, ...]:
        """Give the orders that hold money of the person's wallets: confirmed (in ``period``) and not arrived, soonest first."""
        return await following.held_orders(self._context, user_id, period, city=city)

    async def transfers(self, user_id: int, limit: int = 3, *, city: str | None = None) -> tuple[Order, ...]:
        """Give what became of the person's last transfers, newest first, without those that were taken back unconfirmed."""
        return await following.transfers(self._context, user_id, limit, city=city)

    async def allowance(self, user_id: int, city: str | None = None) -> Allowance:
        """Tell what the person's wallet may still pay out, by each rule."""
        return await previewing.allowance(self._context, user_id, city)

    async def affords(self, user_id: int, amount: Fen, city: str | None = None) -> Preview:
        """Tell whether the person's wallet could transfer a sum to somebody, or which of its own rules refuses it."""
        return await previewing.affords(self._context, user_id, amount, city)

    async def preview(self, command: Command, *, actor: int) -> Preview:
        """Tell what a command would cost, or why it would be refused, without doing it."""
        return await previewing.preview(self._context, command, actor=actor)

    async def propose(self, command: Command, *, actor: int, key: str, replaces: int | None = None) -> Order:
        """Keep an order and send the code that confirms exactly it; ``replaces`` cancels an open one with it."""
        proposed = await proposing.propose(self._context, command, actor=actor, key=key, replaces=replaces)
        self._notices.set()
        return proposed

    async def authorize(self, order_id: int, code: str, *, actor: int, key: str, second: str | None = None) -> Order:
        """Take an order's code and post it, once; one that arrives later, or that waits for a channel outside, is held.

        ``second`` is a code of the authenticator, or a recovery code, for an order that needs one and has none proven.
        """
        if second is not None:
            await self.prove_second(order_id, second, actor=actor, key=key, code=code)
        order = await self._do(authorizing.authorize(order_id, code, actor=actor, key=key))
        if order.outside_state:
            self._timekeeper.stir()
        return order

    async def recall(self, order_id: int, *, actor: int, key: str) -> Order:
        """Call a delayed order back before it arrives."""
        return await self._do(timers.recall(order_id, actor=actor, key=key))

    async def refund(self, order_id: int, amount: Fen, *, note: str = "", key: str) -> Booked:
        """Give a posted payment, or a part of it, back to its payer; the caller has the payee's word for it."""
        return await self._do(booking.refund(order_id, amount, note, key))

    async def capture(self, order_id: int, amount: Fen, *, key: str) -> Booked:
        """Post what an authorised order holds, or only a part of it."""
        return await self._do(booking.capture(order_id, amount, key))

    async def book(self, kind: str, payer: int, payee: int, amount: Fen, *, note: str = "", key: str) -> Booked:
        """Move money between two accounts by their ids, without a code: for the house's own hands only."""
        return await self._do(booking.book(kind, payer, payee, amount, note, key))

    async def _do(self, wish: Wish[T]) -> T:
        try:
            done = await self._combiner.submit(wish)
        finally:
            self._notices.set()  # a lock is told too
        self._sealer.wake()
        return done

    async def run_due(self) -> int:
        """Do now what is due: delayed orders arrive, channels outside are asked, accounts close; give how many that were."""
        return await self._timekeeper.run_due()

    async def resend_code(self, order_id: int, *, actor: int, key: str) -> Order:
        """Send a new code for an open order; the old one is dead."""
        fresh = await orders.resend_code(self._context, order_id, actor=actor, key=key)
        self._notices.set()
        return fresh

    async def cancel(self, order_id: int, *, actor: int, key: str) -> Order:
        """Cancel an open order."""
        return await orders.cancel(self._context, order_id, actor=actor, key=key)

    async def order(self, order_id: int, *, actor: int) -> Order:
        """Show an order to its payer."""
        return await orders.order(self._context, order_id, actor)

    # Notices

    async def claim_notices(self, limit: int = 20, *, way: str | None = None) -> tuple[Notice, ...]:
        """Take notices that are due by one way out (or by any of ``WAYS``), for a minute."""
        return await outbox.claim_notices(self._context, limit, way)

    async def wait_for_notices(self, timeout: float) -> None:  # noqa: ASYNC109 (the wait itself is the wish here)
        """Sleep until this process writes a notice, at most ``timeout`` seconds (other processes write some too)."""
        try:
            await asyncio.wait_for(self._notices.wait(), timeout)
        except TimeoutError:
            return
        self._notices.clear()

    async def notice_sent(self, notice_id: int) -> None:
        """Mark a notice as delivered."""
        await outbox.notice_sent(self._context, notice_id)

    async def notice_failed(self, notice_id: int, retry_at: datetime | None) -> bool:
        """Let an undelivered notice come again at ``retry_at``, or never (None); tell whether it will: each try is counted."""
        return await outbox.notice_failed(self._context, notice_id, retry_at)

    async def tidy(self) -> None:
        """Remove what nobody asks for any more: keys and notices that were over a week ago."""
        await tidying.tidy(self._context)

    # The books

    @property
    def chain_fault(self) -> str | None:
        """Why nothing is sealed any more, for whoever watches over the service; None while all is well."""
        return self._sealer.fault

    @property
    def cities(self) -> tuple[str, ...]:
        """The cities that have a profile."""
        return tuple(self._context.profiles)

    def profile(self, city: str) -> Profile:
        """Give a city's limits, fees and features with their sources."""
        return profile_of(self._context.profiles, city)

    async def seal(self) -> int:
        """Chain what is posted and not chained yet, now; give how many entries that were."""
        return await self._sealer.seal()

    async def verify(self) -> Report:
        """Check every invariant of the ledger and the hash chain."""
        return await verify(self._context)


async def _prepare(database: Database) -> None:
    async with database.read() as connection:
        empty = await connection.run_sync(current) is None
        if not empty:
            await connection.run_sync(check)
            return
    async with database.write() as connection:  # a second process may have migrated meanwhile: upgrading again does nothing
        await connection.run_sync(upgrade)


def _locate(url: URL) -> tuple[URL, Path | None]:
    """Give a temporary file to a SQLite URL that names none."""
    if url.get_backend_name() != "sqlite" or url.database not in (None, "", ":memory:"):
        return url, None
    folder = Path(tempfile.mkdtemp(prefix="zhanggui-"))
    return url.set(database=str(folder / "wallet.db")), folder


def _witness(location: URL, named: Path | None) -> Path | None:
    """Choose the witness's file."""
    if named is not None:
        if not named.parent.is_dir():
            raise ConfigurationError(f"there is no folder {named.parent} for the ledger's witness")
        return named
    if location.get_backend_name() != "sqlite" or not location.database or location.database.startswith("file:"):
        return None
    return Path(location.database + ".head")


def _kept_secret(url: URL, *, temporary: bool) -> str:
    if temporary:
        return secrets.token_hex(32)
    if url.get_backend_name() != "sqlite" or url.database is None:
        raise ConfigurationError("a secret key is needed for this database")
    path = Path(url.database + ".key")
    if not path.exists():
        make_private_file(path, secrets.token_hex(32).encode())  # who comes second reads what the first put there
    return path.read_text("ascii").strip()
