"""The witness: the newest head of the chain, kept outside of the database.

An older copy of a database, with its entries, links and signed head, is whole in itself; only what has seen more can tell that
it is old. One line: position, hash and a signature by the server's secret. It never goes back, and whoever puts an older
database in place on purpose removes it first.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import tempfile
from pathlib import Path

from wallet_service.context import Context, Newest
from wallet_service.errors import LedgerFault
from wallet_service.keys import Keys

log = logging.getLogger(__name__)


async def recall(context: Context) -> int | None:
    """Learn what the witness has seen, if that is more than this process has; raises ``LedgerFault`` when it is not ours.

    Gives the position that it has seen, None where there is no witness or none was ever written.
    """
    if context.witness is None:
        return None
    seen = await asyncio.to_thread(_read, context.witness, context.keys)
    if seen.position > context.newest.position:
        context.newest.see(seen)
    return seen.position or None


async def keep(context: Context) -> bool:
    """Show the witness the newest head that this process has seen; False, and a line in the log, when that failed."""
    if context.witness is None:
        return True
    try:
        await asyncio.to_thread(_write, context.witness, context.keys, Newest(context.newest.position, context.newest.hash))
    except (OSError, LedgerFault) as error:
        log.warning("the ledger's witness could not be kept: %s", type(error).__name__)
        return False
    return True


def _sign(keys: Keys, head: Newest) -> str:
    return keys.mac("witness", f"{head.position}|".encode() + head.hash).hex()


def _read(path: Path, keys: Keys) -> Newest:
    """Give what the witness has seen: nothing before it was written for the first time."""
    try:
        position, digest, signature = path.read_text("ascii").split()
        head = Newest(int(position), bytes.fromhex(digest))
    except FileNotFoundError:
        return Newest()
    except (OSError, ValueError) as error:
        raise LedgerFault(f"the witness {path.name} cannot be read ({type(error).__name__})") from None
    if not hmac.compare_digest(signature, _sign(keys, head)):
        raise LedgerFault(f"the witness {path.name} is not signed with this secret key")
    return head


def _write(path: Path, keys: Keys, head: Newest) -> None:
    """Replace the file, whole or not at all, unless another process has shown it more; only its owner may read it."""
    if head.position <= _read(path, keys).position:
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{head.position} {head.hash.hex()} {_sign(keys, head)}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
