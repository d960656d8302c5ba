"""Personal data at rest: AES-GCM under data keys that the server's secret wraps, and blind indexes to look them up by.

A sealed value is one byte of format, four that name the data key, twelve of nonce, then ciphertext and tag. The field's name
is associated data: a value moved to another column does not open. Equal texts seal differently; equality is asked of the index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary, TypeDecorator
from sqlalchemy.engine import Dialect

from wallet_service.errors import ConfigurationError
from wallet_service.keys import Keys
from wallet_service.randomness import Randomness

_FORMAT, _KEY_ID, _NONCE = 1, 4, 12
_HEAD = 1 + _KEY_ID + _NONCE
KEY_BYTES = 32


@dataclass(slots=True)
class Vault:
    """The data keys of one open wallet, by their ids; what is sealed now is sealed under the newest."""

    keys: Keys
    random: Randomness
    ciphers: dict[int, AESGCM] = field(default_factory=dict, repr=False)

    def wrap(self, key_id: int, key: bytes) -> bytes:
        """Encrypt a data key for its row; only the server's secret opens it."""
        nonce = self.random.octets(_NONCE)
        return nonce + AESGCM(self.keys.mac("data-keys", b"")).encrypt(nonce, key, f"data-key|{key_id}".encode())

    def learn(self, key_id: int, wrapped: bytes) -> None:
        """Take a data key from its row."""
        try:
            key = AESGCM(self.keys.mac("data-keys", b"")).decrypt(
                wrapped[:_NONCE], wrapped[_NONCE:], f"data-key|{key_id}".encode()
            )
        except InvalidTag:
            raise ConfigurationError("the secret key is not the one that this database was made with") from None
        self.ciphers[key_id] = AESGCM(key)

    def seal(self, name: str, text: str) -> bytes:
        """Encrypt a text for the field called ``name``."""
        key_id = max(self.ciphers)
        nonce = self.random.octets(_NONCE)
        head = bytes([_FORMAT]) + key_id.to_bytes(_KEY_ID, "big")
        return head + nonce + self.ciphers[key_id].encrypt(nonce, text.encode(), head + name.encode())

    def open(self, name: str, sealed: bytes) -> str:
        """Decrypt what was sealed for the field called ``name``; anything else raises ``InvalidTag``."""
        head = sealed[: 1 + _KEY_ID]
        cipher = self.ciphers[int.from_bytes(head[1:], "big")]
        return cipher.decrypt(sealed[1 + _KEY_ID : _HEAD], sealed[_HEAD:], head + name.encode()).decode()

    def index(self, name: str, text: str) -> bytes:
        """Give a text's blind index: equal texts of one field, equal bytes, and nothing to learn from them."""
        return self.keys.mac(f"index-{name}", text.encode())


class Sealed(TypeDecorator[str]):
    """A text that is encrypted in the database; the vault comes with the engine (:class:`~wallet_service.database.Database`)."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """Seal a text on its way in."""
        return None if value is None else dialect.vault.seal(self.name, value)  # type: ignore[attr-defined]

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Open it on its way out."""
        return None if value is None else dialect.vault.open(self.name, bytes(value))  # type: ignore[attr-defined]
