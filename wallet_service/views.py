"""What the wallet answers: frozen values, fen as integers, times in UTC, other people's names and phones masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

OrderStatus = Literal["proposed", "authorised", "posted", "voided", "expired", "cancelled", "refused"]


@dataclass(frozen=True, slots=True)
class Person:
    """A user. ``level`` is the e-CNY class (4: phone only … 1: seen at the counter); ``name`` is empty until verified.

    ``status`` is active, frozen (``frozen_by`` owner, risk or agent), closing (until ``closes_at``) or closed.
    """

    id: int
    name: str
    phone_masked: str
    name_masked: str
    level: int
    status: str
    default_city: str
    cities: tuple[str, ...]
    frozen_by: str = ""
    closes_at: datetime | None = None
    email_masked: str = ""


@dataclass(frozen=True, slots=True)
class PayeeMatch:
    """A wallet that a payee's name, phone or number led to; ``known`` tells the user's own contacts."""

    wallet_id: str
    name_masked: str
    phone_masked: str
    city: str
    known: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """Fen in one wallet: ``available`` may be spent now, ``held`` is reserved."""

    city: str
    wallet_id: str
    available: int
    held: int
    status: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Card:
    """A bound bank card: its bank, the last four digits of its number, and whether it is a ``debit`` or a ``credit`` card."""

    id: int
    bank: str
    last_four: str
    kind: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Bill:
    """What a household owes a biller for a month (yyyymm), in fen; ``under_way`` once it is confirmed and not yet paid.

    ``service`` is water, electricity, gas or phone; of the number that the biller knows the household by, only the end shows.
    """

    id: int
    service: str
    biller: str
    customer_no_masked: str
    month: int
    amount: int
    under_way: bool


@dataclass(frozen=True, slots=True)
class Period:
    """Days in Asia/Shanghai, the end exclusive."""

    start: date
    end: date


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One movement as its owner sees it: ``amount`` in fen, negative when money left. ``id`` is the cursor for ``before``."""

    id: int
    order_id: int
    kind: str
    amount: int
    counterparty: str
    note: str
    at: datetime
    status: str
    balance_after: int
    city: str


@dataclass(frozen=True, slots=True)
class Order:
    """A proposed or finished movement of money, as its payer sees it; amounts in fen, ``delay`` in seconds.

    ``refusal`` is the error code of a refused or voided order, ``warnings`` are the risk rules that its payer is to be told of,
    ``second`` says whether a second factor is ``needed`` or ``proven``. An authorised order holds its money until ``due_at``,
    or until the channel outside has answered (``outside_state``: waiting, unknown, done, refused).
    """

    id: int
    kind: str
    status: OrderStatus
    amount: int
    fee: int
    city: str
    payee_wallet: str
    payee_city: str
    payee_name_masked: str
    payee_phone_masked: str
    note: str
    created_at: datetime
    expires_at: datetime
    tries_left: int
    method: str
    delay: int
    due_at: datetime | None
    second: str
    warnings: tuple[str, ...]
    refunded: int
    outside_state: str
    posted_amount: int | None
    posted_at: datetime | None
    receipt_no: str | None
    refusal: str | None

    @property
    def recallable(self) -> bool:
        """Tell whether its payer may call it back: confirmed, on its way, and nobody outside at work on it."""
        return self.status == "authorised" and self.delay > 0 and not self.outside_state


@dataclass(frozen=True, slots=True)
class Booked:
    """A movement that was posted: its order, its receipt's number, and when."""

    order_id: int
    receipt_no: str
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What would come of a command: its ``fee`` and ``total`` in fen, or the ``refusal`` (an error's code) with its ``facts``.

    ``delay`` is in seconds, ``warnings`` are the risk rules that the payer is to be told of; a family name is not asked.
    """

    allowed: bool
    refusal: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    fee: int | None = None
    total: int | None = None
    second: bool = False
    delay: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a wallet may still pay out, in fen, by each rule; ``most`` is the largest transfer that passes all of them now.

    ``code_left`` may be confirmed by the order's code alone; beyond it a second factor is asked, and ``second`` tells whether
    the person has set one up. ``lifted_by`` names the intent that raises the class's limits, or is None. ``status`` is the
    person's: only who is ``active`` may pay at all.
    """

    city: str
    level: int
    status: str
    available: int
    most: int
    single_limit: int
    day_limit: int
    day_used: int
    day_left: int
    year_limit: int
    year_used: int
    year_left: int
    balance_limit: int
    static_limit: int
    static_left: int
    code_limit: int
    code_left: int
    second: bool
    day_resets_at: datetime
    year_resets_at: datetime
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class LoginChallenge:
    """A login that waits for the code sent to a phone."""

    id: str
    phone_masked: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Binding:
    """A door or device that a person is logged in at; ``label`` is what the door calls itself, empty if it does not."""

    id: int
    channel: str
    label: str
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps an account from being closed: ``balance`` (fen in a city), ``pending`` (orders), ``records`` or ``frozen``."""

    kind: str
    city: str = ""
    amount: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class ClosingCheck:
    """Whether an account can be closed, and the days in which its owner may then still think better of it."""

    obstacles: tuple[Obstacle, ...]
    cooling_off_days: int
    exported_at: datetime | None


@dataclass(frozen=True, slots=True)
class Login:
    """A proven phone; ``user_id`` is None when it has no wallet yet (then ``open_account``). ``name`` is the person's own."""

    user_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change that waits for the code sent to a phone; for a new mailbox, to the mailbox, and that is what is masked."""

    id: str
    phone_masked: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """A one-time page that waits to be opened; the ``id`` alone opens nothing."""

    id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuthenticatorOffer:
    """The secret of an authenticator to be set up: as the address in a QR code, and to be typed."""

    uri: str = field(repr=False)
    secret_text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TicketView:
    """A one-time page: what for, whose, and what it asks.

    ``asks`` names the answers: ``code`` (by SMS, once ``send_ticket_code`` was called), ``password`` (the present one),
    ``second`` (of the authenticator, or a recovery code), ``id_number``, ``new`` (password), ``app_code`` (of the ``offer``).
    """

    purpose: str
    person: str
    phone_masked: str
    asks: tuple[str, ...]
    expires_at: datetime
    tries_left: int
    order: Order | None
    offer: AuthenticatorOffer | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell a person by one way out (``channel``: sms, mail, doors or held, see ``notices.toml``).

    ``to`` is the phone or the mailbox, empty for a way that starts from the person. ``facts`` may hold a code: it exists only
    here, and is never logged. ``attempts`` counts the claims of this way, this one included.
    """

    id: int
    kind: str
    to: str = field(repr=False)
    channel: str
    user_id: int | None
    facts: dict[str, Any] = field(repr=False)
    created_at: datetime
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken invariant: what, where, and the figures."""

    check: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a full check of the ledger.

    ``witnessed`` is the position of the newest link that the witness outside of the database knew, None where there was no
    witness to ask: then an older copy of the whole database, rightly signed in its time, is not told from the present one.
    """

    accounts: int
    orders: int
    entries: int
    sealed: int
    faults: tuple[Fault, ...]
    witnessed: int | None = None

    @property
    def ok(self) -> bool:
        """Tell whether every invariant holds."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Reveal:
    """That somebody of the house saw a person's ``field`` (phone, name, id_number or email) unmasked, and why."""

    user_id: int
    field: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """A change of the data key: the key now in use, the rows sealed again, the keys deleted, and those that are still needed."""

    key_id: int
    resealed: int
    retired: tuple[int, ...]
    left: tuple[int, ...]
