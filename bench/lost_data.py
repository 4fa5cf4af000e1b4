"""How many JPEGs with missing coded data are accepted as complete, and how wrong their pixels then are.

    python -m bench.lost_data [--data FOLDER] [--pictures N] [--trials N] [--quick] [--json]

N pictures, evenly from the breast ultrasound of FOLDER (../shared/data), are written at quality 90: as greys, and as
RGB with R = G = B, as most ultrasound machines write greys.  From each 1 to 200 bytes of the coded data are taken out
anywhere, or 512 made zero as where a sector of a stick is gone, and the stream is ended as it should be.  "off" are
those whose pixels differ by more than a grey level on the average.
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
from numpy.typing import NDArray
from PIL import Image

from bench import harness
from firmware_app.errors import Undecodable
from firmware_app.imaging.jpeg import codestream, jpeg8
from firmware_app.imaging.source import BROKEN

FOLDER: Final = "breast-ultrasound"
MOST_LOST: Final = 200
SECTOR: Final = 512
_QUICK: Final = 10
_START_OF_SCAN: Final = b"\xff\xda"
_EOI: Final = b"\xff\xd9"
KINDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "greys": ("L", {}),
    "greys, progressive": ("L", {"progressive": True}),
    "greys as RGB, chroma of 2 × 2 pixels": ("RGB", {}),
    "greys as RGB, chroma of each pixel": ("RGB", {"subsampling": 0}),
    "greys as RGB, tables of their own": ("RGB", {"optimize": True}),
}


def main() -> int:
    options = _options()
    files = [path for path in sorted((options.data / FOLDER).rglob("*.png")) if "mask" not in path.name]
    if not files:
        harness.give_up(f"no pictures in {options.data / FOLDER}")
    chosen = files[:: max(1, len(files) // options.pictures)][: options.pictures]
    found = {
        f"{kind}, {what}": _of(chosen, mode, how, damage, options.trials)
        for kind, (mode, how) in KINDS.items()
        for what, damage in (("bytes lost", _without), ("a sector of zeros", _zeroed))
    }
    print(json.dumps(found, indent=None if options.json else 2))
    return 0


def _of(
    files: list[Path], mode: str, how: dict[str, Any], damage: Callable[[bytes, random.Random], bytes], trials: int
) -> dict[str, int | float]:
    chance, errors = random.Random(20), list[float]()
    for path in files:
        out = io.BytesIO()
        with Image.open(path) as image:
            image.convert("L").convert(mode).save(out, "JPEG", quality=90, **how)
        whole = _decoded(out.getvalue())
        errors += _taken(whole, (damage(out.getvalue(), chance) for _ in range(trials)))
    off = [error for error in errors if error > 1]
    return {
        "of": len(files) * trials,
        "taken for whole": len(errors),
        "off": len(off),
        "worst mean error": round(max(off, default=0.0), 1),
    }


def _taken(whole: NDArray[np.float32], streams: Iterator[bytes]) -> Iterator[float]:
    """The mean errors, in grey levels, of those of *streams* that are taken for whole."""
    for stream in streams:
        try:
            yield float(np.abs(_decoded(stream) - whole).mean())
        except (Undecodable, *BROKEN):
            continue


def _decoded(stream: bytes) -> NDArray[np.float32]:
    """As the one frame of an object."""
    size, depth = codestream.size(stream), codestream.depth(stream)
    if size is None or depth is None:
        raise Undecodable(detail="no header")
    codestream.check(stream, *size, rle=False, frame_bytes=0)
    return jpeg8.decode(stream, depth.samples).astype(np.float32)


def _without(stream: bytes, chance: random.Random) -> bytes:
    lost = chance.randint(1, MOST_LOST)
    at = chance.randint(_begin(stream), len(stream) - 2 - lost)
    return (stream[:at] + stream[at + lost : -2]).rstrip(b"\xff") + _EOI


def _zeroed(stream: bytes, chance: random.Random) -> bytes:
    at = chance.randint(_begin(stream), len(stream) - 2 - SECTOR)
    return stream[:at] + bytes(SECTOR) + stream[at + SECTOR :]


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
