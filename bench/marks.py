"""How well marks in an ultrasound picture are found, how often tissue is taken for marks, and what it costs.

    python -m bench.marks [--data FOLDER] [--most N] [--quick]

FOLDER is ../shared/data.  Marks whose pixels are known are drawn (`tests.drawn_marks`) on real pictures of breasts and
livers, at the size of the files and enlarged to that of a screen before drawing.  Clean tissue: pictures drawn by code;
the outlined livers; breasts that the set calls normal.  A few of the last two carry marks of their own, so their
figures are too high rather than too low.  Images in a frozen test list are left out.

The last part asks whether acoustic shadow could be counted like marks: how much of the lesions that people outlined a
simple rule takes for shadow.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench import foreign_sets, harness
from converters.statistics.intervals import Rate
from firmware_app.imaging import ultrasound_marks
from firmware_app.imaging.pixel_operations import box_mean
from tests import drawn_marks

MOST: Final = 200
QUICK: Final = 8
BREAST: Final = "breast-ultrasound"
LIVER: Final = "liver-ultrasound"
CORNER: Final = 0.15
"""Of the width and height: the upper left corner, where this set's machine wrote its name."""
SIDES: Final = ((256, 256), (600, 800), (768, 1024))
SHADOW_OF_ROW: Final = 0.6
"""A shadow is darker than this share of its row's median…"""
SHADOW_DEEP: Final = 0.25
"""… over this share of the picture's height without a break."""
ROW_BLACK: Final = 12.0
"""Levels below which the row's median says nothing."""

Mask = NDArray[np.bool_]
Grey = NDArray[np.float32]


def main() -> int:
    options = _options()
    breasts, livers = _breasts(options.data)[: options.most], _livers(options.data)[: options.most]
    _drawn("breasts", breasts)
    _drawn("livers", livers)
    _clean(options)
    _shadows(options)
    _time()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.marks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--most", type=int, default=None, help=f"pictures of each set ({MOST}; with --quick {QUICK})")
    parser.add_argument("--quick", action="store_true", help="only see whether it works; the figures mean little")
    options = parser.parse_args()
    options.most = options.most or (QUICK if options.quick else MOST)
    if not (options.data / LIVER).is_dir() or not (options.data / BREAST).is_dir():
        harness.leave_out(f"There are no images in {options.data.name}; nothing was measured.")
    return options


# --- the pictures -----------------------------------------------------------------------------------------------------


def _breasts(data: Path, kind: str = "") -> list[Path]:
    """Breasts outside the frozen test list, in an order that never changes; of one *kind* by the files' names."""
    tested = {Path(name).name for name in foreign_sets.held_out(BREAST)}
    paths = sorted((data / BREAST / "images").glob(f"{kind}*.png"))
    return _mixed([path for path in paths if path.name not in tested])


def _livers(data: Path) -> list[Path]:
    return _mixed(sorted((data / LIVER / "images").glob("*.jpg")))


def _mixed(paths: Sequence[Path]) -> list[Path]:
    return [paths[int(index)] for index in np.random.default_rng(0).permutation(len(paths))]


def _grey(path: Path, screen: bool = False) -> Grey:
    image = Image.open(path).convert("L")
    if screen:
        scale = drawn_marks.SCREEN_PX / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def _around(path: Path, shape: tuple[int, ...]) -> drawn_marks.Box | None:
    """Where callipers are drawn: about the outlined mass, or in the middle of a sector; None: of the picture."""
    polygons = path.parent.parent / "outlines" / f"{path.stem}.json"
    mask = path.parent.parent / "masks" / path.name
    if polygons.exists():
        outlines = json.loads(polygons.read_text())
        points = [point for name in ("mass", "outline") for one in _polygons(outlines.get(name)) for point in one]
        scale = shape[1] / Image.open(path).width
    elif mask.exists():
        rows, columns = np.nonzero(np.asarray(Image.open(mask).convert("L")) > 127)
        points = list(zip(columns.tolist(), rows.tolist(), strict=True))
        scale = shape[1] / Image.open(mask).width
    else:
        return None
    if not points:
        return None
    (x0, y0), (x1, y1) = np.min(points, axis=0) * scale, np.max(points, axis=0) * scale
    return float(x0), float(y0), float(x1), float(y1)


def _polygons(stated: Any) -> list[Any]:
    """The polygons under one name of an outlines file: one, several or none."""
    if not stated:
        return []
    return list(stated) if isinstance(stated[0][0], list) else [stated]


def _inside(path: Path) -> Mask | None:
    """The outlined liver."""
    polygons = _polygons(json.loads((path.parent.parent / "outlines" / f"{path.stem}.json").read_text()).get("liver"))
    image = Image.new("1", Image.open(path).size)
    for one in polygons:
        ImageDraw.Draw(image).polygon([(x, y) for x, y in one], fill=1)
    return np.array(image, np.bool_) if polygons else None


# --- what is printed --------------------------------------------------------------------------------------------------


def _drawn(name: str, paths: Sequence[Path]) -> None:
    """The share of drawn pixels that is found, and of other pixels that fire because of them."""
    for screen in (False, True):
        where = "on a screen of 800 pixels" if screen else "as the files are"
        print(f"\n## marks drawn on {len(paths)} {name}, {where}\n")
        print(_line("", "found, mean", "median", "of one in ten, at most", "other pixels"))
        for kind in drawn_marks.PENS:
            rows = [_found(path, kind, number, screen) for number, path in enumerate(paths)]
            found, others = np.array(rows).T
            low, middle = np.percentile(found, (10, 50))
            print(_line(kind, f"{found.mean():.0%}", f"{middle:.0%}", f"{low:.0%}", f"{others.mean():.4%}"))


