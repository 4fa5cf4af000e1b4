"""How many JPEGs with missing coded data are accepted as complete, and how wrong their pixels then are.

    python -m bench.lost_data [--data FOLDER] [--pictures N] [--trials N] [--quick] [--json]

N pictures, evenly from the breast ultrasound of FOLDER (../shared/data), are written at quality 90: as greys, and as
RGB with R = G = B, as most ultrasound machines write greys; and without loss, in colour and of 12 bits.  From each 1 to
200 bytes of the coded data are taken out anywhere, or 512 made zero as where a sector of a stick is gone, or 300
overwritten with noise, and the stream is ended as it should be.  "off" are those whose pixels differ by more than a
grey level of 256 on the average.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_encode
from numpy.typing import NDArray
from PIL import Image

from bench import harness
from firmware_app.core.errors import (
    Undecodable,
)
from firmware_app.imaging.codec import codestream, deep_jpeg, jpeg
from firmware_app.imaging.dicom_source import HEADER_ERRORS

FOLDER: Final = "breast-ultrasound"
MOST_LOST: Final = 200
SECTOR: Final = 512
NOISE: Final = 300
_QUICK: Final = 10
_START_OF_SCAN: Final = b"\xff\xda"
_EOI: Final = b"\xff\xd9"
Encoder = Callable[[Image.Image], bytes]


def _lossy(mode: str, **how: Any) -> Encoder:
    def encode(image: Image.Image) -> bytes:
        out = io.BytesIO()
        image.convert(mode).save(out, "JPEG", quality=90, **how)
        return out.getvalue()

    return encode


def _lossless(mode: str, bits: int) -> Encoder:
    def encode(image: Image.Image) -> bytes:
        pixels = np.asarray(image.convert(mode), np.uint16) << (bits - 8)
        kept = pixels.astype(np.uint8) if bits == 8 else pixels
        space = "RGB" if mode == "RGB" else "GRAYSCALE"
        return bytes(jpeg8_encode(kept, bitspersample=bits, lossless=True, colorspace=space, outcolorspace=space))

    return encode


KINDS: Final[dict[str, Encoder]] = {
    "greys": _lossy("L"),
    "greys, tables of their own": _lossy("L", optimize=True),
    "greys, progressive": _lossy("L", progressive=True),
    "greys as RGB, chroma of 2 × 2 pixels": _lossy("RGB"),
    "greys as RGB, chroma of each pixel": _lossy("RGB", subsampling=0),
    "greys as RGB, tables of their own": _lossy("RGB", optimize=True),
    "lossless, greys as RGB": _lossless("RGB", 8),
    "lossless, 12 bits": _lossless("L", 12),
}


def main() -> int:
    options = _options()
    files = [path for path in sorted((options.data / FOLDER).rglob("*.png")) if "mask" not in path.name]
    if not files:
        harness.give_up(f"no pictures in {options.data / FOLDER}")
    chosen = files[:: max(1, len(files) // options.pictures)][: options.pictures]
    results = {
        f"{kind}, {what}": _of(chosen, encode, damage, options.trials)
        for kind, encode in KINDS.items()
        for what, damage in (("bytes lost", _without), ("a sector of zeros", _zeroed), ("noise", _overwritten))
    }
    print(json.dumps(results, indent=None if options.json else 2))
    return 0


def _of(
    files: list[Path], encode: Encoder, damage: Callable[[bytes, random.Random], bytes], trials: int
) -> dict[str, int | float]:
    chance, errors = random.Random(20), list[float]()
    for path in files:
        with Image.open(path) as image:
            stream = encode(image.convert("L"))
        errors += _taken(_decoded(stream), (damage(stream, chance) for _ in range(trials)))
    off = [error for error in errors if error > 1]
    return {
        "of": len(files) * trials,
        "taken for whole": len(errors),
        "off": len(off),
        "worst mean error": round(max(off, default=0.0), 1),
    }


def _taken(whole: NDArray[np.float32], streams: Iterator[bytes]) -> Iterator[float]:
    """The mean errors, in grey levels, of those *streams* that are accepted as complete."""
    for stream in streams:
        try:
            yield float(np.abs(_decoded(stream) - whole).mean())
        except (Undecodable, *HEADER_ERRORS):
            continue


def _decoded(stream: bytes) -> NDArray[np.float32]:
    """As the one frame of an object."""
    size, depth = codestream.read_size(stream), codestream.read_depth(stream)
    if size is None or depth is None:
        raise Undecodable(detail="no header")
    codestream.check_stream(stream, *size, rle=False, frame_bytes=0)
    if codestream.find_frame_header(list(codestream.iterate_segments(stream)))[0] not in codestream.LOSSLESS:
        return jpeg.decode_8_bit_jpeg(stream, depth.samples).astype(np.float32)
    pixels = deep_jpeg.decode_deep_jpeg(stream, depth.samples, 8 if depth.bits == 8 else 16)
    return pixels.astype(np.float32) / np.float32(1 << (depth.bits - 8))


def _without(stream: bytes, chance: random.Random) -> bytes:
    lost = chance.randint(1, MOST_LOST)
    at = chance.randint(_begin(stream), len(stream) - 2 - lost)
    return (stream[:at] + stream[at + lost : -2]).rstrip(b"\xff") + _EOI


def _zeroed(stream: bytes, chance: random.Random) -> bytes:
    at = chance.randint(_begin(stream), len(stream) - 2 - SECTOR)
    return stream[:at] + bytes(SECTOR) + stream[at + SECTOR :]


def _overwritten(stream: bytes, chance: random.Random) -> bytes:
    at = chance.randint(_begin(stream), len(stream) - 2 - NOISE)
    return stream[:at] + chance.randbytes(NOISE) + stream[at + NOISE :]


def _begin(stream: bytes) -> int:
    """Where the coded data of the first scan begin."""
    at = stream.index(_START_OF_SCAN)
    return at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.lost_data", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--trials", type=int, default=None, help=f"of each (default 200; with --quick {_QUICK})")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="one line")
    options = parser.parse_args()
    options.trials = options.trials or (_QUICK if options.quick else 200)
    return options


if __name__ == "__main__":
    sys.exit(main())
