"""Which reader opens what a person named as ``--data``, and the forms that a ``labels.csv`` describes.

The forms: an image folder ``DIR/<CLASS>/*`` (pictures or DICOM files), ``labels.csv`` beside ``images/`` (and
``masks/``) or beside the DICOM files themselves, NIH's, Hannover's, and a MedMNIST-form ``.npz``.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from converters.data import datasets, lidc_idri, polygons, volume_sets
from converters.data.datasets import Film, FilmSet
from converters.data.label_tables import CLASS_COLUMNS, FILE_COLUMNS, TRAIT_COLUMNS, find_column, read_rows
from converters.failures import DataUnreadable

BOXES = "boxes.csv"
"""Beside a ``labels.csv``: a row ``file,x0,y0,x1,y1`` for each lesion, in pixels of the film."""
PATIENT_COLUMNS = ("patient", "patient_id", "study")
"""Whose a film is, the first that a row says: without a patient, films of one study still belong together."""
AGE_COLUMNS = ("age_years", "age", "patient_age")
"""Columns of a ``labels.csv`` with the age in years; the box asks a pack only about patients of its own ages."""
NORMAL = "normal"
"""In a set with ``masks/`` a film of this class that has no mask shows no lesion."""

BOX_COLUMNS = ("x0", "y0", "x1", "y1")
DATE_COLUMNS = ("date", "study_date", "year")
"""Columns that say when a film was made; they become the trait :data:`converters.data.datasets.SLICE`."""

COVID_19 = "COVID-19"
HANNOVER_COLUMNS = ("image_id", "patient_id", "projection")
HANNOVER_TRAITS = (("view", "projection"), ("sex", "sex"))
"""A trait and its column in the ``labels.csv`` of the Hannover films."""

DATE = re.compile(r"(\d{4})(?:-?(0[1-9]|1[0-2])(?:-?(?:0[1-9]|[12]\d|3[01]))?)?")

FORMS = (
    "an image folder (DIR/<CLASS>/*), a folder with labels.csv, an NIH-form folder, a MedMNIST-form .npz file, "
    "volumes/ with masks/ or CT series with their readers' XML (LIDC-IDRI)"
)


def open_set(path: Path, finding: str | None, positive: str | None = None, split: str | None = None) -> FilmSet:
    """Whatever ``path`` is, as films. Raises :class:`DataUnreadable` when it is in no known form.

    ``positive`` names the positive class, else ``finding`` does; without both a film only says its label. ``split`` is
    one that the data set itself has: of an ``.npz``, of a ``labels.csv`` with a column for it, a folder
    ``DIR/<split>/<CLASS>``, or ``under-18`` of NIH's form.
    """
    if path.suffix == ".npz" and path.is_file():
        return datasets.medmnist(path, split or "test", positive, finding or "")
    if not path.is_dir():
        raise DataUnreadable(str(path), f"it is neither {FORMS}")
    word = positive or finding
    if (path / "volumes").is_dir():
        return volume_sets.open_volumes(path, word)
    if (path / "labels.csv").is_file():
        if (path / "images512").is_dir():
            return datasets.nih(
                path, adults=split != "under-18", positive=word or datasets.ABNORMAL, guessed=positive is None
            )
        if is_hannover(path):
            return hannover(path)
        return read_labels(path, word, split)
    if split and (path / split).is_dir():
        return datasets.image_folder(path / split, word, guessed=positive is None and finding is not None)
    if lidc_idri.folders(path):
        return volume_sets.series(path, word or "")
    if any(path.glob("*.tar.*")):
        raise DataUnreadable(str(path), "it holds archives; unpack them first: tar --zstd -xf FILE")
    return datasets.image_folder(path, word, guessed=positive is None and finding is not None)


def is_hannover(path: Path) -> bool:
    """Whether the ``labels.csv`` in ``path`` is that of the Hannover films: it names images, patients and no class."""
    named = set(read_rows(path / "labels.csv")[0])
    return named.issuperset(HANNOVER_COLUMNS) and not named.intersection((*FILE_COLUMNS, *CLASS_COLUMNS))


def has_split(path: Path, split: str) -> bool:
    """Whether the data set itself has a part of this name."""
    if path.is_file():
        return path.suffix == ".npz"
    if (path / "labels.csv").is_file():
        if (path / "images512").is_dir():
            return split == "under-18"
        rows = read_rows(path / "labels.csv")
        column = _split_column(rows)
        return column is not None and any(row[column] == split for row in rows)
    return (path / split).is_dir()


def read_labels(folder: Path, positive: str | None, split: str | None = None) -> FilmSet:
    """``labels.csv`` with a file and a class column, files in ``images/`` or beside it, outlines in ``masks/`` as
    pictures or in ``outlines/`` as polygons (:mod:`converters.data.polygons`).

    Boxes may stand in :data:`BOXES`. Every class but ``positive`` is negative; without ``positive`` each film only says
    what stands in its class column, and its label is for a task to make. A column ``patient`` keeps films of one person
    together; a column called ``split``, or ending so, chooses a part; the columns :data:`TRAIT_COLUMNS` and a date
    become traits. Raises :class:`DataUnreadable`.
    """
    table = folder / "labels.csv"
    rows = read_rows(table)
    file_column, class_column = (find_column(table, rows, names) for names in (FILE_COLUMNS, CLASS_COLUMNS))
    classes = sorted({row[class_column] for row in rows})
    chosen = next((name for name in classes if positive and name.casefold() == positive.casefold()), None)
    if chosen is None and positive is not None:
        raise DataUnreadable(str(table), f"no film is of the class {positive} (classes found: {', '.join(classes)})")
    if split is not None:
        column = _split_column(rows)
        rows = [row for row in rows if column is not None and row[column] == split]
        if not rows:
            raise DataUnreadable(str(table), f"there is no split {split}")
    if chosen is not None:
        datasets.say_negatives(table, chosen, classes)
    near = folder / "images" if (folder / "images").is_dir() else folder
    paths = [near / row[file_column] for row in rows]
    _refuse_absent(table, paths)
    masked = (folder / "masks").is_dir()
    people, times, boxes = _patients(rows, paths), slices(table, rows), _boxes(folder / BOXES)
    films = tuple(
        Film(
            row[file_column],
            path,
            int(row[class_column] == chosen),
            patient,
            mask=_mask(folder, path),
            said=row[class_column],
            years=_years(row),
            boxes=None if boxes is None else boxes.get(row[file_column], ()),
            traits=(*((name, row[name]) for name in TRAIT_COLUMNS if row.get(name)), *time),
            clean=masked and row[class_column].casefold() == NORMAL,
        )
        for row, path, patient, time in zip(rows, paths, people, times, strict=True)
    )
    return FilmSet(folder.name, chosen or "", films)


def hannover(folder: Path) -> FilmSet:
    """Chest films of Hannover Medical School: ``labels.csv`` with ``image_id`` beside ``images/``. All are positive.

    Every patient has COVID-19, so the label says no more than the source does: never the only positive films of a
    recipe. Raises :class:`DataUnreadable`.
    """
    table = folder / "labels.csv"
    rows = read_rows(table)
    for column in HANNOVER_COLUMNS:
        find_column(table, rows, (column,))
    paths = [folder / "images" / f"{row['image_id']}.jpg" for row in rows]
    _refuse_absent(table, paths)
    films = tuple(
        Film(
            path.name,
            path,
            1,
            row["patient_id"],
            said=COVID_19,
            years=_years(row),
            traits=tuple((name, row[column].upper()) for name, column in HANNOVER_TRAITS if row.get(column)),
        )
        for row, path in zip(rows, paths, strict=True)
    )
    return FilmSet(folder.name, COVID_19, films)


def slices(table: Path, rows: Sequence[dict[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """The slice of time of each film, as traits: its year or, where all films are of one year, its month.

    A date is written ``2024-05-31``, ``20240531``, ``2024-05`` or ``2024``; a film without one has no slice. Raises
    :class:`DataUnreadable`.
    """
    column = next((name for name in DATE_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        return [()] * len(rows)
    dates = [DATE.fullmatch(row[column].strip()) for row in rows]
    wrong = [number for number, row in enumerate(rows, 1) if row[column].strip() and dates[number - 1] is None]
    if wrong:
        raise DataUnreadable(str(table), f"row {wrong[0]}: what stands under {column} is no date such as 2024-05-31")
    one_year = len({date.group(1) for date in dates if date}) == 1
    by_month = one_year and all(date is None or date.group(2) for date in dates)
    words = ["" if date is None else date.group(1) + (f"-{date.group(2)}" if by_month else "") for date in dates]
    return [((datasets.SLICE, word),) if word else () for word in words]


def _refuse_absent(table: Path, films: Sequence[Path]) -> None:
    absent = [path.name for path in films if not path.is_file()]
    if absent:
        raise DataUnreadable(str(table), f"{len(absent)} of its films are absent, the first is {absent[0]}")


def _patients(rows: Sequence[dict[str, str]], paths: Sequence[Path]) -> list[str]:
    """The patient of each film; for an empty cell the file's own header may name one."""
    said = [next((row[name] for name in PATIENT_COLUMNS if row.get(name)), "") for row in rows]
    unsaid = [path for path, patient in zip(paths, said, strict=True) if not patient]
    found = iter(datasets.patients_of(unsaid))
    return [patient or next(found) for patient in said]


