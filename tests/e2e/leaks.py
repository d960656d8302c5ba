"""Looks for secrets in bytes, in every form in which they could stand there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """Give a text as it could stand in a file: in these encodings, wherever it begins."""
    plain = secret.encode()
    yield "utf-8", plain
    yield "utf-16-le", secret.encode("utf-16-le")
    yield "utf-16-be", secret.encode("utf-16-be")
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    for before in range(3):  # what stands before it shifts its bits; the characters at the edges hold neighbours' bits too
        whole = base64.b64encode(b"\0" * before + plain)
        inner = whole[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
        yield f"base64 after {before}", inner
        if inner != (safe := inner.replace(b"+", b"-").replace(b"/", b"_")):
            yield f"base64url after {before}", safe
    if not secret.isascii():
        escaped = json.dumps(secret)[1:-1]
        yield "JSON", escaped.encode()
        yield "JSON in capitals", escaped.upper().replace("\\U", "\\u").encode()
        yield "URL", quote(secret).encode()
        yield "GB 18030", secret.encode("gb18030")


def leaks(places: Mapping[str, bytes], secrets: Mapping[str, str], harmless: Iterable[str] = ()) -> list[str]:
    """Name what is found where, and in which form; ``harmless`` texts that stand there may look like a secret by chance."""
    found = []
    known = [text.encode() for text in harmless]
    for place, content in places.items():
        for text in known:
            content = content.replace(text, b"#")  # noqa: PLW2901
        found += [
            f"{name} in {place} as {form}" for name, secret in secrets.items() for form, what in forms(secret) if what in content
        ]
    return found
