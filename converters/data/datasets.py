"""Readers of labelled films. Each gives a :class:`FilmSet`: names, labels, patients, and how to read the greys.

Nothing is decoded until :meth:`Film.read` is called. ``patient`` is the finest identity the data set publishes; films
of one patient never part between training, validation and test (see :mod:`converters.data.splits`).
"""

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.data import polygons, volumes
from converters.failures import DataUnreadable
from firmware_app.core.errors import LanternError
from firmware_app.imaging.model_input import EIGHT_BITS, InputSpec, find_crop, lay_out, read_model_frame, to_model_input

SIXTEEN_BITS = (0.0, 65535.0)
"""Black and white of a picture of 16 bits."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
PERSON = re.compile(r"^person(\d+)_")
SLICE = "slice"
"""The trait that says when a film was made: a year, or a month."""

NEGATIVE_WORDS = ("0", "negative", "no finding", "no_finding", "normal")
ADULT_YEARS = 18
NIH_LATE_PATIENTS = 4000
"""Patient numbers of ChestX-ray14 grow with time; in the extract we train on, films without finding come mostly from
lower numbers, so the hospital's older machines come with the label. The trait ``patients`` shows that."""

ABNORMAL = "abnormal"
"""The word for a film of ChestX-ray14 with any finding."""

NIH_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
MEDMNIST_SPLITS = ("train", "val", "test")
MEDMNIST_LABELS = {"breastmnist": ("malignant", "benign"), "pneumoniamnist": ("normal", "pneumonia")}
"""What label 0 and 1 mean (MedMNIST v2, Yang et al. 2023); BreastMNIST's 1 is normal or benign."""


