"""Pictures of QR codes, read and drawn in a thread."""

from __future__ import annotations

import asyncio
import io

_PIXELS = 40_000_000  # a larger picture is no photo from a phone


async def read_qr(data: bytes) -> str | None:
    """Give the text of the first QR code in a picture, or None when it has none or is no picture at all."""
    return await asyncio.to_thread(_read, data)


def _read(data: bytes) -> str | None:
    import zxingcpp  # loads a shared library: only who sends a picture pays for it
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > _PIXELS:
                return None
            found = zxingcpp.read_barcodes(picture.convert("L"), formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return found[0].text if found else None


async def draw_qr(text: str) -> bytes:
    """Give the PNG of a QR code."""
    return await asyncio.to_thread(_draw, text)


def _draw(text: str) -> bytes:
    import qrcode  # as above

    file = io.BytesIO()
    qrcode.make(text, border=2).save(file)
    return file.getvalue()
