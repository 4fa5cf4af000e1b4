"""How many good images each quality limit stops, and how many deliberately spoiled images it detects.

    python -m bench.quality [--data FOLDER] [--photographs FOLDER] [--most N] [--quantiles]

FOLDER is ../shared/data: held-out children's (Kermany) and adults' films (NIH), breasts (BUSI) and lungs (POCUS); the
photographs are those of scikit-image and scikit-learn, or of the folder that is named.  The films that
`converters.shipped_packs.chest_templates` learnt from are left out.  The same films are drawn each time.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import harness, spoiled
from converters.shipped_packs import chest_templates
from converters.statistics.intervals import Rate
from firmware_app.core.errors import (
    ImagingError,
)
from firmware_app.imaging import image_file, image_limits, keyframes, quality_checks, quality_measures
from firmware_app.imaging import image_properties as ultrasound
from firmware_app.imaging.input_spec import QualityKind

Grey = NDArray[np.float32]
Numbers = Mapping[str, float]
T = TypeVar("T")

NO_PHOTOGRAPHS: Final = frozenset(
    {
        "chessboard_GRAY.png",
        "chessboard_RGB.png",
        "color.png",
        "horse.png",
        "logo.png",
        "page.png",
        "phantom.png",
        "text.png",
        "microaneurysms.png",
        "cell.png",
        "motorcycle_right.png",
    }
)
"""Pictures of scikit-image left out: drawings, print, microscopy, and the second of a stereo pair."""
NO_VIDEO: Final = (".csv", ".mpeg")  # the box refused the second one when the limits were set
MOST: Final = 600
SPOILED: Final = 100
"""Images of each set, for every way of spoiling."""
FRAMES_OF_A_CLIP: Final = 3
QUANTILES: Final = (0, 1, 2, 50, 98, 99, 99.5, 100)


def main() -> int:
    options = _options()
    if not (options.data / "chest-xray-nih").is_dir():
        print(f"There are no images in {options.data.name}; nothing was measured.", file=sys.stderr)
        return harness.LEFT_OUT_STATUS
    films = _films(options.data, options.most)
    scans = {"breasts": list(_breasts(options.data, options.most)), "lungs": list(_lungs(options.data))}
    _report("chest_film", films, spoiled.OF_A_FILM, options)
    _report("ultrasound", scans, spoiled.OF_ULTRASOUND, options)
    _colours(films, options.photographs)
    _time(next(iter(films.values()))[0])
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=harness.REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--photographs", type=Path, help="a folder of pictures that show no patient")
    parser.add_argument("--most", type=int, default=MOST, help=f"films of each set ({MOST})")
    parser.add_argument("--spoiled", type=int, default=SPOILED, help=f"films of each set that are spoiled ({SPOILED})")
    parser.add_argument("--quantiles", action="store_true", help="print how the measures lie on good pictures")
    return parser.parse_args()


# --- pictures -----------------------------------------------------------------------------------------------------


def _films(data: Path, most: int) -> dict[str, list[Grey]]:
    films_of = {}
    for name, films in zip(("children", "adults"), chest_templates.sets(data), strict=True):
        unseen = [one for one in films if not chest_templates.is_learnt_from(one.patient)]
        films_of[name] = [one.read() for one in _some(unseen, most)]
    return films_of


def _some(of: Sequence[T], most: int) -> list[T]:
    """At most *most*, always the same ones."""
    order = np.random.default_rng(0).permutation(len(of))[:most]
    return [of[int(at)] for at in sorted(order)]


def _breasts(data: Path, most: int) -> Iterator[Grey]:
    for path in _some(sorted((data / "breast-ultrasound" / "images").glob("*.png")), most):
        yield from _sectors(path, 1)


def _lungs(data: Path) -> Iterator[Grey]:
    for path in sorted(data.glob("lung-ultrasound/*")):
        if path.suffix not in NO_VIDEO:
            yield from _sectors(path, FRAMES_OF_A_CLIP)


def _sectors(path: Path, most: int) -> Iterator[Grey]:
    """The part of some frames that a model would see: the box around the sector."""
    try:
        with image_file.open_image_file(path, is_picture=True) as opened:
            for index in keyframes.spread_evenly(opened.frames, most):
                area, frame = ultrasound.find_sector(opened, index), opened.grey(index)
                yield area.cut(frame) if area is not None else frame
    except ImagingError as error:
        print(f"left out {path.suffix} ({error.code})", file=sys.stderr)


def _photographs(folder: Path | None) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) of every photograph, and five parts of each."""
    chance = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.*g")) if folder else _packaged():
        if path.name in NO_PHOTOGRAPHS:
            continue
        with Image.open(path) as image:
            whole = np.asarray(image.convert("RGB"))
        yield whole
        for _ in range(5):
            rows, columns = (int(chance.uniform(0.5, 0.9) * side) for side in whole.shape[:2])
            y, x = (int(chance.uniform(0, 1) * left) for left in (whole.shape[0] - rows, whole.shape[1] - columns))
            yield np.ascontiguousarray(whole[y : y + rows, x : x + columns])


def _packaged() -> list[Path]:
    paths: list[Path] = []
    for package, below in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            paths += (Path(spec.origin).parent / below).glob("*.*g")
    return sorted(paths)


# --- what is printed ----------------------------------------------------------------------------------------------


