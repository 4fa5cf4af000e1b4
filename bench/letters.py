"""Does the text detector find a name in a picture, and how often does it see letters where none were drawn?

``python -m bench.letters [--data DIR] [--count N]``: of ultrasound (black outside its sector, as an export is) and of
chest films, each once as it is and once with a name drawn in its middle, 14 pixels high.  Side markers and what was
burned in before count as letters: they are.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from firmware_app.imaging import ultrasound_sector
from firmware_app.imaging.text_detection import TextDetector, text_model_file
from firmware_app.packs.runtimes import onnxruntime

_NAME, _PX = "ZHANG SAN 1965", 14
_KINDS = {"ultrasound": "breast-ultrasound/images", "chest film": "chest-xray/kermany224_train"}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.letters", description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    options.add_argument("--count", type=int, default=20, metavar="N", help="pictures of each kind")
    given = options.parse_args()
    file = text_model_file()
    detector = TextDetector(onnxruntime.load(file, onnxruntime.Config(threads=1, spinning=False))) if file else None
    if detector is None:
        print("rapidocr is not installed: pip install --no-deps rapidocr")
        return 1
    print("| pictures | n | name detected | text detected without it | seconds each, one thread |")
    print("| --- | --- | --- | --- | --- |")
    for kind, folder in _KINDS.items():
        files = sorted(path for path in (given.data / folder).rglob("*") if path.suffix in (".png", ".jpeg", ".jpg"))
        chosen = random.Random(0).sample(files, min(given.count, len(files)))
        names_seen = seen = 0
        begun = time.process_time()
        for path in chosen:
            picture = _picture(path, is_ultrasound=kind == "ultrasound")
            seen += bool(detector.boxes(picture))
            names_seen += _among(detector.boxes(_named(picture)), picture)
        each = (time.process_time() - begun) / max(1, 2 * len(chosen))
        shares = " | ".join(_share(count, len(chosen)) for count in (names_seen, seen))
        print(f"| {kind} | {len(chosen)} | {shares} | {each:.1f} |", flush=True)
    return 0


def _share(count: int, of: int) -> str:
    """With Wilson's 95 % interval (1927)."""
    z = 1.959964
    middle, reach = count + z * z / 2, z * math.sqrt(count * (of - count) / of + z * z / 4)
    return f"{count} ({(middle - reach) / (of + z * z):.2f} to {(middle + reach) / (of + z * z):.2f})"


def _picture(path: Path, *, is_ultrasound: bool) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        picture = np.array(image.convert("RGB"))
        grey = np.asarray(image.convert("L"), dtype=np.float32)
    area = ultrasound_sector.detect_sector(grey) if is_ultrasound else None
    if area is not None:
        picture[area.outside] = 0
    return picture


def _named(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(_where(picture), _NAME, fill=(255, 255, 255), font_size=_PX)
    return np.array(image)


def _where(picture: NDArray[np.uint8]) -> tuple[int, int]:
    return picture.shape[1] // 4, picture.shape[0] // 2


def _among(boxes: list[tuple[int, int, int, int]], picture: NDArray[np.uint8]) -> bool:
    """Whether one of *boxes* touches the drawn name."""
    x, y = _where(picture)
    return any(x0 < x + 60 and x1 > x and y0 < y + _PX + 4 and y1 > y for x0, y0, x1, y1 in boxes)


if __name__ == "__main__":
    raise SystemExit(main())