def _found(path: Path, kind: str, number: int, screen: bool) -> tuple[float, float]:
    grey = _grey(path, screen)
    before = ultrasound_marks.find_strokes(grey)
    made = drawn_marks.marked(grey, kind, number, _around(path, grey.shape))
    after = ultrasound_marks.find_strokes(made.pixels)
    return float((after & made.drawn).sum() / made.drawn.sum()), float((after & ~made.drawn & ~before).mean())


def _clean(options: argparse.Namespace) -> None:
    """The share of tissue that is taken for marks."""
    print("\n## tissue taken for marks\n")
    print(_line("", "pixels, mean", "of the worst", "pictures with any", "pictures with 0.1 %"))
    drawn = (drawn_marks.tissue(number) for number in range(4 if options.quick else 48))
    _tissue("drawn by code", [(grey, np.ones(grey.shape, np.bool_)) for grey in drawn])
    outlined = ((_grey(path), _inside(path)) for path in _livers(options.data)[: options.most])
    livers = [(grey, inside) for grey, inside in outlined if inside is not None]
    _tissue("outlined livers", livers)
    _tissue("breasts without a lesion", [_normal(path) for path in _breasts(options.data, "normal")[: options.most]])


def _normal(path: Path) -> tuple[Grey, Mask]:
    grey = _grey(path)
    inside = np.ones(grey.shape, np.bool_)
    inside[: round(CORNER * grey.shape[0]), : round(CORNER * grey.shape[1])] = False
    return grey, inside


def _tissue(name: str, pictures: Sequence[tuple[Grey, Mask]]) -> None:
    shares = np.array([ultrasound_marks.find_strokes(grey)[inside].mean() for grey, inside in pictures])
    any_, more = (_rate(shares > limit) for limit in (0.0, 0.001))
    print(_line(f"{name} ({len(shares)})", f"{shares.mean():.4%}", f"{shares.max():.2%}", any_, more))


def _shadows(options: argparse.Namespace) -> None:
    """How much of outlined lesions lies in what a rule takes for shadow."""
    print("\n## outlined lesions of breasts in what a rule takes for acoustic shadow\n")
    with (options.data / BREAST / "labels.csv").open(encoding="utf-8", newline="") as file:
        classes = {row["file"]: row["class"] for row in csv.DictReader(file)}
    for kind in ("benign", "malignant"):
        shares = []
        for path in _breasts(options.data, kind)[: options.most]:
            lesion = np.asarray(Image.open(path.parent.parent / "masks" / path.name).convert("L")) > 127
            grey = _grey(path)
            if classes[path.name] == kind and lesion.any() and lesion.shape == grey.shape:
                shares.append(float(_shadow(grey)[lesion].mean()))
        touched, half = (_rate(np.array(shares) > limit) for limit in (0.1, 0.5))
        print(_line(f"{kind} ({len(shares)})", f"a tenth or more {touched}", f"half or more {half}"))


def _shadow(grey: Grey) -> Mask:
    """Columns that are much darker than their rows, far down."""
    smooth = box_mean(grey.astype(np.float64), max(2, max(grey.shape) // 32))
    rows = np.median(smooth, axis=1, keepdims=True)
    dark = (smooth < SHADOW_OF_ROW * rows) & (rows > ROW_BLACK)
    deep = round(SHADOW_DEEP * grey.shape[0])
    counts = np.cumsum(np.pad(dark.astype(np.int64), ((1, 0), (0, 0))), axis=0)
    whole = counts[deep:] - counts[:-deep] == deep  # (H - deep + 1, W): a run of this length begins here
    starts = np.cumsum(np.pad(whole.astype(np.int64), ((deep, deep - 1), (0, 0))), axis=0)
    return np.asarray(starts[deep : deep + grey.shape[0]] > starts[: grey.shape[0]])


def _time() -> None:
    print("\n## time of a core\n")
    for rows, columns in SIDES:
        grey = drawn_marks.tissue(0, rows, columns)
        made = drawn_marks.marked(grey, "callipers", 0).pixels
        found = ultrasound_marks.find_strokes(made)
        small = np.asarray(Image.fromarray(found.astype(np.float32)).resize((256, 256))) > 0
        planes = np.random.default_rng(0).random((1, 1, 256, 256), np.float32)
        search = _median_ms(partial(ultrasound_marks.find_strokes, made))
        paint = _median_ms(partial(ultrasound_marks.paint_over, planes, small))
        print(_line(f"{columns} × {rows}", f"search {search:.1f} ms", f"painting an input of 256 × 256 {paint:.1f} ms"))


def _median_ms(task: Callable[[], Any]) -> float:
    taken = []
    for _ in range(21):
        begun = time.process_time()
        task()
        taken.append(time.process_time() - begun)
    return 1e3 * float(np.median(taken))


def _rate(holds: NDArray[np.bool_]) -> str:
    low, high = Rate(int(holds.sum()), len(holds)).interval or (0.0, 1.0)
    return f"{holds.mean():.1%} ({low:.1%} to {high:.1%})"


def _line(first: str, *others: str) -> str:
    return f"{first:<32}" + "  ".join(f"{one:<26}" for one in others).rstrip()


if __name__ == "__main__":
    sys.exit(main())
