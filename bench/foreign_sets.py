"""Images that a pack knows and images that it does not: what `bench.unfamiliar` asks about, one frame at a time.

Real ones come from the folders of ../shared/data and from packages; turned and inverted ones, and the mild variations
that another clinic's machine might give, are made of the pack's own held-out films.  Nothing here is copied into the
repository.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.data import datasets, recipe_data, splits
from converters.data.datasets import FilmSet
from converters.recipe import load_recipe
from converters.synthetic_images import acquisition_shift
from firmware_app.core.errors import (
    ImagingError,
)
from firmware_app.imaging import image_file, keyframes

Grey = NDArray[np.float32]
ADULTS: Final = splits.RECIPES / "chest-xray-adult.toml"

SIDE: Final = 224
QUALITY: Final = 75
"""Every image of a matched set gets this size and JPEG quality, so that neither distinguishes two sets."""

FRAMES_OF_A_CLIP: Final = 5
CROPS_OF_A_PHOTOGRAPH: Final = 6
CT_WINDOWS: Final = ((-600.0, 1500.0), (40.0, 400.0))
"""Centre and width in HU of the usual windows for lung and soft tissue."""

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
        "retina.jpg",
        "cell.png",
        "ihc.png",
        "motorcycle_right.png",
    }
)
"""Pictures of scikit-image left out: drawings, print, microscopy, a retina, and the second of a stereo pair."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image and its group: a patient, a clip or a photograph.  Bright is dense."""

    group: str
    grey: Grey