def _report(
    kind: QualityKind,
    good: Mapping[str, Sequence[Grey]],
    ways: Mapping[str, spoiled.Way],
    options: argparse.Namespace,
) -> None:
    print(f"\n## {kind}\n\nGood pictures of which a hint is given (share, 95 % interval; refused in brackets)\n")
    measures = {name: [quality_checks.measure_frame(frame, kind) for frame in frames] for name, frames in good.items()}
    print(_line("", *(f"{name} ({len(numbers)})" for name, numbers in measures.items())))
    for measure, limit in image_limits.QUALITY_LIMITS[kind].items():
        cells = (
            _share(measure in _fired(one, kind) for one in numbers) + _refusals(measure, numbers, kind)
            for numbers in measures.values()
        )
        print(_line(f"{measure} ≥ {limit.hint:g}", *cells))
    print(_line("any of them", *(_share(bool(_fired(one, kind)) for one in numbers) for numbers in measures.values())))
    if options.quantiles:
        print("\nPercentiles", *QUANTILES)
        for measure in image_limits.QUALITY_LIMITS[kind]:
            for name, numbers in measures.items():
                values = np.percentile([one[measure] for one in numbers], QUANTILES)
                print(_line(f"{measure}, {name}", " ".join(f"{value:.4g}" for value in values)))
    print("\nSpoiled pictures, by what is said of them\n")
    for way, spoil in ways.items():
        _spoiled(way, spoil, kind, good, options.spoiled)


def _spoiled(way: str, spoil: spoiled.Way, kind: QualityKind, good: Mapping[str, Sequence[Grey]], most: int) -> None:
    for name, frames in good.items():
        chance = np.random.default_rng(zlib.crc32(f"{way}, {name}".encode()))
        numbers = [quality_checks.measure_frame(spoil(frame, chance), kind) for frame in _some(frames, most)]
        said: dict[str, int] = defaultdict(int)
        for one in numbers:
            for measure in _fired(one, kind):
                said[measure] += 1
        any_of = _share(bool(_fired(one, kind)) for one in numbers)
        refused = sum(image_limits.find_refusal(one, kind) is not None for one in numbers)
        often = sorted(said.items(), key=lambda pair: -pair[1])[:4]
        listed = ", ".join(f"{measure} {count / len(numbers):.0%}" for measure, count in often)
        print(_line(f"{way}, {name} ({len(numbers)})", any_of, f"refused {refused / len(numbers):.0%}", listed))


def _colours(films: Mapping[str, Sequence[Grey]], folder: Path | None) -> None:
    print("\n## Colours\n")
    chance = np.random.default_rng(1)
    scans = [spoiled.in_colour(spoiled.photographed(frame, chance), chance) for frame in films["adults"][:SPOILED]]
    print(
        _line(
            f"photographed film in colour, tint ≥ {image_limits.TINTED_SHARE:g} ({len(scans)})",
            _share(quality_measures.tinted_share(rgb) >= image_limits.TINTED_SHARE for rgb in scans),
        )
    )
    photographs = list(_photographs(folder))
    if not photographs:
        print("There are no photographs: install scikit-image, or name a folder with --photographs.", file=sys.stderr)
        return
    coloured = [rgb for rgb in photographs if quality_measures.tinted_share(rgb) > 0]
    print(
        _line(
            f"photographs in colour, tint or colour ({len(coloured)})",
            _share(quality_measures.tinted_share(rgb) >= image_limits.TINTED_SHARE for rgb in coloured),
        )
    )
    greys = [np.asarray(Image.fromarray(rgb).convert("L"), np.float32) for rgb in photographs]
    numbers = [quality_checks.measure_frame(grey, "chest_film") for grey in greys]
    print(
        _line(
            f"photographs in grey, refused ({len(greys)})",
            _share(image_limits.find_refusal(one, "chest_film") is not None for one in numbers),
        )
    )
    print(_line("photographs in grey, any hint", _share(bool(_fired(one, "chest_film")) for one in numbers)))


def _time(frame: Grey) -> None:
    large = np.asarray(Image.fromarray(frame).resize((2048, 2048)), np.float32)
    for size, one in (("224 pixels", frame), ("2048 pixels", large)):
        taken = []
        for _ in range(21):
            begun = time.process_time()
            quality_checks.measure_frame(one, "chest_film")
            taken.append(1e3 * (time.process_time() - begun))
        print(_line(f"all measures of a film of {size}", f"{np.median(taken):.1f} ms of a core"))


def _fired(numbers: Numbers, kind: QualityKind) -> tuple[str, ...]:
    return tuple(name for name, _ in image_limits.find_quality_hints(numbers, kind))


def _refusals(measure: str, numbers: Sequence[Numbers], kind: QualityKind) -> str:
    limit = image_limits.QUALITY_LIMITS[kind].get(measure)
    if limit is None or limit.refuse is None:
        return ""
    return f" [{sum(one[measure] >= limit.refuse for one in numbers)}]"


def _share(holds: Iterable[bool]) -> str:
    kept = list(holds)
    low, high = Rate(sum(kept), len(kept)).interval or (0.0, 1.0)
    return f"{sum(kept) / max(len(kept), 1):.1%} ({low:.1%} to {high:.1%})"


def _line(first: str, *others: str) -> str:
    return f"{first:<58}" + "  ".join(f"{one:<30}" for one in others).rstrip()


if __name__ == "__main__":
    sys.exit(main())
