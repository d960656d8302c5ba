"""Everything that needs the server's secret: codes bound to what they confirm, signed actors, keyed hashes.

One secret gives one key a purpose, so that no value made for one purpose is good for another. Codes are RFC 4226 HOTP values
whose key is derived from the secret and the thing that they confirm: a code for another order, amount or payee cannot match.
"""

from __future__ import annotations

import base64
import hmac

import pyotp

from wallet_service.errors import ConfigurationError, NotLoggedIn

SHORTEST_SECRET = 16  # bytes


def hotp(key: bytes, counter: int) -> str:
    """Give the six-digit RFC 4226 value of a key at a counter."""
    return pyotp.HOTP(base64.b32encode(key).decode()).at(counter)


class Keys:
    """Derives keys from the one secret; holds nothing else and shows nothing in its repr."""

    def __init__(self, secret: str | bytes) -> None:
        raw = secret.encode() if isinstance(secret, str) else secret
        if len(raw) < SHORTEST_SECRET:
            raise ConfigurationError(f"the secret key must have at least {SHORTEST_SECRET} bytes")
        self._secret = raw
        self._derived: dict[str, bytes] = {}  # as many as there are purposes

    def mac(self, purpose: str, message: bytes) -> bytes:
        """Authenticate a message for one purpose."""
        key = self._derived.get(purpose)
        if key is None:
            key = self._derived[purpose] = hmac.digest(self._secret, b"zhanggui/" + purpose.encode(), "sha256")
        return hmac.digest(key, message, "sha256")

    def code(self, purpose: str, bound_to: str, counter: int) -> str:
        """Derive the six digits that confirm exactly what ``bound_to`` spells out."""
        return hotp(self.mac(purpose, bound_to.encode()), counter)

    def code_hash(self, salt: bytes, code: str) -> bytes:
        """Hash a code for storage: salted, and keyed, since a million guesses would undo a plain hash."""
        return self.mac("code-hash", salt + b"|" + code.encode(errors="backslashreplace"))

    def code_matches(self, salt: bytes, code: str, stored: bytes) -> bool:
        """Compare a typed code with a stored hash in constant time."""
        return hmac.compare_digest(self.code_hash(salt, code), stored)

    def sign_actor(self, user_id: int, conversation: str) -> str:
        """Make the token that says who acts in a conversation."""
        return f"{user_id}.{self.mac('actor', f'{user_id}|{conversation}'.encode()).hex()}"

    def verify_actor(self, token: str, conversation: str) -> int:
        """Give the user id of a token made for this conversation, or refuse with ``not_logged_in``."""
        head, _, _ = token.partition(".")
        if not (head.isascii() and head.isdigit() and len(head) < 19):
            raise NotLoggedIn
        if not hmac.compare_digest(self.sign_actor(int(head), conversation).encode(), token.encode()):
            raise NotLoggedIn
        return int(head)

    def public_id(self, kind: str, row: int) -> str:
        """Give a row an id for the outside that nobody can guess from another's."""
        return f"{row}.{self.mac('id-' + kind, str(row).encode()).hex()[:20]}"

    def row_of(self, kind: str, public_id: str) -> int | None:
        """Give the row behind an id made by :meth:`public_id`, or None."""
        head, _, _ = public_id.partition(".")
        if not (head.isascii() and head.isdigit() and len(head) < 19):
            return None
        return int(head) if hmac.compare_digest(self.public_id(kind, int(head)).encode(), public_id.encode()) else None
