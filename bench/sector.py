"""How well the ultrasound sector is detected, and how ultrasound images score at the box's limits.

    python -m bench.sector [--data FOLDER] [--json]

Screens drawn by code, whose sector is known, give the overlap with the truth; the real images in FOLDER
(breast-ultrasound and lung-ultrasound of ../shared/data) and those of pydicom's packages give the figures that
`imaging.quality_checks` and `reading.hints` are set by.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import harness
from firmware_app.core.errors import (
    ImagingError,
)
from firmware_app.imaging import image_file, keyframes, quality_checks, ultrasound_sector
from firmware_app.imaging import image_properties as ultrasound
from tests import screens

SEEDS: Final = range(12)
PICTURES: Final = (".png", ".jpg")
CLIPS: Final = (".mov", ".mp4")
Row = dict[str, float]


def main() -> int:
    options = _options()
    results: dict[str, Any] = {"overlap": _overlaps(options.quick)}
    rows, coloured = _real(options.data, options.quick)
    results["grey pictures, share in colour, largest"] = max(coloured, default=None)
    results["images"] = len(rows)
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        results[name] = {"least": min(values), "median": float(np.median(values)), "most": max(values)}
    print(json.dumps(results, indent=None if options.json else 2))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sector", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images")
    return parser.parse_args()


def _overlaps(quick: bool) -> dict[str, Row]:
    """By kind of probe and of picture: intersection over union with the true sector, least and median."""
    overlaps: dict[str, list[float]] = {}
    begun, stills = time.perf_counter(), 0
    for kind in screens.KINDS:
        for seed in list(SEEDS)[: 2 if quick else None]:
            drawn = screens.screen(kind, seed, ground=0 if seed % 2 else 14)
            for how, pixels in (("still", drawn.pixels), ("JPEG", screens.compressed(drawn.pixels))):
                area = ultrasound_sector.detect_sector(pixels.astype(np.float32))
                overlaps.setdefault(f"{kind}, {how}", []).append(screens.overlap(_mask(area, drawn), drawn.truth))
                stills += 1
            watch = ultrasound_sector.SectorDetector()
            for one in screens.clip(kind, seed, 6):
                watch.see(screens.compressed(one.pixels).astype(np.float32))
            overlaps.setdefault(f"{kind}, clip", []).append(screens.overlap(_mask(watch.sector(), drawn), drawn.truth))
    print(f"{stills} stills and {stills // 2} clips in {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return {name: {"least": min(values), "median": float(np.median(values))} for name, values in overlaps.items()}


def _mask(area: ultrasound_sector.Sector | None, drawn: screens.Screen) -> NDArray[np.bool_]:
    return area.mask if area is not None else np.zeros_like(drawn.truth)


def _real(folder: Path, quick: bool) -> tuple[list[Row], list[float]]:
    """The measures of `fitness` for every picture and for some frames of every clip, and the share in colour."""
    rows, coloured = [], []
    for path, is_picture, grey in list(_files(folder))[:: 10 if quick else 1]:
        try:
            with image_file.open_image_file(path, is_picture=is_picture) as opened:
                chosen = keyframes.spread_evenly(opened.frames, 4)
                rows += [_row(opened.grey(index)) for index in chosen]
                if grey:
                    area = ultrasound.find_sector(opened, chosen[0])
                    coloured.append(ultrasound.colour_share(opened, chosen[0], area))
        except ImagingError as error:
            print(f"left out {path.suffix} ({error.code})", file=sys.stderr)
    return rows, coloured


def _files(folder: Path) -> Iterator[tuple[Path, bool, bool]]:
    """(path, whether it is a picture and no DICOM object, whether it is known to be without colour)."""
    import pydicom.data
    import pydicom.errors

    for name in ("examples_ybr_color.dcm", "examples_jpeg2k.dcm", "examples_palette.dcm", "color3d_jpeg_baseline.dcm"):
        known = pydicom.data.get_testdata_file(name, download=False)
        if isinstance(known, str):
            yield Path(known), False, name != "examples_jpeg2k.dcm"
    for path in sorted((folder / "dicom").glob("*")):
        try:
            modality = pydicom.dcmread(path, stop_before_pixels=True).get("Modality")
        except pydicom.errors.InvalidDicomError:
            continue
        if modality == "US" and "JPEGLosslessSV1__JPEGLosslessP14SV1_1s_1f_u_16" not in path.name:
            yield path, False, False
    for part in ("breast-ultrasound/images", "lung-ultrasound"):
        for path in sorted((folder / part).glob("*")):
            if path.suffix in (*PICTURES, *CLIPS):
                yield path, True, True


def _row(frame: NDArray[np.float32]) -> Row:
    """The numbers that `quality_checks.check_fitness` compares with its limits."""
    rows, columns = frame.shape
    step = max(1, min(rows, columns) // 256)
    sampled = frame[::step, ::step].astype(np.float64)
    low, high = (float(limit) for limit in np.percentile(sampled, (0.5, 99.5)))
    sampled = np.clip((sampled - low) / (high - low), 0.0, 1.0)
    counts = np.bincount((sampled * 255).astype(np.uint8).ravel(), minlength=256)
    small = Image.fromarray(np.ascontiguousarray(frame)).resize((64, 64), Image.Resampling.BOX)
    reduced = np.clip((np.asarray(small, np.float64) - low) / (high - low), 0.0, 1.0)
    pairs = ((reduced[1:], reduced[:-1]), (reduced[:, 1:], reduced[:, :-1]))
    return {
        "shorter side": float(min(rows, columns)),
        "width by height": columns / rows,
        "greys in use": float((counts > sampled.size * 1e-4).sum()),
        "share of the commonest grey": float(counts.max() / sampled.size),
        "correlation of neighbours": min(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairs),
        "contrast left": float(reduced.std() / sampled.std()),
        "variance beyond a slope": quality_checks.variance_beyond_slope(reduced),
    }


if __name__ == "__main__":
    sys.exit(main())
