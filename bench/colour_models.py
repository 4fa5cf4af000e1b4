"""How reliably RGB and YBR are told apart by the pixels alone.

    python -m bench.colour_models [--data FOLDER] [--quick] [--json]

Every ultrasound image in FOLDER (breast-ultrasound and lung-ultrasound of ../shared/data) is given to
`imaging.colour_models` three times: as RGB, as YBR_FULL, and as the YBR of a strongly compressed JPEG (quality 25).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import harness
from firmware_app.imaging import colour_models

FOLDERS: Final = ("breast-ultrasound", "lung-ultrasound")
QUALITY: Final = 25
QUICK: Final = 60


def main() -> int:
    options = _options()
    found_files = (path for name in FOLDERS for path in sorted((options.data / name).rglob("*")))
    files = [path for path in found_files if path.suffix in (".png", ".jpg") and path.parent.name != "masks"]
    verdicts: dict[str, Counter[str]] = {}
    beyond: dict[str, list[float]] = {}
    for path in files[:: max(1, len(files) // QUICK)] if options.quick else files:
        for name, samples in _stored(path).items():
            verdicts.setdefault(name, Counter())[colour_models.model_of_pixels(samples) or "undecided"] += 1
            flat = samples.reshape(-1, 3)[::7].astype(np.float32)
            beyond.setdefault(name, []).append(colour_models.out_of_range_share(flat))
    shares: dict[str, Any] = {
        name: {
            "decided as": dict(verdicts[name]),
            "share beyond RGB when taken for YBR": {
                "least": round(min(beyond[name]), 4),
                "most": round(max(beyond[name]), 4),
            },
        }
        for name in verdicts
    }
    print(json.dumps(shares, indent=None if options.json else 2))
    return 0


def _stored(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The image in each form in which a DICOM object may hold it."""
    with Image.open(path) as image:
        rgb = np.asarray(image.convert("RGB"))
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=QUALITY)
    with Image.open(out) as compressed:
        compressed.draft("YCbCr", compressed.size)
        return {"RGB": rgb, "YBR_FULL": colour_models.rgb_to_ybr_full(rgb), "YBR of a JPEG": np.asarray(compressed)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.colour_models", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--quick", action="store_true", help=f"about {QUICK} images")
    parser.add_argument("--json", action="store_true", help="one line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
