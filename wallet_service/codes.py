"""What each code is bound to: the one place that spells it out, used when a code is made, sent and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

TRIES = 5
CODE_LIFE = timedelta(minutes=5)
ORDER_CODE = "order-code"
LOGIN_CODE = "login-code"
_ORDER_FIELDS = ("actor_id", "payer_id", "payee_id", "amount", "fee")


def order_text(kind: str, order: Mapping[str, Any]) -> str:
    """Spell out what an order's code confirms; the nonce makes it this order and no other of the same content."""
    return "|".join([kind, *(str(order[name]) for name in _ORDER_FIELDS), order["nonce"].hex()])


def login_text(phone: str, nonce: bytes) -> str:
    """Spell out what a login's code confirms: this phone, in this one login."""
    return f"{phone}|{nonce.hex()}"


def typed_code(text: str) -> str:
    """Read a code as people type it: full-width digits and spaces are no mistakes."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
