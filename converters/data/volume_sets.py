"""Sets of volumes: CT series with outlines, and ``DIR/volumes/NAME.npy`` (or ``.npz``) with ``DIR/masks/NAME.npy``.

A volume is (D, H, W) numbers, bright is dense; its mask has the same shape and is not 0 inside a lesion.  Every volume
has a mask, one without any lesion says so by zeros, or a label of its own: ``labels.csv`` (columns ``file``, ``class``,
``patient``, and traits such as ``machine``) may stand beside them; without it every volume is a patient's only one.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread

from converters.data import label_tables, lidc_idri, volumes
from converters.data.datasets import Film, FilmSet
from converters.failures import DataUnreadable


def open_volumes(folder: Path, finding: str | None) -> FilmSet:
    """The volumes of ``folder``; positive is one whose mask is not empty, or whose class is ``finding``.

    Raises :class:`DataUnreadable`.
    """
    paths = sorted(path for path in (folder / "volumes").glob("*") if path.suffix in volumes.SUFFIXES)
    if not paths:
        raise DataUnreadable(str(folder), "there is no volume (.npy or .npz) in its folder volumes")
    rows = label_tables.rows_by_file(folder / "labels.csv") if (folder / "labels.csv").is_file() else {}
    films = []
    for path in paths:
        mask, row = folder / "masks" / path.name, rows.get(path.name, {})
        said = next((row[name] for name in label_tables.CLASS_COLUMNS if row.get(name)), "")
        label = int(said.casefold() == (finding or "").casefold())
        if mask.is_file():
            shape, outline = volumes.read(path).shape, volumes.read(mask)
            if outline.shape != shape:
                raise DataUnreadable(str(mask), f"its shape {outline.shape} is not the volume's {shape}")
            label = int(outline.any())
        elif not said:
            raise DataUnreadable(str(path), "it has no mask; one of zeros says that there is no lesion")
        traits = tuple((name, row[name]) for name in label_tables.TRAIT_COLUMNS if row.get(name))
        known = mask if mask.is_file() else None
        patient = row.get("patient") or path.stem
        films.append(Film(path.name, path, label, patient, mask=known, traits=traits, said=said))
    return FilmSet(folder.name, finding or "", tuple(films))


def series(path: Path, finding: str) -> FilmSet:
    """The series of ``path`` as volumes with masks; positive is one with a nodule. Raises :class:`DataUnreadable`."""
    films = []
    for folder in lidc_idri.folders(path):
        table = lidc_idri.readers_of(folder)
        name = folder.relative_to(path).as_posix() if folder != path else folder.name
        label = int(bool(lidc_idri.mask(table).any()))
        films.append(Film(name, folder, label, _patient(folder), mask=table))
    if not films:
        raise DataUnreadable(str(path), "there is no CT series with its readers' XML in it")
    people = dict.fromkeys(film.patient for film in films)  # an ID is only compared, never kept
    number = {patient: f"patient{index}" for index, patient in enumerate(people, 1)}
    kept = tuple(Film(film.name, film.path, film.label, number[film.patient], mask=film.mask) for film in films)
    return FilmSet(path.name, finding, kept)


def copies(films: Sequence[Film]) -> list[tuple[int, int]]:
    """Index pairs of volumes with the same contents.

    Heads in one pose look much alike at a coarse grid, so likeness would join different people: only copies count.
    """
    first: dict[str, int] = {}
    pairs = []
    for index, film in enumerate(films):
        word = hashlib.sha256(film.read().tobytes()).hexdigest()
        if first.setdefault(word, index) != index:
            pairs.append((first[word], index))
    return pairs


def _patient(folder: Path) -> str:
    header = dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True, specific_tags=["PatientID"])
    return str(header.get("PatientID", "")) or folder.name
