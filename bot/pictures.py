"""What a picture holds: the first QR code in it, read in a thread."""

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