@dataclass(frozen=True, slots=True)
class Film:
    """One labelled film. ``said`` is its label as the data set has it, a word or a number; a task makes ``target`` of
    it, the numbers that a network learns, and ``label``: 1 where the film shows the pack's first finding, else 0.

    ``mask``: the outlined lesions, and ``boxes``: x0, y0, x1, y1 in pixels of the film around each, where a set has
    them; ``traits`` are words that must not give the label away (view, sex), looked at but never fed to a model.
    """

    name: str
    path: Path
    label: int
    patient: str
    index: int | None = None
    mask: Path | None = None
    traits: tuple[tuple[str, str], ...] = ()
    said: str = ""
    target: tuple[float, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    years: int | None = None
    """The patient's age in completed years, where a set says it outside a DICOM header."""
    clean: bool = False
    """It has no mask because it shows no lesion."""

    def values(self, names: str | None) -> str:
        """The values of the traits of these names, commas between both; without names the empty word."""
        return ",".join(dict(self.traits).get(name, "") for name in names.split(",")) if names else ""

    def read(self) -> NDArray[np.float32]:
        """The greys as published, (H, W) float32 (a volume: (D, H, W)), bright is dense; :class:`DataUnreadable`."""
        if self.index is not None:
            return _npz_images(self.path, self.name.split("/")[0])[self.index]
        if volumes.is_volume(self.path):
            return volumes.read(self.path)
        return read_grey(self.path) if is_picture(self.path) else read_dicom(self.path)

    @property
    def is_dicom(self) -> bool:
        """Whether it is a DICOM file, which says more of itself than its greys."""
        return self.index is None and not volumes.is_volume(self.path) and not is_picture(self.path)

    def modality(self) -> str:
        """The DICOM Modality of a DICOM file, "" where it says none; raises :class:`DataUnreadable`."""
        import pydicom

        try:
            header = pydicom.dcmread(self.path, stop_before_pixels=True, specific_tags=["Modality"])
            return str(header.get("Modality", ""))
        except (pydicom.errors.InvalidDicomError, OSError, ValueError, KeyError) as error:
            raise DataUnreadable(str(self.path), f"its header cannot be read, {type(error).__name__}") from error

    def frame(self, spec: InputSpec) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """What :func:`to_model_input` takes of a film that is no DICOM file, and its ``ends``: the greys, or, for a
        model of colours, (H, W, 3) RGB where the film has some. Raises :class:`DataUnreadable`."""
        if self.index is not None:
            return _npz_images(self.path, self.name.split("/")[0], spec.channels == 3)[self.index], EIGHT_BITS
        return read_picture(self.path, spec) if is_picture(self.path) else (self.read(), EIGHT_BITS)

    def tensor(self, spec: InputSpec) -> NDArray[np.float32]:
        """The model input of the film, of a DICOM file as the box prepares its middle frame: padding is not counted and
        a declared ultrasound region is cut to. Raises :class:`DataUnreadable`."""
        if not self.is_dicom:
            frame, ends = self.frame(spec)
            return to_model_input(frame, spec, ends=ends)
        from firmware_app.imaging import image_file
        from firmware_app.imaging import image_properties as ultrasound

        try:
            with image_file.open_image_file(self.path, is_picture=False) as opened:
                middle, sector = opened.frames // 2, ultrasound.header_sector(opened) if spec.crop == "sector" else None
                frame, ends = read_model_frame(opened, middle, spec)
                return to_model_input(
                    frame,
                    spec,
                    sector,
                    hidden=opened.read_padding_mask(middle),
                    ends=ends,
                    aspect=opened.aspect(middle),
                )
        except (LanternError, OSError) as error:
            raise DataUnreadable(str(self.path), str(error)) from error

    def outline_seen(self, spec: InputSpec) -> NDArray[np.bool_] | None:
        """The lesions' mask as it lies in the model's input, (spec.height, spec.width); ``None`` without outlines."""
        outline = self.outline()
        if outline is None:
            return None
        box = find_crop(self.read(), spec) if spec.crop != "whole" else None
        return np.asarray(lay_out(outline.astype(np.float32), spec, box) >= 0.5)

    def outline(self, part: str = polygons.LESION) -> NDArray[np.bool_] | None:
        """The lesions' mask (H, W), or that of another ``part`` that polygons have; ``None`` where the data set has
        none. Raises :class:`DataUnreadable`."""
        if self.mask is not None and volumes.is_volume(self.mask):
            return np.asarray(volumes.read(self.mask) != 0.0)
        if self.mask is not None and self.mask.suffix == polygons.SUFFIX:
            return polygons.mask(self.mask, self.read().shape, part)
        if self.mask is None and self.clean and part == polygons.LESION:
            return np.zeros(self.read().shape, dtype=np.bool_)
        return None if self.mask is None or part != polygons.LESION else np.asarray(read_grey(self.mask) > 127.0)


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Films of one source, with the source's name and the word for the positive class."""

    name: str
    positive: str
    films: tuple[Film, ...]

    def only(self, names: Sequence[str]) -> "FilmSet":
        """The films with these names, in the order of this set. Raises :class:`DataUnreadable` when one is absent."""
        wanted = set(names)
        absent = wanted - {film.name for film in self.films}
        if absent:
            raise DataUnreadable(self.name, f"{len(absent)} films are absent, the first is {min(absent)}")
        return FilmSet(self.name, self.positive, tuple(film for film in self.films if film.name in wanted))


def read_grey(path: Path) -> NDArray[np.float32]:
    """An image file as (H, W) float32 greys, 0 to 255 or, of 16 bits, to 65,535. Raises :class:`DataUnreadable`."""
    return read_picture(path)[0]


def read_picture(path: Path, spec: InputSpec | None = None) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """An image file as float32 greys (H, W) or, where ``spec`` is of three channels, RGB (H, W, 3); and the values of
    its black and white. Raises :class:`DataUnreadable`."""
    mode = "RGB" if spec is not None and spec.channels == 3 else "L"
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255 instead of scaling them
                return np.asarray(image, dtype=np.float32), SIXTEEN_BITS
            return np.asarray(image.convert(mode), dtype=np.float32), EIGHT_BITS
    except OSError as error:
        raise DataUnreadable(str(path), str(error)) from error


def read_dicom(path: Path) -> NDArray[np.float32]:
    """The middle frame of a DICOM object, decoded as the box decodes it; raises :class:`DataUnreadable`."""
    from firmware_app.imaging import image_file

    try:
        with image_file.open_image_file(path, is_picture=False) as opened:
            return opened.grey(opened.frames // 2)
    except (LanternError, OSError) as error:
        raise DataUnreadable(str(path), str(error)) from error


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture file."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_dicom(path: Path) -> bool:
    """Whether the file says that it is DICOM (PS3.10 7.1)."""
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@cache
def _npz_images(path: Path, split: str, coloured: bool = False) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as arrays:
        images: NDArray[np.float32] = np.asarray(arrays[f"{split}_images"], dtype=np.float32)
    return images if images.ndim == 3 or coloured else np.asarray(images.mean(axis=-1), dtype=np.float32)


def image_files(folder: Path) -> list[Path]:
    """Pictures and DICOM files directly in ``folder``, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and (is_picture(path) or is_dicom(path)))


def image_folder(folder: Path, positive: str | None, *, guessed: bool = False) -> FilmSet:
    """``folder/<CLASS>/*``: one folder per class, two or more of them; every class but ``positive`` is negative.

    Without ``positive`` each film only says its class, and its label is for a task to make.

    Case does not matter. ``guessed``: nobody named ``positive``, it is only a pack's word for its finding; then, of two
    classes, one of them named as :data:`NEGATIVE_WORDS`, the other is the positive one whatever its name, and a line
    says so. The patient is what :func:`patients_of` finds.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and image_files(path))
    by_name = {path.name.casefold(): path.name for path in classes}
    others = [name for name in by_name if name not in NEGATIVE_WORDS]
    chosen = by_name.get(positive.casefold(), "") if positive is not None else ""
    if positive is not None and not chosen and guessed and len(by_name) == 2 and len(others) == 1:
        chosen = by_name[others[0]]
        print(f"{folder}: no class is called {positive}; {chosen} is taken for it", file=sys.stderr, flush=True)
    if len(classes) < 2 or (positive is not None and not chosen):
        named, wanted = ", ".join(by_name.values()) or "none", f"named {positive} " if positive is not None else ""
        raise DataUnreadable(str(folder), f"no class folder {wanted}beside another (folders found: {named})")
    if positive is not None:
        say_negatives(folder, chosen, by_name.values())
    files = [(folder_, path) for folder_ in classes for path in image_files(folder_)]
    patients = patients_of([path for _, path in files])
    films = [
        Film(f"{folder_.name}/{path.name}", path, int(folder_.name == chosen), patient, said=folder_.name)
        for (folder_, path), patient in zip(files, patients, strict=True)
    ]
    return FilmSet(folder.name, chosen, tuple(films))


def say_negatives(source: Path, positive: str, classes: Iterable[str]) -> None:
    """Say on stderr which classes count as negative, where they are several: one of them may be a finding too."""
    others = [name for name in classes if name != positive]
    if len(others) > 1:
        print(
            f"{source}: {positive} is positive; {', '.join(others)} all count as negative", file=sys.stderr, flush=True
        )


def patients_of(paths: Sequence[Path]) -> list[str]:
    """The patient of each file: from a picture's name, from a DICOM object's Patient ID.

    An ID is only compared, never kept: its holder becomes ``patient1``, ``patient2``, … in the order of the files.
    """
    from firmware_app.imaging import image_file

    numbers: dict[str, str] = {}
    patients: list[str] = []
    for path in paths:
        if is_picture(path):
            patients.append(patient_of(path.name))
            continue
        try:
            with image_file.open_image_file(path, is_picture=False) as opened:
                said = opened.identity.get("patient_id", "")
        except (LanternError, OSError) as error:
            raise DataUnreadable(str(path), str(error)) from error
        patients.append(numbers.setdefault(said, f"patient{len(numbers) + 1}") if said else path.name)
    return patients


def patient_of(file_name: str) -> str:
    """The patient a file name of the children's films gives away: ``person12_virus_3`` → ``person12``,
    ``NORMAL2-IM-0523-0001-0002`` → ``NORMAL2-IM-0523``; otherwise the stem itself."""
    person = PERSON.match(file_name)
    if person:
        return f"person{person.group(1)}"
    normal = re.match(r"^((?:NORMAL2-)?IM-\d+)-\d+", file_name)
    return normal.group(1) if normal else Path(file_name).stem


def medmnist(path: Path, split: str, positive: str | None = None, finding: str = "") -> FilmSet:
    """One split of a MedMNIST-form ``.npz`` (``<split>_images`` (N, H, W[, 3]) uint8, ``<split>_labels`` (N, 1)).

    ``positive`` is the positive label's number, or its name in one of :data:`MEDMNIST_LABELS`; without it the label
    that is called ``finding`` there, else 1.
    """
    names = next((labels for stem, labels in MEDMNIST_LABELS.items() if path.stem.startswith(stem)), ())
    wanted = 1 if finding.casefold() not in names else names.index(finding.casefold())
    if positive is not None:
        wanted = names.index(positive.casefold()) if positive.casefold() in names else _number(path, positive)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if f"{split}_images" not in arrays:
                has = ", ".join(name for name in MEDMNIST_SPLITS if f"{name}_images" in arrays)
                raise DataUnreadable(str(path), f"there is no split {split} (it holds: {has})")
            labels = np.asarray(arrays[f"{split}_labels"]).reshape(-1)
    except (OSError, ValueError) as error:
        raise DataUnreadable(str(path), str(error)) from error
    films = [
        Film(f"{split}/{index}", path, int(label == wanted), f"{split}/{index}", index=index, said=str(int(label)))
        for index, label in enumerate(labels)
    ]
    return FilmSet(path.stem, str(wanted), tuple(films))


def any_films(path: Path) -> FilmSet:
    """Every film in ``path``, an ``.npz`` (all its splits) or a folder at any depth, its label unknown (0)."""
    if path.suffix == ".npz" and path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            held = [split for split in MEDMNIST_SPLITS if f"{split}_images" in arrays]
        return FilmSet(path.stem, "", tuple(film for split in held for film in medmnist(path, split).films))
    if not path.is_dir():
        raise DataUnreadable(str(path), "neither a folder of films nor a MedMNIST-form .npz file")
    folders = [path, *sorted(one for one in path.rglob("*") if one.is_dir() and one.name != "masks")]
    files = [file for folder in folders for file in image_files(folder)]
    if not files:
        raise DataUnreadable(str(path), "there is no film in it")
    films = (
        Film(f"{path.name}/{file.relative_to(path).as_posix()}", file, 0, patient)
        for file, patient in zip(files, patients_of(files), strict=True)
    )
    return FilmSet(path.name, "", tuple(films))


def _number(path: Path, positive: str) -> int:
    if not positive.isdecimal():
        raise DataUnreadable(str(path), f"its labels are numbers; {positive} is none")
    return int(positive)


def nih(folder: Path, adults: bool = True, positive: str = ABNORMAL, *, guessed: bool = False) -> FilmSet:
    """NIH ChestX-ray14 in the form ``labels.csv`` + ``images512/``.

    ``positive`` is one of :data:`NIH_FINDINGS`, then films without it are negative whatever else they show; or
    :data:`ABNORMAL`, any finding. Case does not matter. ``guessed``: nobody named it, it is only a pack's word for its
    finding; one that is not known here then means any finding, and a line says so. ``adults``: only films at age 18 or
    more; otherwise only those below. Raises :class:`DataUnreadable`.
    """
    classes = (ABNORMAL, *NIH_FINDINGS)
    chosen = next((name for name in classes if name.casefold() == positive.casefold()), ABNORMAL if guessed else None)
    if chosen is None:
        raise DataUnreadable(str(folder), f"no finding is called {positive} (there are: {', '.join(classes)})")
    if chosen != ABNORMAL:
        print(
            f"{folder}: {chosen} is positive; films with other findings count as negative", file=sys.stderr, flush=True
        )
    elif positive.casefold() != ABNORMAL:
        print(f"{folder}: no finding is called {positive}; any finding is taken for it", file=sys.stderr, flush=True)
    try:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataUnreadable(str(folder), str(error)) from error
    films = [
        Film(
            row["file"],
            folder / "images512" / row["file"],
            int(
                chosen in row["Finding Labels"].split("|")
                if chosen != ABNORMAL
                else row["Finding Labels"] != "No Finding"
            ),
            row["Patient ID"],
            said=row["Finding Labels"],
            years=int(row["Patient Age"].rstrip("Y")),
            traits=(
                ("view", row["View Position"]),
                ("sex", row["Patient Gender"]),
                ("age", age_band(int(row["Patient Age"].rstrip("Y")))),
                ("patients", "early" if int(row["Patient ID"]) < NIH_LATE_PATIENTS else "late"),
            ),
        )
        for row in rows
        if (int(row["Patient Age"].rstrip("Y")) >= ADULT_YEARS) == adults
    ]
    return FilmSet("chest-xray-nih" if adults else "chest-xray-nih-under-18", chosen, tuple(films))


def age_band(years: int) -> str:
    """The band in which a card tells ages: below 18, 18 to 39, 40 to 64, 65 and more."""
    return next((name for limit, name in ((18, "0-17"), (40, "18-39"), (65, "40-64")) if years < limit), "65+")
