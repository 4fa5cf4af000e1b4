"""The pixels of a picture opened by Pillow, as an array; copied in strips to limit memory to 1.5 times the pixels.

Pillow keeps a coloured pixel in four bytes and converts whole pictures.  With a phone's 50 megapixels that would leave
no memory in a decode child for the later steps.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from firmware_app.imaging.jpeg import codestream

LARGEST_PX: Final = 128 * 1024 * 1024
"""The limit for any picture: above it even a JPEG decoded at a quarter of its size takes too long for a doctor."""
DECODER_BYTES: Final = 208 * 1024 * 1024
"""How much of a picture may be in memory while its strips are copied."""
_DECODING_BYTES: Final = 288 * 1024 * 1024
"""`DECODER_BYTES` and what a decoder needs in addition."""
_STRIP_PX: Final = 1 << 20
_GREY: Final = ("1", "L", "LA")
_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
"""Bytes of a pixel in Pillow, by mode; four in any other mode."""
_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_ORIENTATION, _TIFF_SAMPLES = 258, 259, 274, 277
_TIFF_ROWS_PER_STRIP, _TIFF_STRIP_BYTES = 278, 279
_WEBP_BYTES: Final = 13
"""Bytes of a WebP pixel: two canvases of libwebp, one of Pillow, and a little for the copies between them."""


def most_px(image: Image.Image) -> int:
    """The largest number of pixels for a picture of this kind; needs only its header."""
    if image.format == "JPEG":
        kept = _coefficient_bytes(image)
    elif image.format == "WEBP":
        kept = _WEBP_BYTES
    else:
        kept = _BYTES.get(image.mode, 4)
    most = min(LARGEST_PX, int(DECODER_BYTES / kept)) if kept else LARGEST_PX
    beside = _tiff_bytes(image) if image.format == "TIFF" else 0.0
    return min(most, int(_DECODING_BYTES / (kept + beside))) if beside else most


def draft(image: Image.Image, factor: int) -> None:
    """Make Pillow decode a JPEG at half, a quarter or an eighth of its size (only its low frequencies)."""
    image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))


def of(image: Image.Image, factor: int = 1) -> NDArray[np.generic]:
    """(H, W) or (H, W, 3), the sides divided by *factor*: uint8, or the file's own type from 16 bits up."""
    image.load()
    width, height = image.size
    rows, columns = -(-height // factor), -(-width // factor)
    step = max(1, _STRIP_PX // width // factor) * factor
    pixels: NDArray[np.generic] | None = None
    for top in range(0, height, step):
        strip = _plain(image.crop((0, top, width, min(top + step, height))), factor)
        if pixels is None:
            pixels = np.empty((rows, columns, *strip.shape[2:]), strip.dtype)
        pixels[top // factor : top // factor + len(strip)] = strip
    if pixels is None:
        raise ValueError("a picture without rows")
    return pixels


def upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """*pixels* rotated and mirrored by the EXIF *orientation* (CIPA DC-008 4.6.4)."""
    turned = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _plain(strip: Image.Image, factor: int) -> NDArray[np.generic]:
    if strip.mode in _GREY:
        return _smaller(strip.convert("L"), factor)
    if strip.mode not in ("I", "F") and not strip.mode.startswith("I;16"):
        return _smaller(strip.convert("RGB"), factor)
    words = np.asarray(strip)
    if factor == 1:
        return words
    means = _smaller(Image.fromarray(words.astype(np.float32)), factor)
    return means if words.dtype.kind == "f" else np.rint(means).astype(words.dtype)


def _smaller(strip: Image.Image, factor: int) -> NDArray[np.generic]:
    return np.asarray(strip.reduce(factor) if factor > 1 else strip)


def _coefficient_bytes(image: Image.Image) -> float:
    """Bytes of coefficients that libjpeg keeps for each pixel of a JPEG with several scans; 0 for a JPEG with one."""
    if not image.info.get("progressive") and not _is_in_several_scans(image):
        return 0.0
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", ())]
    if not layers:
        return 0.0
    most = max(across for across, _ in layers) * max(down for _, down in layers)
    return float(2 * sum(across * down for across, down in layers) / max(most, 1))


def _is_in_several_scans(image: Image.Image) -> bool:
    """Whether a baseline JPEG has several scans.  As in libjpeg: its first scan has fewer components than its frame.

    Pillow has read the file up to the end of that scan's header.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return False
    read = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(read)
    scans = (start for marker, start in codestream.segments_of(head) if marker == codestream.START_OF_SCAN)
    scan = next(scans, len(head))
    return int.from_bytes(head[scan + 4 : scan + 5]) < len(getattr(image, "layer", ()))


def _tiff_bytes(image: Image.Image) -> float:
    """Bytes needed for each pixel in addition to Pillow's own: libtiff decodes whole strips (TIFF 6.0, section 3), and
    a picture with a rotated orientation is turned as a whole."""
    tags = getattr(image, "tag_v2", {})
    kept = _BYTES.get(image.mode, 4)
    turned = float(kept) if tags.get(_TIFF_ORIENTATION, 1) != 1 else 0.0
    if tags.get(_TIFF_COMPRESSION, 1) == 1:
        return turned
    bits = tags.get(_TIFF_BITS, (1,))
    sample_bytes = max(bits if isinstance(bits, tuple) else (bits,)) / 8 * tags.get(_TIFF_SAMPLES, 1)
    share = min(1.0, tags.get(_TIFF_ROWS_PER_STRIP, image.height) / max(image.height, 1))
    coded = max(tags.get(_TIFF_STRIP_BYTES, (0,)), default=0) / max(image.width * image.height, 1)
    return max(turned, float(share * sample_bytes + coded))
