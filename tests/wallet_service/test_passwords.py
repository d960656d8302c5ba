"""Payment passwords: what may be one, and that what is kept of one is worth nothing without the server's secret."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from wallet_service import PasswordCost
from wallet_service.keys import Keys
from wallet_service.passwords import Hasher, check_own, check_password

KEYS = Keys("a secret for tests, long enough")
CHEAP = PasswordCost(rounds=1, memory=8, lanes=1)


@pytest.mark.parametrize("password", ["258046", "９０２５１７", "correct horse", "a-long-one, 掌柜", "x" * 63 + "y", "30718264"])
def test_what_may_be_a_password(password) -> None:
    """Six digits, or eight to sixty-four characters."""
    check_password(password)


@pytest.mark.parametrize("password", ["", "12", "25804", "2580461", "abcdef", "x" * 64 + "y", "bell\x07bell", "line\nline"])
def test_what_has_no_shape_of_a_password(password, refused) -> None:
    """Too short, too long, or nothing that can be typed."""
    with refused("password_shape", digits=6, shortest=8, longest=64):
        check_password(password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("111111", "repeated"),
        ("121212", "repeated"),
        ("520520", "repeated"),
        ("abcdabcd", "repeated"),
        ("123456", "sequence"),
        ("654321", "sequence"),
        ("890123", "sequence"),
        ("９８７６５４", "sequence"),
        ("112233", "sequence"),
        ("998877", "sequence"),
        ("123456789", "sequence"),
        ("168168", "common"),
        ("201314", "common"),
        ("PassWord", "common"),
        ("woaini1314", "common"),
    ],
)
def test_what_everybody_tries_first(password, reason, refused) -> None:
    """Repetitions, runs, pairs and the commonest, in any spelling."""
    with refused("password_weak", reason=reason):
        check_password(password)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("800517", "phone"),
        ("138005", "phone"),
        ("13800517264", "phone"),
        ("900307", "id_number"),
        ("199003", "id_number"),
        ("030790", "id_number"),
        ("03071990", "id_number"),
        ("071253", "id_number"),
    ],
)
def test_digits_that_are_known_of_a_person(password, reason, refused) -> None:
    """Digits of the phone or of the id number, and the birthday in another order; a stranger's are as good as any."""
    with refused("password_weak", reason=reason):
        check_own(password, phone="13800517264", id_number="350203199003071253")
    check_own(password, phone="13911112222", id_number=None)


async def test_a_password_is_kept_as_argon2id_over_a_keyed_digest() -> None:
    """The hash is salted, carries its figures, knows its person, and cannot be tried without the server's secret."""
    hasher = Hasher(KEYS, CHEAP)
    kept = await hasher.hash(1, "258046")
    assert kept.startswith("$argon2id$")
    assert "m=8,t=1,p=1" in kept
    assert kept != await hasher.hash(1, "258046")
    assert await hasher.matches(1, "２５８０４６", kept)
    assert not await hasher.matches(1, "258047", kept)
    assert not await hasher.matches(2, "258046", kept)
    assert not await Hasher(Keys("another secret, as long as it must be"), CHEAP).matches(1, "258046", kept)
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(kept, "258046")


async def test_the_figures_are_those_of_the_file() -> None:
    """Where nobody replaces it, a hash costs what RFC 9106 recommends."""
    assert "m=65536,t=3,p=4" in await Hasher(KEYS).hash(1, "258046")


async def test_no_password_is_too_strange() -> None:
    """Half a surrogate, which no encoding carries, is just a wrong password."""
    hasher = Hasher(KEYS, CHEAP)
    assert not await hasher.matches(1, "\ud800" * 9, await hasher.hash(1, "258046"))