def matched(grey: Grey) -> Grey:
    """The image at the common size and compression."""
    low, high = float(grey.min()), float(grey.max())
    eight = np.rint((grey - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    kept = io.BytesIO()
    Image.fromarray(eight).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(kept, "JPEG", quality=QUALITY)
    with Image.open(kept) as again:
        return np.asarray(again, np.float32)


def turned(how: Callable[[Grey], Grey], frames: Sequence[Frame]) -> list[Frame]:
    """The frames, each with *how* applied."""
    return [Frame(one.group, np.ascontiguousarray(how(one.grey))) for one in frames]


TURNS: Final[dict[str, Callable[[Grey], Grey]]] = {
    "own films, upside down": lambda grey: grey[::-1, ::-1],
    "own films, a quarter turn": lambda grey: grey.T[::-1],
    "own films, inverted": lambda grey: grey.max() + grey.min() - grey,
}

SOMETIMES: Final = 20260101
"""The seed of the variations; the recipes, which set the limits, use another."""


def _noisy(film: Grey) -> Grey:
    """Noise of the highest strength, different for each film."""
    return acquisition_shift.noisy(film, acquisition_shift.NOISE, np.random.default_rng(zlib.crc32(film.tobytes())))


def _together(film: Grey) -> Grey:
    return acquisition_shift.varied(film, SOMETIMES, str(zlib.crc32(film.tobytes())))


def _lettered(film: Grey) -> Grey:
    """A lead letter L beside the shoulder, 6 % of the film high."""
    out, (height, width) = film.copy(), film.shape
    tall, thick, top, left = round(0.06 * height), max(1, round(0.01 * height)), height // 20, width // 20
    out[top : top + tall, left : left + thick] = 1.0
    out[top + tall - thick : top + tall, left : left + tall // 2] = 1.0
    return out


def _halved(film: Grey) -> Grey:
    """Half the height and width, as of a picture of a film taken with a phone."""
    whole = Image.fromarray(np.rint(255.0 * film).astype(np.uint8))
    return np.asarray(whole.reduce(2), np.float32) / np.float32(255.0)


MILD: Final[dict[str, Callable[[Grey], Grey]]] = {
    "black border of 2 %": lambda film: acquisition_shift.framed(film, [0.02] * 4, acquisition_shift.BLACK),
    "white border of 2 %": lambda film: acquisition_shift.framed(film, [0.02] * 4, acquisition_shift.WHITE),
    "noise of 1 %": _noisy,
    "blurred": lambda film: acquisition_shift.softened(film, acquisition_shift.BLUR),
    "edges raised": lambda film: acquisition_shift.edged(film, acquisition_shift.EDGE),
    "gamma 0.87": lambda film: acquisition_shift.graded(film, 0.87),
    "gamma 1.15": lambda film: acquisition_shift.graded(film, 1.15),
    "contrast 0.87": lambda film: acquisition_shift.contrasted(film, 0.87),
    "contrast 1.15": lambda film: acquisition_shift.contrasted(film, 1.15),
    "JPEG 70": lambda film: acquisition_shift.stored(film, 70),
    "turned by 3°": lambda film: acquisition_shift.moved(film, acquisition_shift.DEGREES),
    "shifted by 2 %": lambda film: acquisition_shift.moved(film, 0.0, acquisition_shift.SHIFT, acquisition_shift.SHIFT),
    "4 % larger": lambda film: acquisition_shift.moved(film, 0.0, zoom=1.0 + acquisition_shift.ZOOM),
    "some of these together": _together,
    "a lead letter (in no fit)": _lettered,
    "half the pixels (in no fit)": _halved,
}
"""What another clinic's machine might give of a film, (H, W) from 0 to 1; the last two are no part of what limits are
fitted to."""


def mildly(how: Callable[[Grey], Grey]) -> Callable[[Grey], Grey]:
    """One of :data:`MILD` for a film of any range."""
    return lambda grey: how(acquisition_shift.unit(grey))


# --- films ------------------------------------------------------------------------------------------------------------


def children(data: Path, names: Sequence[str] | None = None) -> FilmSet:
    """Kermany's films; only those in *names* where it is given."""
    films = datasets.image_folder(data / "chest-xray" / "kermany224_train", "PNEUMONIA")
    return films if names is None else films.only(names)


def adults(data: Path, names: Sequence[str] | None = None) -> FilmSet:
    """The films of all sets that the adults' chest pack learns from; only those in *names* where it is given."""
    films = recipe_data.open_reader(load_recipe(ADULTS), data / "chest-xray-siim")
    return films if names is None else films.only(names)


def held_out(pack: str) -> tuple[str, ...]:
    """The frozen test part of a shipped pack: films that it was not trained on."""
    return tuple(splits.frozen_test(pack))


def of_films(films: FilmSet, most: int) -> list[Frame]:
    """At most *most* of the films, always the same ones, spread evenly over the set."""
    order = np.random.default_rng(0).permutation(len(films.films))[:most]
    chosen = [films.films[int(index)] for index in sorted(order)]
    return [Frame(one.patient, one.read()) for one in chosen]


# --- what no film is --------------------------------------------------------------------------------------------------


def breasts(data: Path, most: int) -> list[Frame]:
    """BUSI, one picture of each name; the sets' authors give no patients."""
    paths = sorted((data / "breast-ultrasound" / "images").glob("*.png"))
    return list(_pictures(_some(paths, most)))


def lungs(data: Path) -> list[Frame]:
    """The stills and clips of POCUS; frames of one clip are one group."""
    paths = sorted(path for path in (data / "lung-ultrasound").glob("*") if path.suffix != ".csv")
    return list(_pictures(paths))


def probes(data: Path) -> dict[str, str]:
    """The probe that each of `lungs` was taken with, by the file's name, as its collectors say."""
    with (data / "lung-ultrasound" / "labels.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["probe"] for row in csv.DictReader(file)}


def computed(data: Path) -> Iterator[Frame]:
    """The slices of LIDC-IDRI-0001 in two windows, where its archive has been unpacked beside it (`ct/`).

    One patient only: its slices are taken as groups, so the interval tells of slices and not of patients.
    """
    import pydicom

    for path in sorted((data).rglob("*.dcm")):
        slice_ = pydicom.dcmread(path)
        if slice_.get("Modality") != "CT" or "PixelData" not in slice_:
            continue
        units = slice_.pixel_array.astype(np.float32) * float(slice_.RescaleSlope) + float(slice_.RescaleIntercept)
        for centre, width in CT_WINDOWS:
            yield Frame(path.name, np.clip(units, centre - width / 2, centre + width / 2))


def resonance(data: Path) -> list[Frame]:
    """Slices of necks (T2)."""
    return list(_pictures(sorted((data / "npc-mri" / "images").glob("*"))))


def photographs(folder: Path | None) -> list[Frame]:
    """Photographs, each whole and in some parts: from *folder*, or from packages that are installed."""
    paths = sorted(folder.glob("*")) if folder is not None else list(_packaged())
    rng = np.random.default_rng(0)
    frames = []
    for one in _pictures([path for path in paths if path.name not in NO_PHOTOGRAPHS]):
        frames += [one, *(Frame(one.group, _part(one.grey, rng)) for _ in range(CROPS_OF_A_PHOTOGRAPH - 1))]
    return frames


def _packaged() -> Iterator[Path]:
    """Photographs that public packages bring: scikit-image's, scikit-learn's."""
    for package, below in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / below
            yield from sorted(path for path in folder.glob("*") if path.suffix in datasets.IMAGE_SUFFIXES)


def _part(grey: Grey, rng: np.random.Generator) -> Grey:
    """A crop of half the height and width."""
    rows, columns = grey.shape[0] // 2, grey.shape[1] // 2
    top, left = int(rng.integers(0, grey.shape[0] - rows)), int(rng.integers(0, grey.shape[1] - columns))
    return grey[top : top + rows, left : left + columns]


def _some(paths: Sequence[Path], most: int) -> list[Path]:
    order = np.random.default_rng(0).permutation(len(paths))[:most]
    return [paths[int(index)] for index in sorted(order)]


def _pictures(paths: Sequence[Path]) -> Iterator[Frame]:
    """Some frames of each file, as the box opens it; a file that it refuses is skipped."""
    for path in paths:
        try:
            with image_file.open_image_file(path, is_picture=True) as opened:
                for index in keyframes.spread_evenly(opened.frames, FRAMES_OF_A_CLIP):
                    yield Frame(path.name, opened.grey(index))
        except ImagingError:
            continue
