"""Hears wordings that people use while they are being defrauded."""

from __future__ import annotations

from nlu.words import words


def fraud_wordings(text: str) -> list[str]:
    """Name the schemes that a normalised message sounds like, as ``wallet_service`` names them."""
    plain = text.replace(" ", "")
    return [
        scheme
        for scheme, wordings in words("fraud").items()
        if any(all(word in plain for word in ([wording] if isinstance(wording, str) else wording)) for wording in wordings)
    ]
