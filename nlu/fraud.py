"""Hears wordings that people use while they are being defrauded."""

from __future__ import annotations

import functools
import re

from nlu.words import one_of, words


def fraud_wordings(text: str) -> list[str]:
    """Name the schemes that a normalised message sounds like, as ``wallet_service`` names them."""
    plain = text.replace(" ", "")
    return [
        scheme
        for scheme, wordings in words("fraud").items()
        if any(all(word in plain for word in ([wording] if isinstance(wording, str) else wording)) for wording in wordings)
    ]


@functools.cache
def _wordings() -> re.Pattern[str]:
    return re.compile(one_of(word for found in words("fraud").values() for word in found if isinstance(word, str)))


def fraud_spans(text: str) -> list[tuple[int, int]]:
    """Say where such wordings stand, in which nobody is named: money to the 安全账户 is for no payee of that name."""
    return [match.span() for match in _wordings().finditer(text)]
