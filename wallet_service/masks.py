"""What others may see of a person: the rest is starred out."""

from __future__ import annotations


def mask_name(name: str) -> str:
    """Star out the family name, and everything when there is nothing else to show."""
    return "*" + name[1:] if len(name) > 1 else "*" * len(name)


def mask_phone(phone: str) -> str:
    """Keep the first three and last four digits of a mobile number."""
    return f"{phone[:3]}****{phone[-4:]}"


def mask_email(address: str) -> str:
    """Keep the first character of the name and the host."""
    name, _, host = address.partition("@")
    return f"{name[:1]}***@{host}" if address else ""


def last_four(number: str) -> str:
    """Keep the last four digits of a card's number."""
    return number[-4:]


def mask_number(number: str) -> str:
    """Keep the last four characters of a number that is no secret but somebody's, such as a customer's."""
    return "****" + number[-4:]
