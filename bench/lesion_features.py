"""How the computed description of a lesion is spread among benign and malignant ones, on outlines that people drew.

    python -m bench.lesion_features [--data FOLDER] [--quick]

FOLDER holds `labels.csv`, `images/` and `masks/`, as ../shared/data/breast-ultrasound.  Nothing is learnt here, and the
limits of `firmware_app/imaging/lesion_description.py` were not fitted to these images.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from bench import harness
from converters.statistics.intervals import Rate
from firmware_app.core.lesion import Feature
from firmware_app.imaging import lesion_description, lesion_outlines
from firmware_app.imaging.lesion_outlines import LEAST_CORNERS
from firmware_app.imaging.model_input import stretch

QUICK: Final = 40
_NORMAL: Final = "normal"


def described(image: Path, mask: Path) -> list[Feature]:
    """The computed features of the largest outline in *mask*, whose pixels above 127 lie inside."""
    greys = np.asarray(Image.open(image).convert("L"), np.float32)
    low, high = (float(limit) for limit in np.percentile(greys, (0.5, 99.5)))
    outline = lesion_outlines.trace_outline((np.asarray(Image.open(mask).convert("L")) > 127).astype(np.float32), 0.5)
    if len(outline) < LEAST_CORNERS:
        return []
    shown = stretch(greys, low, high)
    return [
        *lesion_description.describe_outline(outline, (1.0, 1.0)),
        *lesion_description.describe_greys(shown, outline),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    data = harness.REPOSITORY.parent / "shared" / "data" / "breast-ultrasound"
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} images of each class")
    options = parser.parse_args(arguments)
    if not (options.data / "labels.csv").exists():
        print(f"{options.data} has no labels.csv; give --data FOLDER", file=sys.stderr)
        return 1
    said: dict[str, list[Mapping[str, Feature]]] = {}
    begun = time.process_time()
    with (options.data / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            kept = said.setdefault(row["class"], [])
            if row["class"] == _NORMAL or (options.quick and len(kept) >= QUICK):
                continue
            found = described(options.data / "images" / row["file"], options.data / "masks" / row["file"])
            kept.append({feature.name: feature for feature in found})
    classes = [name for name, kept in said.items() if kept]
    images = sum(len(said[name]) for name in classes)
    print(
        f"{images} images, {1e3 * (time.process_time() - begun) / max(images, 1):.1f} ms each, their decoding included"
    )
    for name, terms in lesion_description.TERMS.items():
        for term in terms:
            shares = (_share([one[name] for one in said[kind] if name in one], term) for kind in classes)
            told = (f"{kind}: {share}" for kind, share in zip(classes, shares, strict=True))
            print(f"{name:20}{term:20}" + "   ".join(told))
    return 0


def _share(found: Sequence[Feature], term: str) -> str:
    rate = Rate(sum(one.term == term for one in found), len(found))
    low, high = rate.interval or (0.0, 1.0)
    return f"{rate.hits} of {rate.n} ({100 * low:.0f}-{100 * high:.0f} %)"


if __name__ == "__main__":
    sys.exit(main())