def _years(row: dict[str, str]) -> int | None:
    """The age in completed years, where the set has one and this row says it as a number."""
    said = next((row[name] for name in AGE_COLUMNS if row.get(name)), "").strip().upper().removesuffix("Y")
    whole = said.partition(".")[0]
    return int(whole) if whole.isdecimal() and len(whole) <= 3 else None


def _boxes(table: Path) -> dict[str, tuple[tuple[float, float, float, float], ...]] | None:
    """The boxes by the file they are in; ``None`` where the set has none. Raises :class:`DataUnreadable`."""
    if not table.is_file():
        return None
    rows = read_rows(table)
    file_column, sides = (
        find_column(table, rows, FILE_COLUMNS),
        [find_column(table, rows, (name,)) for name in BOX_COLUMNS],
    )
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]] = {}
    for number, row in enumerate(rows, 1):
        try:
            x0, y0, x1, y1 = (float(row[side]) for side in sides)
        except ValueError:
            x0, y0, x1, y1 = math.nan, 0.0, 0.0, 0.0
        if not (x0 < x1 and y0 < y1 and math.isfinite(x0 + y0 + x1 + y1)):
            raise DataUnreadable(str(table), f"row {number}: x0, y0, x1, y1 are no box")
        boxes[row[file_column]] = (*boxes.get(row[file_column], ()), (x0, y0, x1, y1))
    return boxes


def _mask(folder: Path, film: Path) -> Path | None:
    named = (folder / "masks" / f"{film.stem}.png", folder / "outlines" / f"{film.stem}{polygons.SUFFIX}")
    return next((path for path in named if path.is_file()), None)


def _split_column(rows: Sequence[dict[str, str]]) -> str | None:
    return next((name for name in rows[0] if name == "split" or name.endswith("_split")), None)
