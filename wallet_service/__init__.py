"""The till: accounts, a double-entry ledger in integer fen, orders confirmed by bound codes. Usable without the bot.

Everything public is named here, and explained on one page in docs/wallet.md: ``async with Wallet.open(url) as wallet:``, then
typed commands. The codes of all refusals,
with their facts, stand in ``wallet_service.errors``; demo data in ``wallet_service.demo``.
"""

from wallet_service import errors
from wallet_service.commands import Pay, PayBill, TopUp, Transfer, Withdraw
from wallet_service.context import CodeLimit, LoginLimit
from wallet_service.database import Database
from wallet_service.environment import close_environment, from_environment
from wallet_service.errors import ConfigurationError, LedgerFault, SchemaError, WalletError
from wallet_service.migrations import migrate
from wallet_service.money import Fen
from wallet_service.outside import Answer, Errand, Outside
from wallet_service.outside_http import Endpoint, connect_channels, read_endpoints
from wallet_service.passwords import PasswordCost
from wallet_service.privacy_face import ROTATION_KEEP
from wallet_service.profile import Fee, Figure, Limits, Profile, packaged_profiles
from wallet_service.randomness import Randomness
from wallet_service.records import COLUMNS as RECORD_COLUMNS
from wallet_service.vault import Sealed, SealedJson
from wallet_service.views import (
    Allowance,
    AuthenticatorOffer,
    Balance,
    Bill,
    Binding,
    Booked,
    Card,
    Change,
    ClosingCheck,
    Fault,
    HistoryItem,
    Login,
    LoginChallenge,
    Notice,
    Obstacle,
    Order,
    PayeeMatch,
    Period,
    Person,
    Preview,
    Report,
    Reveal,
    Rotation,
    Ticket,
    TicketView,
)
from wallet_service.wallet import Wallet
from wallet_service.ways import WAYS

__all__ = [
    "RECORD_COLUMNS",
    "ROTATION_KEEP",
    "WAYS",
    "Allowance",
    "Answer",
    "AuthenticatorOffer",
    "Balance",
    "Bill",
    "Binding",
    "Booked",
    "Card",
    "Change",
    "ClosingCheck",
    "CodeLimit",
    "ConfigurationError",
    "Database",
    "Endpoint",
    "Errand",
    "Fault",
    "Fee",
    "Fen",
    "Figure",
    "HistoryItem",
    "LedgerFault",
    "Limits",
    "Login",
    "LoginChallenge",
    "LoginLimit",
    "Notice",
    "Obstacle",
    "Order",
    "Outside",
    "PasswordCost",
    "Pay",
    "PayBill",
    "PayeeMatch",
    "Period",
    "Person",
    "Preview",
    "Profile",
    "Randomness",
    "Report",
    "Reveal",
    "Rotation",
    "SchemaError",
    "Sealed",
    "SealedJson",
    "Ticket",
    "TicketView",
    "TopUp",
    "Transfer",
    "Wallet",
    "WalletError",
    "Withdraw",
    "close_environment",
    "connect_channels",
    "errors",
    "from_environment",
    "migrate",
    "packaged_profiles",
    "read_endpoints",
]
