"""What each code is bound to: the one place that spells it out, used when a code is made, sent and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from wallet_service.keys import Keys

TRIES = 5
CODE_LIFE = timedelta(minutes=5)
ORDER_CODE = "order-code"
LOGIN_CODE = "login-code"
CHANGE_CODE = "change-code"
ASTRAY = timedelta(minutes=1)  # by how much the clocks of several workers may differ
_ORDER_FIELDS = ("actor_id", "payer_id", "payee_id", "amount", "fee", "method", "card_id", "bill_id", "refunds_id", "delay")


def order_text(kind: str, order: Mapping[str, Any]) -> str:
    """Spell out what an order's code confirms; the nonce makes it this order and no other of the same content."""
    return "|".join(map(str, (kind, *map(order.__getitem__, _ORDER_FIELDS), order["nonce"].hex())))


def is_over(until: datetime, now: datetime, life: timedelta = CODE_LIFE) -> bool:
    """Tell whether what lives for so long, until then, is over; a clock that went back to before its beginning ends it too."""
    return not until - life - ASTRAY <= now < until


def confirmation(keys: Keys, order_id: int, order: Mapping[str, Any], posted_at: datetime, amount: int) -> bytes:
    """Give the proof, kept in place of the code's hash, that exactly this order was posted, with ``amount`` fen, by us."""
    return keys.mac("confirmed", f"{order_id}|{posted_at.isoformat()}|{amount}|{order_text(order['kind'], order)}".encode())


def login_text(phone: str, nonce: bytes) -> str:
    """Spell out what a login's code confirms: this phone, in this one login."""
    return f"{phone}|{nonce.hex()}"


def change_text(purpose: str, user_id: int, to: str, nonce: bytes) -> str:
    """Spell out what a change's code confirms: this change of this person, proven by this phone or mailbox, this once."""
    return f"{purpose}|{user_id}|{to}|{nonce.hex()}"


def typed_code(text: object) -> str:
    """Read a code as people type it: full-width digits and spaces are no mistakes; what is no text is no code."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text)) if isinstance(text, str) else ""
